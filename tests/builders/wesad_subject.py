"""One WESAD subject of noise, as a pickle of Python 2 with a readme; `builders.wesad` writes whole subjects."""

import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from raylab.recordings import Recording
from raylab.recordings.wesad import WESAD

WRIST = ["wrist_acc_x", "wrist_acc_y", "wrist_acc_z", "wrist_bvp", "wrist_eda", "wrist_temp"]
CHEST = ["chest_acc_x", "chest_acc_y", "chest_acc_z", "chest_ecg", "chest_emg", "chest_eda", "chest_temp", "chest_resp"]


class _Python2Pickler(pickle._Pickler):
    """Writes str and bytes as Python 2 wrote its str, which is what WESAD's pickles hold."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_text(self, text: str | bytes) -> None:
        data = text if isinstance(text, bytes) else text.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_text


def write_python2_pickle(path: Path, value: Any) -> None:
    """A protocol 2 pickle with byte strings and numpy's old module name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        _Python2Pickler(file, protocol=2).dump(value)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def wesad_content(name: str = "S2", seconds: int = 40, devices: tuple[str, ...] = ("wrist",), seed: int = 0) -> dict[str, Any]:
    """What S#.pkl holds: half amusement (3), half stress (2), noise as signals."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.array([3, 2], dtype=np.int32), seconds * 350)
    wrist = {
        key: rng.normal(0, 1, (seconds * rate, width)) for key, rate, width in (("BVP", 64, 1), ("EDA", 4, 1), ("TEMP", 4, 1))
    }
    wrist["ACC"] = rng.integers(-64, 64, (seconds * 32, 3)).astype(np.float64)
    chest = {key: rng.normal(0, 1, (seconds * 700, 1)) for key in ("ECG", "EMG", "EDA", "Resp")}
    chest |= {"ACC": rng.normal(0, 1, (seconds * 700, 3)), "Temp": rng.normal(34, 1, (seconds * 700, 1)).astype(np.float32)}
    both = {"chest": chest, "wrist": wrist}
    return {"signal": {device: both[device] for device in devices}, "label": label, "subject": name}


def write_wesad(root: Path, content: dict[str, Any], name: str = "S2") -> None:
    """One subject's pickle and readme."""
    write_python2_pickle(root / name / f"{name}.pkl", content)
    (root / name / f"{name}_readme.txt").write_text(
        "### Personal information ###\nAge: 27\nHeight (cm): 175\nWeight (kg): 80\nGender: Female\nDominant hand: right\n\n"
        "### Study pre-requisites ###\nDid you drink coffee today? NO\n"
    )


def read_wesad(root: Path, **options: str) -> Recording:
    return WESAD.read(root, "S2", {**WESAD.options, **options})
