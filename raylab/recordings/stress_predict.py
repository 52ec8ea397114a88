"""Stress-Predict (Iqbal et al., Sensors 2022): 35 participants with an Empatica E4, labels for 34 (not S01), three stress tasks.

Layout: ``Raw_data/S##/{ACC,BVP,EDA,TEMP}.csv``; ``Processed_data/Improved_All_Combined_hr_rsp_binary.csv`` with one label (0 or 1) per
second on the device's own unix clock, so windows are labelled by time; ``Processed_data/Questionnaires_scores.xlsx``.

It is not among the datasets of Han et al. 2024. Its traits are the questionnaires that were filled in before the session.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.e4 import RATES_HZ, read_csv, wrist_channels
from raylab.recordings.excel import read_sheet
from raylab.recordings.name_match import clean, likely_same
from raylab.recordings.recording import Baseline, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path
from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import read_text_table

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
        RecordingError: if it is no plain table, a column is missing, a participant has no number, or a label is neither 0 nor 1.
    """
    try:
        table = read_text_table(path, ("Participant", "Time(sec)", "Label"))
    except TableError as error:
        raise RecordingError(error.problem, file=path, remedy=error.remedy or "download the file again") from error
    frame = table.frame
    for column, allowed, expected in (
        ("Participant", frame["Participant"].isin(range(1, 100)), "a participant's number"),
        ("Label", frame["Label"].isin((0, 1)), "0 or 1"),
    ):
        if not allowed.all():
            row = int((~allowed.to_numpy()).argmax())
            raise RecordingError(
                f"has the {column.lower()} {frame[column].iloc[row]:g}, expected {expected}, in row {table.row(row)}",
                file=path,
                remedy="download the file again",
            )
    return frame


def _label_table(root: Path, participant: str | None = None) -> "pd.DataFrame":
    """The label table of the dataset at this root, all participants."""
    path = safe_path(root, LABELS, participant)
    return _read_label_table(path, path.stat().st_mtime_ns)


def participants(root: Path, options: Options) -> list[str]:
    """The participants with labels, in numerical order."""
    numbers = sorted(set(_label_table(root)["Participant"].astype(int)))
    return [f"S{number:02d}" for number in numbers]


def _answers_before_session(root: Path, sheet: str, participant: str) -> dict[int, object]:
    """The participant's answers from before the session: item to answer.

    Only the columns headed Before are read: the answers from after the session are an outcome, not a trait. A sheet has names in row 1
    over pairs of columns, Before / After in row 3, and one item per row below.

    Raises:
        RecordingError: if the book or the sheet is missing, or the participant does not have one column Before.
        ValueError: if an item stands twice.
    """
    rows = read_sheet(root, QUESTIONNAIRES, sheet, participant)
    columns: list[tuple[str, int]] = []
    name = ""
    for column in range(1, len(rows[0]) if len(rows) > 2 else 0):
        name = clean(str(rows[0][column] or name))
        if str(rows[2][column] or "").strip() == "Before":
            columns.append((name, column))
    own_columns = [column for name, column in columns if name == participant]
    if len(own_columns) != 1:
        names = [name for name, _ in columns]
        likely = likely_same(participant, names)
        raise RecordingError(
            f"sheet {sheet!r} has {len(own_columns)} columns Before of the participant, expected 1"
            + (f"; {', '.join(likely)} may be meant" if likely else f"; it has {', '.join(names) or 'none'}"),
            file=root / QUESTIONNAIRES,
            participant=participant,
            remedy="download the file again, or use --exclude",
        )
    cells = [(row[0], row[own_columns[0]]) for row in rows[3:]]
    answers = [(int(item), answer) for item, answer in cells if isinstance(item, int | float) and float(item).is_integer()]
    items = [item for item, _ in answers]
    if twice := [item for item in items if items.count(item) > 1]:
        raise ValueError(f"sheet {sheet!r} has item {twice[0]} twice")
    return dict(answers)


def score(answers: dict[int, object], items: range, reversed_items: tuple[int, ...], low: int, high: int) -> float:
    """The sum of the answers to these items; an answer to a reversed item counts as ``low + high - answer``.

    Raises:
        ValueError: on a missing answer or one outside low..high, naming the item.
    """
    total = 0.0
    for item in items:
        answer = answers.get(item)
        if not isinstance(answer, int | float) or isinstance(answer, bool) or not low <= answer <= high:
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
    try:
        pss, stai = (_answers_before_session(root, f"{sheet} Score", participant) for sheet in ("PSS", "STAI"))
        return {
            "pss": score(pss, range(1, 11), PSS_REVERSED, 0, 4),
            "stai_state": score(stai, range(1, 21), (), 1, 4),
            "stai_trait": score(stai, range(21, 41), STAI_TRAIT_REVERSED, 1, 4),
        }
    except ValueError as error:
        raise RecordingError(
            f"questionnaire: {error}",
            file=root / QUESTIONNAIRES,
            participant=participant,
            remedy="download the file again, or use --exclude",
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
        if not len(arrays[name]):
            raise RecordingError(
                f"has {len(samples) / RATES_HZ[name]:g} s from {file_start:.0f} on, and another file starts at {start:.0f}",
                file=root / f"Raw_data/{participant}/{name}.csv",
                participant=participant,
                channel=name,
                remedy="download the files of the participant again: they are not of one session",
            )
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
    baseline=Baseline("task", 0, first_run=True),  # every other stretch of 0 comes after a stress task
)
