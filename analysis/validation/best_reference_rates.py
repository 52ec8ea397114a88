"""How often a technique is wrongly told from the best model without personalization: ``python -m analysis.validation.best_reference_rates``.

Two models of equal information without personalization, one of which is chosen for each participant by the others, and the cluster of k = 2 or 3
that is chosen likewise. The true mean difference is taken off, so every rejection is an error. Counted with the bound for shared training alone,
and with the factors of both choices, as ``analysis.statistics.best_reference`` tests.
"""

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from analysis.arrays import Floats
from analysis.constants import ALPHA
from analysis.statistics.dependence import retrained_bound
from analysis.statistics.paired_tests import mean_test
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice
from analysis.validation.leave_one_out import COHORTS, K2, K3, OTHER, Cohorts, draw_cohorts, real_differences
from analysis.validation.rate_tables import cell, table

KINDS = ("no signal", "middle", "own signals")
SIZES = (15, 34)
CHUNK = 500  # cohorts drawn at once


def _chosen(scores: Floats, basis: Floats) -> Floats:
    """Of scores (n, columns) those in the column that is best by the others' ``basis``, (n,)."""
    return np.asarray(scores[np.arange(len(scores)), leave_one_out_choice(basis)[1]])


def _cohorts(kind: Cohorts, n: int, count: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """AUROCs of the two models without personalization and of the two clusters, (n, 2) each, of ``count`` cohorts."""
    for start in range(0, count, CHUNK):
        differences, reference = real_differences(draw_cohorts(kind, min(CHUNK, count - start), n, seed + start // CHUNK))
        plain = np.stack([reference, reference + differences[OTHER]], axis=2)
        clusters = np.stack([reference + differences[name] for name in (K2, K3)], axis=2)
        yield from zip(plain, clusters, strict=True)


def rates(kind: Cohorts, n: int, cohorts: int, truth: int = 2000, seed: int = 5) -> tuple[float, float, float, float]:
    """Of cohorts of n: the inflation that the mean difference truly has, errors with the bound alone and with the choices' factors, and the mean
    factor.

    Args:
        truth: cohorts that the true mean and inflation are measured on; the first of them are tested.
    """
    differences, factors, bound = [], [], retrained_bound(n)
    for k, (plain, clusters) in enumerate(_cohorts(kind, n, truth, seed)):
        reference, tuned = _chosen(plain, plain), _chosen(clusters, clusters - plain[:, :1])
        differences.append(tuned - reference)
        if k < cohorts:
            gaps = plain - tuned[:, None], clusters - reference[:, None]
            factors.append(float(np.prod([choice_inflation(gap, bound, around_means=True) for gap in gaps])))
    d = np.stack(differences)
    mean = 0.0 if kind.null else float(d.mean())
    true_inflation = float(d.mean(axis=1).var() / (d.var(axis=1, ddof=1) / n).mean())
    alone = np.mean([mean_test(x - mean, bound).p < ALPHA for x in d[:cohorts]])
    both = np.mean([mean_test(x - mean, bound * factor).p < ALPHA for x, factor in zip(d, factors, strict=False)])
    return true_inflation, float(alone), float(both), float(np.mean(factors))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=300, help="cohorts of each kind and size that are tested")
    cohorts = parser.parse_args().cohorts
    rows = []
    for kind in (kind for kind in COHORTS if kind.name in KINDS):
        for n in SIZES:
            inflation, alone, both, factor = rates(kind, n, cohorts)
            numbers = [f"{inflation:.2f}", f"{retrained_bound(n):.2f}", f"{factor:.2f}"]
            rows.append([kind.name, str(n), *numbers, cell(alone, cohorts), cell(both, cohorts, "single")])
    head = [
        "scenario",
        "n",
        "true inflation",
        "bound",
        "factor of the choices",
        "errors with the bound alone, %",
        "errors as tested, %",
    ]
    sys.stdout.write("\n".join(table(head, rows)) + "\n")


if __name__ == "__main__":
    main()
