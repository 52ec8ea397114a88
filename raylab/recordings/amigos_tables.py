"""AMIGOS's Metadata_xlsx: self-assessments and presentation order, Big Five, age and gender; read by name, never by position."""

import re
from dataclasses import dataclass
from pathlib import Path

from raylab.errors import RecordingError
from raylab.recordings.excel import Cells, as_number, read_sheet
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

# How the sheet's row starts (American and British spelling), and the trait's name.
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
    """What a participant said of a video.

    Attributes:
        position: when it was shown, 1 to 16: another order for every participant.
        arousal: 1..9, None where the cell is empty; ``valence`` likewise.
    """

    position: int
    arousal: float | None
    valence: float | None


def _number(cell: object) -> int | None:
    """A participant's number: 1, 1.0, "P01" and "'1'" are 1."""
    match = re.fullmatch(r"P?0*(\d+)", text(cell))
    return int(match.group(1)) if match else None


def _headings(rows: Cells) -> tuple[int, list[set[str]]]:
    """Index of the first row of data, and each column's headings in the one or two rows above it."""
    first = next((i for i, row in enumerate(rows[:4]) if i and any(_number(cell) is not None for cell in row[:1])), 1)
    width = max((len(row) for row in rows), default=0)
    return first, [{str(row[j] or "").strip().casefold() for row in rows[:first] if j < len(row)} for j in range(width)]


def _column(headings: list[set[str]], names: set[str], path: Path, participant: str) -> int:
    """The last column headed by one of the names: a block of answers from before the video stands first, if at all."""
    found = [j for j, heads in enumerate(headings) if heads & names]
    if not found:
        seen = sorted(set().union(*headings) - {""}) if headings else []
        raise RecordingError(
            f"has no column {' or '.join(sorted(names))}, only {', '.join(seen) or 'unnamed ones'}",
            file=path,
            participant=participant,
            remedy=AGAIN,
        )
    return found[-1]


def _video_column(rows: Cells, first: int, headings: list[set[str]], path: Path, participant: str) -> int:
    """The column of video ids; in one arrangement it has no heading and holds text like "'10'"."""
    unnamed = [j for j, heads in enumerate(headings) if all(not head or head.startswith("unnamed") for head in heads)]
    for j in unnamed if not any("videoid" in heads for heads in headings) else []:
        if rows[first:] and all(text(row[j]) in SHORT_VIDEOS for row in rows[first : first + 16]):
            return j
    return _column(headings, {"videoid"}, path, participant)


def _rating(cell: object, name: str, video: str, path: Path, participant: str) -> float | None:
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
    """Video id to what the participant said of it, short videos only.

    Raises:
        RecordingError: where the file or a column is missing, a video is unknown or named twice, or a rating is off its scale.
    """
    path, rows = root / SELF_ASSESSMENT, read_sheet(root, SELF_ASSESSMENT, "Experiment_1", participant)
    first, headings = _headings(rows)
    person, position, arousal, valence = (
        _column(headings, names, path, participant)
        for names in ({"pnum", "userid"}, {"vnum", "rep_index"}, {"arousal"}, {"valence"})
    )
    video_column = _video_column(rows, first, headings, path, participant)
    said: dict[str, Assessment] = {}
    for row in rows[first:]:
        if _number(row[person]) != int(participant[1:]):
            continue
        video, shown = text(row[video_column]), as_number(row[position])
        problem = ""
        if video not in SHORT_VIDEOS:
            problem = f"names the video {video!r}, the short videos are {', '.join(SHORT_VIDEOS)}"
        elif video in said:
            problem = f"names video {video} twice"
        elif shown is None or shown != int(shown):
            problem = f"video {video} has the position {row[position]!r}, expected 1..16"
        if problem:
            raise RecordingError(problem, file=path, participant=participant, channel="Experiment_1", remedy=AGAIN)
        ratings = [_rating(row[j], name, video, path, participant) for j, name in ((arousal, "arousal"), (valence, "valence"))]
        said[video] = Assessment(int(shown or 0), *ratings)
    if not said:
        raise RecordingError("has no row of the participant", file=path, participant=participant, remedy=AGAIN)
    if len({entry.position for entry in said.values()}) < len(said):
        raise RecordingError("gives a position to two videos", file=path, participant=participant, channel="vnum", remedy=AGAIN)
    return said


