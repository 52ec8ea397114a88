"""A run beside something else: a published table of means, or another run, paired over participants."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.errors import AnalysisError
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.scores import CELL
from analysis.statistics.comparison import paired_tests
from analysis.statistics.paired_tests import holm

PUBLISHED_TABLES = {"han2024": Path(__file__).parents[1] / "published" / "han2024_auroc.csv"}
VARIANT = [*CELL, "technique", "variant"]
PUBLISHED_COLUMNS = [
    *CELL, "technique", "column", "n_participants", "mean", "sd", "ci_low", "ci_high", "interval", "paper_mean", "paper_sd",
    "paper_marker", "difference", "covered", "note",
]  # fmt: skip
RUNS_COLUMNS = [
    *VARIANT, "metric", "scoring", "n_participants", "n_missing", "n_nonzero", "n_other_windows", "mean", "sd", "other_mean", "difference",
    "ci_low", "ci_high", "effect_size", "p", "p_adjusted", "least_p", "test", "family", "family_size",
]  # fmt: skip


def t_interval(mean: float, sd: float, n: int) -> tuple[float, float]:
    """95% interval of a mean over n participants by Student's t; missing under two. It may pass 1, which an AUROC cannot."""
    if n < 2 or np.isnan(sd):
        return float("nan"), float("nan")
    half = float(stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n))
    return mean - half, mean + half


