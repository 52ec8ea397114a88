"""``python -m benchmarks.page_tables REPORT [--scores FILE.csv]``: the tables of the pages in docs/results from the csv files of a report.

Models without personalization against the reference model, techniques against their own model, each with its order-balanced score beside it.
``--scores`` keeps every trial's scores, so that a page's means can be computed again without its run.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.formatting import interval, mean_sd, n_with_missing, number, p_value, pipe_table
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import REFERENCE_TECHNIQUE

CELL = ["dataset", "label", "model", "technique", "variant"]


def _order(report: Path) -> pd.DataFrame:
    """Both halves of each cell and the balanced score; empty where no order is known."""
    path = report / "order.csv"
    if path.exists() and path.read_text(encoding="utf-8").strip():
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    return pd.DataFrame(columns=[*CELL, "later", "earlier", "balanced", "difference_balanced"])


def _by(rows: pd.DataFrame, key: list[str]) -> dict[tuple[object, ...], dict[Any, Any]]:
    return {tuple(row[name] for name in key): row for row in rows.to_dict("records")}


def _halves(row: dict[Any, Any] | None) -> list[str]:
    if row is None:
        return ["-", "-"]
    later, earlier = number(row["later"]), number(row["earlier"])
    return [f"{later or '-'} / {earlier or '-'}", number(row["balanced"]) or "-"]


def models_table(report: Path) -> list[str]:
    """Models without personalization: mean (SD) over participants, smallest, both halves, and the test against the reference model."""
    scores = pd.read_csv(report / "scores.csv", keep_default_na=False, na_values=[""], low_memory=False)
    scores = scores[scores["technique"].eq(REFERENCE_TECHNIQUE) & scores["against"].isna()]
    tested = pd.read_csv(report / "model_comparison.csv")
    tests = _by(tested[tested["by"].eq("model")], ["dataset", "label", "compared"])
    order = _order(report)
    halves = _by(order[order["technique"].eq(REFERENCE_TECHNIQUE)], ["dataset", "label", "model"])
    metric = str(pd.read_csv(report / "comparison.csv")["metric"].iloc[0])
    people = scores.groupby(["dataset", "label", "model", "participant"], sort=False)[metric].mean().reset_index()
    rows = []
    for (dataset, label, model), rows_of in people.groupby(["dataset", "label", "model"], sort=False):
        cell, values_of = (dataset, label, model), rows_of[metric]
        shown = [mean_sd(values_of.mean(), values_of.std(ddof=1)), number(values_of.min(), 2)]
        values = [*map(str, cell), *shown, *_halves(halves.get(cell))]
        if test := tests.get(cell):
            values += [f"{number(test['difference'], sign=True)} {interval(test['ci_low'], test['ci_high'])}"]
            values += [p_value(test["p_adjusted"]), str(test["outcome"])]
        else:
            values += ["", "", "reference"]
        rows.append(values)
    head = ["dataset", "label", "model", "mean (SD)", "smallest", "class later / earlier", "order-balanced"]
    return pipe_table([*head, "difference, 95%", "p Holm", "outcome"], rows)


def compared_values(row: dict[Any, Any]) -> list[str]:
    """Cells of one row of ``analysis.compare``, as the techniques' table prints them: mean (SD) to gainers and losers."""
    return [
        mean_sd(row["mean"], row["sd"]), n_with_missing(row["n_participants"], row["n_missing"]),
        f"{number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}", p_value(row["p_adjusted"]),
        str(row["outcome"]), f"{row['gainers']:.0%} / {row['losers']:.0%}",
    ]  # fmt: skip


def techniques_table(report: Path) -> list[str]:
    """Techniques: the difference to their own model without them on the same windows, who gained and lost, and the order-balanced difference."""
    compared = pd.read_csv(report / "comparison.csv", keep_default_na=False, na_values=[""])
    order = _by(_order(report), CELL)

    def rows() -> Iterator[list[str]]:
        for row in compared[compared["difference"].notna()].to_dict("records"):
            key = tuple(row[name] for name in CELL)
            balanced = order.get(key, {}).get("difference_balanced", float("nan"))
            yield [*map(str, key), *compared_values(row), number(balanced, sign=True) or "-"]

    head = [*CELL, "mean (SD)", "n", "difference, 95%", "p Holm", "outcome", "gain / lose", "difference, order-balanced"]
    return pipe_table(head, rows())


def publish_scores(report: Path, file: Path) -> None:
    """Write what the techniques' table is computed from: each trial's score and, as ``NAME.inflations.csv`` beside it, the variants' inflation.

    ``analysis.compare(scores, metric, inflations)`` makes the table's numbers of the two files; scores are not rounded,
    since a rounded one may turn a difference of 0 into a gain.
    """
    scores = pd.read_csv(report / "scores.csv", keep_default_na=False, na_values=[""], low_memory=False)
    metric = str(pd.read_csv(report / "comparison.csv")["metric"].iloc[0])
    kept = scores.loc[~scores["technique"].isin(CHANCE_LEVELS), [*CELL, "participant", "seed", "against", metric]]
    file.parent.mkdir(parents=True, exist_ok=True)
    kept.to_csv(file, index=False, lineterminator="\n")
    inflations = pd.read_csv(report / "inflation.csv", keep_default_na=False)
    inflations.to_csv(file.with_suffix(".inflations.csv"), index=False, lineterminator="\n")


def main() -> None:
    """Print both tables; write the scores if they are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="folder that raylab report wrote")
    parser.add_argument("--scores", type=Path, help="file that every trial's score is written to")
    given = parser.parse_args()
    if given.scores:
        publish_scores(given.report, given.scores)
    sys.stdout.write("\n".join([*models_table(given.report), "", *techniques_table(given.report), ""]))


if __name__ == "__main__":
    main()
