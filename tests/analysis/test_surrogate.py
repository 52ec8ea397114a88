"""The linear surrogate of a study: its scores by hand, what a draw keeps and permutes, and the variance inflation on cohorts of known truth."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analysis.statistics import surrogate
from analysis.statistics.surrogate import CohortWindows, SurrogateTrial, simulated_differences, variance_inflation

NONE = np.zeros(0, dtype=np.int64)


def _cohort(n: int = 8, windows: int = 20, features: int = 4, signal: float = 0.0, seed: int = 0) -> CohortWindows:
    """Two classes in turn; class 1 is ``signal`` higher in every feature, for every participant."""
    rng = np.random.default_rng(seed)
    participant, y = np.repeat(np.arange(n), windows), np.tile(np.arange(windows) % 2, n)
    x = rng.normal(0, 1, (n * windows, features)) + signal * y[:, None] + rng.normal(0, 2, (n, features))[participant]
    return CohortWindows(participant, np.arange(len(y)), y, x.astype(np.float32), n)


def _others(n: int, target: int) -> np.ndarray:
    return np.arange(n) != target


def _rows(cohort: CohortWindows, target: int) -> np.ndarray:
    return np.flatnonzero(cohort.participant == target)


def _plan(cohort: CohortWindows, kind: str) -> list[tuple[SurrogateTrial, SurrogateTrial]]:
    """Each target's trial of a technique and of the reference, both tested on the second half of its windows.

    ``half``: trained anew on every second of the others; ``tuned``: the reference's training, then the first half of the target's windows.
    """
    pairs = []
    for target in range(cohort.n_participants):
        rows = _rows(cohort, target)
        calibration, tested = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        everyone = _others(cohort.n_participants, target)
        reference = SurrogateTrial(target, (everyone,), NONE, tested)
        half = everyone & (np.arange(cohort.n_participants) % 2 == target % 2)
        trials = {
            "same": reference,
            "half": SurrogateTrial(target, (half,), NONE, tested),
            "tuned": SurrogateTrial(target, (everyone, ~everyone), calibration, tested),
        }
        pairs.append((trials[kind], reference))
    return pairs


@pytest.mark.parametrize("classes", [2, 3])
def test_the_auroc_is_scikit_learns(classes: int) -> None:
    """One class against the rest, averaged over the classes that windows have; NaN if they have one."""
    rng = np.random.default_rng(classes)
    scores, y = rng.normal(0, 1, (5, 40, classes)), rng.integers(0, classes, 40)
    values = surrogate._aurocs(scores, y)
    for draw in range(5):
        if classes == 2:
            expected = roc_auc_score(y, scores[draw, :, 1] - scores[draw, :, 0])
        else:
            expected = np.mean([roc_auc_score(y == k, scores[draw, :, k]) for k in range(classes)])
        assert pytest.approx(expected) == values[draw]
    assert np.isnan(surrogate._aurocs(scores, np.zeros(40, dtype=int))).all()


def test_class_offsets_by_hand() -> None:
    """A has means 1 and 5, B one class only: -2 and +2, and 0 throughout; of a few rows only these count."""
    x = np.array([[0], [2], [5], [7]], dtype=np.float32)
    cohort = CohortWindows(np.array([0, 0, 0, 1]), np.arange(4), np.array([0, 0, 1, 1]), x, 2)
    assert [[[-2.0], [2.0]], [[0.0], [0.0]]] == cohort.class_offsets(x[None])[0].tolist()
    assert [[-1.5], [1.5]] == cohort.class_offsets(x[None], np.array([1, 2]))[0, 0].tolist()
    assert [[2, 1], [0, 1]] == cohort.counts.tolist()


def test_a_draw_keeps_windows_with_their_participant() -> None:
    """Without a signal a draw permutes each participant's residuals and nothing else; two draws differ."""
    cohort = _cohort()
    residuals = np.arange(len(cohort.y), dtype=np.float32)[:, None]
    nothing = np.zeros((2, 1))
    signal = surrogate._Signal(nothing, np.zeros((8, 2, 1)), residuals)
    drawn = surrogate._draw(cohort, signal, np.random.default_rng(0), 2)[:, :, 0]
    for target in range(8):
        rows = _rows(cohort, target)
        assert all(sorted(draw[rows]) == residuals[rows, 0].tolist() for draw in drawn)
    assert (drawn[0] != drawn[1]).mean() > 0.5


