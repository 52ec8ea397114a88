"""ASCERTAIN's folder of features: ratings, Big Five, presentation order, the quality of every trial and lists of missing trials."""

import re
from pathlib import Path

import numpy as np

from raylab.errors import RecordingError
from raylab.recordings.excel import Cells, as_number, read_sheet
from raylab.recordings.matlab import LAYOUT, Array, cells, numeric, read_mat
from raylab.recordings.recording import Trait

PEOPLE, CLIPS = 58, 36
FOLDERS = ("ASCERTAIN_Features/", "")
SELF_REPORTS = ("Dt_SelfReports.mat", "Dt_Selfreports.mat")  # the name on disk; the name in the documentation
QUALITY = "Data_Quality_Evaluation.xlsx"
MISSING = 6.0  # the worst quality: the trial does not exist
TRAITS = ("extraversion", "agreeableness", "conscientiousness", "emotional_stability", "openness")
TRAIT_SCALE = (1.0, 7.0)  # the documentation says 1..5, the published values are 2.0..6.9
SCALES = {"arousal": (0.0, 6.0), "valence": (-3.0, 3.0)}  # rows 0 and 1 of Ratings


def _existing_path(root: Path, *names: str) -> str:
    """The path, relative to the root, of the first of these names that exists in the features folder or the root; else the published one."""
    paths = [f"{folder}{name}" for folder in FOLDERS for name in names]
    return next((path for path in paths if (root / path).exists()), paths[0])


def ratings(root: Path, person: int, participant: str) -> Array:
    """Arousal (0..6) and valence (-3..3) of the participant's clips, (2, 36); NaN if there is no rating.

    Args:
        person: the participant's number, from 1.

    Raises:
        RecordingError: if a rating is off its scale, naming the clip.
    """
    relative = _existing_path(root, *SELF_REPORTS)
    content = read_mat(root, relative, participant, ("Ratings",))
    participant_ratings = numeric(content["Ratings"], (5, PEOPLE, CLIPS), root / relative, participant, "Ratings")[
        :2, person - 1
    ]
    for row, (name, (low, high)) in zip(participant_ratings, SCALES.items(), strict=True):
        off_scale = np.flatnonzero(~np.isnan(row) & ~((row >= low) & (row <= high)))
        if len(off_scale):
            raise RecordingError(
                f"clip {off_scale[0] + 1} has the value {row[off_scale[0]]:g}, the scale is {low:g}..{high:g}",
                file=root / relative,
                participant=participant,
                channel=f"Ratings {name}",
                remedy=LAYOUT,
            )
    return participant_ratings


def traits(root: Path, person: int, participant: str) -> tuple[dict[str, Trait], list[str]]:
    """The participant's Big Five (1..7), as published, not rounded; and a note that names those that are NaN.

    Args:
        person: the participant's number, from 1.

    Raises:
        RecordingError: if a trait is off its scale. The documentation gives 1..5, the published values are 2.0..6.9.
    """
    relative = _existing_path(root, "Dt_Personality.mat")
    content = read_mat(root, relative, participant, ("Personality",))
    row = numeric(content["Personality"], (PEOPLE, len(TRAITS)), root / relative, participant, "Personality")[person - 1]
    for name, value in zip(TRAITS, row, strict=True):
        if not (np.isnan(value) or TRAIT_SCALE[0] <= value <= TRAIT_SCALE[1]):
            raise RecordingError(
                f"has the value {value:g}, the scale is {TRAIT_SCALE[0]:g}..{TRAIT_SCALE[1]:g}",
                file=root / relative,
                participant=participant,
                channel=f"Personality {name}",
                remedy=LAYOUT,
            )
    values = {name: float(value) for name, value in zip(TRAITS, row, strict=True) if not np.isnan(value)}
    absent = [name for name in TRAITS if name not in values]
    return {**values}, [f"no {', '.join(absent)} in Dt_Personality.mat"] if absent else []


