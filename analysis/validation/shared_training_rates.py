"""How often the verdict on participants who share training data is wrong, and what it finds: counted on ``analysis.validation.leave_one_out``.

Every quantity is about a technique with the true mean difference that is asked for: the mean over very many cohorts is taken off its differences
(it is 0 without signal), and a gain is added. So a rejection without gain is an error; equally often the interval does not hold the true mean.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from analysis.arrays import Floats
from analysis.constants import ALPHA, SMALLEST_EFFECT
from analysis.statistics.dependence import above_chance, retrained_bound
from analysis.statistics.outcome import EQUIVALENT, outcome_of
from analysis.statistics.paired_tests import DECIMALS, holm, mean_test
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice
from analysis.validation.leave_one_out import (
    FINE,
    HYBRID,
    K2,
    K3,
    NEAREST,
    OTHER,
    OWN,
    TECHNIQUES,
    Cohorts,
    Drawn,
    draw_cohorts,
    inflations,
    real_differences,
    simulated_inflations,
)

SIZES = (15, 20, 34, 58)
DRAWS = 80
CHUNK = 50  # cohorts drawn at once
TRUTH = 1500  # cohorts, without tests, whose mean is taken for the truth

ERROR, WILCOXON, ALWAYS, COVERED = "wrong", "Wilcoxon", "Nadeau-Bengio always", "coverage"
SAID_EQUIVALENT, INFLATION, TRUE_INFLATION = "said equivalent", "mean inflation", "true inflation"
GAINS = (0.02, 0.05, 0.10)
POWER = {gain: f"finds +{gain:.2f}" for gain in GAINS}
POWER_ALWAYS = {gain: f"Nadeau-Bengio finds +{gain:.2f}" for gain in GAINS}
CHOSEN, FAMILY = "cluster, chosen of two", "any of five"
COUNTS = ["scenario", "n", "technique", "quantity", "hits", "cohorts", "value"]


def wilcoxon(d: Floats) -> float:
    """p of scipy's signed-rank test with Pratt's ranks: what raylab printed before, counted for contrast; 1 if all differences are 0."""
    d = np.round(d, DECIMALS)
    if not d.any():
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few differences that are not 0: said by the count itself
        return float(stats.wilcoxon(d, zero_method="pratt").pvalue)


def said_equivalent(d: Floats, inflation: float) -> bool:
    """Whether differences (n,) are called equivalent."""
    test = mean_test(d, inflation)
    row = {"p_adjusted": test.p, "difference": d.mean(), "inner_low": test.inner_low, "inner_high": test.inner_high}
    return outcome_of(row, "auroc", SMALLEST_EFFECT) == EQUIVALENT


def _count_technique(d: Floats, truth: float, inflation: float) -> dict[str, bool]:
    """The hits of one technique's differences (n,) of one cohort."""
    always, at_zero = retrained_bound(len(d)), d - truth
    test = mean_test(d, inflation)
    hits = {WILCOXON: wilcoxon(d) < ALPHA} if truth == 0 else {}
    hits |= {
        ERROR: mean_test(at_zero, inflation).p < ALPHA,
        ALWAYS: mean_test(at_zero, always).p < ALPHA,
        COVERED: test.low <= truth <= test.high,
        SAID_EQUIVALENT: said_equivalent(at_zero + 0.05, inflation),
    }
    for gain in GAINS:
        hits[POWER[gain]] = mean_test(at_zero + gain, inflation).p < ALPHA
        hits[POWER_ALWAYS[gain]] = mean_test(at_zero + gain, always).p < ALPHA
    return hits


def chosen_cluster(d: Floats, inflation: tuple[float, float]) -> tuple[Floats, float]:
    """The differences (n,) of the variant that the other participants choose, and what they are tested with, as chosen.csv has it."""
    values, choice = leave_one_out_choice(d)
    largest = max(inflation[k] for k in np.unique(choice))
    return values, largest * choice_inflation(d, inflation=largest)


