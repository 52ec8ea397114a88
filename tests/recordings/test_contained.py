"""Files that end or flood the process that reads them: .mat and .xlsx are read in another one, within bounds."""

import io
import os
import signal
import struct
import zlib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import openpyxl
import pytest
import scipy.io

from raylab.errors import RecordingError
from raylab.recordings.contained import LIBRARIES, ContainedReadError, LibraryProcess, OtherValue
from raylab.recordings.excel import check_book, read_sheet
from raylab.recordings.matlab import describe_type, read_mat

HEAD = 128
SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'


def _mat(**variables: Any) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables)  # type: ignore[arg-type]  # takes open files too
    return file.getvalue()


def _read(folder: Path, data: bytes, *names: str) -> dict[str, Any]:
    (folder / "a.mat").write_bytes(data)
    return read_mat(folder, "a.mat", "P01", names)


def _book(folder: Path, sheet: str, **other: str) -> Path:
    """An Excel book with this sheet, and other parts replaced."""
    book, path = openpyxl.Workbook(), folder / "a.xlsx"
    book.save(folder / "plain.xlsx")
    parts = {"xl/worksheets/sheet1.xml": sheet, **other}
    with ZipFile(folder / "plain.xlsx") as plain, ZipFile(path, "w", ZIP_DEFLATED) as target:
        for name in plain.namelist():
            target.writestr(name, parts.get(name, plain.read(name)))
    return path


def _child_pid() -> int:
    assert LIBRARIES._process is not None
    return LIBRARIES._process.pid


def test_no_damage_of_a_mat_file_ends_this_process(tmp_path: Path) -> None:
    """Every length and number of a compressed file set to the largest one: read or refused; scipy itself crashes at some of them."""
    raw, refused = _mat(x=np.arange(90.0).reshape(30, 3)), 0
    for offset in range(64):
        body = bytearray(raw[HEAD:])
        body[offset : offset + 4] = b"\xff" * 4
        packed = zlib.compress(bytes(body), 0)
        try:
            _read(tmp_path, raw[:HEAD] + struct.pack("<II", 15, len(packed)) + packed, "x")
        except RecordingError as refusal:
            refused += all(part in str(refusal) for part in ("participant P01", "a.mat", "--exclude"))
    assert refused > 30
    assert list(_read(tmp_path, raw, "x")) == ["x"]


def _cell(count: int) -> bytes:
    """192 bytes of a cell of so many entries, none of which is there."""
    inner = struct.pack("<6I", 6, 8, 1, 0, 5, 8) + struct.pack("<2i", 1, count) + struct.pack("<2I", 1, 1) + b"x" + bytes(7)
    inner += struct.pack("<2I", 14, 0)
    return _mat()[:HEAD] + struct.pack("<2I", 14, len(inner)) + inner


