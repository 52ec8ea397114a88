"""The comparison in the layout of a paper: a row per (dataset, label, model), a column per technique, mean (SD) over participants.

A technique with several variants has one column all the same. Its variant is chosen for each participant by the mean over the other
participants (``analysis.statistics.variant_selection``), so the mean is not made larger by the choice. Techniques are tested on the windows that they
leave, so their means do not compare with the reference column's; under each stands its paired difference on the same windows, with the p that
the verdict is made of. ``best`` shows what papers often do instead, picking the variant by its mean on the test windows, and is labelled so.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.formatting import bullets, escape, int_range, mean_sd, metric_name, number, p_value, pipe_table
from analysis.report import latex as tex
from analysis.report.comparison_table import ON_THE_SAME_WINDOWS, SCORINGS
from analysis.scores.chance_levels import CHANCE_LEVELS, legend
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE
from analysis.statistics.outcome import BETTER, EQUIVALENT, WORSE

ORDER = (
    REFERENCE_TECHNIQUE,
    "fine_tuning",
    "hybrid",
    "cluster_specific",
    "multi_task",
    "user_dependent",
)  # the paper's, then its other approach
CHOSEN, OPTIMISTIC = "variant chosen by the other participants", "optimistic: best variant chosen on the test windows"
PARTS = ("n", "mean", "sd", "reference", "difference", "p", "outcome", "variants")
MARKS = {BETTER: "↑", WORSE: "↓", EQUIVALENT: "="}
MISSING = "-"


def _order(technique: str) -> tuple[int, str]:
    """The paper's techniques in the paper's order, others by name, the chance levels last."""
    if technique in ORDER:
        return ORDER.index(technique), ""
    return len(ORDER) + (technique in CHANCE_LEVELS), technique


def _column(variants: pd.DataFrame, chosen: pd.DataFrame, best: bool) -> dict[str, Any]:
    """``PARTS`` of one technique in one row of the table; a part that does not apply is absent."""
    values = {"n": 0, "variants": len(variants)}
    if chosen.empty:  # the reference technique and the chance levels
        variant = variants.iloc[0]
        return values | {"n": variant["n_participants"], "mean": variant["mean"], "sd": variant["sd"]}
    choice = chosen.iloc[0]
    if best:
        return values | {"n": choice["n_participants"], "mean": choice["best_mean"], "sd": choice["best_sd"]}
    tested = {
        "reference": choice["baseline_mean"],
        "difference": choice["difference"],
        "p": choice["p_adjusted"],
        "outcome": choice["outcome"],
    }
    return values | {"n": choice["n_participants"], "mean": choice["mean"], "sd": choice["sd"]} | tested


def build(comparison: pd.DataFrame, chosen: pd.DataFrame, best: bool = False) -> pd.DataFrame:
    """The table as numbers.

    Args:
        comparison: as ``analysis.compare`` makes it.
        chosen: as ``analysis.statistics.variant_selection.select_variants`` makes it, one row per (dataset, label, model, technique).
        best: the variant with the best mean on the test windows instead; no p and no markers then.

    Returns:
        one row per (dataset, label, model) with metric, scoring, choice (how a variant was chosen) and, for each technique T of any
        row, ``T n``, ``T mean``, ``T sd``, how many ``T variants`` it has, and of the choice ``T reference`` (the mean of non_personalized on the
        same windows), ``T difference``, ``T p`` (adjusted by Holm over the techniques) and ``T outcome``.

    Units:
        those of the comparison's metric; ``T n`` in participants.

    Source:
        the layout of the results table of Han et al. (2024); a variant is chosen by the other participants, docs/decisions/0019-verdict.md.
    """
    techniques = sorted(comparison["technique"].unique(), key=_order)
    rows_of_cells = []
    for names, cell in comparison.groupby(CELL, sort=True, observed=True):
        row = dict(zip(CELL, names, strict=True)) | {"metric": cell["metric"].iloc[0], "scoring": cell["scoring"].iloc[0]}
        row["choice"] = OPTIMISTIC if best else CHOSEN
        chosen_in_cell = chosen[(chosen[CELL] == list(names)).all(axis=1)] if len(chosen) else chosen
        for technique in cell["technique"].unique():
            choice = chosen_in_cell[chosen_in_cell["technique"].eq(technique)] if len(chosen_in_cell) else chosen_in_cell
            values = _column(cell[cell["technique"].eq(technique)], choice, best)
            row |= {f"{technique} {part}": value for part, value in values.items()}
        rows_of_cells.append(row)
    technique_columns = [f"{technique} {part}" for technique in techniques for part in PARTS]
    return pd.DataFrame(rows_of_cells, columns=[*CELL, "metric", "scoring", "choice", *technique_columns])


def _techniques(table: pd.DataFrame) -> list[str]:
    return [name.removesuffix(" mean") for name in table.columns if name.endswith(" mean")]


def _cell(row: "pd.Series[Any]", technique: str, n: int) -> tuple[str, list[str]]:
    """A cell: mean (SD) with its mark; under it the paired difference, p, and n if it is not the row's."""
    if pd.isna(row[f"{technique} mean"]):
        return MISSING, []
    n_technique, p, difference = int(row[f"{technique} n"]), row[f"{technique} p"], row[f"{technique} difference"]
    under = [] if pd.isna(difference) else [number(difference, sign=True)]
    under += [] if pd.isna(p) else [f"p={p_value(p)}".replace("=<", "<")]
    under += [f"n={n_technique}"] if n_technique != n else []
    mark = MARKS.get(str(row[f"{technique} outcome"]), "")
    return mean_sd(row[f"{technique} mean"], row[f"{technique} sd"]) + mark, under


