"""``python -m benchmarks.normalizations RUN WINDOWS``: the tables of docs/results/baselines.md from a run over several normalizations of a dataset.

A run compares what a study calls by several names only if they are the same windows. Here entries are the same recordings, normalized in several
ways: of some the first minutes give no windows, so the same window has another number. Numbers are therefore replaced by those of the
entry that has the most windows, by participant, segment and start; then ``analysis.compare_models`` tests the entries on the windows that all have.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

import analysis
from analysis.formatting import interval, mean_sd, number, p_value, pipe_table
from analysis.scores.keys import REFERENCE_TECHNIQUE
from analysis.scores.run_folder import RunTables
from analysis.statistics.model_comparison import compare_models
from raylab.files import Folder
from raylab.windows.dataset import WindowIndex, read_index

PLACE = ["participant", "segment", "start_s"]


def _places(index: WindowIndex) -> pd.DataFrame:
    """Where each window lies: one row per window of an entry."""
    people = [index.participants[i] for i in index.participant_index]
    return pd.DataFrame({"participant": people, "segment": index.segment, "start_s": index.start_s, "window": index.window})


def with_shared_numbers(tables: RunTables, indexes: dict[str, WindowIndex]) -> RunTables:
    """The run with one number for the same stretch of a recording in all entries, and one source for all of them.

    Args:
        indexes: entry to the index of its windows; entries that are not named are left out.
    """
    places = {name: _places(index) for name, index in indexes.items()}
    reference = max(places.values(), key=len)
    trials = tables.trials[tables.trials["dataset"].isin(indexes)]
    entry_of = dict(zip(trials["trial"], trials["dataset"].astype(str), strict=True))
    parts = []
    for name, rows in tables.predictions.groupby(tables.predictions["trial"].map(entry_of), sort=False):
        shared = places[str(name)].merge(reference, on=PLACE, suffixes=("", "_shared"), validate="one_to_one")
        number_of = dict(zip(shared["window"], shared["window_shared"], strict=True))
        parts.append(rows.assign(window=rows["window"].map(number_of)))
    predictions = pd.concat(parts, ignore_index=True)
    if predictions["window"].isna().any():
        raise SystemExit("an entry has windows that the largest one lacks: they are no normalizations of the same recordings")
    predictions["window"] = predictions["window"].astype("int64")
    plan = tables.plan[tables.plan["dataset"].isin(indexes)]
    return replace(
        tables, plan=plan, trials=trials, predictions=predictions, sources=dict.fromkeys(indexes, reference_name(indexes))
    )


def reference_name(indexes: dict[str, WindowIndex]) -> str:
    """The name of the dataset that all entries are of."""
    return next(iter(indexes.values())).name


def scores_table(tables: RunTables, label: str) -> list[str]:
    """Models by entries: mean (SD) over participants, the smallest and their number, each entry on its own windows."""
    scores = analysis.score(tables)
    scores = scores[scores["technique"].eq(REFERENCE_TECHNIQUE) & scores["label"].eq(label)]
    entries, models = (
        list(dict.fromkeys(tables.plan["dataset"].astype(str))),
        list(dict.fromkeys(tables.plan["model"].astype(str))),
    )
    entries = [name for name in entries if scores["dataset"].eq(name).any()]
    by_person = scores.groupby(["model", "dataset", "participant"], observed=True)["auroc"].mean().reset_index()
    rows = []
    for model in models:
        of_model = by_person[by_person["model"].eq(model)]
        cells = [of_model.loc[of_model["dataset"].eq(name), "auroc"] for name in entries]
        rows.append([model, *map(_cell, cells)])
    return pipe_table(["model", *entries], rows)


def _cell(scores: "pd.Series[float]") -> str:
    """Mean (SD), smallest, and how many participants; ``not run`` if there is none."""
    return (
        f"{mean_sd(scores.mean(), scores.std(ddof=1))}, {number(scores.min(), 2)}, n {len(scores)}"
        if len(scores)
        else "not run"
    )


def _tested(compared: pd.DataFrame, key: str) -> Iterator[list[str]]:
    for row in compared.to_dict("records"):
        yield [
            str(row[key]), str(row["compared"]), str(row["reference"]), number(row["difference"], sign=True),
            interval(row["ci_low"], row["ci_high"]), p_value(row["p_adjusted"]), str(row["outcome"]),
        ]  # fmt: skip


def main() -> None:
    """Print the tables of every label of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("windows", help="folder that the study's windows are in")
    given = parser.parse_args()
    tables = analysis.load(given.run)
    indexes = {name: read_index(Folder(f"{given.windows}/{source}")) for name, source in tables.sources.items()}
    shared = with_shared_numbers(tables, {name: index for name, index in indexes.items() if not index.card.probes})
    head = ["compared", "reference", "difference", "95% interval", "p Holm", "outcome"]
    models, entries = compare_models(tables), compare_models(shared)
    for label in dict.fromkeys(tables.plan["label"].astype(str)):
        lines = [f"## {label}", "", *scores_table(tables, label)]
        tested = entries[entries["by"].eq("dataset") & entries["label"].eq(label)]
        lines += [
            "",
            "Normalizations, on the windows that all share:",
            "",
            *pipe_table(["model", *head], _tested(tested, "model")),
        ]
        tested = models[models["by"].eq("model") & models["label"].eq(label)]
        lines += ["", "Models:", "", *pipe_table(["windows", *head], _tested(tested, "dataset")), ""]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
