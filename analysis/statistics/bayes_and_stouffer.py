"""Descriptive numbers beside the verdict, from libraries: Bayesian signed-rank test per variant, Stouffer's test across datasets."""

from collections.abc import Mapping
from typing import Any

import baycomp
import numpy as np
import pandas as pd
from scipy import stats

from analysis.arrays import Floats
from analysis.errors import AnalysisError
from analysis.scores.keys import VARIANT
from analysis.scores.paired_scores import gain_sign, paired_scores
from analysis.statistics.paired_tests import holm

ROPE = 0.01
SAMPLES = 5000  # the probabilities are then known to 0.01
BAYESIAN_COLUMNS = [*VARIANT, "metric", "n_participants", "worse", "equivalent", "better", "test"]
STOUFFER_COLUMNS = [
    "model", "technique", "variant", "metric", "n_datasets", "n_participants", "datasets", "z", "p", "p_adjusted", "test", "family_size",
]  # fmt: skip


def bayesian_signed_rank(scores: pd.DataFrame, metric: str = "auroc", seed: int = 0) -> pd.DataFrame:
    """Each variant against the reference technique: probabilities that it is worse, equivalent (within 0.01) or better (Benavoli et al. 2014).

    Args:
        scores: as ``analysis.score`` makes them.

    Returns:
        one row per variant with at least two participants scored on both sides; the three probabilities add up to 1.
    """
    rows: list[dict[str, Any]] = []
    for names, part in paired_scores(scores, metric).groupby(VARIANT, sort=True, observed=True):
        d = gain_sign(metric) * part["difference"].dropna().to_numpy(dtype=np.float64)
        if len(d) < 2:
            continue
        shares = baycomp.two_on_multiple(np.zeros(len(d)), d, rope=ROPE, nsamples=SAMPLES, random_state=seed)
        probabilities = dict(zip(("worse", "equivalent", "better"), map(float, shares), strict=True))
        rows.append(dict(zip(VARIANT, names, strict=True)) | {"n_participants": len(d)} | probabilities)
    shared = {"metric": metric, "test": f"Bayesian signed-rank, ROPE {ROPE}"}
    return pd.DataFrame(rows, columns=BAYESIAN_COLUMNS).assign(**shared)


def combine_p_values(p: Floats, gain: Floats, n: Floats) -> tuple[float, float]:
    """Stouffer's z of independent two-sided p values (n_datasets,) with the signs of their gains, weights sqrt(n); its two-sided p.

    z is above 0 if the first side is better.
    """
    one_sided = np.where(gain > 0, p / 2, 1 - p / 2)
    z = float(stats.combine_pvalues(np.where(gain == 0, 0.5, one_sided), method="stouffer", weights=np.sqrt(n)).statistic)
    return z, float(2 * stats.norm.sf(abs(z)))


def one_label_per_dataset(
    comparison: pd.DataFrame, labels: Mapping[str, str], sources: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The tested rows of one label per dataset: the one given, else the first; and of one entry for each dataset's windows, the first.

    Args:
        sources: dataset to the windows that it is of: entries of one study can have several names for the same recordings, which are not
            independent of each other.
    """
    tested = comparison.dropna(subset=["p"])
    first = tested.groupby("dataset", sort=True)["label"].first().to_dict()
    unknown = sorted(
        name for name, label in labels.items() if not (tested["dataset"].eq(name) & tested["label"].eq(label)).any()
    )
    if unknown:
        raise AnalysisError(
            f"labels for Stouffer's test: {', '.join(f'{name} has no tested {labels[name]}' for name in unknown)}; the comparison "
            f"has {', '.join(sorted({f'{d} {label}' for d, label in zip(tested['dataset'], tested['label'], strict=True)}))}"
        )
    source = {name: (sources or {}).get(str(name), str(name)) for name in first}
    entries = set(pd.Series(source).drop_duplicates().index)
    return tested[tested["dataset"].isin(entries) & tested["label"].eq(tested["dataset"].map(first | dict(labels)))]


def stouffer(
    comparison: pd.DataFrame, labels: Mapping[str, str] | None = None, sources: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Each variant across datasets, for each model: its comparisons' p values combined. Descriptive.

    Args:
        comparison: as ``analysis.compare`` makes it.
        labels: dataset to the label that stands for it; the first of a dataset unless given (labels of one dataset share their participants).
        sources: as ``one_label_per_dataset`` takes them.

    Returns:
        one row per model and variant tested on two datasets or more; ``datasets`` names label and participants of each. ``p_adjusted`` is
        Holm's over the variants of a model.

    Raises:
        AnalysisError: if a label of ``labels`` was not tested.
    """
    tested = one_label_per_dataset(comparison, labels or {}, sources)
    rows: list[dict[str, Any]] = []
    for (model, technique, variant), part in tested.groupby(["model", "technique", "variant"], sort=True):
        if len(part) < 2:
            continue
        n = part["n_participants"].to_numpy(dtype=np.float64)
        gain = gain_sign(str(part["metric"].iloc[0])) * part["difference"].to_numpy(dtype=np.float64)
        z, p = combine_p_values(part["p"].to_numpy(dtype=np.float64), gain, n)
        datasets = ", ".join(f"{row.dataset}: {row.label} ({row.n_participants})" for row in part.itertuples())
        names = {"model": model, "technique": technique, "variant": variant, "metric": part["metric"].iloc[0]}
        numbers = {"n_datasets": len(part), "n_participants": int(n.sum()), "z": z, "p": p}
        rows.append(names | {"datasets": datasets} | numbers)
    frame = pd.DataFrame(rows, columns=STOUFFER_COLUMNS).assign(test="Stouffer, weights sqrt(n), two-sided")
    families = frame.groupby("model")["p"]
    adjusted = families.transform(lambda p: holm(p.to_numpy(dtype=np.float64)))
    return frame.assign(p_adjusted=adjusted, family_size=families.transform("size"))
