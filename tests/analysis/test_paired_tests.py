"""The test of a mean difference against scipy, statsmodels and Nadeau and Bengio's formula; effect size and Holm against published answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from analysis.statistics.dependence import retrained_bound
from analysis.statistics.paired_tests import holm, is_lopsided, mean_interval, mean_test, rank_biserial, share_of_gainers

DARWIN = np.array(
    [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0]
)  # 15 pairs of maize plants, in eighths of an inch


def test_darwins_maize_is_fishers_t() -> None:
    """Fisher (The Design of Experiments, section 17): t = 2.148 with 14 degrees of freedom, p just under 0.05."""
    test = mean_test(DARWIN, 1.0)
    assert pytest.approx(2 * stats.t.sf(2.148, 14), abs=1e-5) == test.p
    assert 0 < test.low and test.p < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_independent_differences_give_scipys_t_test(seed: int) -> None:
    """At inflation 1, p and both intervals are those of ``ttest_rel`` on the two sides and ``ttest_1samp`` on the differences."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0.7, 0.1, (2, int(rng.integers(2, 40))))
    test, expected = mean_test(first - second, 1.0), stats.ttest_rel(first, second)
    assert pytest.approx(expected.pvalue, abs=1e-9) == test.p
    assert pytest.approx(stats.ttest_1samp(first - second, 0).pvalue, abs=1e-9) == test.p
    assert pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-9) == (test.low, test.high)
    assert pytest.approx(tuple(expected.confidence_interval(0.90)), abs=1e-9) == (test.inner_low, test.inner_high)


@pytest.mark.parametrize("n", [3, 8, 34])
def test_retrained_models_give_nadeau_and_bengios_corrected_t(n: int) -> None:
    """Their statistic, mean / sqrt((1 / J + n_test / n_train) s^2), with J = n folds of one participant tested and n - 1 trained on."""
    d = np.random.default_rng(n).normal(0.03, 0.05, n)
    t = d.mean() / np.sqrt((1 / n + 1 / (n - 1)) * d.var(ddof=1))
    assert pytest.approx(2 * stats.t.sf(abs(t), n - 1)) == mean_test(d, retrained_bound(n)).p


@given(st.lists(st.integers(-300, 300), min_size=2, max_size=40), st.floats(1, 4))
def test_the_interval_is_the_test_inverted(values: list[int], inflation: float) -> None:
    """It leaves out 0 if and only if p is under 0.05, and so does the inner one at 0.10; the mean shifted to an end has p = 0.05."""
    d = np.array(values) / 1000
    test = mean_test(d, inflation)
    if np.isnan(test.p):
        assert (
            np.isnan([test.low, test.high, test.inner_low, test.inner_high, test.detectable]).all() and np.ptp(d) == 0 != d[0]
        )
        return
    assert (test.p < 0.05) == (test.low > 0 or test.high < 0)
    assert (test.p < 0.10) == (test.inner_low > 0 or test.inner_high < 0)
    if np.ptp(d) > 0:
        for end in (test.low, test.high):
            assert pytest.approx(0.05, abs=1e-6) == mean_test(d - end, inflation).p


@pytest.mark.parametrize("seed", range(20))
def test_the_inner_interval_is_the_two_one_sided_tests_of_statsmodels(seed: int) -> None:
    """It lies within 0.02 of 0 if and only if both one-sided tests reject at 5%."""
    d = np.random.default_rng(seed).normal(0.004, 0.02 + 0.001 * seed, 15)
    test = mean_test(d, 1.0)
    p = DescrStatsW(d).ttost_mean(-0.02, 0.02)[0]
    assert (p < 0.05) == (test.inner_low > -0.02 and test.inner_high < 0.02)


@pytest.mark.parametrize("n", [8, 15, 34])
def test_the_detectable_difference_is_that_of_80_percent_power(n: int) -> None:
    """Statsmodels' difference of 80% power (noncentral t) is within 3%; an inflation stretches it by its root."""
    d = np.random.default_rng(n).normal(0, 0.05, n)
    exact = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8) * d.std(ddof=1)
    assert pytest.approx(exact, rel=0.03) == mean_test(d, 1.0).detectable
    assert pytest.approx(np.sqrt(2) * mean_test(d, 1.0).detectable) == mean_test(d, 2.0).detectable


def test_no_spread_is_no_test() -> None:
    """One difference, or equal ones that are not 0, have no p and no interval; all 0 have p = 1 and the interval [0, 0]."""
    for d in (np.array([]), np.array([0.3]), np.full(6, 0.1)):
        test = mean_test(d, 1.5)
        assert np.isnan([test.p, test.low, test.high, test.inner_low, test.inner_high, test.detectable]).all()
    test = mean_test(np.zeros(6), 1.5)
    assert (1.0, 0.0, 0.0, 0.0) == (test.p, test.low, test.high, test.detectable)


