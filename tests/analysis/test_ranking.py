"""Friedman, Nemenyi and the critical difference against the worked example of Demsar (2006)."""

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.ranking import friedman, rank_tables, ranking

# Demsar 2006 (JMLR 7), Table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets. The paper prints 0.975 twice for the 13th
# and ranks the two 2 and 3, so they differ beyond three decimals; the first of them is given 0.0001 more here.
AUC = [
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967], [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931], [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875], [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
]  # fmt: skip
NAMES = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]
DEMSAR = pd.DataFrame(AUC, columns=NAMES)


def test_demsars_ranks_statistic_and_critical_difference() -> None:
    """Ranks 3.143, 2.000, 2.893, 1.964; 10.23 corrected for ties (9.28 in the paper, by its formula without); 1.25 at alpha 0.05, q 2.569."""
    test = friedman(DEMSAR)
    assert [3.143, 2.000, 2.893, 1.964] == test.ranks.round(3).tolist()
    assert (pytest.approx(10.228, abs=1e-3), pytest.approx(0.0167, abs=1e-4), 14, 0) == (
        test.statistic,
        test.p,
        test.n,
        test.n_missing,
    )
    assert pytest.approx(9.28, abs=0.005) == 12 * 14 / (4 * 5) * ((test.ranks**2).sum() - 4 * 5**2 / 4)
    assert pytest.approx(1.25, abs=0.005) == test.critical_difference
    assert pytest.approx(2.569, abs=1e-3) == test.critical_difference / np.sqrt(4 * 5 / (6 * 14))


def test_demsars_pairs_differ_at_ten_percent_only() -> None:
    """The paper: no two differ at 0.05; at 0.10 C4.5 is worse than C4.5+m and C4.5+m+cf."""
    p = friedman(DEMSAR).nemenyi
    assert NAMES == p.columns.tolist() == p.index.tolist()
    assert not (p < 0.05).to_numpy().any()
    assert {("C4.5", "C4.5+m"), ("C4.5", "C4.5+m+cf")} == {
        (a, b) for i, a in enumerate(NAMES) for b in NAMES[i:] if p.loc[a, b] < 0.10
    }


def test_of_an_error_the_least_ranks_first() -> None:
    """Ranks of calibration errors are those of the scores upside down."""
    pd.testing.assert_series_equal(5 - friedman(DEMSAR).ranks, friedman(DEMSAR, less_is_better=True).ranks)


def test_who_lacks_a_variant_is_left_out_and_counted() -> None:
    """A data set with a missing score changes n and nothing else of the rest."""
    more = pd.concat([DEMSAR, pd.DataFrame([[0.1, np.nan, 0.9, 0.2]], columns=NAMES)], ignore_index=True)
    assert (14, 1) == (friedman(more).n, friedman(more).n_missing)
    pd.testing.assert_series_equal(friedman(DEMSAR).ranks, friedman(more).ranks)


def test_too_little_or_only_ties_is_no_error() -> None:
    """No complete participant, one participant, one or two variants: no statistic. Everything tied: 0 and p 1, float noise included."""
    assert np.isnan(friedman(DEMSAR.iloc[:1]).p) and friedman(DEMSAR.iloc[:1]).n == 1
    assert np.isnan(friedman(DEMSAR * np.nan).critical_difference)
    assert np.isnan(friedman(DEMSAR[NAMES[:2]]).p) and [1.0, 2.0] == sorted(friedman(DEMSAR[NAMES[:2]].iloc[:1]).ranks)
    assert np.isnan(friedman(DEMSAR[NAMES[:1]]).critical_difference)
    tied = pd.DataFrame([[0.3, 0.1 + 0.2, 0.3]] * 5)
    assert (0.0, 1.0, [2.0, 2.0, 2.0]) == (friedman(tied).statistic, friedman(tied).p, friedman(tied).ranks.tolist())


def _scores() -> pd.DataFrame:
    """Demsar's table as scores of two seeds, with the references and a baseline row paired against one variant, which do not rank."""
    techniques = [("non_personalized", "-"), ("tune", "m=1"), ("tune", "cf=1"), ("both", "-")]
    cell = {"dataset": "d", "label": "l", "model": "m", "scoring": "common", "against": ""}
    rows = [
        cell | {"technique": t, "variant": v, "participant": i, "seed": seed, "auroc": AUC[i][k] + shift, "ece": 1 - AUC[i][k]}
        for k, (t, v) in enumerate(techniques)
        for i in range(14)
        for seed, shift in ((0, 0.01), (1, -0.01))
    ]
    other = {"participant": 0, "seed": 0, "auroc": 0.5, "ece": 0.0}
    rows += [cell | other | {"technique": "majority_class", "variant": "-"}]
    rows += [cell | other | {"technique": "non_personalized", "variant": "-", "against": "tune m=1"}]
    return pd.DataFrame(rows)


def test_a_table_has_participants_by_variants() -> None:
    """Means over seeds of every variant and the baseline; references and paired rows stay out."""
    (cell, table), *rest = rank_tables(_scores(), "auroc").items()
    assert (("d", "l", "m"), []) == (cell, rest)
    assert ["both", "non_personalized", "tune cf=1", "tune m=1"] == table.columns.tolist()
    np.testing.assert_allclose(np.array(AUC)[:, [3, 0, 2, 1]], table.to_numpy())


@pytest.mark.parametrize("metric", ["auroc", "ece"])
def test_a_ranking_names_techniques_and_variants_best_first(metric: str) -> None:
    """Demsar's example as a frame, by scores and by errors alike."""
    table = ranking(_scores(), metric)
    assert [("both", "-"), ("tune", "m=1"), ("tune", "cf=1"), ("non_personalized", "-")] == list(
        zip(table["technique"], table["variant"], strict=True)
    )
    assert [1.964, 2.0, 2.893, 3.143] == table["rank"].round(3).tolist()
    assert {(14, 0, 10.228, 1.254, metric)} == set(
        zip(
            table["n_participants"],
            table["n_missing"],
            table["statistic"].round(3),
            table["critical_difference"].round(3),
            table["metric"],
            strict=True,
        )
    )