def test_only_a_signal_that_is_sure_is_kept() -> None:
    """Class means that all participants share are kept but for what is not sure; of labels without a signal hardly anything is."""
    strong, none = surrogate._signal(_cohort(signal=1.0)), surrogate._signal(_cohort(signal=0.0))
    assert 0.6 < (strong.common[1] - strong.common[0]).mean() < 1
    assert np.abs(none.common).max() < 0.15
    flipped = _cohort()  # each participant with a direction of its own: own part, nothing in common
    sign = np.where(flipped.participant % 2, 1, -1)
    own = CohortWindows(
        flipped.participant, flipped.window, flipped.y, flipped.x + (2 * sign * flipped.y)[:, None].astype(np.float32), 8
    )
    kept = surrogate._signal(own)
    assert np.abs(kept.common).max() < 0.3 and np.abs(kept.own[:, 1] - kept.own[:, 0]).mean() > 1.5


def test_the_same_plan_has_no_differences() -> None:
    """A technique that is the reference differs in no draw; its inflation is not known."""
    cohort = _cohort()
    differences = simulated_differences(cohort, [_plan(cohort, "same")], draws=30)[0]
    assert (30, 8) == differences.shape and not differences.any()
    assert np.isnan(variance_inflation(differences))


def test_differences_repeat_for_a_seed_and_do_not_depend_on_the_other_techniques() -> None:
    """Simulated alone or beside another technique they are the same."""
    cohort = _cohort()
    alone = simulated_differences(cohort, [_plan(cohort, "tuned")], draws=25)[0]
    beside = simulated_differences(cohort, [_plan(cohort, "half"), _plan(cohort, "tuned")], draws=25)[1]
    np.testing.assert_array_equal(alone, beside)
    assert (alone != simulated_differences(cohort, [_plan(cohort, "tuned")], draws=25, seed=1)[0]).any()


@pytest.mark.parametrize("true_inflation", [1.0, 2.0, 3.0])
def test_the_inflation_of_draws_of_known_dependence(true_inflation: float) -> None:
    """Participants with a common part: variance of the mean over s^2 / n is 1 + n rho / (1 - rho), found within 10%."""
    rng, n = np.random.default_rng(0), 15
    common = np.sqrt((true_inflation - 1) / n)
    d = rng.normal(0, 1, (20_000, n)) + rng.normal(0, common, (20_000, 1))
    assert pytest.approx(true_inflation, rel=0.1) == variance_inflation(d)


def test_who_is_in_the_cohort_counts_once() -> None:
    """Participants with means of their own that every draw repeats, and independent luck: s^2 / n holds, the inflation is 1."""
    rng = np.random.default_rng(1)
    values = [variance_inflation(rng.normal(0, 1, (200, 15)) + rng.normal(0, 1, 15)) for _ in range(50)]
    assert pytest.approx(1.0, abs=0.1) == np.mean(values)


def test_a_participant_without_a_score_is_left_out() -> None:
    """Fewer than two with scores have no inflation."""
    d = np.random.default_rng(2).normal(0, 1, (50, 4))
    missing = np.column_stack([d, np.full(50, np.nan)])
    assert variance_inflation(d) == variance_inflation(missing)
    assert np.isnan(variance_inflation(missing[:, 3:]))


def test_labels_without_signal_make_retraining_dependent() -> None:
    """Trained anew on half of the others, scores move together: the surrogate's inflation is near that of the luck of labels over many cohorts
    without a signal, and above 1.2."""
    truth = []
    for seed in range(150):
        cohort = _cohort(n=12, seed=seed)
        study = surrogate._Study(cohort, cohort.x[None])
        pairs = _plan(cohort, "half")
        truth.append([float(study.auroc(t, t.tested)[0] - study.auroc(r, t.tested)[0]) for t, r in pairs])
    d = np.array(truth)
    expected = d.mean(axis=1).var(ddof=1) / (d.var(axis=1, ddof=1) / 12).mean()
    simulated = [
        variance_inflation(simulated_differences(c, [_plan(c, "half")], draws=100)[0])
        for c in (_cohort(n=12, seed=s) for s in range(8))
    ]
    assert expected > 1.2
    assert pytest.approx(expected, rel=0.35) == np.mean(simulated)