def test_what_only_floats_tell_apart_is_a_tie() -> None:
    """0.3 - 0.2 and 0.2 - 0.1 differ in the last bit; they are one difference, and 0.1 + 0.2 - 0.3 is no gain."""
    rounded, raw = np.array([0.1, 0.1, -0.2]), np.array([0.3 - 0.2, 0.2 - 0.1, -0.2])
    assert raw[0] != raw[1]
    assert mean_test(rounded, 1.0) == mean_test(raw, 1.0)
    assert rank_biserial(rounded) == rank_biserial(raw)
    zeros = np.full(3, 0.1 + 0.2 - 0.3)
    assert mean_test(np.zeros(3), 1.0) == mean_test(zeros, 1.0)
    assert (0.0, 0.0) == (share_of_gainers(zeros), rank_biserial(zeros))
    assert np.isnan(mean_test(np.array([0.1, 0.3 - 0.2, 0.2 - 0.1]), 1.0).p)


def test_the_interval_of_a_mean_is_scipys() -> None:
    """Of independent values, whatever their mean; a constant has no width, one value no interval."""
    values = np.random.default_rng(3).uniform(0.4, 1, 12)
    assert pytest.approx(stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))) == mean_interval(values)
    assert pytest.approx((0.7, 0.7)) == mean_interval(np.full(4, 0.7))
    assert np.isnan(mean_interval(np.array([0.7]))).all() and np.isnan(mean_interval(np.array([]))).all()


def test_three_of_34_do_not_make_a_gain() -> None:
    """31 of 34 lose 0.005 to 0.02, three gain 0.45: ranks say worse (-0.67), the mean +0.028; signed ranks gave p = 0.0007, the mean's test
    gives none under 0.05, at any inflation."""
    d = np.append(-np.linspace(0.005, 0.02, 31), [0.45, 0.45, 0.45])
    assert d.mean() > 0.02 and rank_biserial(d) < -0.6
    assert stats.wilcoxon(d).pvalue < 0.001
    assert 0.2 < mean_test(d, 1.0).p < mean_test(d, 2.0).p


def test_differences_are_lopsided_if_few_people_make_them() -> None:
    """Three of ten who change, or one far away; not a plain spread, not two people, not 34 of them, and not if nothing changes."""
    assert is_lopsided(np.append(np.zeros(7), [0.1, 0.2, -0.1]))
    assert is_lopsided(np.append(np.linspace(-0.02, 0.02, 14), 0.5))
    assert is_lopsided(-np.append(np.linspace(-0.02, 0.02, 14), 0.5))
    assert not is_lopsided(np.random.default_rng(0).normal(0.02, 0.05, 15))
    assert not is_lopsided(np.append(np.zeros(31), [0.1, 0.2, 0.3]))
    assert not any(is_lopsided(np.array(d)) for d in ([0.0] * 10, [0.2] * 10, [0.0, 0.5], []))


def test_gainers_are_the_share_above_zero() -> None:
    """Two of five; equal ones do not gain."""
    assert 0.4 == share_of_gainers(np.array([0.1, 0.2, 0.0, 0.1 + 0.2 - 0.3, -0.5]))


def test_holm_is_statsmodels() -> None:
    """The adjusted p values of any family, ties among them, are those of statsmodels."""
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 24):
        p = np.round(rng.random(size) ** 3, 2)
        np.testing.assert_allclose(multipletests(p, method="holm")[1], holm(p))


def test_holm_is_rs_example_and_keeps_missing_ones_in_the_family() -> None:
    """R: p.adjust(c(.01, .02, .03, .04, .05), "holm") is .05 .08 .09 .09 .09; a missing p stays missing and counts."""
    np.testing.assert_allclose([0.05, 0.08, 0.09, 0.09, 0.09], holm(np.array([0.01, 0.02, 0.03, 0.04, 0.05])))
    np.testing.assert_allclose([np.nan, 0.03, 0.04], holm(np.array([np.nan, 0.01, 0.02])))


def test_rank_biserial_is_kerbys_example() -> None:
    """Kerby (2014): of 9 pairs the ranks 3, 4, 5 and 6 are negative; 27/45 - 18/45 = 0.20."""
    d = np.array([1, 2, -3, -4, -5, -6, 7, 8, 9.0])
    assert pytest.approx(0.20) == rank_biserial(d)


def test_zeros_push_the_ranks_of_the_others_up() -> None:
    """Pratt, by hand: of 0, 0, 1, -2 the last two have the ranks 3 and 4: (3 - 4) / 7."""
    assert pytest.approx(-1 / 7) == rank_biserial(np.array([0, 0, 1, -2.0]))


@pytest.mark.parametrize("seed", range(3))
def test_the_effect_size_is_that_of_scipys_ranks(seed: int) -> None:
    """scipy's signed-rank statistic with Pratt's zeros is the smaller sum of ranks: |effect| = 1 - 2 W / (sum of both)."""
    d = np.random.default_rng(seed).integers(-3, 6, 20) / 10
    total = stats.rankdata(np.abs(d))[d != 0].sum()
    smaller = stats.wilcoxon(d, zero_method="pratt", method="asymptotic").statistic
    assert pytest.approx(1 - 2 * smaller / total) == abs(rank_biserial(d))