def presentation(root: Path, person: int, participant: str) -> list[int]:
    """Clip ids in the order in which they were shown: entry k of the participant's row of PermutationList is the clip that was shown k-th.

    Args:
        person: the participant's number, from 1.

    Raises:
        RecordingError: if the row does not name every clip once.
    """
    relative = _existing_path(root, "Dt_Order_Movie.mat")
    content = read_mat(root, relative, participant, ("PermutationList",))
    row = numeric(content["PermutationList"], (PEOPLE, CLIPS), root / relative, participant, "PermutationList")[person - 1]
    if sorted(row) != list(range(1, CLIPS + 1)):
        raise RecordingError(
            f"names {len(set(row))} different clips, expected each of 1..{CLIPS} once",
            file=root / relative,
            participant=participant,
            channel="PermutationList",
            remedy="use --option order=clip",
        )
    return [int(clip) for clip in row]


def failures(root: Path, modality: str, person: int, participant: str) -> set[int]:
    """The ids of clips in the features' list of failures; empty if the features do not exist. ``person`` is the participant's number."""
    relative, name = _existing_path(root, f"Dt_{modality}Features.mat"), f"{modality}Failures_{PEOPLE}"
    if not (root / relative).exists():
        return set()
    content = read_mat(root, relative, participant, (name,))
    entry = np.asarray(cells(content[name], PEOPLE, root / relative, participant, name)[person - 1])
    return {int(clip) for clip in entry.ravel()}


def _trailing_number(cell: object) -> int | None:
    """The number that a heading ends in: 7 of 7, "7", "P07", "Subject 7" and "Clip7"; None if there is none."""
    if isinstance(cell, int | float):
        return int(cell) if float(cell).is_integer() else None
    match = re.fullmatch(r"[A-Za-z_# ]*0*(\d+)", str(cell or "").strip())
    return int(match.group(1)) if match else None


def _find_grid(rows: Cells) -> tuple[dict[int, int], dict[int, int]] | None:
    """Column by subject and row by clip; None if no row names 1..58, or no column below it names 1..36.

    The tables start at different rows of the sheets and have other tables below them, so they are found by their headings.
    """
    for top, row in enumerate(rows):
        heads = [(_trailing_number(cell), j) for j, cell in enumerate(row)]
        subjects = next((heads[j : j + PEOPLE] for j in range(len(heads)) if heads[j][0] == 1), [])
        if [number for number, _ in subjects] != list(range(1, PEOPLE + 1)):
            continue
        below = rows[top + 1 :]
        for j in range(subjects[0][1]):
            labels = [_trailing_number(line[j]) if len(line) > j else None for line in below]
            first = labels.index(1) if 1 in labels else len(labels)
            if labels[first : first + CLIPS] == list(range(1, CLIPS + 1)):
                columns = {number: column for number, column in subjects if number is not None}
                return columns, {clip: top + 1 + first + clip - 1 for clip in range(1, CLIPS + 1)}
    return None


def quality(root: Path, modality: str, person: int, participant: str) -> dict[int, float]:
    """Quality by clip, 1 (perfect) to 6 (missing); clips without a grade are left out.

    Args:
        person: the participant's number, from 1.

    Raises:
        RecordingError: if the sheet has no table of 36 clips by 58 subjects, or a grade is off the scale.
    """
    relative = _existing_path(root, QUALITY)
    rows = read_sheet(root, relative, modality, participant)
    grid = _find_grid(rows)
    problem = "" if grid else f"has no table with the subjects 1..{PEOPLE} above and the clips 1..{CLIPS} on the left"
    grades: dict[int, float] = {}
    for clip, row in grid[1].items() if grid else ():
        cell = rows[row][grid[0][person]] if grid else None
        grade = as_number(cell)
        if grade is not None and 1 <= grade <= MISSING:
            grades[clip] = grade
        elif cell is not None and str(cell).strip():
            problem = problem or f"clip {clip} has the grade {cell!r}, the scale is 1 (perfect) .. {MISSING:g} (missing)"
    if problem:
        raise RecordingError(
            problem,
            file=root / relative,
            participant=participant,
            channel=f"sheet {modality}",
            remedy="download the book again",
        )
    return grades
