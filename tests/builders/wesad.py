"""WESAD as published, at a small size: chest and wrist, the protocol's conditions, questionnaires, readme and the RespiBAN's head."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt

from builders.wesad_subject import write_python2_pickle

Values = npt.NDArray[np.float64]
CHEST_HZ = 700
WRIST = {"ACC": (32, 3), "BVP": (64, 1), "EDA": (4, 1), "TEMP": (4, 1)}
CHEST = {"ACC": 3, "ECG": 1, "EMG": 1, "EDA": 1, "Temp": 1, "Resp": 1}
# label code and seconds, in the order of half of the people; code 5 (bRead) is absent in S2
PROTOCOL = ((0, 7), (1, 20), (0, 5), (3, 61), (0, 4), (4, 15), (0, 6), (5, 4), (2, 64), (0, 5), (4, 16), (6, 4), (0, 5))


@dataclass
class KnownWesad:
    """What was written: by subject, the code of every 700 Hz sample, and the signals of each device."""

    label: dict[str, npt.NDArray[np.int32]] = field(default_factory=dict)
    chest: dict[str, dict[str, npt.NDArray[Any]]] = field(default_factory=dict)
    wrist: dict[str, dict[str, Values]] = field(default_factory=dict)


def known_ramp(device: str, key: str, count: int, rate: float, width: int) -> Values:
    """(count, width): the second, plus 1000 a column, 10000 a key, and 100000 for the wrist."""
    keys = list(CHEST) if device == "chest" else list(WRIST)
    base = 100_000 * (device == "wrist") + 10_000 * keys.index(key)
    return base + 1000.0 * np.arange(width) + np.arange(count)[:, None] / rate


def _heard(signal: Any, count: int, rate: float, simulated_hz: int) -> Values:
    """A signal simulated at one rate, repeated as needed and read at another, (count, 1)."""
    held = np.asarray(signal, dtype=np.float64)
    return np.interp(np.arange(count) / rate * simulated_hz % (len(held) - 1), np.arange(len(held)), held)[:, None]


def _physiology(device: str, key: str, number: int, count: int, rate: float, width: int) -> Values:
    """(count, width) NeuroKit2 signals of 30 s, repeated."""
    rng, hz = np.random.default_rng([number, ord(key[0]), width]), 200
    common: dict[str, Any] = {"duration": 30, "sampling_rate": hz, "random_state": number}
    if key in ("ACC", "Temp", "TEMP"):
        slow = np.cumsum(rng.normal(0, 0.01, (count, width)), axis=0)
        return np.round(64 * slow) if (device, key) == ("wrist", "ACC") else 33.0 * (key != "ACC") + slow
    made = {
        "ECG": lambda: nk.ecg_simulate(**common, heart_rate=60 + number, method="simple"),
        "EMG": lambda: 0.1 * nk.emg_simulate(**common, burst_number=4),
        "EDA": lambda: 3 + nk.eda_simulate(**common, scr_number=4),
        "Resp": lambda: 5 * nk.rsp_simulate(**common, respiratory_rate=14),
        "BVP": lambda: 60 * nk.ppg_simulate(**common, heart_rate=60 + number),
    }[key]()
    return _heard(made, count, rate, hz)


def content_of(number: int, known: KnownWesad, protocol: Iterable[tuple[int, int]], ramp: bool) -> dict[str, Any]:
    """What S#.pkl holds. The wrist ends a quarter of a second early, as published ones may; Temp alone is float32."""
    name = f"S{number}"
    runs = [(0 if code == 5 and number == 2 else code, seconds) for code, seconds in protocol]
    label = np.repeat(np.array([c for c, _ in runs], dtype=np.int32), [CHEST_HZ * s for _, s in runs])
    seconds = len(label) // CHEST_HZ
    make = known_ramp if ramp else lambda device, key, *rest: _physiology(device, key, number, *rest)
    chest: dict[str, Any] = {key: make("chest", key, len(label), CHEST_HZ, width) for key, width in CHEST.items()}
    chest["Temp"] = chest["Temp"].astype(np.float32)
    wrist = {key: make("wrist", key, round((seconds - 0.25) * rate), rate, width) for key, (rate, width) in WRIST.items()}
    known.label[name], known.chest[name], known.wrist[name] = label, chest, wrist
    return {"signal": {"chest": chest, "wrist": wrist}, "label": label, "subject": name}


def _questionnaires(name: str) -> str:
    """';'-separated: order, times, 5 lines each of PANAS, STAI and DIM, one SSSQ; two more PANAS answers after stress."""
    order = ["Base", "Fun", "Medi 1", "TSST", "Medi 2"]
    lines = [f"# Subj;{name}", "# ORDER;" + ";".join([*order, "sRead", "fRead"]), "# START;7.08;39.55;70.19;81.25;93.38",
             "# END;26.32;45.28;77.10;89.46;100.15", ";"]  # fmt: skip
    lines += ["# PANAS;" + ";".join(str(1 + i % 5) for i in range(26 if run == "TSST" else 24)) for run in order] + [";"]
    lines += ["# STAI;" + ";".join(str(1 + i % 4) for i in range(6)) for _ in order] + [";"]
    lines += [f"# DIM;{3 + i};{2 + i}" for i in range(5)] + [";", "# SSSQ;" + ";".join("123432")]
    return "\n".join(lines) + "\n"


def _respiban(rows: int = 20) -> str:
    """The head of S#_respiban.txt and its first rows: nSeq, DI, then 8 channels of 16 bit."""
    device = {"sensor": ["ECG", "EDA", "EMG", "TEMP", "XYZ", "XYZ", "XYZ", "RESPIRATION"], "sampling rate": CHEST_HZ,
              "time": "9:39:1.0", "date": "2017-5-22", "resolution": [16] * 8}  # fmt: skip
    head = ["# OpenSignals Text File Format", "# " + json.dumps({"00:07:80:D8:AB:4D": device}), "# EndOfHeader"]
    return "\n".join([*head, *("\t".join(map(str, [i % 16, 0, *range(30000, 30008)])) + "\t" for i in range(rows))]) + "\n"


def write_wesad(
    root: Path,
    participants: Iterable[int],
    protocol: Iterable[tuple[int, int]] = PROTOCOL,
    ramp: bool = False,
    damage: dict[str, Any] | None = None,
) -> KnownWesad:
    """Write S#/ for these numbers (of 2..11, 13..17).

    Args:
        ramp: ``known_ramp`` instead of physiology.
        damage: chest key to the array that stands in its place.
    """
    known = KnownWesad()
    for number in participants:
        name, home = f"S{number}", root / f"S{number}"
        content = content_of(number, known, tuple(protocol), ramp)
        content["signal"]["chest"] |= damage or {}
        write_python2_pickle(home / f"{name}.pkl", content)
        (home / f"{name}_quest.csv").write_text(_questionnaires(name))
        (home / f"{name}_respiban.txt").write_text(_respiban())
        (home / f"{name}_readme.txt").write_text(
            f"### Personal information ###\nAge: {22 + number}\nHeight (cm): {160 + number}\nWeight (kg): {60 + number}\n"
            f"Gender: {'male' if number % 2 else 'female'}\nDominant hand: right\n\n### Study pre-requisites ###\n"
            "Did you drink coffee today? NO\nAre you a smoker? NO\nDo you feel ill today? NO\n\n### Additional notes ###\n-\n"
        )
    return known
