"""The strict reader of text tables: what it refuses, by row and value, and what stays valid."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import read_text_table


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


REFUSED = {
    "decimal comma": ("eda\n2,0013\n1,9999\n", "row 2 has 2 fields, the header has 1: '2,0013'; if ',' is the decimal sign"),
    "decimal comma, two columns": ("x,y\n1,5,2,5\n", "row 2 has 4 fields, the header has 2.*decimal sign"),
    "decimal comma in quotes": ('x,y\n"1,5",2\n', r"column x has '1,5' in row 2, expected a number; ',' is its decimal sign"),
    "semicolons": ("x;y\n1,5;2,5\n", "separated by ';', expected ','"),
    "tabs": ("x\ty\n1\t2\n", "separated by tabs, expected ','"),
    "semicolons below one name": ("x\n1;2\n", "'1;2' in row 2, expected a number; its cells may have another separator"),
    "blanks": ("x y\n1 2\n", "'1 2' in row 2"),
    "trailing separator": ("x,y\n1,2,\n3,4,\n", "row 2 has 3 fields, the header has 2.*it ends with ','"),
    "a row too wide in the middle": ("x,y\n1,2\n3,4,5\n6,7\n", "row 3 has 3 fields"),
    "a row too narrow in the middle": ("x,y\n1,2\n3\n6,7\n", "row 3 has 1 fields, the header has 2"),
    "cut short": ("x,y\n1,2\n3", "is cut short: its last row has 1 of 2 columns"),
    "no header": ("1544027337.0\n4.0\n2.0\n", "has no header: its first row '1544027337.0' holds values"),
    "no header, two columns": ("0.1,0.2\n0.3,0.4\n", "has no header"),
    "no header, first value missing": ("NaN\n0.1\n", "has no header"),
    "no header, times": ("2020-01-01 10:00:00,2.0\n2020-01-01 10:00:01,2.1\n", "has no header"),
    "blank first row": ("\nx\n1\n", "first row is blank"),
    "blank row": ("x\n1\n\n2\n", "row 3 is blank"),
    "row of blanks": ("x\n1\n   \n2\n", "row 3 is blank"),
    "comment below": ("x\n1\n# an artefact\n2\n", "column x has '# an artefact' in row 3"),
    "comment behind a value": ("x\n1 # an artefact\n2\n", "'1 # an artefact' in row 2"),
    "comment above": ("# from my device\nx\n1\n", "has 'x' in row 2, expected a number"),
    "text": ("x\n1\nhigh\n", "column x has 'high' in row 3"),
    "truth": ("x\nTrue\nFalse\n", "column x has 'True' in row 2"),
    "underscore": ("x\n1_000\n", "'1_000' in row 2"),
    "beyond float32": ("x\n1\n1e308\n", r"column x has '1e\+308' in row 3, expected a number within \+-3\.4e\+38"),
    "beyond float64": ("x\n1\n-1e400\n", r"in row 3, expected a number within"),
    "infinite": ("x\n1\ninf\n", r"column x has 'inf' in row 3"),
    "twice": ("x,x\n1,2\n", "2 columns named 'x'"),
    "a row of separators": ("," * 50_000 + "\n1\n2\n", "its first row ',,,.* has 50,001 columns, at most 4,096 can be read"),
    "header only": ("x,y\n", "has no rows below 'x,y'"),
    "header and blank rows": ("x,y\n\n\n", "has no rows below 'x,y'"),
    "empty": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
    "Latin-1": (b"stimmung,x\nruhig,1\n" + "fröhlich,2\n".encode("latin-1"), r"is not UTF-8: row 3 has the byte 0xf6.*'fröhlich,2'"),
    "UTF-16": ("x\n1\n".encode("utf-16"), "is UTF-16, expected UTF-8"),
    "zero bytes": (b"x\n1\n\0\0\n", "zero byte in row 3"),
    "Excel": (b"PK\x03\x04abc", "is a zip file or an Excel book"),
    "gzip": (b"\x1f\x8b\x08", "is a gzip file"),
    "open quotation mark": ('x,y\n1,2\n"3,4\n5,6\n', "row 3 cannot be read.*quotation mark"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_plain_table_is_refused(kind: str, tmp_path: Path) -> None:
    """Row, column and value, or the encoding or separator, are named."""
    content, message = REFUSED[kind]
    with pytest.raises(TableError, match=message):
        read_text_table(write(tmp_path, content), "all")


ACCEPTED = {
    "plain": "x,y\n1,2\n3,4.5\n",
    "byte-order mark": b"\xef\xbb\xbfx,y\n1,2\n3,4.5\n",
    "Windows": "x,y\r\n1,2\r\n3,4.5\r\n",
    "Windows, written twice": "x,y\r\r\n1,2\r\r\n3,4.5\r\r\n",
    "old Mac": "x,y\r1,2\r3,4.5\r",
    "no line end": "x,y\n1,2\n3,4.5",
    "blank rows at the end": "x,y\n1,2\n3,4.5\n\n  \n\n",
    "quoted": '"x","y"\n"1","2"\n"3","4.5"\n',
    "blanks around": " x , y \n 1 , 2 \n 3 , 4.5 \n",
    "exponents": "x,y\n1e0,+2\n3.,.45E1\n",
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_plain_tables_are_read(kind: str, tmp_path: Path) -> None:
    """However it is written, the table is the same."""
    table = read_text_table(write(tmp_path, ACCEPTED[kind]), "all")
    assert ("x", "y") == table.names
    np.testing.assert_array_equal([[1.0, 2.0], [3.0, 4.5]], table.frame.to_numpy())


def test_empty_cells_are_nan_and_text_stays_text(tmp_path: Path) -> None:
    """Numbers without a value are NaN; ids keep their zeros, and words like NA."""
    table = read_text_table(write(tmp_path, "id,x\n 01 ,1\nNA,\n1e3,n/a\nu\u0308,4\n"), ["x"], "all")
    assert ["01", "NA", "1e3", "ü"] == table.frame["id"].tolist()
    np.testing.assert_array_equal([1.0, np.nan, np.nan, 4.0], table.frame["x"].to_numpy())


def test_rows_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    """Blank rows that are skipped are counted."""
    table = read_text_table(write(tmp_path, "x\n1\n\n\n2\n\n3\n"), "all", skip_blank_rows=True)
    assert [2, 5, 7] == [table.row(index) for index in range(3)]
    with pytest.raises(TableError, match="'a' in row 5"):
        read_text_table(write(tmp_path, "x\n1\n\n\na\n"), "all", skip_blank_rows=True)


def test_missing_column_names_the_likely_one(tmp_path: Path) -> None:
    """A column that differs by case is named, not taken."""
    with pytest.raises(TableError, match=r"lacks the column\(s\) time_s; it has Time_S, x; perhaps it has Time_S for time_s"):
        read_text_table(write(tmp_path, "Time_S,x\n0,1\n"), ["time_s"])
    with pytest.raises(TableError, match="separated by ',', not by blanks"):
        read_text_table(write(tmp_path, "time_s x\n0 1\n"), ["time_s"])


def test_a_wide_row_far_below_is_found(tmp_path: Path) -> None:
    """Every row is looked at, also beyond the first megabytes."""
    rows = ["0.123456,0.654321"] * 400_000
    rows[350_000] += ",1"
    with pytest.raises(TableError, match=r"row 350002 has 3 fields"):
        read_text_table(write(tmp_path, "x,y\n" + "\n".join(rows)), "all")


@given(st.lists(st.lists(st.floats(-1e38, 1e38), min_size=2, max_size=2), min_size=1, max_size=20))
def test_numbers_are_read_exactly(rows: list[list[float]]) -> None:
    """With ``exact``, whatever Python writes is read as the same number."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), "x,y\n" + "".join(f"{x!r},{y!r}\n" for x, y in rows))
        np.testing.assert_array_equal(rows, read_text_table(path, "all", exact=True).frame.to_numpy())


@given(st.text(max_size=60) | st.text('0123456789,.;\n\r\t"x -e#', max_size=60) | st.binary(max_size=60))
def test_any_file_is_a_table_or_refused(content: str | bytes) -> None:
    """Whatever the file holds: a table of the header's width, or a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        try:
            table = read_text_table(write(Path(folder), data), "all")
        except TableError:
            return
        assert table.frame.shape[1] == len(table.names)
        assert len(table.frame) >= 1
