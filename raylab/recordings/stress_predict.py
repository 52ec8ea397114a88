"""Stress-Predict (Iqbal et al., Sensors 2022): 35 participants with an Empatica E4, labels for 34 (not S01), three stress tasks.

Layout: ``Raw_data/S##/{ACC,BVP,EDA,TEMP}.csv``; ``Processed_data/Improved_All_Combined_hr_rsp_binary.csv`` with one label (0 or 1) per
second on the device's own unix clock, so windows are labelled by time; ``Processed_data/Questionnaires_scores.xlsx``.

It is not among the datasets of Han et al. 2024. Its traits are the questionnaires that were filled in before the session.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.e4 import RATES_HZ, read_csv, wrist_channels
from raylab.recordings.excel import check_book
from raylab.recordings.recording import Dataset, Label, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path

if TYPE_CHECKING:
    import pandas as pd

LABELS = "Processed_data/Improved_All_Combined_hr_rsp_binary.csv"
QUESTIONNAIRES = "Processed_data/Questionnaires_scores.xlsx"

UNEVEN_S = 10.0  # the wristband's files end up to 7 s apart

# Items that are scored in reverse (docs/protocol.md, Traps of the datasets). The sheet's own totals are sums without reversal: not read.
PSS_REVERSED = (4, 5, 7, 8)
STAI_TRAIT_REVERSED = (21, 23, 26, 27, 30, 33, 34, 36, 39)


@lru_cache(maxsize=4)
def _read_label_table(path: Path, changed_ns: int) -> "pd.DataFrame":
    """The label table with the columns Participant, Time(sec) (unix s) and Label; read once for a version of the file.

    Args:
        changed_ns: time of the file's last change, so that a changed file is read again.

    Raises:
        RecordingError: if a column is missing or a label is neither 0 nor 1.
    """
    import pandas as pd

    frame = pd.read_csv(path)
    needed = {"Participant", "Time(sec)", "Label"}
    if not needed <= set(frame.columns):
        raise RecordingError(
            f"lacks the column(s) {', '.join(sorted(needed - set(frame.columns)))}", file=path, remedy="download the file again"
        )
    unknown_codes = sorted(set(frame["Label"]) - {0, 1})
    if unknown_codes:
        raise RecordingError(f"has the label {unknown_codes[0]}, expected 0 or 1", file=path, remedy="download the file again")
    return frame


def _label_table(root: Path, participant: str | None = None) -> "pd.DataFrame":
    """The label table of the dataset at this root, all participants."""
    path = safe_path(root, LABELS, participant)
    return _read_label_table(path, path.stat().st_mtime_ns)


def participants(root: Path, options: Options) -> list[str]:
    """The participants with labels, in numerical order."""
    numbers = sorted(set(_label_table(root)["Participant"].astype(int)))
    return [f"S{number:02d}" for number in numbers]


@lru_cache(maxsize=4)
def _answers_before_session(path: Path, changed_ns: int, sheet: str) -> dict[str, dict[int, object]]:
    """The answers from before the session: participant to item to answer.

    Only the columns headed Before are read: the answers from after the session are an outcome, not a trait. A sheet has names in row 1
    over pairs of columns, Before / After in row 3, and one item per row below.

    Args:
        changed_ns: time of the file's last change, so that a changed file is read again.
    """
    import openpyxl

    check_book(path, sheet)
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        rows = list(book[sheet].iter_rows(values_only=True))
    finally:
        book.close()
    answers: dict[str, dict[int, object]] = {}
    name = ""
    for column in range(1, len(rows[0])):
        name = str(rows[0][column] or name).strip()
        if str(rows[2][column] or "").strip() == "Before":
            answers[name] = {int(row[0]): row[column] for row in rows[3:] if isinstance(row[0], int | float)}
    return answers


def score(answers: dict[int, object], items: range, reversed_items: tuple[int, ...], low: int, high: int) -> float:
    """The sum of the answers to these items; an answer to a reversed item counts as ``low + high - answer``.

    Raises:
        ValueError: on a missing answer or one outside low..high, naming the item.
    """
    total = 0.0
    for item in items:
        answer = answers.get(item)
        if not isinstance(answer, int | float) or not low <= answer <= high:
            raise ValueError(f"item {item} has the answer {answer!r}, expected {low}..{high}")
        total += low + high - answer if item in reversed_items else answer
    return total


def _questionnaire_scores(root: Path, participant: str) -> dict[str, Trait]:
    """Questionnaire scores from before the session: PSS (0 to 40), STAI state and STAI trait (20 to 80 each).

    The state scale (items 1 to 20) is summed as it is: the sheet seems to hold its reversed items reversed already, which is not confirmed
    (docs/decisions/0005-questionnaires.md). The sheet's own totals are not used: they are sums without reversal.

    Raises:
        RecordingError: if the book, a sheet or an answer is missing, or an answer is off its scale.
    """
    path = safe_path(root, QUESTIONNAIRES, participant)
    try:
        pss, stai = (
            _answers_before_session(path, path.stat().st_mtime_ns, f"{sheet} Score").get(participant, {})
            for sheet in ("PSS", "STAI")
        )
        return {
            "pss": score(pss, range(1, 11), PSS_REVERSED, 0, 4),
            "stai_state": score(stai, range(1, 21), (), 1, 4),
            "stai_trait": score(stai, range(21, 41), STAI_TRAIT_REVERSED, 1, 4),
        }
    except (ValueError, KeyError, IndexError, BadZipFile) as error:
        raise RecordingError(
            f"questionnaire: {error}", file=path, participant=participant, remedy="download the file again, or use --exclude"
        ) from error


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant: the signals are cut to start together, and labels are placed by their time on the same clock.

    Raises:
        RecordingError: on a missing or unreadable file, or labels that are not one per second.
    """
    files = {name: read_csv(root, f"Raw_data/{participant}/{name}.csv", participant) for name in RATES_HZ}
    start = max(file_start for file_start, _ in files.values())
    arrays: dict[str, npt.NDArray[np.float64]] = {}
    for name, (file_start, samples) in files.items():
        arrays[name] = samples[round((start - file_start) * RATES_HZ[name]) :]
    channels, signals = wrist_channels(arrays, str(root / "Raw_data" / participant), participant)
    rows = _label_table(root, participant)
    rows = rows[rows["Participant"] == int(participant[1:])]
    times = rows["Time(sec)"].to_numpy(dtype=np.float64)
    if not (np.diff(times) == 1.0).all():
        raise RecordingError(
            "labels are not one a second",
            file=root / LABELS,
            participant=participant,
            channel="Label",
            remedy="download the file again",
        )
    track = LabelTrack(times - start, rows["Label"].to_numpy(dtype=np.float64))
    segment = Segment("session", 0.0, signals, {"task": track})
    return Recording(participant, channels, (segment,), _questionnaire_scores(root, participant), uneven_s=UNEVEN_S)


STRESS_PREDICT = Dataset(
    name="stress_predict",
    signals="wrist E4: ACC x3, BVP, EDA, TEMP",
    traits=("pss", "stai_state", "stai_trait"),
    labels=(Label("stress", "task", "majority", ("rest", "stress"), {0: 0, 1: 1}),),
    default_labels=("stress",),
    published=tuple(f"S{number:02d}" for number in range(2, 36)),
    licence="MIT",
    obtain="https://github.com/italha-d/Stress-Predict-Dataset",
    citation="Iqbal et al., Stress Monitoring Using Wearable Sensors, Sensors 2022",
    participants=participants,
    read=read,
)
