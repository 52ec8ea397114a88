"""Tables as several datasets publish them: columns read by name, clocks that must keep the promised rate, people's age and gender."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.recording import Trait
from raylab.recordings.safe_path import safe_path

if TYPE_CHECKING:
    import pandas as pd

AGAIN = "download the file again, or compare it with the published layout"
RATE_TOLERANCE = 0.02
AGES = (10, 110)
_POINTER = b"version https://git-lfs"


def read_table(
    root: Path,
    relative: str,
    participant: str | None,
    numbers: Sequence[str],
    text: Sequence[str] | Literal["all"] = (),
    header: bool = True,
    separator: str = ",",
) -> "pd.DataFrame":
    """The columns of a text table: ``numbers`` as float64 (an empty cell is NaN), and those of ``text`` that are there
    (``all``: every other one).

    Without a header the file holds exactly ``numbers``, in that order.

    Raises:
        RecordingError: on a missing, empty or cut file, a missing column, or text where a number should be.
    """
    import pandas as pd

    path = safe_path(root, relative, participant)
    head, tail = _ends(path)
    if head.startswith(_POINTER):
        raise RecordingError(
            "is a Git LFS pointer, not the data", file=path, participant=participant, remedy="run: git lfs pull"
        )
    names = [name.strip().strip('"') for name in head.decode("utf-8-sig", "replace").split(separator)]
    width = len(names)
    if not header:
        names = list(numbers)
    problem = ""
    if not tail:
        problem = f"has no rows below {head.decode('utf-8', 'replace')!r}" if head else "is empty"
    elif missing := [name for name in numbers if name not in names]:
        problem = f"lacks the column(s) {', '.join(missing)}; it has {', '.join(names)}"
    elif width != len(names):
        problem = f"has {width} columns, expected {len(names)}: {', '.join(names)}"
    elif (found := len(tail.split(separator.encode()))) != width:
        problem = f"is cut short: its last row has {found} of {width} columns"
    if problem:
        raise RecordingError(problem, file=path, participant=participant, remedy=AGAIN)
    words = [name for name in names if name not in numbers and (text == "all" or name in text)]
    kept = [*numbers, *words]
    types: dict[str, Any] = {**dict.fromkeys(words, str), **dict.fromkeys(numbers, np.float64)}
    settings: dict[str, Any] = {"sep": separator, "names": names, "skiprows": int(header), "usecols": kept, "index_col": False}
    try:
        frame: pd.DataFrame = pd.read_csv(path, dtype=types, header=None, **settings)
    except (ValueError, pd.errors.ParserWarning) as error:
        what = _first_text(path, numbers, settings) or str(error)
        raise RecordingError(what, file=path, participant=participant, remedy=AGAIN) from error
    return frame[kept]


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first line, and the last one below it that is not blank; empty where there is none."""
    with path.open("rb") as file:
        head = file.readline().strip(b"\r\n")
        file.seek(max(file.tell(), path.stat().st_size - 65536))
        lines = [line.strip(b"\r\n") for line in file if line.strip()]
    return head, lines[-1] if lines else b""


def _first_text(path: Path, numbers: Sequence[str], settings: dict[str, Any]) -> str:
    """Where the first cell stands that is no number."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, header=None, **settings)
    except (ValueError, pd.errors.ParserWarning):
        return ""
    for name in numbers:
        wrong = frame[name].notna() & pd.to_numeric(frame[name], errors="coerce").isna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            return f"column {name} has {frame[name].iloc[row]!r} in row {row + 1 + settings['skiprows']}, expected a number"
    return ""


def check_clock(
    seconds: npt.NDArray[np.float64], rate_hz: float, *, file: object, participant: str, channel: str, gap_s: float = np.inf
) -> None:
    """Refuse times (n,) that go back, or that tell another rate than ``rate_hz``; steps over ``gap_s`` are not counted.

    Raises:
        RecordingError: naming the row, or the rate found and the one promised.
    """
    steps = np.diff(seconds)
    problem = ""
    if len(seconds) < 2:
        problem = f"has {len(seconds)} sample(s)"
    elif not (steps >= 0).all():  # also where a time is NaN
        row = int((~(steps >= 0)).argmax())
        problem = f"its clock goes from {seconds[row]:.3f} s to {seconds[row + 1]:.3f} s at sample {row + 1}"
    elif (steps <= gap_s).any():
        whole = steps[steps <= gap_s]
        found = len(whole) / whole.sum() if whole.sum() else np.inf
        if abs(found / rate_hz - 1) > RATE_TOLERANCE:
            problem = f"its timestamps tell {found:.4g} Hz, published are {rate_hz:g} Hz"
    if problem:
        raise RecordingError(problem, file=file, participant=participant, channel=channel, remedy=AGAIN)


def number_of(value: object) -> int | None:
    """The participant number that a cell holds: 7 of 7, 7.0, ``sub_7`` or ``S07``; None where it ends in no digits."""
    if isinstance(value, int | float):
        return int(value) if math.isfinite(value) else None
    match = re.search(r"(\d+)(\.0+)?\s*$", str(value))
    return int(match.group(1)) if match else None


def person_traits(frame: "pd.DataFrame", number: int, file: object, participant: str) -> tuple[dict[str, Trait], str]:
    """Age and gender of participant ``number`` from a table with one row a person, and a sentence on the headers found.

    Headers are matched loosely (published ones are unconfirmed); a trait without a column is left out.

    Raises:
        RecordingError: where the person has no row or several, or the age is no age.
    """
    import pandas as pd

    names = {str(name).strip().lower(): name for name in frame.columns}
    who = next((names[name] for name in names if re.search(r"\bid\b|pid|sub|particip|num", name)), None)
    sex = next((names[name] for name in names if re.search(r"sex|gender", name)), None)
    age = next((names[name] for name in names if re.match(r"age\b", name) and "group" not in name), None)
    headers = f"headers found in {Path(str(file)).name}: {', '.join(map(str, frame.columns))}"
    if who is None:
        raise RecordingError(f"has no column of participants; {headers}", file=file, participant=participant, remedy=AGAIN)
    rows = frame[[number_of(value) == number for value in frame[who]]]
    if len(rows) != 1:
        raise RecordingError(
            f"has {len(rows)} rows for the participant, expected 1",
            file=file,
            participant=participant,
            remedy="keep one row" if len(rows) else "check the table, or leave the participant out with --exclude",
        )
    traits: dict[str, Trait] = {}
    if age is not None:
        years = pd.to_numeric(rows[age].iloc[0], errors="coerce")
        if not AGES[0] <= years <= AGES[1]:
            raise RecordingError(
                f"gives the age {rows[age].iloc[0]!r}, expected a number of years {AGES[0]}..{AGES[1]}",
                file=file,
                participant=participant,
                remedy="repair the table, or leave the participant out with --exclude",
            )
        traits["age"] = float(years)
    if sex is not None and pd.notna(rows[sex].iloc[0]):
        said = str(rows[sex].iloc[0]).strip().lower()
        traits["gender"] = {"m": "male", "f": "female"}.get(said, said)
    absent = [name for name in ("age", "gender") if name not in traits]
    return traits, headers + (f"; no {' and no '.join(absent)} among them" if absent else "")
