"""The tests against published answers: R, coin, scipy's documentation, Kerby (2014); and the border between exact and normal p."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.statistics import paired_tests
from analysis.statistics.paired_tests import bca_interval, bca_intervals, holm, min_attainable_p, rank_biserial, wilcoxon

# two rounds of 50 ratings from 1 to 7: 13 zeros and many ties; coin prints Z = 4.5276 and the exact p 1.474e-06
RATED = "64557666766566553665654666743466564665766567666577"
AGAIN = "53535362362556464553756643432454462674455557453267"


def test_wilcoxon_is_darwins_maize_of_scipys_documentation() -> None:
    """15 pairs of plants without zeros or ties: 0.041259765625."""
    d = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])
    assert (pytest.approx(0.041259765625), "Wilcoxon signed-rank (Pratt, exact)") == wilcoxon(d)


def test_wilcoxon_is_the_depression_example_of_r() -> None:
    """?wilcox.test: V = 40, one-sided p = 0.01953 for 9 pairs; two-sided twice that."""
    x = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    y = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert pytest.approx(2 * 0.01953, abs=1e-5) == wilcoxon(x - y)[0]


def test_wilcoxon_is_coins_exact_pratt_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """R's coin::wilcoxsign_test(distribution = "exact", zero.method = "Pratt") on 50 ratings; above 20 moved pairs coin's asymptotic p."""
    d = np.array([float(a) - float(b) for a, b in zip(RATED, AGAIN, strict=True)])
    assert pytest.approx(2 * stats.norm.sf(4.5276), rel=1e-3) == wilcoxon(d)[0]
    monkeypatch.setattr(paired_tests, "EXACT_UP_TO", 50)
    assert pytest.approx(1.474e-06, rel=1e-3) == wilcoxon(d)[0]


def test_wilcoxon_with_many_pairs_is_scipys_pratt_example() -> None:
    """scipy's own test of Pratt's zeros: 56 whole numbers from -4 to 4, p = 0.0031724568."""
    d = np.repeat(np.arange(-4.0, 5), [1, 4, 16, 15, 8, 4, 5, 1, 2])
    assert (pytest.approx(0.0031724568006762576), "Wilcoxon signed-rank (Pratt, normal)") == wilcoxon(d)


def test_zeros_do_not_make_a_p_that_signs_cannot() -> None:
    """Five gains among 30 people: five signs reach 2/32, the normal approximation would say 0.026."""
    d = np.append(np.zeros(25), [0.1, 0.2, 0.3, 0.4, 0.5])
    assert pytest.approx(0.0625) == wilcoxon(d)[0] == min_attainable_p(d, 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("zeros", [0, 25])
def test_the_normal_p_above_20_is_near_a_permutation_p(seed: int, zeros: int) -> None:
    """25 moved people with ties and up to 25 zeros: within 0.02 of the share of 20,000 random flips of signs."""
    rng = np.random.default_rng(seed)
    moved = rng.choice([-1.0, 1.0], 25) * rng.integers(1, 8, 25) + 0.5
    d = np.append(moved, np.zeros(zeros))
    ranks = np.where(d == 0, 0.0, stats.rankdata(np.abs(d)))
    flipped = np.abs(rng.choice([-1.0, 1.0], (20_000, len(d))) @ ranks)
    p, test = wilcoxon(d)
    assert test == "Wilcoxon signed-rank (Pratt, normal)"
    assert pytest.approx((flipped >= abs(np.sign(d) @ ranks)).mean(), abs=0.02) == p


def test_what_only_floats_tell_apart_is_a_tie() -> None:
    """0.3 - 0.2 and 0.2 - 0.1 differ in the last bit; they rank alike, and 0.1 + 0.2 - 0.3 is no gain."""
    rounded = np.array([0.1, 0.1, -0.2])
    raw = np.array([0.3 - 0.2, 0.2 - 0.1, -0.2])
    assert raw[0] != raw[1]
    assert wilcoxon(rounded) == wilcoxon(raw)
    assert rank_biserial(rounded) == rank_biserial(raw)
    assert wilcoxon(np.zeros(3)) == wilcoxon(np.full(3, 0.1 + 0.2 - 0.3))
    assert min_attainable_p(np.full(3, 0.1 + 0.2 - 0.3), 1) == 1
    assert bca_interval(np.array([0.1, 0.3 - 0.2, 0.2 - 0.1])) == (0.1, 0.1)


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


def test_bca_is_rs_boot() -> None:
    """R's boot.ci(type = "bca") of a mean, as scipy's tests quote it: 32.31 to 91.43 with a million resamples."""
    x = np.array([10, 12, 12.5, 12.5, 13.9, 15, 21, 22, 23, 34, 50, 81, 89, 121, 134, 213])
    assert pytest.approx((32.31, 91.43), rel=0.03) == bca_interval(x)


def test_intervals_made_together_are_those_made_alone() -> None:
    """Of unequal lengths, with one that is constant, one of a single difference and one of none."""
    rng = np.random.default_rng(0)
    several = [rng.normal(0.1, 1, n) for n in (7, 5, 7)]
    together = bca_intervals([*several, np.full(4, 0.2), np.array([0.3]), np.array([])])
    np.testing.assert_array_equal([bca_interval(d) for d in several], together[:3])
    np.testing.assert_array_equal([(0.2, 0.2), (np.nan, np.nan), (np.nan, np.nan)], together[3:])


def test_the_interval_counts_ties_that_floats_hide() -> None:
    """Whole numbers and a thousandth of them give intervals a thousand apart, though the sums of the latter differ in their last bits."""
    for seed in range(5):
        integers = np.random.default_rng(seed).integers(-500, 500, 7).astype(float)
        assert pytest.approx(np.array(bca_interval(integers)) / 1000, rel=1e-9) == bca_interval(integers / 1000)


def test_no_signs_bring_p_under_the_least() -> None:
    """The p of any differences, times the family, is at least ``min_attainable_p``; with all signs alike and no ties it is that."""
    rng = np.random.default_rng(0)
    for family_size in range(1, 30):
        d = rng.integers(-2, 3, size=rng.integers(1, 9)).astype(float)
        assert wilcoxon(d)[0] * family_size >= min_attainable_p(d, family_size) - 1e-12
        best = np.where(d == 0, 0.0, np.arange(1.0, len(d) + 1))
        assert pytest.approx(min(1.0, family_size * wilcoxon(best)[0])) == min_attainable_p(d, family_size)
