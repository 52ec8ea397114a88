"""How often the statistics are wrong on score tables whose participants are independent: ``analysis.validation.simulated_scores``.

No plan stands behind such a table, so its inflation is the smallest that raylab tests with. Tempting alternatives are counted for contrast.
"""

import numpy as np
import pandas as pd

from analysis.arrays import Floats
from analysis.constants import ALPHA
from analysis.statistics.bayes_and_stouffer import combine_p_values
from analysis.statistics.dependence import FLOOR
from analysis.statistics.paired_tests import DECIMALS, holm, is_lopsided, mean_test
from analysis.statistics.ranking import friedman_test
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice
from analysis.validation.shared_training_rates import SIZES, said_equivalent, wilcoxon
from analysis.validation.simulated_scores import Scenario, simulate_scores, true_means

VARIANT_COUNT = "any of eight"
ONE, CHOSEN, FRIEDMAN, STOUFFER = "one variant", "chosen column", "Friedman", "Stouffer"
T_ONE, T_ANY, RANKS_ONE, RANKS_ANY = "t, one variant", "t, any of eight", "Wilcoxon, one variant", "Wilcoxon, any of eight"
UNADJUSTED, RANKS_CHOSEN, RANKS_BEST = "8 variants, no Holm", "Wilcoxon on the chosen column", "Wilcoxon on the best on test"
ONE_INTERVAL, CHOSEN_INTERVAL, T_INTERVAL = "interval, one variant", "interval, chosen column", "t interval, one variant"
EQUIVALENT, WARNED = "said equivalent at +0.05", "warned of"
PRINTED = (VARIANT_COUNT, ONE, CHOSEN, FRIEDMAN, STOUFFER)
TEMPTING = (T_ONE, T_ANY, RANKS_ONE, RANKS_ANY, UNADJUSTED, RANKS_CHOSEN, RANKS_BEST)
INTERVALS = (ONE_INTERVAL, CHOSEN_INTERVAL, T_INTERVAL)
COUNTS = ["scenario", "n", "quantity", "hits", "tables"]


def _test_table(scores: Floats, truth: Floats) -> tuple[dict[str, bool], Floats]:
    """Of one table, (n_participants, 1 + n_variants): what hits; p values and mean differences of the variants, (n_variants, 2)."""
    d = scores[:, 1:] - scores[:, :1]
    tests, plain = [[mean_test(variant, inflation) for variant in d.T] for inflation in (FLOOR, 1.0)]
    p, p_plain = (np.nan_to_num([test.p for test in column], nan=1.0) for column in (tests, plain))
    ranks = np.array([wilcoxon(variant) for variant in d.T])
    values, choice = leave_one_out_choice(d)
    chosen = mean_test(values, FLOOR * choice_inflation(d, inflation=FLOOR))
    hits = {
        VARIANT_COUNT: holm(p).min() < ALPHA,
        ONE: p[0] < ALPHA,
        CHOSEN: chosen.p < ALPHA,
        FRIEDMAN: friedman_test(np.round(scores, DECIMALS))[1] < ALPHA,
        T_ONE: p_plain[0] < ALPHA,
        T_ANY: holm(p_plain).min() < ALPHA,
        RANKS_ONE: ranks[0] < ALPHA,
        RANKS_ANY: holm(ranks).min() < ALPHA,
        UNADJUSTED: p.min() < ALPHA,
        RANKS_CHOSEN: wilcoxon(values) < ALPHA,
        RANKS_BEST: ranks[d.mean(axis=0).argmax()] < ALPHA,
        ONE_INTERVAL: tests[0].low <= truth[0] <= tests[0].high,
        CHOSEN_INTERVAL: chosen.low <= truth[choice].mean() <= chosen.high,
        T_INTERVAL: plain[0].low <= truth[0] <= plain[0].high,
        EQUIVALENT: said_equivalent(d[:, 0] - truth[0] + 0.05, FLOOR),
        WARNED: is_lopsided(d[:, 0]),
    }
    return {name: bool(hit) for name, hit in hits.items()}, np.stack([p, d.mean(axis=0)], axis=1)


def _stouffer(results: list[Floats], sizes: tuple[int, ...]) -> list[bool]:
    """Whether Stouffer's test over one table of each size rejects for any variant, Holm over the variants."""
    n = np.array(sizes, dtype=np.float64)
    per_table = np.stack(results, axis=1)  # (n_tables, n_sizes, n_variants, 2)
    p = [[combine_p_values(table[:, v, 0], table[:, v, 1], n)[1] for v in range(table.shape[1])] for table in per_table]
    return [bool(holm(np.array(row)).min() < ALPHA) for row in p]


def independent_rates(scenario: Scenario, tables: int, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> pd.DataFrame:
    """How often each quantity hits.

    Returns:
        scenario, n (several sizes for Stouffer), quantity, hits, tables.
    """
    truth, rows, results = true_means(scenario, seed + 1), [], []
    for n in sizes:
        tests = [_test_table(table, truth) for table in simulate_scores(scenario, tables, n, seed)]
        rows += [(scenario.name, str(n), name, sum(test[0][name] for test in tests), tables) for name in tests[0][0]]
        results.append(np.stack([test[1] for test in tests]))
    rows.append((scenario.name, " + ".join(map(str, sizes)), STOUFFER, sum(_stouffer(results, sizes)), tables))
    return pd.DataFrame(rows, columns=COUNTS)
