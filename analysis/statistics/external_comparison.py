"""A run beside something else: a published table of means, or another run, paired over participants."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.constants import INTERVAL_QUANTILES
from analysis.errors import AnalysisError
from analysis.formatting import interval, mean_sd
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, VARIANT
from analysis.statistics import columns
from analysis.statistics.columns import Column, PrintedColumn, Row, printed_difference, printed_name
from analysis.statistics.comparison import adjust_family, paired_statistics
from analysis.statistics.dependence import BOUND, retrained_bound

PUBLISHED_TABLES = {"han2024": Path(__file__).parents[1] / "published" / "han2024_auroc.csv"}


def _paper_mean(row: Row) -> str:
    marker = f" {row['paper_marker']}" if row["paper_marker"] else ""
    return f"{mean_sd(row['paper_mean'], row['paper_sd'])}{marker}"


def _covered(row: Row) -> str:
    return "" if pd.isna(row["covered"]) else "yes" if row["covered"] else "no"


PUBLISHED_COLUMNS = (
    *(Column(name, printed_name(name)) for name in [*CELL, "technique"]),
    Column("column", printed_name("column", "our column")),
    Column("n_participants", printed_name("n_participants", "n")),
    Column("mean", PrintedColumn("ours, mean (SD)", lambda row: mean_sd(row["mean"], row["sd"]))),
    Column("sd"),
    Column("ci_low", PrintedColumn("95% interval", lambda row: interval(row["ci_low"], row["ci_high"], sign=False))),
    Column("ci_high"),
    Column("interval"),
    Column("paper_mean", PrintedColumn("paper, mean (SD)", _paper_mean)),
    Column("paper_sd"),
    Column("paper_marker"),
    Column("difference", printed_difference("difference")),
    Column("covered", PrintedColumn("covered", _covered)),
    Column("note", PrintedColumn("note", lambda row: str(row["note"]))),
)


def t_interval(mean: float, sd: float, n: int) -> tuple[float, float]:
    """95% interval of a mean over n participants by Student's t; missing under two. It may pass 1, which an AUROC cannot."""
    if n < 2 or np.isnan(sd):
        return float("nan"), float("nan")
    half = float(stats.t.ppf(INTERVAL_QUANTILES[1], n - 1) * sd / np.sqrt(n))
    return mean - half, mean + half


