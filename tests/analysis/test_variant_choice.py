"""The choice of a variant by the other participants, and what it does to the variance of the mean, against both written out by hand."""

from itertools import product

import numpy as np
import pytest

from analysis.statistics import variant_choice
from analysis.statistics.variant_choice import choice_inflation, leave_one_out_choice


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


def _variance_by_hand(d: np.ndarray) -> tuple[float, float]:
    """Over all flips of whole rows, with the choice repeated in words: mean squared mean of the chosen, and mean of s^2 / n."""
    complete = d[~np.isnan(_by_hand(d)[0])]
    chosen = [_by_hand(complete * np.array(signs)[:, None])[0] for signs in product([1, -1], repeat=len(complete))]
    return float(np.mean([v.mean() ** 2 for v in chosen])), float(np.mean([v.var(ddof=1) / len(v) for v in chosen]))


@pytest.mark.parametrize("d", [case for case in _cases() if len(case) > 2])
def test_the_factor_is_the_variance_over_all_flips_of_rows(d: np.ndarray) -> None:
    """Written out by hand for up to eight participants, missing scores included; never under 1."""
    if len(d[~np.isnan(_by_hand(d)[0])]) < 3:
        assert 1.0 == choice_inflation(d)
        return
    of_means, naive = _variance_by_hand(d)
    assert pytest.approx(max(1.0, of_means / naive)) == choice_inflation(d)


def test_the_choice_ties_participants() -> None:
    """Many variants that differ by luck alone: the mean of the chosen varies more than s^2 / n, by the factor within a quarter; with one variant,
    or copies of one, nothing is chosen and the factor is 1 but for Monte Carlo error."""
    rng = np.random.default_rng(0)
    cohorts = rng.normal(0, 0.05, (2000, 15, 8))
    chosen = np.array([leave_one_out_choice(d)[0] for d in cohorts])
    true_factor = chosen.mean(axis=1).var() / (chosen.var(axis=1, ddof=1) / 15).mean()
    factors = [choice_inflation(d) for d in cohorts[:60]]
    assert true_factor > 1.2
    assert pytest.approx(true_factor, rel=0.25) == np.mean(factors)
    assert 1.0 == choice_inflation(cohorts[0][:, :1])
    assert pytest.approx(1.0, abs=0.08) == choice_inflation(np.repeat(cohorts[0][:, :1], 4, axis=1))


def test_random_flips_come_near_all_flips_and_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten people: 2,000 random flips are near all 1,024, the same for a seed, others for another."""
    d = np.random.default_rng(1).normal(0.03, 0.05, (10, 4))
    exact = choice_inflation(d)
    monkeypatch.setattr(variant_choice, "EXACT_UP_TO", 0)
    assert pytest.approx(exact, rel=0.1) == choice_inflation(d)
    assert choice_inflation(d) == choice_inflation(d) != choice_inflation(d, seed=1)


def test_differences_that_floats_alone_tell_apart_are_equal() -> None:
    """Two variants with differences to the baseline that are the same number computed in two ways: the first is chosen."""
    d = np.array([[0.2 - 0.1, 0.3 - 0.2]] * 4)
    assert d[0, 0] != d[0, 1]
    assert [0, 0, 0, 0] == leave_one_out_choice(d)[1].tolist() == leave_one_out_choice(d[:, ::-1])[1].tolist()


def test_no_or_one_participant_or_all_ties_are_no_error() -> None:
    """One person cannot be chosen for by others; without three chosen differences, or if nothing differs, the factor is 1."""
    assert [-1] == leave_one_out_choice(np.array([[0.1, 0.2]]))[1].tolist()
    for d in (np.array([[0.1, 0.2]]), np.full((4, 2), np.nan), np.array([[0.1, 0.2], [0.3, 0.1]]), np.zeros((8, 3))):
        assert 1.0 == choice_inflation(d)
