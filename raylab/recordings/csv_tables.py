"""Text tables as several datasets publish them: columns by name, clocks that must keep the published rate, age and gender of participants."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.recording import Trait
from raylab.recordings.safe_path import safe_path
from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import NO_VALUE, read_text_table

if TYPE_CHECKING:
    import pandas as pd

AGAIN = "download the file again, or compare it with the published layout"
RATE_TOLERANCE = 0.02
AGES = (10, 110)


def read_table(
    root: Path,
    relative: str,
    participant: str | None,
    numbers: Sequence[str],
    text: Sequence[str] | Literal["all"] = (),
    header: bool = True,
    separator: str = ",",
) -> "pd.DataFrame":
    """The columns of a text table: ``numbers`` as float64 (an empty cell is NaN), then those of ``text`` that exist (``all``: every other column).

    Args:
        header: whether the first line names the columns; without it the file holds exactly ``numbers``, in that order.

    Raises:
        RecordingError: on a missing file, and whatever makes it no plain table (``raylab.recordings.text_table``).
    """
    path = safe_path(root, relative, participant)
    try:
        frame = read_text_table(path, numbers, text, header=header, separator=separator).frame
    except TableError as error:
        raise RecordingError(error.problem, file=path, participant=participant, remedy=error.remedy or AGAIN) from error
    text_columns = [name for name in frame.columns if name not in numbers]
    frame[text_columns] = frame[text_columns].mask(frame[text_columns].isin(NO_VALUE))
    return frame


def check_clock(
    seconds: npt.NDArray[np.float64], rate_hz: float, *, file: object, participant: str, channel: str, gap_s: float = np.inf
) -> None:
    """Refuse times (n,) that go back, or whose rate is more than 2% off ``rate_hz``; steps longer than ``gap_s`` are not counted.

    Raises:
        RecordingError: naming the row, or the rate found and the rate published.
    """
    steps = np.diff(seconds)
    problem = ""
    if len(seconds) < 2:
        problem = f"has {len(seconds)} sample(s)"
    elif not (steps >= 0).all():  # a NaN time counts as going back
        row = int((~(steps >= 0)).argmax())
        problem = f"its clock goes from {seconds[row]:.3f} s to {seconds[row + 1]:.3f} s at sample {row + 1}"
    elif (steps <= gap_s).any():
        counted = steps[steps <= gap_s]
        found_hz = len(counted) / counted.sum() if counted.sum() else np.inf
        if abs(found_hz / rate_hz - 1) > RATE_TOLERANCE:
            problem = f"its timestamps tell {found_hz:.4g} Hz, published are {rate_hz:g} Hz"
    if problem:
        raise RecordingError(problem, file=file, participant=participant, channel=channel, remedy=AGAIN)


def number_of(value: object) -> int | None:
    """The participant number that a cell ends in: 7 of 7, 7.0, ``sub_7`` and ``S07``; None if it ends in no whole number (7.9, nothing)."""
    if isinstance(value, int | float):
        return int(value) if math.isfinite(value) and value == int(value) else None
    match = re.search(r"(?<![\d.,])(\d+)(\.0+)?\s*$", str(value))
    return int(match.group(1)) if match else None


def person_traits(frame: "pd.DataFrame", number: int, file: object, participant: str) -> tuple[dict[str, Trait], str]:
    """Age (years) and gender of participant ``number`` from a table with one row per participant, and a sentence on the headers found.

    Headers are matched loosely, because the published ones are not confirmed; a trait without a column is left out.

    Raises:
        RecordingError: if the participant has no row or several, or the age is not between 10 and 110.
    """
    import pandas as pd

    names = {str(name).strip().lower(): name for name in frame.columns}
    id_column = next((names[name] for name in names if re.search(r"\bid\b|pid|sub|particip|num", name)), None)
    gender_column = next((names[name] for name in names if re.search(r"sex|gender", name)), None)
    age_column = next((names[name] for name in names if re.match(r"age\b", name) and "group" not in name), None)
    headers = f"headers found in {Path(str(file)).name}: {', '.join(map(str, frame.columns))}"
    if id_column is None:
        raise RecordingError(f"has no column of participants; {headers}", file=file, participant=participant, remedy=AGAIN)
    rows = frame[[number_of(value) == number for value in frame[id_column]]]
    if len(rows) != 1:
        raise RecordingError(
            f"has {len(rows)} rows for the participant, expected 1",
            file=file,
            participant=participant,
            remedy="keep one row" if len(rows) else "check the table, or leave the participant out with --exclude",
        )
    traits: dict[str, Trait] = {}
    if age_column is not None:
        years = pd.to_numeric(rows[age_column].iloc[0], errors="coerce")
        if not AGES[0] <= years <= AGES[1]:
            raise RecordingError(
                f"gives the age {rows[age_column].iloc[0]!r}, expected a number of years {AGES[0]}..{AGES[1]}",
                file=file,
                participant=participant,
                remedy="repair the table, or leave the participant out with --exclude",
            )
        traits["age"] = float(years)
    if gender_column is not None and pd.notna(rows[gender_column].iloc[0]):
        gender = str(rows[gender_column].iloc[0]).strip().lower()
        traits["gender"] = {"m": "male", "f": "female"}.get(gender, gender)
    absent = [name for name in ("age", "gender") if name not in traits]
    return traits, headers + (f"; no {' and no '.join(absent)} among them" if absent else "")
