"""How often gains of realistic size are found in cohorts of 20 to 60 people, and whether nothing is found where nothing is: with linear models.

The whole verdict is counted: five techniques trained for each participant, the cluster's variant chosen by the others, inflation measured by the
surrogate, Holm, outcomes. The gain is a real one of fine-tuning: participants respond partly in a way of their own, whose strength is set so that
fine-tuning gains what is asked for on average over cohorts; so single participants gain more or less, as in a study. ``raylab validate --linear``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.arrays import Floats
from analysis.constants import ALPHA, SMALLEST_EFFECT
from analysis.statistics.dependence import above_chance
from analysis.statistics.outcome import BETTER, EQUIVALENT, OUTCOMES, UNDECIDED, WORSE, outcome_of
from analysis.statistics.paired_tests import MeanTest, holm, mean_test
from analysis.validation.leave_one_out import (
    COHORTS,
    FINE,
    HYBRID,
    K2,
    K3,
    NEAREST,
    OWN,
    Cohorts,
    Drawn,
    draw_cohorts,
    inflations,
    real_differences,
    simulated_inflations,
)
from analysis.validation.rate_tables import by_name, cell, most_false_verdicts, table
from analysis.validation.shared_training_rates import DRAWS, chosen_cluster

SIZES = (20, 40, 60)
EFFECTS = (0.03, 0.05)
REALISTIC = Cohorts("realistic", "a common signal, and one of each participant's own", signal=1.0, windows=15)
NOTHING = COHORTS[0]  # labels have nothing to do with the signals
STRONGEST, HALVINGS = 4.0, 12  # of a participant's own signal, and how often the range is halved
CALIBRATION_COHORTS, TRUTH_COHORTS = 60, 300  # that the strength is set by, and that its true mean is then measured on
ALONE, HOLDS, ANY = "better, alone", "interval holds", "any verdict"
COLUMNS = ["n", "effect", "true_effect", "own", "sd", "detectable", "quantity", "hits", "cohorts"]


def true_gain(kind: Cohorts, n: int, cohorts: int, seed: int) -> float:
    """Mean difference of fine-tuning to the reference over cohorts of n."""
    return float(real_differences(draw_cohorts(kind, cohorts, n, seed))[0][FINE].mean())


def with_gain(effect: float, n: int, seed: int = 0) -> Cohorts:
    """Cohorts whose participants' own signal is so strong that fine-tuning gains ``effect`` in AUROC, on average over cohorts of n.

    By halving: with the same random numbers the gain grows with the strength.
    """
    low, high = 0.0, STRONGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if true_gain(replace(REALISTIC, own=middle), n, CALIBRATION_COHORTS, seed) < effect:
            low = middle
        else:
            high = middle
    return replace(REALISTIC, own=(low + high) / 2)


def _outcome(test: MeanTest, p_adjusted: float, mean: float) -> str:
    row = {"p_adjusted": p_adjusted, "difference": mean, "inner_low": test.inner_low, "inner_high": test.inner_high}
    return outcome_of(row, "auroc", SMALLEST_EFFECT)


def _tests(d: Mapping[str, Floats], inflation: Mapping[str, float]) -> dict[str, MeanTest]:
    """The verdict's tests of one cohort: the cluster that the others choose, and four techniques."""
    values, stretched = chosen_cluster(np.stack([d[K2], d[K3]], axis=1), (inflation[K2], inflation[K3]))
    return {K2: mean_test(values, stretched)} | {
        name: mean_test(d[name], inflation[name]) for name in (OWN, HYBRID, FINE, NEAREST)
    }


def _count(
    drawn: Drawn, k: int, differences: Mapping[str, Floats], reference: Floats, truth: float
) -> tuple[dict[str, bool], float]:
    """What the verdict says of cohort k, and what it says it detects of fine-tuning."""
    sure = above_chance(reference[k])
    inflation = inflations(simulated_inflations(drawn, k, DRAWS, k), reference.shape[1], sure)
    d = {name: x[k] for name, x in differences.items()}
    tests = _tests(d, inflation)
    p = dict(zip(tests, holm(np.array([test.p for test in tests.values()])), strict=True))
    test, mean = tests[FINE], float(d[FINE].mean())
    said = _outcome(test, float(p[FINE]), mean)
    hits = {outcome: said == outcome for outcome in OUTCOMES}
    hits |= {ALONE: _outcome(test, test.p, mean) == BETTER, HOLDS: test.low <= truth <= test.high}
    return hits | {ANY: any(value < ALPHA for value in p.values())}, test.detectable


