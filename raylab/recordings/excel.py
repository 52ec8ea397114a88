"""Read a sheet of a published Excel book as rows of cells.

openpyxl reads it in a process of its own (``raylab.recordings.contained``): a few kB of a book can unfold to any size.
"""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

from raylab.errors import RecordingError
from raylab.recordings.contained import LIBRARIES, ContainedReadError
from raylab.recordings.safe_path import safe_path
from raylab.recordings.text_table import NO_VALUE, NUMBER

Cells = tuple[tuple[object, ...], ...]


@lru_cache(maxsize=16)
def _read_rows(path: Path, changed_ns: int, sheet: str | None) -> tuple[Cells, tuple[str, ...]]:
    """The rows of the sheet (the first one if None), all of one width, and the names of all sheets; no rows if the sheet does not exist.

    Args:
        changed_ns: time of the file's last change, so that a changed file is read again.
    """
    answer, _ = LIBRARIES.read("xlsx", path, sheet=sheet)
    rows = [tuple(_cell(value) for value in row) for row in answer["rows"]]
    width = max((len(row) for row in rows), default=0)
    return tuple(row + (None,) * (width - len(row)) for row in rows), tuple(answer["names"])


def _cell(value: object) -> object:
    """A cell of the answer: as it is, or of a type that JSON does not have."""
    match value:
        case {"datetime": str() as text}:
            return datetime.fromisoformat(text)
        case {"date": str() as text}:
            return date.fromisoformat(text)
        case {"time": str() as text}:
            return time.fromisoformat(text)
        case {"timedelta": float() as seconds}:
            return timedelta(seconds=seconds)
        case Mapping():
            return str(value.get("text", ""))
    return value


def check_book(path: Path, sheet: str | None = None) -> None:
    """Refuse an Excel book whose sheet (the first one if None) cannot be read in memory and time in proportion to the file.

    To be called before a library opens the book in this process.

    Raises:
        ContainedReadError: a ValueError that says why.
    """
    _read_rows(path, path.stat().st_mtime_ns, sheet)


def read_sheet(root: Path, relative: str, sheet: str | None, participant: str | None) -> Cells:
    """All rows of a sheet (of the first one if ``sheet`` is None); empty cells are None.

    Raises:
        RecordingError: if the file is missing, is no Excel book, or has no such sheet.
    """
    path = safe_path(root, relative, participant)
    try:
        rows, names = _read_rows(path, path.stat().st_mtime_ns, sheet)
    except ContainedReadError as error:
        raise RecordingError(
            f"cannot be read as an Excel book ({error})",
            file=path,
            participant=participant,
            remedy="download the file again",
        ) from error
    if sheet is not None and sheet not in names:
        raise RecordingError(
            f"has no sheet {sheet!r}, only {', '.join(names)}",
            file=path,
            participant=participant,
            remedy="download the file again",
        )
    return rows


def as_number(cell: object) -> float | None:
    """The cell as a finite number; None if it is empty, NaN, a truth value, or text that is no plain number (``is_empty`` tells)."""
    if isinstance(cell, bool) or not (isinstance(cell, int | float) or (isinstance(cell, str) and re.fullmatch(NUMBER, cell))):
        return None
    value = float(cell)
    return value if math.isfinite(value) else None


def is_empty(cell: object) -> bool:
    """Whether a cell holds nothing, or a word for no value: text that is no number is not nothing."""
    return cell is None or str(cell).strip() in NO_VALUE
