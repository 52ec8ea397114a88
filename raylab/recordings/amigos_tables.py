"""Tables of AMIGOS (``Metadata_xlsx``): self-assessments, presentation order, Big Five, age and gender.

Columns and rows are found by their names, never by position: copies of these books are arranged differently.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from raylab.errors import RecordingError
from raylab.recordings.excel import Cells, as_number, is_empty, read_sheet
from raylab.recordings.matlab import text
from raylab.recordings.recording import Trait

SELF_ASSESSMENT = "Metadata_xlsx/SelfAsessment.xlsx"  # the publisher's spelling
PERSONALITY = "Metadata_xlsx/Participants_Personality.xlsx"
QUESTIONNAIRES = "Metadata_xlsx/Participant_Questionnaires.xlsx"
ORDER = "Metadata_xlsx/Experiment_Data.xlsx"

SHORT_VIDEOS = ("4", "5", "9", "10", "13", "18", "19", "20", "23", "30", "31", "34", "36", "58", "80", "138")
SCALE = (1.0, 9.0)
TRAIT_SCALE = (1.0, 7.0)
AGAIN = "download the metadata again, or leave the participant out with --exclude"

# How a row of the sheet starts (in American or British spelling), and the trait's name.
_BIG_FIVE = (
    ("extr", "extraversion"),
    ("agreeableness", "agreeableness"),
    ("conscientiousness", "conscientiousness"),
    ("emotional", "emotional_stability"),
    ("creativity", "openness"),
    ("openness", "openness"),
)
TRAITS = ("age", "gender", "extraversion", "agreeableness", "conscientiousness", "emotional_stability", "openness")


@dataclass(frozen=True)
class Assessment:
    """A participant's rating of one video.

    Attributes:
        position: when the video was shown, 1 to 16; the order differs between participants.
        arousal: 1..9, None if the cell is empty.
        valence: 1..9, None if the cell is empty.
    """

    position: int
    arousal: float | None
    valence: float | None


def _participant_number(cell: object) -> int | None:
    """The participant number in a cell: 1 of 1, 1.0, "P01" and "'1'"; None if there is none."""
    match = re.fullmatch(r"P?0*(\d+)", text(cell))
    return int(match.group(1)) if match else None


def _is_damaged(cell: object, value: float | None) -> bool:
    """Whether a cell was meant to hold a number and does not: 5,5 does, a word says that there is none."""
    return value is None and not is_empty(cell) and re.search(r"\d", str(cell)) is not None


def _find_headings(rows: Cells) -> tuple[int, list[set[str]]]:
    """The index of the first row of data, and for each column the headings in the one or two rows above it."""
    first = next(
        (i for i, row in enumerate(rows[:4]) if i and any(_participant_number(cell) is not None for cell in row[:1])), 1
    )
    width = max((len(row) for row in rows), default=0)
    return first, [{str(row[j] or "").strip().casefold() for row in rows[:first] if j < len(row)} for j in range(width)]


def _find_column(headings: list[set[str]], names: set[str], path: Path, participant: str) -> int:
    """The last column that has one of the names: answers from before the video, if the sheet has them, come first.

    Raises:
        RecordingError: if no column has such a name.
    """
    columns = [j for j, heads in enumerate(headings) if heads & names]
    if not columns:
        known_headings = sorted(set().union(*headings) - {""}) if headings else []
        raise RecordingError(
            f"has no column {' or '.join(sorted(names))}, only {', '.join(known_headings) or 'unnamed ones'}",
            file=path,
            participant=participant,
            remedy=AGAIN,
        )
    return columns[-1]


def _find_video_column(rows: Cells, first: int, headings: list[set[str]], path: Path, participant: str) -> int:
    """The column of video ids; in one arrangement of the sheet it has no heading and holds text like "'10'".

    Raises:
        RecordingError: if there is no such column.
    """
    unnamed = [j for j, heads in enumerate(headings) if all(not head or head.startswith("unnamed") for head in heads)]
    for j in unnamed if not any("videoid" in heads for heads in headings) else []:
        if rows[first:] and all(text(row[j]) in SHORT_VIDEOS for row in rows[first : first + 16]):
            return j
    return _find_column(headings, {"videoid"}, path, participant)


def _parse_rating(cell: object, name: str, video: str, path: Path, participant: str) -> float | None:
    """The rating in a cell, 1..9; None if the cell is empty.

    Raises:
        RecordingError: if it is not a number or off the scale.
    """
    value = as_number(cell)
    if value is None and text(cell) not in ("", "nan"):
        raise RecordingError(
            f"video {video} has the value {cell!r}, expected a number",
            file=path,
            participant=participant,
            channel=name,
            remedy=AGAIN,
        )
    if value is not None and not SCALE[0] <= value <= SCALE[1]:
        raise RecordingError(
            f"video {video} has the value {value:g}, the scale is {SCALE[0]:g}..{SCALE[1]:g}",
            file=path,
            participant=participant,
            channel=name,
            remedy=AGAIN,
        )
    return value


def assessments(root: Path, participant: str) -> dict[str, Assessment]:
    """The participant's ratings by video id, short videos only.

    Raises:
        RecordingError: if the file or a column is missing, a video is unknown or named twice, or a rating is off its scale.
    """
    path, rows = root / SELF_ASSESSMENT, read_sheet(root, SELF_ASSESSMENT, "Experiment_1", participant)
    first, headings = _find_headings(rows)
    participant_column, position, arousal, valence = (
        _find_column(headings, names, path, participant)
        for names in ({"pnum", "userid"}, {"vnum", "rep_index"}, {"arousal"}, {"valence"})
    )
    video_column = _find_video_column(rows, first, headings, path, participant)
    by_video: dict[str, Assessment] = {}
    for row in rows[first:]:
        if _participant_number(row[participant_column]) != int(participant[1:]):
            continue
        video, shown_as = text(row[video_column]), as_number(row[position])
        problem = ""
        if video not in SHORT_VIDEOS:
            problem = f"names the video {video!r}, the short videos are {', '.join(SHORT_VIDEOS)}"
        elif video in by_video:
            problem = f"names video {video} twice"
        elif shown_as is None or shown_as != int(shown_as):
            problem = f"video {video} has the position {row[position]!r}, expected 1..16"
        if problem:
            raise RecordingError(problem, file=path, participant=participant, channel="Experiment_1", remedy=AGAIN)
        ratings = [
            _parse_rating(row[j], name, video, path, participant) for j, name in ((arousal, "arousal"), (valence, "valence"))
        ]
        by_video[video] = Assessment(int(shown_as or 0), *ratings)
    if not by_video:
        raise RecordingError("has no row of the participant", file=path, participant=participant, remedy=AGAIN)
    if len({entry.position for entry in by_video.values()}) < len(by_video):
        raise RecordingError("gives a position to two videos", file=path, participant=participant, channel="vnum", remedy=AGAIN)
    return by_video


def presentation_order(root: Path, participant: str) -> list[str]:
    """The 16 video ids in the order in which they were shown to the participant, from the sheet Short_Videos_Order.

    Raises:
        RecordingError: if the sheet does not name every short video once.
    """
    path, rows = root / ORDER, read_sheet(root, ORDER, "Short_Videos_Order", participant)
    first, headings = _find_headings(rows)
    participant_column = _find_column(headings, {"userid", "userid(s)", "pnum"}, path, participant)
    columns = [j for j, heads in enumerate(headings) if any(head.startswith("video") for head in heads)]
    participant_rows = [row for row in rows[first:] if _participant_number(row[participant_column]) == int(participant[1:])]
    order = [text(row[j]) for row in participant_rows for j in columns]
    if sorted(order) != sorted(SHORT_VIDEOS):
        raise RecordingError(
            f"names {', '.join(order) or 'nothing'} as the videos shown, expected each of {', '.join(SHORT_VIDEOS)} once",
            file=path,
            participant=participant,
            channel="Short_Videos_Order",
            remedy="get the release whose .mat files carry VideoIDs: without them or this sheet nothing says which video a trial is",
        )
    return order


def _read_big_five(root: Path, participant: str) -> dict[str, Trait]:
    """The Big Five (1..7) that the sheet holds; it is transposed: one trait per row, one participant per column, some participants absent.

    Raises:
        RecordingError: if the row of participants is missing, names the participant twice, or a trait is off its scale.
    """
    path, rows = root / PERSONALITY, read_sheet(root, PERSONALITY, "Personalities", participant)
    named = {str(row[0] or "").strip().casefold(): row for row in rows if row}
    if "userid" not in named:
        raise RecordingError(
            f"has no row UserID, only {', '.join(filter(None, named)) or 'none'}",
            file=path,
            participant=participant,
            remedy=AGAIN,
        )
    columns = [j for j, cell in enumerate(named["userid"]) if j and _participant_number(cell) == int(participant[1:])]
    if len(columns) > 1:
        raise RecordingError(
            f"names the participant in {len(columns)} columns",
            file=path,
            participant=participant,
            channel="UserID",
            remedy=AGAIN,
        )
    traits: dict[str, Trait] = {}
    for start, trait in _BIG_FIVE if columns else ():
        row = next((row for name, row in named.items() if name.startswith(start)), ())
        cell = row[columns[0]] if len(row) > columns[0] else None
        value = as_number(cell)
        if _is_damaged(cell, value) or (value is not None and not TRAIT_SCALE[0] <= value <= TRAIT_SCALE[1]):
            raise RecordingError(
                f"has the value {cell!r}, the scale is {TRAIT_SCALE[0]:g}..{TRAIT_SCALE[1]:g}",
                file=path,
                participant=participant,
                channel=trait,
                remedy=AGAIN,
            )
        if value is not None:
            traits[trait] = value
    return traits


def _read_age_gender(root: Path, participant: str) -> dict[str, Trait]:
    """Age (years) and gender, as far as they are given.

    Raises:
        RecordingError: if a column is missing or the participant has several rows.
    """
    path, rows = root / QUESTIONNAIRES, read_sheet(root, QUESTIONNAIRES, None, participant)
    first, headings = _find_headings(rows)
    participant_column, age, gender = (
        _find_column(headings, {name}, path, participant) for name in ("userid", "age", "gender")
    )
    participant_rows = [row for row in rows[first:] if _participant_number(row[participant_column]) == int(participant[1:])]
    if len(participant_rows) > 1:
        raise RecordingError(
            f"names the participant in {len(participant_rows)} rows",
            file=path,
            participant=participant,
            channel="UserID",
            remedy=AGAIN,
        )
    traits: dict[str, Trait] = {}
    for row in participant_rows:
        years, gender_text = as_number(row[age]), text(row[gender]).casefold()
        if _is_damaged(row[age], years):
            raise RecordingError(
                f"gives the age {row[age]!r}, expected a number of years",
                file=path,
                participant=participant,
                channel="Age",
                remedy=AGAIN,
            )
        if years is not None:
            traits["age"] = years
        if gender_text[:1] in ("f", "m"):
            traits["gender"] = {"f": "female", "m": "male"}[gender_text[0]]
    return traits


def traits_of(root: Path, participant: str) -> tuple[dict[str, Trait], list[str]]:
    """The participant's traits, and a note that names those the metadata lack.

    Raises:
        RecordingError: if a file is missing or unreadable, names the participant twice, or has a trait off its scale.
    """
    traits = {**_read_age_gender(root, participant), **_read_big_five(root, participant)}
    missing = [name for name in TRAITS if name not in traits]
    return traits, [f"no {', '.join(missing)} in the metadata"] if missing else []
