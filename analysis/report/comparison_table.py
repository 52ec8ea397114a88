"""The comparison as text, in the long form: every variant is a row. Markdown, LaTeX, and rows of strings for a terminal.

Headings, cells and the column's part of the caption come from ``analysis.statistics.columns``.
"""

from collections.abc import Sequence

import pandas as pd

from analysis.formatting import bullets, escape, int_range, interval, metric_name, number, pipe_table, without_empty
from analysis.report import latex as tex
from analysis.scores.chance_levels import TEXT_CEILING, legend
from analysis.scores.keys import CELL
from analysis.statistics import columns

SCORINGS = {
    "paired": "paired (both sides of a difference on the windows that the variant was tested on)",
    "published": "published (non_personalized on all windows, a variant on those that it did not train on)",
}
ON_THE_SAME_WINDOWS = {"paired": " on the same windows"}  # a clause of captions, where it is true
NAME_COLUMNS = 2  # technique and variant


def title(names: object) -> str:
    """``wesad / stress / fcn``: how a table calls its (dataset, label, model)."""
    return " / ".join(map(str, names)) if isinstance(names, tuple) else str(names)


def headings() -> tuple[str, ...]:
    """The head of the table."""
    return columns.headings(columns.reference_columns())


def rows(part: pd.DataFrame) -> list[tuple[str, ...]]:
    """The rows of one (dataset, label, model) as printed, in the order of ``headings``."""
    return columns.text_rows(columns.reference_columns(), part)


def shown(part: pd.DataFrame, narrow: bool = False) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows as a page and a terminal show them, ``narrow`` for 80 columns; where nothing was tested, without the columns of the tests."""
    head, lines = (NARROW_HEADINGS, narrow_rows(part)) if narrow else (headings(), rows(part))
    return without_empty(head, lines) if part["p"].isna().all() else (head, tuple(lines))


NARROW_HEADINGS = ("variant", "mean", "ref.", "diff.", "95% interval", "p Holm", "outcome")


def narrow_rows(part: pd.DataFrame) -> list[tuple[str, ...]]:
    """The rows for 80 columns, in the order of ``NARROW_HEADINGS``: a technique's variants are indented under its name."""
    lines: list[tuple[str, ...]] = []
    for technique, variants in part.groupby("technique", sort=False):
        records = variants.to_dict("records")
        alone = len(records) == 1 and records[0]["variant"] == "-"
        if not alone:
            lines.append((str(technique), *[""] * (len(NARROW_HEADINGS) - 1)))
        for row in records:
            numbers = (number(row["mean"]), number(row["baseline_mean"]), number(row["difference"], sign=True))
            outcome = "" if pd.isna(row["outcome"]) else str(row["outcome"])
            name = str(technique) if alone else "\n".join(f"  {word}" for word in str(row["variant"]).split(" "))
            lines.append((name, *numbers, interval(row["ci_low"], row["ci_high"]), columns.adjusted_p(row), outcome))
    return lines


def caption(part: pd.DataFrame) -> str:
    """Everything that a reader must know of the numbers: metric, n, scoring, pairing, test, family, and its limits."""
    tested = part.dropna(subset=["p"])
    first = part.iloc[0]
    sentences = [
        f"{metric_name(first['metric'])}, mean (SD) over {int_range(part['n_participants'])} participants; "
        f"scoring: {SCORINGS.get(first['scoring'], first['scoring'])}."
    ]
    if part["technique"].eq(TEXT_CEILING).any():
        sentences.append(
            f"{TEXT_CEILING}: an oracle that knows how often each transcript has each class among these very windows; over all of them together no "
            "model of the transcript alone is more often right, or has a higher unweighted average recall."
        )
    if tested.empty:
        return f"{' '.join(sentences)} No variant to test against non_personalized."
    declared = columns.reference_columns()
    sentences += [
        f"Difference to non_personalized{ON_THE_SAME_WINDOWS.get(first['scoring'], '')}, paired over participants; "
        f"{' or '.join(tested['test'].unique())}, "
        f"two-sided, Holm over the family of {int(tested['family_size'].iloc[0])} variants of this dataset, label and model; "
        f"{'; '.join(columns.legends(declared))}.",
        *columns.notes(declared, part),
    ]
    return " ".join(sentences)


def markdown(comparison: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """A table per (dataset, label, model), each with its caption, then what rows without a signal are, and the run's notes."""
    lines: list[str] = []
    for names, part in comparison.groupby(CELL, sort=True):
        lines += [f"### {escape(title(names))}", "", *pipe_table(headings(), rows(part)), "", escape(caption(part)), ""]
    return "\n".join([*lines, *bullets(filter(None, (legend(comparison["technique"]), *notes)))]).rstrip() + "\n"


def latex(comparison: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """The same tables for \\input, the run's notes under each."""
    tables = []
    for names, part in comparison.groupby(CELL, sort=True):
        text, label = f"{title(names)}: {caption(part)}", f"comparison-{title(names)}"
        tables.append(tex.table(headings(), rows(part), left=NAME_COLUMNS, caption=text, label=label, notes=notes))
    return "\n".join(tables)


def one_column_per_metric(frame: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """A row per variant and a column per metric, both in their first order.

    Args:
        frame: technique, variant and metric of each row.
        texts: the text of its cell, one for each row.
    """
    named = frame.assign(text=texts, metric=frame["metric"].map(metric_name))
    wide = named.pivot(index=["technique", "variant"], columns="metric", values="text")
    order = named[["technique", "variant"]].drop_duplicates().itertuples(index=False, name=None)
    return wide.loc[list(order), list(named["metric"].unique())].rename_axis(columns=None).reset_index()
