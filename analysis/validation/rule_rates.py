"""How often `rule` and a model that knows nothing are told apart where both are at chance: ``python -m analysis.validation.rule_rates``.

Every statistic's AUROC is 0.5 plus noise that is independent between people, and the rule takes for each of them the statistic and the sign that
the others' mean is furthest with (``raylab.models.rule``). Every verdict is an error. With a gain, one statistic is better by so much, and so is the
other model by twice as much: then a verdict is right. Counted with t and the bound for retrained models alone, and as models are compared
(``analysis.statistics.comparison.tell_apart``).
"""

import argparse
import sys

import numpy as np

from analysis.arrays import Floats
from analysis.constants import ALPHA
from analysis.statistics.comparison import paired_statistics, tell_apart
from analysis.statistics.dependence import BOUND, retrained_bound
from analysis.statistics.variant_choice import leave_one_out_choice
from analysis.validation.rate_tables import cell, table

SIZES = (12, 30, 60)
STATISTICS = (1, 15, 60)  # the rule chooses from
GAINS = (0.0, 0.05, 0.1)
SD, OTHER_SD = 0.07, 0.05  # of AUROCs over people


def rule_scores(aurocs: Floats) -> Floats:
    """The rule's AUROC for each person, (n,), from those of all statistics, (n, n_statistics)."""
    from_chance = aurocs - 0.5
    return 0.5 + leave_one_out_choice(np.concatenate([from_chance, -from_chance], axis=1))[0]


def rates(n: int, statistics: int, gain: float, cohorts: int, seed: int = 0) -> tuple[float, float, float]:
    """Of cohorts of n people: the inflation that the mean difference has, and how often it is called one with the bound alone and as tested."""
    rng = np.random.default_rng([seed, n, statistics, round(1000 * gain)])
    found, differences, bound = [], [], (retrained_bound(n), BOUND)
    for _ in range(cohorts):
        aurocs = rng.normal(0.5, SD, (n, statistics))
        aurocs[:, 0] += gain
        sides = rule_scores(aurocs), rng.normal(0.5 + 2 * gain, OTHER_SD, n)
        differences.append(sides[1] - sides[0])
        alone = paired_statistics(differences[-1], bound)
        found.append([alone["p"] < ALPHA, tell_apart(alone, sides)["p"] < ALPHA])
    d = np.stack(differences)
    inflation = float(d.mean(axis=1).var() / (d.var(axis=1, ddof=1) / n).mean())
    alone_rate, tested_rate = np.mean(found, axis=0)
    return inflation, float(alone_rate), float(tested_rate)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=1000, help="of each kind and size")
    cohorts = parser.parse_args().cohorts
    rows = []
    for gain in GAINS:
        for n in SIZES:
            for statistics in STATISTICS:
                inflation, alone, tested = rates(n, statistics, gain, cohorts)
                numbers = [f"{gain:+.2f}", str(n), str(statistics), f"{retrained_bound(n):.2f}", f"{inflation:.2f}"]
                goal = "" if gain else "single"
                rows.append([*numbers, cell(alone, cohorts, goal), cell(tested, cohorts, goal)])
    head = [
        "gain",
        "n",
        "statistics",
        "bound",
        "true inflation",
        "told apart with the bound alone, %",
        "told apart as tested, %",
    ]
    sys.stdout.write("\n".join(table(head, rows)) + "\n")


if __name__ == "__main__":
    main()