def _zeros() -> bytes:
    """1 MB that unfolds to 200 MB."""
    n_bytes = 200_000_000
    parts = (
        struct.pack("<6I", 6, 8, 6, 0, 5, 8) + struct.pack("<2i", 1, n_bytes // 8) + struct.pack("<2I", 1, 1) + b"x" + bytes(7)
    )
    packer = zlib.compressobj(1)
    packed = packer.compress(struct.pack("<2I", 14, len(parts) + 8 + n_bytes) + parts + struct.pack("<2I", 9, n_bytes))
    packed += b"".join(packer.compress(bytes(4_000_000)) for _ in range(50)) + packer.flush()
    return _mat()[:HEAD] + struct.pack("<2I", 15, len(packed)) + packed


@pytest.mark.parametrize(
    "make", [lambda: _cell(100_000_000), lambda: _cell(300_000_000), _zeros], ids=["cell", "large cell", "zeros"]
)
def test_a_mat_file_gets_memory_in_proportion(tmp_path: Path, make: Callable[[], bytes]) -> None:
    """A few bytes that ask for gigabytes are refused with the bound."""
    with pytest.raises(
        RecordingError, match=r"participant P01.*MemoryError: it asks for more memory than \d+ MB, 10 times the file"
    ):
        _read(tmp_path, make(), "x")


def test_values_are_those_of_scipy(tmp_path: Path) -> None:
    """Type, shape, order in memory and bytes of arrays, cells in cells, texts; what else there is, as a description."""
    inner, outer = np.empty((1, 2), dtype=object), np.empty((2, 1), dtype=object)
    inner[0, 0], inner[0, 1] = np.arange(6.0).reshape(3, 2), "text"
    outer[0, 0], outer[1, 0] = inner, np.zeros((0, 0))
    content = {
        "array": np.random.default_rng(1).normal(size=(7, 3)),
        "bytes": np.arange(3, dtype=np.uint8),
        "cell": outer,
        "word": "ü",
    }
    data = _mat(**content, struct={"field": 1})
    found, expected = _read(tmp_path, data, *content, "struct", "array"), scipy.io.loadmat(io.BytesIO(data))  # type: ignore[arg-type]

    def compare(one: Any, other: Any) -> None:
        assert (one.dtype, one.shape, one.flags.f_contiguous) == (other.dtype, other.shape, other.flags.f_contiguous)
        if one.dtype == object:
            for pair in zip(one.ravel(), other.ravel(), strict=True):
                compare(*pair)
        else:
            assert one.tobytes() == other.tobytes() and one.flags.writeable

    for name in content:
        compare(found[name], expected[name])
    assert found["struct"] == OtherValue("[('field', 'O')] (1, 1)")
    assert describe_type(found["struct"]) == "[('field', 'O')] (1, 1)"


def test_one_process_reads_all_files_and_is_replaced_after_its_end(tmp_path: Path) -> None:
    """A refused file leaves it, and a killed one is started again."""
    data = _mat(x=np.ones(3))
    _read(tmp_path, data, "x")
    first = _child_pid()
    with pytest.raises(RecordingError, match=r"a\.mat: lacks the variable, it holds x"):
        _read(tmp_path, data, "y")
    with pytest.raises(RecordingError, match="truncated or damaged"):
        _read(tmp_path, data[:150], "x")
    _read(tmp_path, data, "x")
    assert _child_pid() == first
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    _read(tmp_path, data, "x")
    assert _child_pid() != first


def test_an_end_or_a_pause_in_the_middle_of_a_file_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that takes longer than its time: here a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "slow.mat")
    monkeypatch.setattr("raylab.recordings.contained._SPARE_S", 1)
    process = LibraryProcess()
    try:
        with pytest.raises(ContainedReadError, match="reading it takes longer than 1 s"):
            process.read("mat", tmp_path / "slow.mat", needed=["x"], optional=[])
    finally:
        process.close()


BOMBS = {
    "one part of 100 MB": (SHEET.format(" " * 100_000_000), {}, "its parts unfold to 100 MB"),
    "many rows of one far cell": (SHEET.format('<row><c r="XFD1"/></row>' * 2000), {}, "more than 1000000 cells"),
    "a cell in the last place": (SHEET.format('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), {}, "1048576 rows"),
    "styles without end": (
        SHEET.format(""),
        {
            "xl/styles.xml": '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs>'
            + "<xf/>" * 800_000
            + "</cellXfs></styleSheet>"
        },
        "it asks for more memory than 12",
    ),
    "entities in entities": (
        "<!DOCTYPE w ["
        + f'<!ENTITY e0 "{"x" * 100}">'
        + "".join(f'<!ENTITY e{n + 1} "{10 * f"&e{n};"}">' for n in range(8))
        + "]>"
        + SHEET.format('<row><c t="str"><v>&e8;</v></c></row>'),
        {},
        "ParseError|MemoryError",
    ),
    "no XML": ("<worksheet", {}, "ParseError|SyntaxError"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_excel_book_that_unfolds_is_refused(tmp_path: Path, name: str) -> None:
    """By its parts' size, its cells, or the memory that it asks for; also before another library opens the book."""
    sheet, other, message = BOMBS[name]
    path = _book(tmp_path, sheet, **other)
    with pytest.raises(
        RecordingError, match=rf"participant P01, file .*a\.xlsx: cannot be read as an Excel book .*({message})"
    ):
        read_sheet(tmp_path, "a.xlsx", None, "P01")
    with pytest.raises(ContainedReadError, match=message):
        check_book(path)


def test_cells_keep_their_types(tmp_path: Path) -> None:
    """Numbers, texts, truth values, dates and times come back as openpyxl reads them; rows are of one width, empty ones at the end are gone."""
    row = (1, 2.5, "ü", True, None, datetime(2020, 1, 2, 3, 4, 5), date(2020, 1, 2), time(1, 2, 3), timedelta(hours=30))
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.append(row)
    page.append(("short",))
    page.append((None,))
    book.create_sheet("second").append((float(2**60), "=1+1"))
    book.save(tmp_path / "a.xlsx")
    first, second = read_sheet(tmp_path, "a.xlsx", None, None)
    assert first == (*row[:6], datetime(2020, 1, 2), *row[7:])
    assert [type(cell) for cell in first[:4]] == [int, float, str, bool]
    assert second == ("short", *[None] * 8)
    assert read_sheet(tmp_path, "a.xlsx", "second", None) == ((2**60, None),)
    with pytest.raises(RecordingError, match="has no sheet 'third', only Sheet, second"):
        read_sheet(tmp_path, "a.xlsx", "third", None)
