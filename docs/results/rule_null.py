"""How often a model that knows nothing is called different from `rule` where both are at chance.

    python docs/results/rule_null.py

Simulated: every statistic's AUROC is 0.5 plus noise that is independent between 30 people, and the rule takes for each of them the statistic and the
sign that the others' mean is furthest with. Differences are tested as models are compared (t, variance times 2.03). For some numbers of statistics
this prints the share of p below 0.05, and the SD of the rule's mean over what it would be if its folds were independent.
"""

import numpy as np
from scipy import stats

PEOPLE, SD, BOUND, REPEATS = 30, 0.07, 2.03, 4000
rng = np.random.default_rng(0)
for n_statistics in (1, 3, 15):
    p, means = [], []
    for _ in range(REPEATS):
        auroc = rng.normal(0, SD, (PEOPLE, n_statistics))
        others = (auroc.sum(axis=0) - auroc) / (PEOPLE - 1)
        chosen = np.arange(PEOPLE), np.abs(others).argmax(axis=1)
        rule = np.sign(others[chosen]) * auroc[chosen]
        difference = rng.normal(0, 0.05, PEOPLE) - rule
        t = difference.mean() / np.sqrt(BOUND * difference.var(ddof=1) / PEOPLE)
        p.append(2 * stats.t.sf(abs(t), PEOPLE - 1))
        means.append(rule.mean())
    print(
        f"{n_statistics} statistics: {np.mean(np.array(p) < 0.05):.3f} called different, SD {np.std(means) * PEOPLE**0.5 / SD:.2f} times"
    )
