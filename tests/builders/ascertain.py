"""ASCERTAIN as it is published, at a small size: the tree, names, types, shapes, rates and quirks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import neurokit2 as nk
import numpy as np
import numpy.typing as npt
import openpyxl
import scipy.io

PEOPLE, CLIPS = 58, 36
RATES = {"ECG": 256, "GSR": 128}
Array = npt.NDArray[np.float64]


@dataclass
class Known:
    """What was written, for all 58 people: ratings (5, 58, 36), Big Five (58, 5), order shown (58, 36), quality (58, 36) a sheet."""

    ratings: Array
    big_five: Array
    shown: npt.NDArray[np.uint8]
    quality: dict[str, npt.NDArray[np.int64]]


def level(modality: str, column: int, clip: int) -> int:
    """The level of a known signal: every column has another pattern over the clips. ECG columns as counted from the end."""
    first = {"ECG": 1, "GSR": 8}[modality]
    return 100 * (clip * (first + column) % 67)


def _known(modality: str, clip: int, seconds: float, width: int) -> Array:
    """Column j is its level plus the seconds since the clip's start; ECG right and left are columns 4 and 5 of every person."""
    time = np.arange(round(seconds * RATES[modality])) / RATES[modality]
    shift = 6 - width if modality == "ECG" and width < 6 else 0
    return np.stack([level(modality, column + shift, clip) + time for column in range(width)], axis=1)


def _simulated(modality: str, person: int, clips: int, seconds: float, width: int) -> list[Array]:
    """Clips of NeuroKit2 signals; acceleration is noise."""
    rate, rng = RATES[modality], np.random.default_rng(person)
    each = round(seconds * rate)
    samples = rng.normal(0, 1, (each * clips, width))
    length = {"duration": int(np.ceil(len(samples) / rate)), "sampling_rate": rate, "random_state": person}
    if modality == "ECG":
        right = nk.ecg_simulate(**length, method="simple", heart_rate=60 + person % 30)[: len(samples)]
        samples[:, -2], samples[:, -1] = right, 0.7 * right + 0.05 * rng.normal(0, 1, len(samples))
    else:
        samples[:, -1] = nk.eda_simulate(**length, scr_number=clips)[: len(samples)]
    return np.split(samples, clips)


def clip_path(root: Path, modality: str, person: int, clip: int, raw: str = "ASCERTAIN_Raw", padded: bool = False) -> Path:
    """Where a clip stands."""
    number = f"{clip:02d}" if padded else str(clip)
    return root / raw / f"{modality}Data" / f"Movie_P{person:02d}" / f"{modality}_Clip{number}.mat"


def write_ascertain(
    root: Path,
    participants: Iterable[int] = range(3, 10),
    clips: Iterable[int] = range(1, CLIPS + 1),
    seconds: float = 12.0,
    signals: str = "neurokit",
    raw: str = "ASCERTAIN_Raw",
    padded: bool = False,
    self_reports: str = "Dt_SelfReports.mat",
    no_rating: Iterable[tuple[int, int]] = (),
    quality: Mapping[tuple[str, int, int], int] = {},
    failures: Iterable[tuple[str, int, int]] = (),
    rate: float = 1.0,
) -> Known:
    """The study of the given people (by default on both sides of person 8, whose ECG files are the last without acceleration).

    Arguments:
        clips: those that have signals; the others are graded 6, missing.
        signals: ``neurokit``, or ``known``: levels and ramps that tell column, clip and time.
        no_rating: (person, clip) whose ratings are NaN.
        quality: (modality, person, clip) to grade.
        failures: (modality, person, clip) in the features' lists of failures; their files are not written.
        rate: factor on the rate that the time stamps tell.
    """
    there, lost = list(clips), set(failures)
    known = _tables(there, no_rating, quality)
    for person in participants:
        for modality, width in (("ECG", 3 if person <= 8 else 6), ("GSR", 5)):
            if signals == "known":
                made = [_known(modality, clip, seconds, width) for clip in there]
            else:
                made = _simulated(modality, person, len(there), seconds, width)
            clip_path(root, modality, person, 1, raw).parent.mkdir(parents=True, exist_ok=True)
            for clip, samples in zip(there, made, strict=True):
                if (modality, person, clip) not in lost:
                    samples[:, 0] = 1000.0 * clip + np.arange(len(samples)) * 1000 / (RATES[modality] * rate)
                    scipy.io.savemat(clip_path(root, modality, person, clip, raw, padded), {f"Data_{modality}": samples})
    _write_features(root / "ASCERTAIN_Features", known, self_reports, lost)
    return known