def _count_family(d: Mapping[str, Floats], inflation: Mapping[str, float], null: bool) -> dict[str, dict[str, bool]]:
    """The primary question on techniques whose true difference is 0: the cluster of k that the other participants choose, and any of five."""
    clusters, rest = np.stack([d[K2], d[K3]], axis=1), (OWN, HYBRID, FINE, NEAREST)
    values, stretched = chosen_cluster(clusters, (inflation[K2], inflation[K3]))
    test = mean_test(values, stretched)
    p = np.array([test.p, *(mean_test(d[name], inflation[name]).p for name in rest)])
    family_hits = {
        CHOSEN: {
            ERROR: test.p < ALPHA,
            COVERED: test.low <= 0 <= test.high,
            SAID_EQUIVALENT: said_equivalent(values + 0.05, stretched),
        },
        FAMILY: {ERROR: bool((holm(p) < ALPHA).any())},
    }
    for gain in GAINS:
        family_hits[CHOSEN][POWER[gain]] = mean_test(*chosen_cluster(clusters + gain, (inflation[K2], inflation[K3]))).p < ALPHA
    if null:
        ranks = np.array([wilcoxon(values), *(wilcoxon(d[name]) for name in rest)])
        family_hits[CHOSEN][WILCOXON], family_hits[FAMILY][WILCOXON] = bool(ranks[0] < ALPHA), bool((holm(ranks) < ALPHA).any())
    return family_hits


def _chunks(kind: Cohorts, total: int, n: int, seed: int) -> Iterator[Drawn]:
    """``total`` cohorts, some at a time."""
    for start in range(0, total, CHUNK):
        yield draw_cohorts(kind, min(CHUNK, total - start), n, 100_000 * seed + start)


def true_differences(kind: Cohorts, n: int, seed: int, cohorts: int = TRUTH) -> tuple[dict[str, float], dict[str, float]]:
    """Each technique's mean difference over very many cohorts, and the inflation that their means have."""
    chunks = [real_differences(batch)[0] for batch in _chunks(kind, cohorts, n, seed)]
    d = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in TECHNIQUES}
    means = {name: 0.0 if kind.null or name == OTHER else float(x.mean()) for name, x in d.items()}
    return means, {name: float(x.mean(axis=1).var() / (x.var(axis=1, ddof=1) / n).mean()) for name, x in d.items()}


def shared_training_rates(
    kind: Cohorts, cohorts: int, n: int, draws: int = DRAWS, seed: int = 0, truth: int = TRUTH
) -> pd.DataFrame:
    """How often each quantity hits, of cohorts of n participants.

    Returns:
        scenario, n, technique, quantity, hits, cohorts; ``value`` of the inflations, which are no counts.
    """
    means, true_inflation = true_differences(kind, n, seed + 1, truth)
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    tested_with: dict[str, list[float]] = defaultdict(list)
    count = 0
    for batch in _chunks(kind, cohorts, n, seed):
        differences, reference = real_differences(batch)
        for k in range(len(batch.x)):
            inflation = inflations(simulated_inflations(batch, k, draws, count), n, above_chance(reference[k]))
            d = {name: x[k] for name, x in differences.items()}
            cohort_hits = {name: _count_technique(d[name], means[name], inflation[name]) for name in TECHNIQUES}
            cohort_hits |= _count_family({name: x - means[name] for name, x in d.items()}, inflation, kind.null)
            for name, quantities in cohort_hits.items():
                for quantity, hit in quantities.items():
                    hits[name, quantity].append(bool(hit))
            for name in TECHNIQUES:
                tested_with[name].append(inflation[name])
            count += 1
    rows = [(kind.name, n, *key, sum(values), len(values), np.nan) for key, values in hits.items()]
    rows += [(kind.name, n, name, INFLATION, 0, cohorts, float(np.mean(values))) for name, values in tested_with.items()]
    rows += [(kind.name, n, name, TRUE_INFLATION, 0, truth, value) for name, value in true_inflation.items()]
    return pd.DataFrame(rows, columns=COUNTS)
