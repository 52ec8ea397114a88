"""The columns of the comparison, each declared once: how it is computed, stored, printed and explained.

``compare`` and ``compare_runs`` compute them; csv files, the terminal, Markdown, LaTeX and report.html show them. A new statistic of the
paired differences is one entry in ``COLUMNS`` and the function that computes it.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from analysis.arrays import Floats
from analysis.formatting import interval, mean_sd, n_with_missing, number, p_value
from analysis.scores.keys import CELL
from analysis.statistics.outcome import outcome_text
from analysis.statistics.paired_tests import is_lopsided, rank_biserial, share_of_gainers, share_of_losers

LOPSIDED_MARK = "°"
NAMES_FIRST, MEAN_FIRST, N_NEXT, NUMBERS = range(4)

Row = Mapping[Hashable, Any]
ComparedWith = Literal["reference", "other run"]


@dataclass(frozen=True)
class PrintedColumn:
    """A column as printed tables show it.

    Attributes:
        heading: empty for a column that only csv files have.
        text: of its cell, from a row of the comparison.
        legend: a clause of the caption, the meaning of the heading.
        note: of all rows of a table a sentence of the caption; empty if there is nothing to say.
        place: columns are printed by place, those of equal place in the order of their declaration.
    """

    heading: str = ""
    text: Callable[[Row], str] = lambda row: ""
    legend: str = ""
    note: Callable[[pd.DataFrame], str] = lambda rows: ""
    place: int = NUMBERS


CSV_ONLY = PrintedColumn()


@dataclass(frozen=True)
class Column:
    """A column of the comparison.

    Attributes:
        name: in frames and csv files.
        printed: in printed tables. ``printed_beside_run``: in the table of this run and another, if it differs there.
        statistic: computes it from the paired differences (n,), n > 0; a column without one is computed by ``compare`` itself.
        compared_with: which comparisons have it: that with the reference technique, that with another run.
        is_count: a whole number, 0 if it is missing.
        of_test: belongs to the test, and is left out of comparisons that are not the verdict's.
    """

    name: str
    printed: PrintedColumn = CSV_ONLY
    printed_beside_run: PrintedColumn | None = None
    statistic: Callable[[Floats], float] | None = None
    compared_with: tuple[ComparedWith, ...] = ("reference", "other run")
    is_count: bool = False
    of_test: bool = False


def printed_name(name: str, heading: str = "") -> PrintedColumn:
    """A column of names, printed as they are."""
    return PrintedColumn(heading or name, lambda row: str(row[name]), place=NAMES_FIRST)


def printed_difference(name: str, heading: str = "", digits: int = 3, legend: str = "") -> PrintedColumn:
    """A column of differences, printed with their sign."""
    return PrintedColumn(heading or name, lambda row: number(row[name], digits, sign=True), legend)


def _mean_sd(row: Row) -> str:
    return mean_sd(row["mean"], row["sd"])


def _interval(row: Row) -> str:
    return interval(row["ci_low"], row["ci_high"])


def adjusted_p(row: Row) -> str:
    """Holm's p, marked if the test is not known to hold its level."""
    return p_value(row["p_adjusted"]) + (LOPSIDED_MARK if row["lopsided"] is True else "")


def _missing_note(rows: pd.DataFrame) -> str:
    n_dropped = int(rows["n_missing"].sum())
    return f"Scores missing on one side were dropped pairwise: {n_dropped}, counted under n." if n_dropped else ""


def _missing_in_runs_note(rows: pd.DataFrame) -> str:
    n_dropped = int(rows["n_missing"].sum())
    sentence = "scores that stand in one run only, or in none, were dropped pairwise and counted under n."
    return f"{n_dropped} {sentence}" if n_dropped else ""


def _other_windows_note(rows: pd.DataFrame) -> str:
    n_rows = int(rows["n_other_windows"].gt(0).sum())
    sentence = "some participants were tested on another number of windows in the other run."
    return f"In {n_rows} of {len(rows)} rows {sentence}" if n_rows else ""


def lopsided_note(rows: pd.DataFrame) -> str:
    """A sentence if differences are of a kind for which the test is not known to hold its level."""
    n_rows = int(rows["lopsided"].eq(True).sum())
    if not n_rows:
        return ""
    return (
        f"{LOPSIDED_MARK}: nearly all differences are 0, or a few participants make the mean, at times against the direction of most; no test of "
        f"such differences of few participants holds 5% (docs/error_rates.md), {n_rows} of {int(rows['lopsided'].notna().sum())} rows."
    )


def _inflation_note(rows: pd.DataFrame) -> str:
    """How dependent the scores are, and how that is known."""
    tested = rows.dropna(subset=["inflation"])
    if tested.empty:
        return ""
    sources = []
    for source, part in tested.groupby("inflation_source", sort=True):
        low, high = part["inflation"].min(), part["inflation"].max()
        sources.append(f"{low:.2f}{f' to {high:.2f}' if high - low >= 0.005 else ''} ({source})")
    return f"Participants' scores share training data, so the variance of a mean difference is taken as s^2 / n times {', '.join(sources)}."