def _one_column_per_technique(comparison: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Ours, one row per (dataset, label, model, technique): the only variant, or the chosen one of several."""
    several = comparison.groupby([*CELL, "technique"])["variant"].transform("size") > 1
    single = comparison[~several & ~comparison["technique"].isin(CHANCE_LEVELS)].assign(column="its only variant")
    selected = chosen.assign(column="variant chosen by the other participants") if len(chosen) else chosen
    keys = [*CELL, "technique"]
    single_keys = pd.MultiIndex.from_frame(single[keys])
    selected = selected[~pd.MultiIndex.from_frame(selected[keys]).isin(single_keys)] if len(selected) else selected
    names = [*keys, "column", "n_participants", "mean", "sd"]
    return pd.concat([frame[names] for frame in (single, selected) if len(frame)], ignore_index=True)


def _departures(dataset: str, model: str) -> str:
    """Departures from the paper's input and models that our names show: normalization, number of participants, fusion, width."""
    departures = [f"data: {mark}" for mark in re.findall(r"\(([^)]*)\)$", dataset)]
    for part in model.split()[1:]:
        departures.append(
            f"width {part[1:]} of the paper's" if re.fullmatch(r"w[\d.]+", part) else f"{part} fusion, the paper's is late"
        )
    return "; ".join(departures)


def compare_with_published(comparison: pd.DataFrame, chosen: pd.DataFrame, name: str) -> pd.DataFrame:
    """Our means beside a published table's, matched on dataset, label, encoder and technique.

    Args:
        chosen: as ``analysis.statistics.variant_selection.select_variants`` makes it: our column if a technique has several variants.
        name: of ``PUBLISHED_TABLES``.

    Returns:
        one row per cell that both have. ``ci_low`` and ``ci_high`` are a t interval of our mean over participants; ``covered`` says whether
        it holds the paper's mean, which has an uncertainty of its own that is not in it.

    Raises:
        AnalysisError: if the metric is another, or nothing matches.
    """
    metric = str(comparison["metric"].iloc[0])
    if metric != "auroc":
        raise AnalysisError(f"the table {name} holds AUROC and the comparison {metric}; use --metric auroc")
    paper = pd.read_csv(PUBLISHED_TABLES[name], keep_default_na=False)
    paper_rows = {tuple(row[[*CELL, "technique"]]): row for _, row in paper.iterrows()}
    rows = []
    for _, run_row in _one_column_per_technique(comparison, chosen).iterrows():
        base, encoder = re.sub(r" \([^)]*\)$", "", run_row["dataset"]), run_row["model"].split()[0]
        paper_row = paper_rows.get((base, run_row["label"], encoder, run_row["technique"]))
        if paper_row is not None:
            rows.append(_published_row(run_row, paper_row))
    if not rows:
        datasets = ", ".join(sorted(set(paper["dataset"] + " " + paper["label"])))
        models = ", ".join(sorted(set(paper["model"])))
        here = ", ".join(sorted({" / ".join(map(str, cell)) for cell in zip(*(comparison[c] for c in CELL), strict=True)}))
        raise AnalysisError(
            f"nothing in this run ({here}) stands in the table {name}, which holds {datasets}, with {models}; name the dataset as there"
        )
    return pd.DataFrame(rows, columns=columns.names(PUBLISHED_COLUMNS))


def _published_row(run_row: "pd.Series[Any]", paper: "pd.Series[Any]") -> dict[str, Any]:
    low, high = t_interval(run_row["mean"], run_row["sd"], int(run_row["n_participants"]))
    return dict(run_row) | {
        "ci_low": low,
        "ci_high": high,
        "interval": "t",
        "paper_mean": paper["auroc_mean"],
        "paper_sd": paper["auroc_sd"],
        "paper_marker": paper["marker"],
        "difference": run_row["mean"] - paper["auroc_mean"],
        "covered": bool(low <= paper["auroc_mean"] <= high) if not np.isnan(low) else None,
        "note": _departures(run_row["dataset"], run_row["model"]),
    }


def _variant_means(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over seeds on a variant's own windows, and how many those are: index ``VARIANT`` and participant."""
    trained = scores[~scores["technique"].isin(CHANCE_LEVELS)]
    own_windows = trained[trained["against"].eq("")] if "against" in trained else trained
    return own_windows.groupby([*VARIANT, "participant"], observed=True).agg(score=(metric, "mean"), n_test=("n_test", "mean"))


def compare_runs(scores: pd.DataFrame, other_scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """This run minus another, paired over the participants of both, for every variant that both have.

    t as in the verdict, with the bound for models that are trained anew; Holm over all variants of one
    (dataset, label, model) that both have.

    Returns:
        one row per variant; ``n_missing`` participants had a score in one run only (or none) and were dropped; ``n_other_windows`` were tested on
        another number of windows there.

    Raises:
        AnalysisError: if no variant is in both, or no participant.
    """
    means, other_means = _variant_means(scores, metric), _variant_means(other_scores, metric)
    _refuse_disjoint_runs(means, other_means)
    joined = means.join(other_means, how="outer", lsuffix="", rsuffix="_other")
    rows = []
    scoring = str(scores["scoring"].iloc[0])
    for names, cell in joined.groupby(CELL, sort=True, observed=True):
        parts = {v: part for v, part in cell.groupby(["technique", "variant"], sort=False, observed=True) if _in_both(part)}
        tests = [{"technique": t, "variant": v, **_difference(part)} for (t, v), part in parts.items()]
        shared = dict(zip(CELL, names, strict=True)) | {"metric": metric, "scoring": scoring}
        rows += [shared | row for row in adjust_family(tests, " / ".join(map(str, names)), metric)]
    return pd.DataFrame(rows, columns=columns.names(columns.other_run_columns()))


def _in_both(part: pd.DataFrame) -> bool:
    return bool(part[["score", "score_other"]].notna().all(axis=1).any())


def _refuse_disjoint_runs(means: pd.DataFrame, other_means: pd.DataFrame) -> None:
    """An error that names the content of each run if they share no variant or no participant."""
    variants, other_variants = (set(frame.reset_index("participant").index) for frame in (means, other_means))
    both = (variants, other_variants)
    if not variants & other_variants:
        cells = [", ".join(sorted({" / ".join(map(str, variant[:3])) for variant in side})) or "nothing" for side in both]
        same = cells[0] == cells[1]
        names = [", ".join(sorted({f"{v[3]} {v[4]}" for v in side})) for side in both] if same else cells
        raise AnalysisError(f"the two runs share no variant: this one has {names[0]}; the other has {names[1]}")
    if not set(means["score"].dropna().index) & set(other_means["score"].dropna().index):
        raise AnalysisError("the two runs share variants but no participant with a score in both: there is nothing to pair")


def _difference(part: pd.DataFrame) -> dict[str, Any]:
    """One variant over the participants that both runs scored."""
    both = part.dropna(subset=["score", "score_other"])
    d = (both["score"] - both["score_other"]).to_numpy(dtype=np.float64)
    return {
        "n_participants": len(both),
        "n_missing": len(part) - len(both),
        "n_other_windows": int((both["n_test"] != both["n_test_other"]).sum()),
        "mean": both["score"].mean(),
        "sd": both["score"].std(ddof=1),
        "other_mean": both["score_other"].mean(),
        **paired_statistics(d, (retrained_bound(len(d)), BOUND)),
    }