def _columns(comparison: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Ours, one row per (dataset, label, model, technique): the only variant, or the chosen one of several."""
    several = comparison.groupby([*CELL, "technique"])["variant"].transform("size") > 1
    only = comparison[~several & ~comparison["technique"].isin(CHANCE_LEVELS)].assign(column="its only variant")
    picked = chosen.assign(column="variant chosen by the other participants") if len(chosen) else chosen
    keys = [*CELL, "technique"]
    taken = pd.MultiIndex.from_frame(only[keys])
    picked = picked[~pd.MultiIndex.from_frame(picked[keys]).isin(taken)] if len(picked) else picked
    names = [*keys, "column", "n_participants", "mean", "sd"]
    return pd.concat([frame[names] for frame in (only, picked) if len(frame)], ignore_index=True)


def _departures(dataset: str, model: str) -> str:
    """What our names say that departs from the paper's input and models: normalization, number of people, fusion, width."""
    said = [f"data: {mark}" for mark in re.findall(r"\(([^)]*)\)$", dataset)]
    for part in model.split()[1:]:
        said.append(
            f"width {part[1:]} of the paper's" if re.fullmatch(r"w[\d.]+", part) else f"{part} fusion, the paper's is late"
        )
    return "; ".join(said)


def compare_with_published(comparison: pd.DataFrame, chosen: pd.DataFrame, name: str) -> pd.DataFrame:
    """Our means beside a published table's, matched on dataset, label, encoder and technique.

    Args:
        chosen: as ``analysis.statistics.variant_selection.select_variants`` makes it: our column where a technique has several variants.
        name: of ``PUBLISHED_TABLES``.

    Returns:
        one row per cell that both have. ``ci_low`` and ``ci_high`` are a t interval of our mean over participants; ``covered`` says whether
        it holds the paper's mean, which has an uncertainty of its own that is not in it.

    Raises:
        AnalysisError: where the metric is another, or nothing matches.
    """
    metric = str(comparison["metric"].iloc[0])
    if metric != "auroc":
        raise AnalysisError(f"the table {name} holds AUROC and the comparison {metric}; use --metric auroc")
    paper = pd.read_csv(PUBLISHED_TABLES[name], keep_default_na=False)
    theirs = {tuple(row[[*CELL, "technique"]]): row for _, row in paper.iterrows()}
    rows = []
    for _, ours in _columns(comparison, chosen).iterrows():
        base, encoder = re.sub(r" \([^)]*\)$", "", ours["dataset"]), ours["model"].split()[0]
        row = theirs.get((base, ours["label"], encoder, ours["technique"]))
        if row is not None:
            rows.append(_published_row(ours, row))
    if not rows:
        held = ", ".join(sorted(set(paper["dataset"] + " " + paper["label"])))
        models = ", ".join(sorted(set(paper["model"])))
        here = ", ".join(sorted({" / ".join(map(str, cell)) for cell in zip(*(comparison[c] for c in CELL), strict=True)}))
        raise AnalysisError(
            f"nothing in this run ({here}) stands in the table {name}, which holds {held}, with {models}; name the dataset as there"
        )
    return pd.DataFrame(rows, columns=PUBLISHED_COLUMNS)


def _published_row(ours: "pd.Series[Any]", paper: "pd.Series[Any]") -> dict[str, Any]:
    low, high = t_interval(ours["mean"], ours["sd"], int(ours["n_participants"]))
    return dict(ours) | {
        "ci_low": low,
        "ci_high": high,
        "interval": "t",
        "paper_mean": paper["auroc_mean"],
        "paper_sd": paper["auroc_sd"],
        "paper_marker": paper["marker"],
        "difference": ours["mean"] - paper["auroc_mean"],
        "covered": bool(low <= paper["auroc_mean"] <= high) if not np.isnan(low) else None,
        "note": _departures(ours["dataset"], ours["model"]),
    }


def _variant_means(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over seeds on a variant's own windows, and how many those are: index ``VARIANT`` and participant."""
    kept = scores[~scores["technique"].isin(CHANCE_LEVELS)]
    kept = kept[kept["against"].eq("")] if "against" in kept else kept
    return kept.groupby([*VARIANT, "participant"], observed=True).agg(score=(metric, "mean"), n_test=("n_test", "mean"))


def compare_runs(scores: pd.DataFrame, other_scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """This run minus another, paired over the participants of both, for every variant that both have.

    Wilcoxon signed-rank as in the verdict; Holm over the family of all variants of one (dataset, label, model) that both have.

    Returns:
        one row per variant; ``n_missing`` participants had a score in one run only (or none) and were dropped; ``n_other_windows`` were tested on
        another number of windows there.

    Raises:
        AnalysisError: where no variant is in both, or no participant.
    """
    mine, other = _variant_means(scores, metric), _variant_means(other_scores, metric)
    _refuse_disjoint_runs(mine, other)
    joined = mine.join(other, how="outer", lsuffix="", rsuffix="_other")
    rows = []
    scoring = str(scores["scoring"].iloc[0])
    for names, cell in joined.groupby(CELL, sort=True, observed=True):
        parts = {v: part for v, part in cell.groupby(["technique", "variant"], sort=False, observed=True) if _in_both(part)}
        made = [{"technique": t, "variant": v, **_difference(part)} for (t, v), part in parts.items()]
        shared = dict(zip(CELL, names, strict=True)) | {"metric": metric, "scoring": scoring}
        family = {"family": " / ".join(map(str, names)), "family_size": len(made)}
        adjusted, least = (holm(np.array([row[name] for row in made])) for name in ("p", "least_p"))
        rows += [
            shared | row | family | {"p_adjusted": p, "least_p": low} for row, p, low in zip(made, adjusted, least, strict=True)
        ]
    return pd.DataFrame(rows, columns=RUNS_COLUMNS)


def _in_both(part: pd.DataFrame) -> bool:
    return bool(part[["score", "score_other"]].notna().all(axis=1).any())


def _refuse_disjoint_runs(mine: pd.DataFrame, other: pd.DataFrame) -> None:
    """Say what each run has where they share no variant or no participant."""
    here, there = (set(frame.reset_index("participant").index) for frame in (mine, other))
    if not here & there:
        cells = [
            ", ".join(sorted({" / ".join(map(str, variant[:3])) for variant in side})) or "nothing" for side in (here, there)
        ]
        same = cells[0] == cells[1]
        names = [", ".join(sorted({f"{v[3]} {v[4]}" for v in side})) for side in (here, there)] if same else cells
        raise AnalysisError(f"the two runs share no variant: this one has {names[0]}; the other has {names[1]}")
    if not set(mine["score"].dropna().index) & set(other["score"].dropna().index):
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
        **paired_tests([d])[0],
    }