def _seeds_note(rows: pd.DataFrame) -> str:
    """Whether the spread between seeds is known."""
    counts = rows["n_seeds"].dropna()
    if counts.empty or counts.max() > 1:
        return ""
    return "One seed: how much these numbers change with other random draws of the training is not known."


OUTCOME_LEGEND = (
    "outcome: better or worse by p Holm; equivalent: 90% interval within the smallest effect of interest; undecided (detects: the difference found "
    "in four of five repetitions)"
)
N_PRINTED = PrintedColumn("n", lambda row: n_with_missing(row["n_participants"], row["n_missing"]), place=N_NEXT)

COLUMNS: tuple[Column, ...] = (
    *(
        Column(name, printed_beside_run=printed_name(name)) for name in CELL
    ),  # a table of variants is of one (dataset, label, model)
    Column("technique", printed_name("technique")),
    Column("variant", printed_name("variant")),
    Column("metric"),
    Column("scoring"),
    Column("n_participants", N_PRINTED, is_count=True),
    Column("n_missing", PrintedColumn(note=_missing_note), PrintedColumn(note=_missing_in_runs_note), is_count=True),
    Column("n_seeds", PrintedColumn(note=_seeds_note), compared_with=("reference",)),
    Column("n_other_windows", PrintedColumn(note=_other_windows_note), compared_with=("other run",)),
    Column("mean", PrintedColumn("mean (SD)", _mean_sd, place=MEAN_FIRST), PrintedColumn("this run, mean (SD)", _mean_sd)),
    Column("sd"),
    Column(
        "seed_sd",
        PrintedColumn(
            "SD seeds", lambda row: number(row["seed_sd"]), "SD seeds: between seeds within participants", place=MEAN_FIRST
        ),
        compared_with=("reference",),
    ),
    Column(
        "baseline_mean",
        PrintedColumn(
            "reference",
            lambda row: number(row["baseline_mean"]),
            "reference: the mean of non_personalized that the difference is to",
            place=MEAN_FIRST,
        ),
        compared_with=("reference",),
    ),
    Column("other_mean", PrintedColumn("other", lambda row: number(row["other_mean"])), compared_with=("other run",)),
    Column("difference", printed_difference("difference"), statistic=lambda d: float(d.mean())),
    Column(
        "ci_low",
        PrintedColumn("95% interval", _interval, "95% interval: of the same test as p, not adjusted for the family"),
        PrintedColumn(
            "95% interval",
            _interval,
            "95% interval: of the mean difference, of the same test as p, not adjusted for the family",
        ),
    ),
    Column("ci_high"),
    Column("inner_low"),
    Column("inner_high"),
    Column(
        "effect_size",
        printed_difference("effect_size", "effect", digits=2, legend="effect: paired rank-biserial"),
        statistic=rank_biserial,
        of_test=True,
    ),
    Column("gainers", statistic=share_of_gainers, of_test=True),
    Column("losers", statistic=share_of_losers, of_test=True),
    Column("lopsided", PrintedColumn(note=lopsided_note), statistic=is_lopsided, of_test=True),
    Column("inflation", PrintedColumn(note=_inflation_note), of_test=True),
    Column("inflation_source", of_test=True),
    Column("p", PrintedColumn("p", lambda row: p_value(row["p"])), of_test=True),
    Column("p_adjusted", PrintedColumn("p Holm", adjusted_p), of_test=True),
    Column("detectable", of_test=True),
    Column("outcome", PrintedColumn("outcome", outcome_text, OUTCOME_LEGEND), of_test=True),
    Column("test", of_test=True),
    Column("family", of_test=True),
    Column("family_size", is_count=True, of_test=True),
)


def reference_columns() -> list[Column]:
    """The columns of the comparison of variants with the reference technique (comparison.csv)."""
    return [column for column in COLUMNS if "reference" in column.compared_with]


def other_run_columns() -> list[Column]:
    """The columns of the comparison with another run (``--against RUN``)."""
    return [
        replace(column, printed=column.printed_beside_run or column.printed)
        for column in COLUMNS
        if "other run" in column.compared_with
    ]


def names(columns: Sequence[Column]) -> list[str]:
    """The columns as csv files have them."""
    return [column.name for column in columns]


def _printed(columns: Sequence[Column]) -> list[PrintedColumn]:
    return sorted((column.printed for column in columns if column.printed.heading), key=lambda printed: printed.place)


def headings(columns: Sequence[Column]) -> tuple[str, ...]:
    """The head of a printed table."""
    return tuple(printed.heading for printed in _printed(columns))


def text_rows(columns: Sequence[Column], rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """The rows of a printed table, in the order of ``headings``."""
    return [tuple(printed.text(row) for printed in _printed(columns)) for row in rows.to_dict("records")]


def legends(columns: Sequence[Column]) -> list[str]:
    """Clauses of the caption: what the headings mean."""
    return [column.printed.legend for column in columns if column.printed.legend]


def notes(columns: Sequence[Column], rows: pd.DataFrame) -> list[str]:
    """Sentences of the caption that these rows need."""
    return [sentence for column in columns if (sentence := column.printed.note(rows))]
