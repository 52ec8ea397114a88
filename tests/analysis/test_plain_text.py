"""Texts of a run folder are data: in csv, pictures, pages and tables."""

import csv
import io
import warnings
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from builders.run import write_run
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.formatting import escape, pipe_table
from analysis.plain_text import csv_text, printable_frame, printable_values
from analysis.report import latex
from analysis.report.write import write_report
from analysis.scores.run_folder import load

PEOPLE = (
    "=HYPERLINK(\"http://x\")", "@SUM(1)", "+cmd|' /C calc'!A0", "-2+3", "a\x1b[31mb\x1b]0;t\x07", "ü b", "a/b", "中文", "[red]x[/red]",
    "50% & <b>", "x\u202ey", "a_b|c", "l1\nl2", "-1",
)  # fmt: skip


@pytest.mark.parametrize("cell", ["=1+1", "+x", "-x", "@a", "＝1", "\t=1", "-2+3", "=", "-1", "+.5", "-1e3", "-", "a=b", "'=1"])
def test_a_spreadsheet_computes_no_text(cell: str) -> None:
    """A text that it would compute has an apostrophe in front; a number, a sign alone and any other text are as they were."""
    computed = cell in ("=1+1", "+x", "-x", "@a", "＝1", "\t=1", "-2+3")
    rows = list(csv.reader(io.StringIO(csv_text(pd.DataFrame({"name": [cell], cell: [1.5]})))))
    expected = f"'{cell}" if computed else cell
    assert [["name", expected], [expected, "1.5"]] == rows


def test_numbers_and_plain_texts_are_written_as_before() -> None:
    """The bytes of a table without such texts do not change, whatever its columns' types."""
    frame = pd.DataFrame(
        {"a": [-1.5, np.nan, 1e-9], "b": ["x", None, "-"], "c": [True, False, True], "d": pd.Categorical(["u", "v", "u"])}
    )
    assert frame.to_csv(index=False) == csv_text(frame)
    twice = pd.DataFrame([["=x", 1]], columns=["a", "a"])
    assert "a,a\n'=x,1\n" == csv_text(twice)


@given(st.text(st.characters()))
def test_any_text_is_one_cell_of_markdown_and_latex(text: str) -> None:
    """Whatever it holds: one line, and nothing that does not print."""
    lines = [pipe_table([text], [[text]])[0], latex.escape(text)]
    for line in lines:
        assert line.isprintable() or not [mark for mark in line if mark in "\x1b\n\r\x0b\x85\u202e\u2028"]
        line.encode()


@pytest.mark.parametrize(
    ("text", "shown"), [("_a_", r"\_a\_"), ("fine_tuning", "fine_tuning"), ("~~x~~ $y$", r"\~\~x\~\~ \$y\$")]
)
def test_a_name_is_no_mark_of_markdown(text: str, shown: str) -> None:
    """Neither emphasis nor formula; a name of a technique is as it was."""
    assert shown == escape(text)


def test_values_and_frames_keep_what_prints() -> None:
    """Numbers, missing values and texts that print are left alone."""
    value = {"a": [1, None, "x\x1b", {"k\x07": True}], "b": 0.5}
    assert {"a": [1, None, r"x\x1b", {r"k\x07": True}], "b": 0.5} == printable_values(value)
    frame = pd.DataFrame({"n": [1.0, 2.0], "t": ["a\x1b", None]})
    assert [r"a\x1b", None] == printable_frame(frame)["t"].tolist()
    plain = pd.DataFrame({"t": ["a", "ü"]})
    assert printable_frame(plain) is plain


@pytest.mark.parametrize("path", ["", "a\udcfc", "a\0"])
def test_a_path_that_cannot_be_opened_is_refused(path: str) -> None:
    """In a sentence that prints."""
    with pytest.raises(AnalysisError, match="is no path that can be opened") as caught:
        load(path)
    str(caught.value).encode()


def test_a_report_of_odd_names_is_whole_and_harmless(tmp_path: Path) -> None:
    """Every file is written without a warning, pictures are XML, cells are no formulas, and nothing commands a terminal."""
    names = ("=data\x1b[2J", "stress\x07", "fcn <b>w</b>")
    run = write_run(tmp_path / "läufe 100% ?#", PEOPLE, names=names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(run)
    report = run / "report"
    for path in report.rglob("*"):
        if path.suffix in (".csv", ".md", ".tex", ".html", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert not set(text) & set("\x1b\x07\u202e"), path.name
        if path.suffix == ".svg":
            ET.parse(path)
        if path.suffix == ".csv":
            cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
            assert not [cell for cell in cells if cell[:1] in ("=", "@", "+", "-") and not _is_number(cell) and cell != "-"], (
                path.name
            )
    written = pd.read_csv(report / "scores.csv")
    assert {f"'{name}" for name in PEOPLE[:4]} | {"-1", "ü b", "中文"} <= set(written["participant"])
    assert r"'=data\x1b[2J" == written["dataset"].iloc[0]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
