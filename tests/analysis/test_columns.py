"""The table of columns: a statistic is one entry, and stands in every file, on the page and in the terminal."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.run import write_run
from builders.scores import scores
from typer.testing import CliRunner

import analysis
from analysis.report import comparison_table
from analysis.statistics import columns
from analysis.statistics.columns import Column, PrintedColumn, printed_difference
from raylab.cli.application import app

MEDIAN = Column(
    "median_difference",
    printed_difference("median_difference", "median", legend="median: of the differences"),
    statistic=lambda d: float(np.median(d)),
)


@pytest.fixture
def _with_median(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, MEDIAN))


@pytest.mark.usefixtures("_with_median")
def test_a_new_statistic_is_one_entry(tmp_path: Path) -> None:
    """Computed by hand from gains.csv, the median is in comparison.csv, .md, .tex, report.html, the terminal, the tables beside another
    run, and in the comparison of other metrics."""
    run, other = write_run(tmp_path / "run"), write_run(tmp_path / "other", equal=True)
    terminal = CliRunner().invoke(app, ["report", str(run), "--against", str(other)])
    assert 0 == terminal.exit_code
    report = run / "report"
    expected = pd.read_csv(report / "gains.csv").groupby(["technique", "variant"])["difference"].median()
    table = pd.read_csv(report / "comparison.csv").set_index(["technique", "variant"])["median_difference"].dropna()
    pd.testing.assert_series_equal(expected, table, check_names=False)

    printed = f"{expected[('hybrid', 'budget=0.2')]:+.3f}"
    text = {name: (report / name).read_text(encoding="utf-8") for name in ("comparison.md", "comparison.tex", "report.html")}
    rows = {
        "comparison.md": r"\| hybrid \| budget=0\.2 \|.*\| (\S+) \|$",
        "comparison.tex": r"^hybrid & budget=0\.2 &.*& (\S+) \\\\$",
        "report.html": r'<td>budget=0\.2</td>.*<td class="num">(\S+)</td></tr>$',
    }
    for name, pattern in rows.items():
        assert printed in re.findall(pattern, text[name], re.MULTILINE), name
        assert "median: of the differences" in text[name]
    line = next(line for line in terminal.output.splitlines() if re.search(r"hybrid +budget=0\.2", line))
    assert printed == line.split()[-1]
    assert "median" in terminal.output
    assert "| p Holm | outcome | median |" in (report / "against_other.md").read_text(encoding="utf-8")
    assert "median_difference" in pd.read_csv(report / "against_other.csv")
    assert "median_difference" in pd.read_csv(report / "appendix_metrics.csv")


@pytest.mark.usefixtures("_with_median")
def test_a_statistic_is_missing_if_there_are_no_differences() -> None:
    """The reference technique and a variant without a score have none, and the caption stays."""
    comparison = analysis.compare(scores({("x", "-"): [0.1, 0.3, 0.2], ("y", "-"): [np.nan] * 3})).set_index("technique")
    assert pytest.approx(0.2) == comparison.loc["x", "median_difference"]
    assert comparison.loc[["y", "non_personalized"], "median_difference"].isna().all()


def test_the_columns_of_files_and_headings_are_those_of_before() -> None:
    """Files and tables are read by others: names, their order and headings are a contract."""
    tested = (
        "effect_size", "gainers", "losers", "lopsided", "inflation", "inflation_source", "p", "p_adjusted", "detectable", "outcome", "test",
        "family", "family_size",
    )  # fmt: skip
    assert columns.names(columns.reference_columns()) == [
        "dataset", "label", "model", "technique", "variant", "metric", "scoring", "n_participants", "n_missing", "n_seeds", "mean", "sd",
        "seed_sd", "baseline_mean", "difference", "ci_low", "ci_high", "inner_low", "inner_high", *tested,
    ]  # fmt: skip
    assert columns.names(columns.other_run_columns()) == [
        "dataset", "label", "model", "technique", "variant", "metric", "scoring", "n_participants", "n_missing",
        "n_other_windows", "mean", "sd", "other_mean", "difference", "ci_low", "ci_high", "inner_low", "inner_high", *tested,
    ]  # fmt: skip
    numbers = ("difference", "95% interval", "effect", "p", "p Holm", "outcome")
    assert comparison_table.headings() == ("technique", "variant", "mean (SD)", "SD seeds", "reference", "n", *numbers)
    names = ("dataset", "label", "model", "technique", "variant")
    assert columns.headings(columns.other_run_columns()) == (*names, "n", "this run, mean (SD)", "other", *numbers)


def test_no_two_columns_share_a_name() -> None:
    """A name is that of a column of a frame; each column of a table for people has a heading of its own."""
    assert len({column.name for column in columns.COLUMNS}) == len(columns.COLUMNS)
    for declared in (columns.reference_columns(), columns.other_run_columns()):
        assert len(set(columns.headings(declared))) == len(columns.headings(declared))


def test_a_column_may_be_in_files_only() -> None:
    """Without a heading nothing is printed, and a note of such a column still stands in the caption."""
    silent = Column("silent", PrintedColumn(note=lambda rows: f"{len(rows)} rows."))
    rows = pd.DataFrame({"silent": [1, 2]})
    assert ((), [(), ()], [], ["2 rows."]) == (
        columns.headings([silent]), columns.text_rows([silent], rows), columns.legends([silent]), columns.notes([silent], rows),
    )  # fmt: skip
