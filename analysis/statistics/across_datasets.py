"""A technique's mean difference over datasets: a hierarchical model, normal-normal, with datasets drawn from a population of datasets.

Of each dataset the mean difference and its standard error, inflated for shared training, enter; the spread between datasets is estimated
(Paule and Mandel 1982, by statsmodels), and the interval is Hartung and Knapp's t with one degree of freedom less than datasets, not narrower than
without their correction (Röver, Knapp and Friede, BMC Med Res Methodol 15, 2015). It speaks of a new dataset like these: with two or three
datasets it says little, and the interval shows that. Corani et al., Machine Learning 106, 2017, is the same model in Bayesian form.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from analysis.arrays import Floats
from analysis.constants import ALPHA
from analysis.statistics.bayes_and_stouffer import one_label_per_dataset
from analysis.statistics.paired_tests import holm

COLUMNS = [
    "model", "technique", "metric", "n_datasets", "n_participants", "datasets", "difference", "ci_low", "ci_high", "sd_between_datasets",
    "p", "p_adjusted", "family_size",
]  # fmt: skip


def combined_difference(differences: Floats, errors: Floats) -> tuple[float, float, float, float, float]:
    """Mean over datasets, its 95% interval, the SD between datasets, and p.

    Args:
        differences: (n_datasets,) mean differences. ``errors``: their standard errors, above 0.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of intervals of single datasets, which are not used
        fit = combine_effects(differences, errors**2, method_re="iterated", use_t=True)
    mean = float(fit.mean_effect_re)
    error = max(float(fit.sd_eff_w_re), float(fit.sd_eff_w_re_hksj))
    t = stats.t(len(differences) - 1)
    half = t.ppf(1 - ALPHA / 2) * error
    return mean, mean - half, mean + half, float(np.sqrt(max(0.0, float(fit.tau2)))), float(2 * t.sf(abs(mean) / error))


def across_datasets(
    chosen: pd.DataFrame, labels: Mapping[str, str] | None = None, sources: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Each technique over datasets, for each model.

    Args:
        chosen: as ``select_variants`` makes it.
        labels: dataset to the label that stands for it; the first of a dataset unless given (labels of one dataset share their participants).
        sources: dataset to the windows that it is of; of entries with the same windows the first counts.

    Returns:
        one row per model and technique tested on two datasets or more; p adjusted by Holm over the techniques of a model.
    """
    tested = one_label_per_dataset(chosen, labels or {}, sources)
    rows: list[dict[str, Any]] = []
    for (model, technique), part in tested.groupby(["model", "technique"], sort=True, observed=True):
        n = part["n_participants"].to_numpy(dtype=np.float64)
        half = (part["ci_high"] - part["ci_low"]).to_numpy(dtype=np.float64) / 2
        errors = half / stats.t.ppf(1 - ALPHA / 2, n - 1)
        usable = errors > 0
        if usable.sum() < 2:
            continue
        mean, low, high, spread, p = combined_difference(part["difference"].to_numpy(dtype=np.float64)[usable], errors[usable])
        datasets = ", ".join(f"{row.dataset}: {row.label} ({row.n_participants})" for row in part[usable].itertuples())
        numbers = {
            "n_datasets": int(usable.sum()),
            "n_participants": int(n[usable].sum()),
            "datasets": datasets,
            "difference": mean,
        }
        numbers |= {"ci_low": low, "ci_high": high, "sd_between_datasets": spread, "p": p}
        rows.append({"model": model, "technique": technique, "metric": part["metric"].iloc[0], **numbers})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    families = frame.groupby("model")["p"]
    adjusted = families.transform(lambda p: holm(p.to_numpy(dtype=np.float64)))
    return frame.assign(p_adjusted=adjusted, family_size=families.transform("size"))
