"""The text of a table, as lines of equal width: encoding, line ends, separators, quotation marks, blank rows and rows of another width."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from raylab.errors import RaylabError

SEPARATORS = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}
_POINTER = b"version https://git-lfs"
_OTHER_FILES = {
    b"PK\x03\x04": "a zip file or an Excel book",
    b"\xd0\xcf\x11\xe0": "an Excel book",
    b"\x1f\x8b": "a gzip file",
    b"%PDF": "a PDF",
}
_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_BLOCK = 4_000_000
_SHOWN = 60


class TableError(RaylabError, ValueError):
    """A text table that is refused.

    Attributes:
        problem: the sentence.
        remedy: what to do, if the caller's remedy is not the right one.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


def read_utf8(path: Path, separator: str) -> bytes:
    """The file's bytes, which are UTF-8: without byte-order mark and blank rows at the end, lines ended by ``\\n``.

    Raises:
        TableError: if they are something else, or nothing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"cannot be read ({error.strerror or error})") from error
    if data.startswith(_POINTER):
        raise TableError("is a Git LFS pointer, not the data", "run: git lfs pull")
    for start, kind in _OTHER_FILES.items():
        if data.startswith(start):
            raise TableError(f"is {kind}, not a text table", "save the table as csv, in UTF-8")
    for start, encoding in _OTHER_ENCODINGS.items():
        if data.startswith(start):
            raise TableError(f"is {encoding}, expected UTF-8", "save the file as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.isascii():
        _check_encoding(data)
    if (place := data.find(b"\0")) >= 0:
        row = data.count(b"\n", 0, place) + 1
        raise TableError(f"holds a zero byte in row {row}: it is damaged, or no text in UTF-8", "save the file as UTF-8")
    if b"\r" in data:
        data = data.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    end = data.find(b"\n", len(data.rstrip(b" \n" if separator == "\t" else b" \t\n")))
    data = data if end < 0 else data[:end]
    if not data.strip():
        raise TableError("is empty")
    return data


def _check_encoding(data: bytes) -> None:
    """Refuse bytes that are no UTF-8, naming the row and how they read in Latin-1."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        line = data[data.rfind(b"\n", 0, error.start) + 1 :][:_SHOWN].split(b"\n")[0].strip().decode("latin-1")
        raise TableError(
            f"is not UTF-8: row {row} has the byte 0x{data[error.start]:02x} (in Latin-1 it reads {line!r})",
            "save the file as UTF-8",
        ) from error


def split_cells(line: str, separator: str) -> list[str]:
    """The cells of one row.

    Raises:
        TableError: on a quotation mark that is not closed.
    """
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error as error:
        raise TableError(f"its first row {shorten(line)!r} cannot be read ({error})") from error


def find_blank_rows(data: bytes, separator: str, only_first: bool) -> list[int]:
    """The blank rows, counted from 1; quoted text may hold blank lines, which are none."""
    pattern = rb"\n(?= *\n)" if separator == "\t" else rb"\n(?=[ \t]*\n)"
    rows: list[int] = []
    row, place, inside = 1, 0, False
    for match in re.finditer(pattern, data):
        row += data.count(b"\n", place, match.start() + 1)
        inside ^= data.count(b'"', place, match.start() + 1) % 2 == 1
        place = match.start() + 1
        if not inside:
            rows.append(row)
            if only_first:
                break
    return rows


def _blocks(data: bytes) -> Iterator[bytes]:
    """The data in blocks of whole lines, without the newline at their ends."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + _BLOCK)
        end = len(data) if end < 0 else end
        yield data[begin:end]
        begin = end + 1


def check_widths(data: bytes, separator: str, width: int, header: bool) -> None:
    """Refuse the first row that has more or fewer cells than the first one.

    Raises:
        TableError: naming the row.
    """
    if b'"' in data:
        _check_quoted_widths(data, separator, width, header)
        return
    if width == 1 and separator.encode() not in data:
        return
    row = 1
    for block in _blocks(data):
        values = np.frombuffer(block, dtype=np.uint8)
        begins = np.append(0, np.flatnonzero(values == 10) + 1)
        begins = begins[begins < len(values)]  # without a blank row at the block's end
        counts = np.add.reduceat(values == ord(separator), begins, dtype=np.int64) + 1 if len(begins) else begins
        for index in np.flatnonzero(counts != width):
            line = block[begins[index] :].split(b"\n", 1)[0]
            if line.strip():
                last = row + int(index) == data.count(b"\n") + 1
                _refuse_width(row + int(index), line.decode("utf-8"), int(counts[index]), width, separator, header, last)
        row += block.count(b"\n") + 1


def _check_quoted_widths(data: bytes, separator: str, width: int, header: bool) -> None:
    rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=separator, strict=True)
    row = 0
    try:
        for cells in rows:
            row += 1
            if len(cells) != width and any(cell.strip() for cell in cells):
                last = rows.line_num >= data.count(b"\n") + 1
                _refuse_width(row, separator.join(cells), len(cells), width, separator, header, last)
    except csv.Error as error:
        raise TableError(
            f"row {row + 1} cannot be read ({error}): a quotation mark is not closed, or stands inside a cell"
        ) from error


def _refuse_width(row: int, line: str, count: int, width: int, separator: str, header: bool, last: bool) -> NoReturn:
    """Refuse a row of another width than the first one."""
    if last and count < width:
        raise TableError(f"is cut short: its last row has {count} of {width} columns")
    hint = ""
    if count == width + 1 and line.endswith(separator):
        hint = f"; it ends with {SEPARATORS[separator]}, the first row does not"
    elif separator == "," and count > width and re.fullmatch(r"[-+\d\s,.eE]+", line):
        hint = "; if ',' is the decimal sign, write '.' instead"
    raise TableError(
        f"row {row} has {count} fields, the {'header' if header else 'first row'} has {width}: {shorten(line)!r}{hint}",
        "give every row as many cells as the first one" if not hint.startswith("; if") else "write '.' as the decimal sign",
    )


def shorten(text: str, length: int = _SHOWN) -> str:
    """The beginning of a text, for a message."""
    return text if len(text) <= length else f"{text[:length]}..."
