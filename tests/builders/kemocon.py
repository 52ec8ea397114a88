"""K-EmoCon as published, at a small size: E4 files on a unix clock, subjects, self-annotations, and its quirks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt
import pandas as pd

Values = npt.NDArray[np.float64]
INIT_MS = 1_550_000_000_000
BASELINE_S, BEFORE_S, AFTER_S = (
    130,
    12,
    4,
)  # debate after initTime; the E4 files begin 12 s before the debate and end 4 s after it
RATES = {"ACC": 32, "BVP": 64, "EDA": 4, "TEMP": 4}
MARKS = ("boredom", "confusion", "delight", "concentration", "frustration", "surprise", "none_1", "confrustion", "contempt",
         "dejection", "disgust", "eureka", "pride", "sorrow", "none_2")  # fmt: skip
DEVICES = {31: ("A013E1", "A01525"), 32: ("A01A3A", "A01525")}


@dataclass
class KnownKemocon:
    """What was written, by participant number: the debate (unix ms) and the self-reports, one every 5 s of the annotation."""

    start_ms: dict[int, int] = field(default_factory=dict)
    end_ms: dict[int, int] = field(default_factory=dict)
    arousal: dict[int, list[int]] = field(default_factory=dict)
    valence: dict[int, list[int]] = field(default_factory=dict)


def ratings(number: int, count: int) -> tuple[list[int], list[int]]:
    """Runs of 3 and of 2 equal ratings, so that every shift of rows changes some window's class; all of 1..5 occur."""
    arousal = [1 + (i // 3 + number) % 5 for i in range(count)]
    valence = [5 - (i // 2 + number) % 5 for i in range(count)]
    return arousal, valence


def _physiology(name: str, number: int, count: int, rate: int) -> Values:
    """(count, width) NeuroKit2 signals; ACC counts are whole numbers; the first EDA sample is 0, as a real E4's."""
    rng, seconds = np.random.default_rng([number, rate, len(name)]), -(-count // rate)
    if name == "ACC":
        return np.round(np.array([10.0, -30, 55]) + np.cumsum(rng.normal(0, 1, (count, 3)), axis=0) % 8)
    if name == "BVP":
        made = 60 * nk.ppg_simulate(duration=seconds, sampling_rate=rate, heart_rate=65 + number, random_state=number)
    elif name == "EDA":
        fine = nk.eda_simulate(duration=seconds, sampling_rate=100, scr_number=6, random_state=number)
        made = 2 + fine[::25]
        made[0] = 0.0
    else:
        made = 33 + 0.02 * np.cumsum(rng.normal(0, 1, count))
    return np.asarray(made, dtype=np.float64)[:count, None]


def known_ramp(name: str, start_s: Values) -> Values:
    """(n, width): the second of the debate, plus 1000 for ACC's y and 2000 for its z, so that a sample tells its time and axis."""
    return np.round(start_s[:, None] + np.arange(0, 3000 if name == "ACC" else 1000, 1000), 6)


def write_e4(
    home: Path,
    number: int,
    start_ms: float,
    seconds: float,
    ramp: bool = False,
    gap: tuple[str, float, float] | None = None,
    rates: Mapping[str, float] | None = None,
    shuffled: bool = False,
    repeated: int = 0,
    devices: tuple[str, ...] = ("A00F66",),
) -> None:
    """The four files of one person; see ``write_kemocon``."""
    rng = np.random.default_rng(number)
    for name, rate in RATES.items():
        times = np.arange(round((BEFORE_S + seconds + AFTER_S) * rate)) / (rates or {}).get(name, rate) - BEFORE_S
        samples = known_ramp(name, times) if ramp else _physiology(name, number, len(times), rate)
        frames = []
        for which, device in enumerate(devices):  # the second device records other values at other times of its own
            stamps = np.round(start_ms + 1000 * times + 3.5 * which, 3)
            columns = ["x", "y", "z"] if name == "ACC" else ["value"]
            frame = pd.DataFrame({"timestamp": stamps, "pid": number})
            frame[columns] = samples - 5000 * which
            frame["device_serial"], frame["device_number"], frame["entry_time"] = device, which + 1, stamps + 420
            frames.append(frame)
        frame = pd.concat(frames, ignore_index=True)
        if gap is not None and gap[0] == name:
            second = (frame["timestamp"] - start_ms) / 1000
            frame = frame[(second < gap[1]) | (second >= gap[2])]
        if repeated:
            again = frame.iloc[rng.choice(len(frame), repeated, replace=False)].copy()
            again[columns] = 9999.0
            frame = pd.concat([frame, again], ignore_index=True)
        if shuffled:
            kept = frame[~frame.duplicated("timestamp")]  # the first of a timestamp stays first
            frame = pd.concat([kept.sample(frac=1, random_state=number), frame[frame.duplicated("timestamp")]])
        home.mkdir(parents=True, exist_ok=True)
        frame.to_csv(home / f"E4_{name}.csv", index=False)
    stamps = start_ms + 1000 * np.arange(-BEFORE_S, seconds)
    hr = pd.DataFrame({"timestamp": stamps, "pid": number, "value": 70.0, "device_serial": devices[0]})
    hr.to_csv(home / "E4_HR.csv", index=False)
    hr.assign(value=850.0).to_csv(home / "E4_IBI.csv", index=False)  # ms


def _write_annotation(path: Path, arousal: list[int], valence: list[int]) -> None:
    count = len(arousal)
    columns: dict[str, Any] = {"seconds": 5 * np.arange(1, count + 1), "arousal": arousal, "valence": valence}
    columns |= {name: [1 + i % 4 for i in range(count)] for name in ("cheerful", "happy", "angry", "nervous", "sad")}
    columns |= {name: ["x" if i % 15 == k else "" for i in range(count)] for k, name in enumerate(MARKS)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)


def write_kemocon(
    root: Path,
    participants: Iterable[int],
    seconds: float = 122.0,
    early_rows: int = 0,
    doubled_folders: bool = False,
    two_devices: bool = True,
    headers: tuple[str, str] = ("age", "gender"),
    **quirks: Any,
) -> KnownKemocon:
    """Write e4_data/, emotion_annotations/ and metadata/ for these participant numbers.

    Args:
        early_rows: annotation rows from before the debate; the debate's own come after them.
        doubled_folders: name/name, as unzipping each archive into a folder of its name gives.
        two_devices: participants 31 and 32 have rows of a second device.
        quirks: of ``write_e4``: ``ramp`` (known values), ``gap`` (file, from s, to s: rows missing), ``rates`` (file to the rate that its
            timestamps tell), ``shuffled`` rows, ``repeated`` rows with other values, ``devices``.
    """
    known = KnownKemocon()
    e4, annotations, metadata = (
        root / (f"{name}/{name}" if doubled_folders else name) for name in ("e4_data", "emotion_annotations", "metadata")
    )
    subjects = []
    for number in range(1, 33):
        init = INIT_MS + 10_000_000 * ((number - 1) // 2)
        start, end = init + 1000 * BASELINE_S, init + 1000 * BASELINE_S + round(1000 * seconds)
        subjects.append((number, init, start, end, 18 + number, "M" if number % 2 else "F"))
    metadata.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(subjects, columns=["pid", "initTime", "startTime", "endTime", *headers])
    frame.to_csv(metadata / "subjects.csv", index=False)
    for number in participants:
        _, _, start, end, *_ = subjects[number - 1]
        known.start_ms[number], known.end_ms[number] = start, end
        devices = {"devices": DEVICES[number]} if two_devices and number in DEVICES else {}
        write_e4(e4 / str(number), number, start, seconds, **(devices | quirks))
        count = int(seconds // 5)
        known.arousal[number], known.valence[number] = ratings(number, count)
        before = [[5] * early_rows, [1] * early_rows]
        both = [before[0] + known.arousal[number], before[1] + known.valence[number]]
        for kind, name in (("self", f"P{number}.self"), ("partner", f"P{number}.partner")):
            _write_annotation(annotations / f"{kind}_annotations/{name}.csv", *(both if kind == "self" else both[::-1]))
    return known
