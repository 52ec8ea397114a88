"""CASE as published, at a small size: both variants, metadata, orders of its own per subject, and its quirks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt
import openpyxl
import pyarrow as pa
import pyarrow.csv

Values = npt.NDArray[np.float64]
NAMES = ("amusing-1", "amusing-2", "boring-1", "boring-2", "relaxed-1", "relaxed-2", "scary-1", "scary-2")
IDS = {name: number for number, name in enumerate(NAMES, 1)} | {"startVid": 10, "bluVid": 11, "endVid": 12}
SENSORS = ("ecg", "bvp", "gsr", "rsp", "skt", "emg_zygo", "emg_coru", "emg_trap")
# The joystick of every video, (valence, arousal): boring-2 and relaxed-2 change in their middle, all others hold still.
RATINGS = {
    1: (8.0, 6.0),
    2: (7.0, 7.0),
    3: (4.0, 3.0),
    4: (3.0, 2.0),
    5: (6.5, 2.5),
    6: (6.0, 1.5),
    7: (2.0, 8.5),
    8: (1.5, 9.0),
}
LATER = {4: (7.5, 2.0), 6: (6.0, 9.5)}


@dataclass
class KnownCase:
    """What was written, by participant number.

    Attributes:
        videos: (id, begin_s, end_s) in the order shown, all of them.
        signals: interpolated values (n, 8), one row a ms from 0.
        age, gender: the traits.
    """

    videos: dict[int, list[tuple[int, float, float]]] = field(default_factory=dict)
    signals: dict[int, Values] = field(default_factory=dict)
    age: dict[int, float] = field(default_factory=dict)
    gender: dict[int, str] = field(default_factory=dict)


def order(number: int) -> list[str]:
    """A subject's own order: no two videos of an emotion follow each other, blue between all."""
    turned = [NAMES[(2 * i + i // 4 + number) % 8] for i in range(8)]
    return ["startVid", *(name for video in turned for name in ("bluVid", video)), "bluVid", "endVid"]


def durations_ms(seconds: float) -> dict[str, float]:
    """No duration is a whole number of the joystick's 50 ms steps, and startVid's not even of ms."""
    emotional = {name: round(seconds * 1000) + 7.0 * i for i, name in enumerate(NAMES)}
    return {"startVid": 3001.333, "bluVid": 2013.0, "endVid": 2005.0, **emotional}


def _physiology(number: int, count: int) -> Values:
    """(count, 8) NeuroKit2 signals at 1 kHz in the units of the interpolated files."""
    seed, length = 100 + number, min(count, 30_000)
    common: dict[str, Any] = {"length": length, "duration": length / 1000, "sampling_rate": 1000, "random_state": seed}
    heart = 60 + 3 * number
    eda = nk.eda_simulate(length=length // 10, duration=length / 1000, sampling_rate=100, scr_number=8, random_state=seed)
    emg = nk.emg_simulate(**common, burst_number=6)
    made = [
        nk.ecg_simulate(**common, heart_rate=heart, method="simple"),
        35 + 3 * nk.ppg_simulate(duration=length / 1000, sampling_rate=1000, heart_rate=heart, random_state=seed)[:length],
        5 + np.interp(np.arange(length) / 10, np.arange(len(eda)), eda),
        30 + 5 * np.sin(np.arange(length) / 1000 * 2 * np.pi * (0.2 + 0.01 * number)),
        30 + 0.2 * np.cumsum(np.random.default_rng(seed).normal(0, 0.02, length)),
        *(20 * np.roll(emg, 500 * i) for i in range(3)),
    ]
    repeats = -(-count // length)
    return np.round(np.stack([np.tile(np.asarray(signal)[:length], repeats)[:count] for signal in made], axis=1), 3)


def known_ramp(count: int) -> Values:
    """(count, 8): column k at second t of the session is 1000 (k + 1) + t, so that a sample tells its column and time."""
    return np.round(1000.0 * np.arange(1, 9) + np.arange(count)[:, None] / 1000, 3)


def joystick(videos: list[tuple[int, float, float]], times_s: Values, moved_blue: bool, rest: tuple[int, ...]) -> Values:
    """(n, 2) valence and arousal at the times; 5, 5 is the joystick at rest."""
    rated = np.full((len(times_s), 2), 5.0)
    for video, begin, end in videos:
        now = (times_s >= begin) & (times_s < end)
        if video in RATINGS and video not in rest:
            rated[now] = RATINGS[video]
            rated[now & (times_s >= (begin + end) / 2)] = LATER.get(video, RATINGS[video])
        elif video == 11 and moved_blue:
            rated[now] = 9.5, 0.5
    return rated


def write_csv(path: Path, columns: dict[str, npt.NDArray[Any]], header: bool = True, separator: str = ",") -> None:
    """Fast text: pyarrow writes the rows, the header (unquoted) by hand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        if header:
            file.write((separator.join(columns) + "\n").encode())
        options = pyarrow.csv.WriteOptions(include_header=False, delimiter=separator)
        pyarrow.csv.write_csv(pa.table(list(columns.values()), names=list(columns)), file, options)


def _write_interpolated(home: Path, number: int, known: KnownCase, labels_from_s: float, **joysticks: Any) -> None:
    videos, signals = known.videos[number], known.signals[number]
    codes, borders = np.array([video for video, *_ in videos]), np.array([end for *_, end in videos])
    milliseconds = np.arange(len(signals))
    shown = codes[np.searchsorted(borders, milliseconds / 1000, side="right")]
    columns = {"daqtime": milliseconds} | {name: signals[:, i] for i, name in enumerate(SENSORS)} | {"video": shown}
    write_csv(home / f"physiological/sub_{number}.csv", columns)
    ticks = np.arange(round(labels_from_s * 20) * 50, len(signals), 50)
    rated = np.round(joystick(videos, ticks / 1000, **joysticks), 3)
    columns = {"jstime": ticks, "valence": rated[:, 0], "arousal": rated[:, 1], "video": shown[ticks]}
    write_csv(home / f"annotations/sub_{number}.csv", columns)


def _write_raw(home: Path, number: int, known: KnownCase, labels_from_s: float, **joysticks: Any) -> None:
    """Volts and joystick counts on jittered clocks; column X before Y."""
    signals, rng = known.signals[number], np.random.default_rng(number)
    times = np.arange(len(signals) + 40) / 1000 + rng.uniform(0, 4e-4, len(signals) + 40)
    physical = np.stack([np.interp(times, np.arange(len(signals)) / 1000, column) for column in signals.T], axis=1)
    ecg, bvp, gsr, rsp, skt, *emg = physical.T
    volts = [
        ecg / 1000 * 50 + 2.8,
        (bvp + 115.09) / 58.962,
        (gsr + 49.2) / 24,
        (rsp + 115.01) / 58.923,
        (skt + 32.085) / 21.341,
    ]
    volts += [signal / 1e6 * 4000 + 2 for signal in emg]
    columns = {"time": np.round(times, 6)} | {str(i): np.round(column, 9) for i, column in enumerate(volts)}
    write_csv(home / f"physiological/sub{number}_DAQ.txt", columns, header=False, separator="\t")
    ticks = np.arange(labels_from_s, len(signals) / 1000, 0.05)
    ticks = ticks + rng.uniform(0, 0.004, len(ticks))
    counts = np.round((joystick(known.videos[number], ticks, **joysticks) - 0.5) / 9 * 52450 - 26225).astype(np.int64)
    log = {"time": np.round(ticks, 6), "x": counts[:, 0], "y": counts[:, 1]}
    write_csv(home / f"annotations/sub{number}_joystick.txt", log, header=False, separator="\t")


def _write_metadata(home: Path, seconds: float, headers: tuple[str, ...]) -> None:
    """participants.xlsx (headers unconfirmed), orders with a quoted column a subject, durations with one row that ends in a tab."""
    home.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    book.active.append(list(headers))
    for number in range(1, 31):
        book.active.append([number, "M" if number % 2 else "F", 20 + number, "20-50"])
    book.save(home / "participants.xlsx")
    orders = [order(number) for number in range(1, 31)]
    rows = [[f"seq_sub{number}" for number in range(1, 31)], *map(list, zip(*orders, strict=True))]
    (home / "seqs_order.txt").write_text("".join("\t".join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    lines = ['"video_name"\t"video_duration"', *(f'"{name}"\t{ms:.3f}' for name, ms in durations_ms(seconds).items())]
    (home / "videos_duration.txt").write_text("\n".join([*lines[:3], lines[3] + "\t", *lines[4:]]) + "\n")


def write_case(
    root: Path,
    participants: Iterable[int],
    seconds: float = 15.5,
    variants: tuple[str, ...] = ("interpolated",),
    ramp: bool = False,
    labels_from_s: float = 0.0,
    moved_blue: bool = False,
    at_rest: tuple[int, ...] = (),
    headers: tuple[str, ...] = ("ID", "Sex", "Age", "Age-Group"),
) -> KnownCase:
    """Write data/ and metadata/ below ``root``; every emotional video lasts about ``seconds``.

    Args:
        ramp: known_ramp instead of physiology.
        labels_from_s: the annotation file starts that late (its clock still runs from 0).
        moved_blue: the joystick is moved while the screen is blue.
        at_rest: videos in which it is never moved.
    """
    known = KnownCase()
    for number in participants:
        names = order(number)
        borders = np.cumsum([0.0, *(durations_ms(seconds)[name] for name in names)]) / 1000
        known.videos[number] = [(IDS[name], a, b) for name, a, b in zip(names, borders[:-1], borders[1:], strict=True)]
        count = int(borders[-1] * 1000)
        known.signals[number] = known_ramp(count) if ramp else _physiology(number, count)
        known.age[number], known.gender[number] = 20.0 + number, "male" if number % 2 else "female"
        for variant in variants:
            writer = _write_interpolated if variant == "interpolated" else _write_raw
            writer(root / "data" / variant, number, known, labels_from_s, moved_blue=moved_blue, rest=at_rest)
    _write_metadata(root / "metadata", seconds, headers)
    return known
