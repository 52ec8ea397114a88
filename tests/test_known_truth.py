"""Each truth is in the signals it makes: measured on the recordings, without any model."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from raylab.errors import RecordingError
from raylab.recordings.known_truth import BIG_FIVE, KNOWN_TRUTH, RATE_HZ, TRUTHS, read
from raylab.recordings.recording import Recording

HERE = Path()


def people(truth: str, count: int = 20, **options: float) -> list[Recording]:
    asked = {"truth": truth, "participants": count, "strength": 3.0, **options}
    return [read(HERE, f"P{i:02d}", asked) for i in range(1, count + 1)]


def levels(one: Recording, channel: str) -> tuple[np.ndarray, np.ndarray]:
    """(mean of each 10 s, whether it was stress)."""
    segment = one.segments[0]
    values, stress = segment.signals[channel][:, 0], segment.tracks["task"].values
    whole = len(values) // (10 * RATE_HZ) * 10 * RATE_HZ
    return values[:whole].reshape(-1, 10 * RATE_HZ).mean(axis=1), stress[:whole].reshape(-1, 10 * RATE_HZ).mean(axis=1) > 0.5


def auroc(one: Recording, channel: str = "a", part: slice = slice(None)) -> float:
    """How well the level alone tells stress."""
    level, stress = (values[part] for values in levels(one, channel))
    n1, n0 = stress.sum(), (~stress).sum()
    return float((rankdata(level)[stress].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def test_without_a_signal_the_level_says_nothing() -> None:
    found = [auroc(one) for one in people("no_signal", 40)]
    assert abs(np.mean(found) - 0.5) < 0.06


def test_a_homogeneous_cohort_responds_with_one_sign() -> None:
    assert min(auroc(one) for one in people("homogeneous")) > 0.8


def test_a_shifted_cohort_has_both_signs_and_no_traits_that_tell_them() -> None:
    cohort = people("shifted", 60)
    rises = np.array([auroc(one) > 0.5 for one in cohort])
    assert 15 < rises.sum() < 45
    assert all(auroc(one) > 0.8 or auroc(one) < 0.2 for one in cohort)
    for trait in BIG_FIVE:
        values = np.array([one.traits[trait] for one in cohort], dtype=float)
        assert abs(np.corrcoef(values, rises)[0, 1]) < 0.4


def test_a_recognizable_person_has_one_living_feature() -> None:
    for number, one in enumerate(people("shifted_recognizable", 6)):
        signal = one.segments[0].signals["a"]
        after = signal[len(signal) // 8 :]
        assert number == int(after.std(axis=0).argmax())
        assert after.std(axis=0).max() > 10 * np.sort(after.std(axis=0))[-2]


def test_the_big_five_tell_the_type_of_a_clustered_cohort() -> None:
    for one in people("clustered"):
        assert (auroc(one) > 0.5) == (np.mean([float(one.traits[name]) for name in BIG_FIVE]) > 4)


def test_the_second_channel_tells_the_hidden_type_and_the_traits_do_not() -> None:
    cohort = people("clustered_hidden", 40)
    rises = np.array([auroc(one) > 0.5 for one in cohort])
    quick = np.array([np.abs(np.diff(one.segments[0].signals["b"][:, 0])).mean() for one in cohort])
    assert quick[rises].min() > quick[~rises].max()
    means = np.array([np.mean([float(one.traits[name]) for name in BIG_FIVE]) for one in cohort])
    assert abs(np.corrcoef(means, rises)[0, 1]) < 0.5


def test_the_response_drifts_from_one_channel_to_the_other() -> None:
    def strength(one: Recording, channel: str, part: slice) -> float:
        return abs(auroc(one, channel, part) - 0.5)

    early, late = slice(0, 8), slice(-8, None)
    cohort = people("drift", 30)
    for strong, weak in (("a", "b"), ("b", "a")):
        part = early if strong == "a" else late
        assert np.mean([strength(one, strong, part) - strength(one, weak, part) for one in cohort]) > 0.1


def test_the_runs_of_blocks_differ_more_than_its_labels() -> None:
    cohort = people("blocks", 40)
    assert abs(np.mean([auroc(one) for one in cohort]) - 0.5) < 0.1
    within, between = [], []
    for one in cohort:
        level, stress = levels(one, "a")
        run = np.cumsum(np.diff(stress, prepend=stress[0]) != 0)
        means = np.array([level[run == r].mean() for r in np.unique(run)])
        between.append(means.std())
        within.append(np.mean([level[run == r].std() for r in np.unique(run)]))
    assert np.mean(between) > 2 * np.mean(within)


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_person_is_the_same_whoever_else_is_read(truth: str) -> None:
    first, again = (read(HERE, "P03", {"truth": truth, "seed": 5}) for _ in range(2))
    other = read(HERE, "P03", {"truth": truth, "seed": 6})
    np.testing.assert_array_equal(first.segments[0].signals["a"], again.segments[0].signals["a"])
    assert not np.array_equal(first.segments[0].signals["a"][-100:], other.segments[0].signals["a"][-100:])
    assert first.notes == (f"known truth {truth}: {TRUTHS[truth].says}",)


def test_strength_people_minutes_balance_and_noise_are_parameters() -> None:
    one = read(HERE, "P01", {"minutes": 10.8, "balance": 0.25})
    stress = one.segments[0].tracks["task"].values
    assert 10.8 * 60 * RATE_HZ == pytest.approx(len(stress), rel=0.05)
    assert 0.25 == pytest.approx(stress.mean(), abs=0.05)
    assert 7 == len(KNOWN_TRUTH.participants(HERE, {"participants": 7}))
    weak, strong = (np.mean([auroc(p) for p in people("homogeneous", strength=s)]) for s in (0.3, 3.0))
    assert weak < 0.75 < strong
    assert np.mean([auroc(p) for p in people("homogeneous", noise=10.0)]) < 0.75


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(RecordingError, match=r"truth=none is unknown.*no_signal, homogeneous"):
        read(HERE, "P01", {"truth": "none"})
    with pytest.raises(RecordingError, match=r"balance=0\.9 is outside 0\.2 to 0\.8"):
        read(HERE, "P01", {"balance": 0.9})
