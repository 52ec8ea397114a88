"""A text table, read strictly: what is no plain table is refused by row and value; nothing is guessed, shifted or skipped.

Libraries read nearly anything: a row that is wider than the header moves the columns, a decimal comma makes two columns of one, a header that is
missing costs the first sample, a comment or a blank line costs a row, and a column of ids loses its zeros. Each of these gives wrong numbers
without a word, so the text is checked first, and pandas only turns cells into numbers.
"""

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.recordings.name_match import clean, likely_same
from raylab.recordings.table_lines import SEPARATORS, TableError, check_widths, find_blank_rows, read_utf8, shorten, split_cells

if TYPE_CHECKING:
    import pandas as pd

LARGEST = float(np.finfo(np.float32).max)  # windows are float32: a larger number would become infinite
MOST_COLUMNS = 4096
# The words of pandas for a cell without a value.
NO_VALUE = frozenset(
    {"", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#NA", "#N/A", "#N/A N/A"}
    | {"1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)
NUMBER = r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_INFINITE = re.compile(r"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)
_DATE_OR_TIME = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}(:\d{2}.*)?")


@dataclass(frozen=True)
class UserTable:
    """The columns that were asked for.

    Attributes:
        frame: numbers as float64, NaN if the cell is empty; text stripped, in NFC, "" if the cell is empty.
        names: all columns of the file, "" for one without a name.
        first_row: row of the file that the frame's first row is; the header is row 1.
        blank_rows: rows of the file that are blank and not in the frame.
    """

    frame: "pd.DataFrame"
    names: tuple[str, ...]
    first_row: int = 2
    blank_rows: tuple[int, ...] = ()

    def row(self, index: int) -> int:
        """The row of the file that a row of the frame is, counted from 1."""
        row = index + self.first_row
        for blank in self.blank_rows:
            row += blank <= row
        return row


def read_text_table(
    path: Path,
    numbers: Sequence[str] | Literal["all"],
    text: Sequence[str] | Literal["all"] = (),
    *,
    header: bool = True,
    separator: str = ",",
    skip_blank_rows: bool = False,
    exact: bool = False,
) -> UserTable:
    """The columns ``numbers``, then those of ``text`` that exist (``all``: every other one).

    Args:
        header: whether the first row names the columns; without it the file holds exactly ``numbers``, in that order (``all``: any number of
            columns, named "1", "2", ...).
        skip_blank_rows: leave blank rows out; they are refused otherwise, because a missing sample would move all later ones.
        exact: numbers are the nearest to their decimal digits, as Python reads them; otherwise they are pandas' faster ones, which can be the
            next number to it.

    Raises:
        TableError: naming row, column and value of the first thing that is wrong.
    """
    data = read_utf8(path, separator)
    names = _read_names(data, numbers, header, separator)
    if numbers == "all":
        numbers = names
    known = set(numbers)
    text_names = [name for name in dict.fromkeys(names) if name not in known and (text == "all" or name in text)]
    _check_names(names, [*numbers, *text_names], separator)
    blank_rows = find_blank_rows(data, separator, only_first=not skip_blank_rows)
    if blank_rows and not skip_blank_rows:
        raise TableError(f"row {blank_rows[0]} is blank", "write every row, or remove the blank one")
    check_widths(data, separator, len(names), header)
    first = {name: len(names) - 1 - i for i, name in enumerate(reversed(names))}
    positions = {name: first[name] for name in [*numbers, *text_names]}
    frame = _parse(data, positions, numbers, len(names), separator, header, exact, blank_rows)
    table = UserTable(frame, tuple(names), 1 + header, tuple(blank_rows))
    _check_range(table, numbers)
    return table


def _read_names(data: bytes, numbers: Sequence[str] | Literal["all"], header: bool, separator: str) -> list[str]:
    """The names of the columns, as the first row has them or as the caller knows them.

    Raises:
        TableError: if there is no row of names, nothing below it, another separator, or another number of columns than the caller's.
    """
    end = data.find(b"\n")
    line = (data if end < 0 else data[:end]).decode("utf-8")
    if line.count(separator) >= MOST_COLUMNS:
        raise TableError(
            f"its first row {shorten(line)!r} has {line.count(separator) + 1:,} columns, at most {MOST_COLUMNS:,} can be read",
            "write one row per sample, and one column per feature",
        )
    names = [clean(cell) for cell in split_cells(line, separator)]
    if len(names) < 2 and (others := [mark for mark in SEPARATORS if mark != separator and mark in line]):
        raise TableError(
            f"its columns are separated by {SEPARATORS[others[0]]}, expected {SEPARATORS[separator]}: its first row is {shorten(line)!r}",
            f"save the table with {SEPARATORS[separator]} between the columns, and '.' as the decimal sign",
        )
    if not header:
        expected = [str(i + 1) for i in range(len(names))] if numbers == "all" else list(numbers)
        if len(names) != len(expected):
            raise TableError(f"has {len(names)} columns, expected {len(expected)}: {', '.join(expected)}")
        return expected
    if not any(names):
        raise TableError("its first row is blank, expected the names of the columns")
    if all(is_value(name) for name in names if name):
        raise TableError(
            f"has no header: its first row {shorten(line)!r} holds values, expected the names of the columns",
            "write the names of the columns into the first row (of an Empatica E4's own file, remove start and rate first)",
        )
    if end < 0:
        raise TableError(f"has no rows below {shorten(line, 200)!r}")
    return names


def read_header(path: Path) -> tuple[str, ...]:
    """The names of a comma-separated table's columns; empty if its first row cannot be read."""
    try:
        with path.open("rb") as file:
            line = file.readline(1_000_000).decode("utf-8-sig").rstrip("\r\n")
        return tuple(clean(cell) for cell in split_cells(line, ","))
    except (OSError, ValueError):
        return ()


def is_value(name: str) -> bool:
    """Whether a cell is a number, a date, a time or a word for no value, and not the name of a column."""
    return bool(
        name in NO_VALUE
        or re.fullmatch(NUMBER, name)
        or any(form.fullmatch(name) for form in (_DECIMAL_COMMA, _INFINITE, _DATE_OR_TIME))
    )


def _check_names(names: Sequence[str], needed: Sequence[str], separator: str) -> None:
    """Refuse columns that are missing, or that stand twice."""
    times = Counter(names)
    if missing := [name for name in needed if name not in times]:
        likely = [f"{other} for {name}" for name in missing for other in likely_same(name, names)]
        hint = f"; perhaps it has {', '.join(likely)}" if likely else ""
        if len(names) == 1 and separator not in names[0] and len(names[0].split()) > 1:
            hint += f"; columns are separated by {SEPARATORS[separator]}, not by blanks"
        raise TableError(f"lacks the column(s) {', '.join(missing)}; it has {', '.join(names)}{hint}")
    if twice := [name for name in dict.fromkeys(needed) if name and times[name] > 1]:
        raise TableError(f"has {times[twice[0]]} columns named {twice[0]!r}", "give each column a name of its own")


def _parse(
    data: bytes,
    positions: dict[str, int],
    numbers: Sequence[str],
    width: int,
    separator: str,
    header: bool,
    exact: bool,
    blank_rows: Sequence[int],
) -> "pd.DataFrame":
    """The columns, turned into numbers or text.

    Raises:
        TableError: naming the first cell that is no number.
    """
    import pandas as pd

    number_columns = [positions[name] for name in numbers]
    columns = list(positions.values())
    settings: dict[str, Any] = {
        "sep": separator,
        "names": list(range(width)),
        "header": None,
        "skiprows": int(header),
        "usecols": columns,
        "index_col": False,
        "keep_default_na": False,
    }
    names = {positions[name]: name for name in numbers}
    if re.search(rb"(?i)true|false", data) and (  # a column of truth values becomes 1 and 0 without a word
        error := _describe_first_non_number(data, names, settings, 1 + header, blank_rows)
    ):
        raise error
    no_value: dict[Any, list[str]] = {column: list(NO_VALUE) for column in number_columns}
    types: dict[int, Any] = {column: np.float64 if column in number_columns else str for column in columns}
    try:
        frame: pd.DataFrame = pd.read_csv(
            io.BytesIO(data),
            dtype=types,
            na_values=no_value,
            float_precision="round_trip" if exact else None,
            **settings,
        )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise _describe_first_non_number(data, names, settings, 1 + header, blank_rows) or TableError(str(error)) from error
    for column in set(columns) - set(number_columns):
        cells = frame[column]
        frame[column] = cells.map({cell: clean(cell) for cell in cells.unique()})
    frame = frame[columns]
    frame.columns = pd.Index(list(positions))
    return frame


def _describe_first_non_number(
    data: bytes, names: dict[int, str], settings: dict[str, Any], first_row: int, blank_rows: Sequence[int]
) -> TableError | None:
    """The refusal of the first cell that is no number, or one beyond float64; None if there is none."""
    import pandas as pd

    rows = UserTable(pd.DataFrame(), (), first_row, tuple(blank_rows))
    start = 0
    try:
        for part in pd.read_csv(io.BytesIO(data), dtype=str, chunksize=50_000, **settings):
            for column, name in names.items():
                cells = part[column]
                written_as_number = cells.str.fullmatch(NUMBER)
                number = pd.to_numeric(cells, errors="coerce")
                refused = ~(written_as_number | cells.isin(NO_VALUE)) | (number.abs() > LARGEST)
                refused |= written_as_number & number.isna()  # beyond float64
                if refused.any():
                    index = int(refused.to_numpy().argmax())
                    return _no_number(name, str(cells.iloc[index]), rows.row(start + index))
            start += len(part)
    except (ValueError, pd.errors.ParserWarning) as error:
        return TableError(str(error))
    return None


def _no_number(name: str, cell: str, row: int) -> TableError:
    problem = f"column {name} has {shorten(cell)!r} in row {row}, expected a number"
    if _DECIMAL_COMMA.fullmatch(cell):
        return TableError(f"{problem}; ',' is its decimal sign", "write '.' as the decimal sign")
    if re.fullmatch(NUMBER, cell) or _INFINITE.fullmatch(cell):
        return TableError(
            f"{problem} within +-{LARGEST:.1e}, the largest in float32", "repair the value, or leave the cell empty"
        )
    if any(separator in cell for separator in ";|\t"):
        return TableError(f"{problem}; its cells may have another separator", "save the table with ',' between the columns")
    return TableError(problem)


def _check_range(table: UserTable, numbers: Sequence[str]) -> None:
    """Refuse numbers that float32 does not hold; NaN passes.

    Raises:
        TableError: naming the first one of the first column that has one.
    """
    for name in numbers:
        values: npt.NDArray[np.float64] = table.frame[name].to_numpy()
        if len(values) and (outside := np.abs(values) > LARGEST).any():
            index = int(outside.argmax())
            raise _no_number(name, f"{values[index]:g}", table.row(index))