def presentation_order(root: Path, participant: str) -> list[str]:
    """The 16 video ids as they were shown, from the sheet Short_Videos_Order.

    Raises:
        RecordingError: where the sheet does not name every short video once.
    """
    path, rows = root / ORDER, read_sheet(root, ORDER, "Short_Videos_Order", participant)
    first, headings = _headings(rows)
    person = _column(headings, {"userid", "userid(s)", "pnum"}, path, participant)
    columns = [j for j, heads in enumerate(headings) if any(head.startswith("video") for head in heads)]
    mine = [row for row in rows[first:] if _number(row[person]) == int(participant[1:])]
    shown = [text(row[j]) for row in mine for j in columns]
    if sorted(shown) != sorted(SHORT_VIDEOS):
        raise RecordingError(
            f"names {', '.join(shown) or 'nothing'} as the videos shown, expected each of {', '.join(SHORT_VIDEOS)} once",
            file=path,
            participant=participant,
            channel="Short_Videos_Order",
            remedy="get the release whose .mat files carry VideoIDs: without them or this sheet nothing says which video a trial is",
        )
    return shown


def _big_five(root: Path, participant: str) -> dict[str, Trait]:
    """The sheet is transposed: a trait a row, a participant a column, some participants absent."""
    path, rows = root / PERSONALITY, read_sheet(root, PERSONALITY, "Personalities", participant)
    named = {str(row[0] or "").strip().casefold(): row for row in rows if row}
    if "userid" not in named:
        raise RecordingError(
            f"has no row UserID, only {', '.join(filter(None, named)) or 'none'}",
            file=path,
            participant=participant,
            remedy=AGAIN,
        )
    columns = [j for j, cell in enumerate(named["userid"]) if j and _number(cell) == int(participant[1:])]
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
        if value is not None and not TRAIT_SCALE[0] <= value <= TRAIT_SCALE[1]:
            raise RecordingError(
                f"has the value {value:g}, the scale is {TRAIT_SCALE[0]:g}..{TRAIT_SCALE[1]:g}",
                file=path,
                participant=participant,
                channel=trait,
                remedy=AGAIN,
            )
        if value is not None:
            traits[trait] = value
    return traits


def _age_gender(root: Path, participant: str) -> dict[str, Trait]:
    path, rows = root / QUESTIONNAIRES, read_sheet(root, QUESTIONNAIRES, None, participant)
    first, headings = _headings(rows)
    person, age, gender = (_column(headings, {name}, path, participant) for name in ("userid", "age", "gender"))
    mine = [row for row in rows[first:] if _number(row[person]) == int(participant[1:])]
    if len(mine) > 1:
        raise RecordingError(
            f"names the participant in {len(mine)} rows", file=path, participant=participant, channel="UserID", remedy=AGAIN
        )
    traits: dict[str, Trait] = {}
    for row in mine:
        years, said = as_number(row[age]), text(row[gender]).casefold()
        if years is not None:
            traits["age"] = years
        if said[:1] in ("f", "m"):
            traits["gender"] = {"f": "female", "m": "male"}[said[0]]
    return traits


def traits_of(root: Path, participant: str) -> tuple[dict[str, Trait], list[str]]:
    """What the metadata say of the participant, and a sentence on what they do not say.

    Raises:
        RecordingError: where a file is missing or unreadable, names the participant twice, or has a trait off its scale.
    """
    traits = {**_age_gender(root, participant), **_big_five(root, participant)}
    missing = [name for name in TRAITS if name not in traits]
    return traits, [f"no {', '.join(missing)} in the metadata"] if missing else []
