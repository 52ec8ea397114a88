"""Read a sheet of a published Excel book as rows of cells."""

import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

from raylab.errors import RecordingError
from raylab.recordings.safe_path import safe_path

Cells = tuple[tuple[object, ...], ...]


@lru_cache(maxsize=16)
def _read_rows(path: Path, changed_ns: int, sheet: str | None) -> tuple[Cells, tuple[str, ...]]:
    """The rows of the sheet (the first one if None), all of one width, and the names of all sheets; no rows if the sheet does not exist.

    Args:
        changed_ns: time of the file's last change, so that a changed file is read again.
    """
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and validations that it drops; they hold no data
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            names = tuple(str(name) for name in book.sheetnames)
            if sheet is not None and sheet not in names:
                return (), names
            page = book[sheet or names[0]]
            page.reset_dimensions()  # some programs write a wrong size into the sheet: cells would be lost
            rows = [tuple(row) for row in page.iter_rows(values_only=True)]
        finally:
            book.close()
    width = max((len(row) for row in rows), default=0)
    return tuple(row + (None,) * (width - len(row)) for row in rows), names


def read_sheet(root: Path, relative: str, sheet: str | None, participant: str | None) -> Cells:
    """All rows of a sheet (of the first one if ``sheet`` is None); empty cells are None.

    Raises:
        RecordingError: if the file is missing, is no Excel book, or has no such sheet.
    """
    path = safe_path(root, relative, participant)
    try:
        rows, names = _read_rows(path, path.stat().st_mtime_ns, sheet)
    except (
        BadZipFile,
        KeyError,
        ValueError,
        OSError,
        EOFError,
        SyntaxError,
        zlib.error,
    ) as error:  # errors of the XML parser are SyntaxErrors
        raise RecordingError(
            f"cannot be read as an Excel book ({type(error).__name__}: {error})",
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
    """The cell as a number; None if it is empty, NaN, or text that is no number."""
    try:
        value = float(cell) if isinstance(cell, int | float | str) else float("nan")
    except ValueError:
        return None
    return value if value == value else None  # noqa: PLR0124 (NaN is not itself)
