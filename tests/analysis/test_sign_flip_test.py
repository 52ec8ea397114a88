"""The choice of a variant by the other participants, and its test by flipping rows, against both written out by hand."""

from itertools import product

import numpy as np
import pytest

from analysis.statistics.sign_flip_test import flip_test, leave_one_out_choice


def _by_hand(d: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The choice in words: for each participant the variant it has with the best mean over the others that have it, the first of equals."""
    values, variants = [], []
    for i, row in enumerate(d):
        others = np.delete(d, i, axis=0)
        best, choice = -np.inf, -1
        for v in range(d.shape[1]):
            values_of_others = others[~np.isnan(others[:, v]), v]
            if not np.isnan(row[v]) and len(values_of_others) and round(values_of_others.mean(), 9) > best:
                best, choice = round(values_of_others.mean(), 9), v
        variants.append(choice)
        values.append(np.nan if choice < 0 else row[choice])
    return np.array(values), variants


def _cases() -> list[np.ndarray]:
    """Tables of differences with ties, zeros and missing scores."""
    rng = np.random.default_rng(0)
    complete = [np.round(rng.normal(0.02, 0.05, (n, v)), 2) for n, v in ((2, 2), (5, 3), (7, 4), (8, 2))]
    missing = [np.where(rng.random(d.shape) < 0.3, np.nan, d) for d in complete]
    return complete + missing


@pytest.mark.parametrize("d", _cases())
def test_the_choice_is_the_best_of_the_others(d: np.ndarray) -> None:
    """Values and variants are those of the rule in words, with ties and missing scores."""
    values, variants = leave_one_out_choice(d)
    expected, expected_variants = _by_hand(d)
    np.testing.assert_array_equal(expected, values)
    assert expected_variants == variants.tolist()


def test_a_choice_by_hand() -> None:
    """A gains most from v, but the others (B, C) gain more from w: A is given w; so is B; C is given v, and no participant is given its own best."""
    d = np.array([[0.9, 0.1], [0.0, 0.2], [0.1, 0.5]])
    values, variants = leave_one_out_choice(d)
    assert [1, 0, 0] == variants.tolist()
    np.testing.assert_allclose([0.1, 0.0, 0.1], values)


@pytest.mark.parametrize("d", _cases())
def test_p_is_the_share_of_all_flips_of_rows(d: np.ndarray) -> None:
    """Every way of flipping whole rows, with the choice repeated in words, gives the same p."""
    complete = d[~np.isnan(_by_hand(d)[0])]
    means = [abs(_by_hand(complete * np.array(s)[:, None])[0].sum()) for s in product([1, -1], repeat=len(complete))]
    test = flip_test(d)
    assert (pytest.approx(np.mean(np.array(means) >= means[0] - 1e-9)), 2 ** len(complete), True) == (
        test.p,
        test.flips,
        test.exact,
    )


def test_random_flips_come_near_all_flips_and_repeat() -> None:
    """12 people: 9,999 random flips are within Monte Carlo error of all 4,096, the same for a seed, never 0."""
    d = np.random.default_rng(1).normal(0.03, 0.05, (12, 4))
    exact, some = flip_test(d), flip_test(d, exact_up_to=0)
    assert (4096, 10_000) == (exact.flips, some.flips)
    assert pytest.approx(exact.p, abs=4 * np.sqrt(exact.p / 9999)) == some.p
    assert pytest.approx((exact.low, exact.high), abs=0.005) == (some.low, some.high)
    assert some == flip_test(d, exact_up_to=0) != flip_test(d, exact_up_to=0, seed=1)
    assert pytest.approx(1 / 100) == flip_test(np.full((40, 2), 0.1), flips=99).p


def test_differences_that_floats_alone_tell_apart_are_equal() -> None:
    """Two variants with differences to the baseline that are the same number computed in two ways: the first is chosen."""
    d = np.array([[0.2 - 0.1, 0.3 - 0.2]] * 4)
    assert d[0, 0] != d[0, 1]
    assert [0, 0, 0, 0] == leave_one_out_choice(d)[1].tolist() == leave_one_out_choice(d[:, ::-1])[1].tolist()


@pytest.mark.parametrize("d", [case for case in _cases() if not np.isnan(case).any() and len(case) > 5])
def test_the_interval_is_what_the_test_does_not_reject(d: np.ndarray) -> None:
    """Just inside its ends a mean difference taken off every participant leaves p over 0.05, just outside it does not."""
    test = flip_test(d)
    assert test.low < np.nanmean(leave_one_out_choice(d)[0]) < test.high
    for end, out in ((test.low, -1e-6), (test.high, 1e-6)):
        assert flip_test(d - (end - out)).p > 0.05 >= flip_test(d - (end + out)).p


def test_what_cannot_be_bounded_or_shifted_has_no_interval() -> None:
    """Four people cannot reach 0.05 however large the gain; six can. With a missing score the choice would move with the shift."""
    rng = np.random.default_rng(0)
    assert np.isnan(flip_test(rng.normal(1, 0.1, (4, 2))).low)
    d = rng.normal(1, 0.1, (6, 2))
    assert 0 < flip_test(d).low < 1 < flip_test(d).high < 2
    d[0, 0] = np.nan
    assert np.isnan(flip_test(d).high) and flip_test(d).p <= 2 / 64


def test_no_or_one_participant_or_all_ties_are_no_error() -> None:
    """One person cannot be chosen for by others and has no p; if nothing differs p is 1."""
    assert np.isnan(flip_test(np.array([[0.1, 0.2]])).p)
    assert np.isnan(flip_test(np.full((4, 2), np.nan)).p)
    assert [-1] == leave_one_out_choice(np.array([[0.1, 0.2]]))[1].tolist()
    assert (1.0, 0.0, 0.0) == (flip_test(np.zeros((8, 3))).p, flip_test(np.zeros((8, 3))).low, flip_test(np.zeros((8, 3))).high)