def _rates(kind: Cohorts, effect: float, truth: float, n: int, cohorts: int, seed: int) -> list[dict[str, Any]]:
    """The counts of one kind of cohorts of n participants."""
    drawn = draw_cohorts(kind, cohorts, n, seed)
    differences, reference = real_differences(drawn)
    counted = [_count(drawn, k, differences, reference, truth) for k in range(cohorts)]
    shared: dict[str, Any] = {
        "n": n,
        "effect": effect,
        "true_effect": truth,
        "own": kind.own,
        "sd": float(differences[FINE].std(axis=1, ddof=1).mean()),
        "detectable": float(np.median([detectable for _, detectable in counted])),
        "cohorts": cohorts,
    }
    return [shared | {"quantity": name, "hits": sum(hits[name] for hits, _ in counted)} for name in counted[0][0]]


def realistic_rates(cohorts: int, null_studies: int, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> pd.DataFrame:
    """Counts of the verdict on cohorts with a gain of fine-tuning and on cohorts without any.

    Args:
        cohorts: of each size and gain.
        null_studies: cohorts without any effect, shared among the sizes.

    Returns:
        columns ``COLUMNS``: how many of ``cohorts`` hit each ``quantity``; ``effect`` is 0 without any. ``true_effect``: the mean over cohorts
        that are not counted; ``detectable``: the median of what is said to be detectable.
    """
    rows: list[dict[str, Any]] = []
    for place, n in enumerate(sizes):
        for effect in EFFECTS:
            kind = with_gain(effect, n, seed + 1)
            rows += _rates(kind, effect, true_gain(kind, n, TRUTH_COHORTS, seed + 2), n, cohorts, seed)
        share = null_studies // len(sizes) + (place < null_studies % len(sizes))
        rows += _rates(NOTHING, 0.0, 0.0, n, share, seed) if share else []
    return pd.DataFrame(rows, columns=COLUMNS)


def _power_rows(counts: pd.DataFrame) -> list[list[str]]:
    """A row for each size and gain."""
    rows = []
    for (n, effect), part in counts[counts["effect"].gt(0)].groupby(["n", "effect"]):
        first, hits = part.to_dict("records")[0], by_name(part["quantity"], part["hits"])
        quantities = (ALONE, BETTER, WORSE, EQUIVALENT, UNDECIDED, HOLDS)
        rates = [cell(hits[name] / first["cohorts"], first["cohorts"]) for name in quantities]
        numbers = [f"{first['true_effect']:+.3f}", f"{first['own']:.2f}", f"{first['sd']:.3f}"]
        rows.append([str(n), f"{effect:+.2f}", *numbers, *rates, f"{first['detectable']:.3f}"])
    return rows


def _null_rows(counts: pd.DataFrame) -> list[list[str]]:
    """A row for each size without any effect, and one of all, which passes or not."""
    nulls = counts[counts["effect"].eq(0) & counts["quantity"].eq(ANY)]
    hits, studies = int(nulls["hits"].sum()), int(nulls["cohorts"].sum())
    rows = [
        [str(row["n"]), str(row["cohorts"]), str(row["hits"]), cell(row["hits"] / row["cohorts"], row["cohorts"]), ""]
        for row in nulls.to_dict("records")
    ]
    most = most_false_verdicts(studies) if studies else -1
    passes = "too few studies" if most < 0 else f"{'yes' if hits <= most else 'no'} (at most {most})"
    return [*rows, ["all", str(studies), str(hits), cell(hits / studies, studies), passes]] if studies else rows


def markdown(counts: pd.DataFrame) -> str:
    """The counts as two Markdown tables with what they are."""
    power = [
        "n", "gain", "true gain", "own signal", "SD", "better, one technique", "better, of five", "worse", "equivalent", "undecided",
        "interval holds", "said to detect",
    ]  # fmt: skip
    lines = [
        "### Gains of realistic size",
        "",
        *table(power, _power_rows(counts)),
        "",
        "Fine-tuning with 40% of the target's windows, by the nearest class mean, on cohorts of n with a common signal and one of each",
        "participant's own, whose strength gives the gain in AUROC; true gain: over other cohorts; SD: of a cohort's differences. Rates are in",
        "percent of cohorts, in brackets their 95% Monte Carlo interval (Wilson). One technique: its p alone; of five: after Holm over five",
        "techniques, and so are the other outcomes. Equivalent is wrong here: both gains are beyond the smallest effect of interest, 0.02.",
        "",
        "### Nothing to find",
        "",
        *table(["n", "studies", "with a verdict", "%", "passes"], _null_rows(counts)),
        "",
        "Labels have nothing to do with the signals; any verdict of five techniques after Holm is false. Passes: so few that a true rate of",
        "10% would have given more with a probability of 95%.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