def _lines(table: pd.DataFrame) -> Iterator[tuple[tuple[str, ...], list[tuple[str, list[str]]]]]:
    """Of each row its names with the largest n, and its cells."""
    for _, row in table.iterrows():
        counts = [row[f"{name} n"] for name in _techniques(table)]
        n = int(max(count for count in counts if pd.notna(count)))
        yield (*(str(row[name]) for name in CELL), str(n)), [_cell(row, name, n) for name in _techniques(table)]


def caption(table: pd.DataFrame) -> str:
    """Everything that a reader must know of the columns, the p and the arrows."""
    first, n = table.iloc[0], [int(names[-1]) for names, _ in _lines(table)]
    sentences = [
        f"{metric_name(first['metric'])}, mean (SD) over {int_range(n)} participants (n; at a cell where it is another); "
        f"scoring: {SCORINGS.get(first['scoring'], first['scoring'])}."
    ]
    if first["choice"] == OPTIMISTIC:
        sentences.append(
            "Optimistic: of several variants the best was chosen on the test windows, so its mean is too good. No p."
        )
    else:
        sentences += [
            "Where a technique has several variants, the variant was chosen for each participant by the mean over the other participants. Means "
            "of techniques are over the windows that they leave to test, and so not to be set beside that of non_personalized, which is over all; "
            f"under each stands its difference to non_personalized{ON_THE_SAME_WINDOWS.get(first['scoring'], '')}, paired over participants, with "
            "the p of the choice, two-sided, adjusted by Holm over the techniques of the row.",
            "↑ (↓): better (worse) than non_personalized by that p. =: equivalent, its mean difference is within the smallest effect of interest.",
        ]
    sentences.append("Scores of different participants share training data, which p takes into account.")
    return " ".join(filter(None, (*sentences, legend(_techniques(table)))))


def head(table: pd.DataFrame) -> list[str]:
    """The columns as printed."""
    return [*CELL, "n", *_techniques(table)]


def rows(table: pd.DataFrame, between: str = " ", within: str = ", ") -> list[list[str]]:
    """The rows as printed, in the order of ``head``; ``between`` mean and what stands under it, ``within`` what stands there."""
    return [
        [*names, *(between.join(filter(None, (over, within.join(under)))) for over, under in cells)]
        for names, cells in _lines(table)
    ]


def markdown(table: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """The table, its caption, the run's notes."""
    return "\n".join([*pipe_table(head(table), rows(table)), "", escape(caption(table)), "", *bullets(notes)]).rstrip() + "\n"


def latex(table: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """The table for \\input; what stands under a cell has a line of its own."""
    body: list[list[str]] = []
    for names, cells in _lines(table):
        body.append([*names, *(over for over, _ in cells)])
        if any(under for _, under in cells):
            body.append([*[""] * len(names), *(", ".join(under) for _, under in cells)])
    columns = [" ".join(name.split()).replace("_", "\n", 1).replace("_", " ") for name in head(table)]
    return tex.table(columns, body, left=len(CELL), caption=caption(table), label="paper-table", notes=notes)