def _tables(there: list[int], no_rating: Iterable[tuple[int, int]], quality: Mapping[tuple[str, int, int], int]) -> Known:
    rng = np.random.default_rng(58)
    ranges = [(0, 6), (-3, 3), (0, 6), (0, 6), (0, 4)]  # arousal, valence, engagement, liking, familiarity
    ratings = np.stack([rng.integers(low, high + 1, (PEOPLE, CLIPS)) for low, high in ranges]).astype(np.float64)
    for person, clip in no_rating:
        ratings[:, person - 1, clip - 1] = np.nan
    shown = np.stack([rng.permutation(CLIPS) + 1 for _ in range(PEOPLE)]).astype(np.uint8)
    absent = [clip for clip in range(1, CLIPS + 1) if clip not in there]
    grades = {modality: rng.integers(1, 4, (PEOPLE, CLIPS)) for modality in RATES}
    for modality in RATES:
        grades[modality][:, [clip - 1 for clip in absent]] = 6
    for (modality, person, clip), grade in quality.items():
        grades[modality][person - 1, clip - 1] = grade
    return Known(ratings, np.round(rng.uniform(2.0, 6.9, (PEOPLE, 5)), 1), shown, grades)


def _write_features(folder: Path, known: Known, self_reports: str, lost: set[tuple[str, int, int]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(
        folder / self_reports, {"Ratings": known.ratings, "ClipNumbers": np.tile(np.arange(1.0, CLIPS + 1), (PEOPLE, 1))}
    )
    scipy.io.savemat(folder / "Dt_Personality.mat", {"Personality": known.big_five})
    scipy.io.savemat(folder / "Dt_Order_Movie.mat", {"PermutationList": known.shown})
    for modality, width in (("ECG", 32), ("GSR", 31)):
        features, failed = np.empty((1, PEOPLE), dtype=object), np.empty((1, PEOPLE), dtype=object)
        for i in range(PEOPLE):
            clips = sorted(clip for what, person, clip in lost if (what, person) == (modality, i + 1))
            features[0, i], failed[0, i] = np.zeros((CLIPS, width)), np.array([clips]) if clips else np.zeros((0, 0))
        content = {f"{modality}Features_58": features, f"{modality}Failures_58": failed}
        scipy.io.savemat(folder / f"Dt_{modality}Features.mat", content)
    book = _quality_book(*(np.ascontiguousarray(known.quality[name], dtype=np.int64).tobytes() for name in RATES))
    (folder / "Data_Quality_Evaluation.xlsx").write_bytes(book)


@lru_cache(maxsize=8)
def _quality_book(ecg: bytes, gsr: bytes) -> bytes:
    """Every sheet starts elsewhere, and ECG has another table below, down to row 148, with clip numbers and no grades."""
    book = openpyxl.Workbook(write_only=True)
    book.create_sheet("README").append(["1 perfect, 2 good, 3 ok, 4 problematic, 5 bad, 6 missing"])
    for sheet, above, left, data in (("ECG", 1, 0, ecg), ("GSR", 3, 1, gsr), ("raw_EEG", 4, 0, b"")):
        page = book.create_sheet(sheet)
        grades = np.frombuffer(data, dtype=np.int64).reshape(-1, CLIPS)
        for row in range(above):
            page.append([f"{sheet} quality, note {row}"])
        page.append([*[None] * left, "Video \\ Subject", *range(1, PEOPLE + 1)])
        for clip in range(CLIPS if data else 0):
            page.append([*[None] * left, clip + 1, *grades[:, clip].tolist(), f"=AVERAGE(B{clip}:BG{clip})"])
        for row in range(110 if sheet == "ECG" else 0):
            page.append([row % CLIPS + 1, row + 7.5, row + 7.5])
    made = BytesIO()
    book.save(made)
    return made.getvalue()


def edit_mat(path: Path, **changes: Any) -> None:
    """Replace variables of a .mat; None deletes one."""
    content = {name: value for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")} | changes
    scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})
