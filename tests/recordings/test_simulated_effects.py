"""Each truth is in the signals it makes: measured on the recordings, without any model."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from raylab.errors import RecordingError
from raylab.recordings.recording import Recording
from raylab.recordings.simulated_effects import BIG_FIVE, KNOWN_TRUTH, RATE_HZ, SIMULATED_EFFECTS, TYPES, read

HERE = Path()


def people(truth: str, count: int = 20, **options: float) -> list[Recording]:
    asked = {"truth": truth, "participants": count, "strength": 3.0, **options}
    return [read(HERE, f"P{i:02d}", asked) for i in range(1, count + 1)]


def levels(one: Recording, channel: str) -> tuple[np.ndarray, np.ndarray]:
    """(mean of each 10 s, (n, n_features); whether it was stress, (n,))."""
    segment = one.segments[0]
    values, stress = segment.signals[channel], segment.tracks["task"].values
    whole = len(values) // (10 * RATE_HZ) * 10 * RATE_HZ
    mean = values[:whole].reshape(-1, 10 * RATE_HZ, values.shape[1]).mean(axis=1)
    return mean, stress[:whole].reshape(-1, 10 * RATE_HZ).mean(axis=1) > 0.5


def direction(one: Recording, channel: str = "a") -> np.ndarray:
    """Of the person's response over the features of the channel, of length 1."""
    level, stress = levels(one, channel)
    found = level[stress].mean(axis=0) - level[~stress].mean(axis=0)
    return found / np.linalg.norm(found)


def auroc(one: Recording, channel: str = "a", part: slice = slice(None), along: np.ndarray | None = None) -> float:
    """How well the level alone tells stress: of the first feature, or along a direction."""
    level, stress = (values[part] for values in levels(one, channel))
    projected = level[:, 0] if along is None else level @ along
    n1, n0 = stress.sum(), (~stress).sum()
    return float((rankdata(projected)[stress].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def test_without_a_signal_the_level_says_nothing() -> None:
    found = [auroc(one) for one in people("no_signal", 40)]
    assert abs(np.mean(found) - 0.5) < 0.06


def test_a_homogeneous_cohort_responds_with_one_sign() -> None:
    assert min(auroc(one) for one in people("homogeneous")) > 0.8


def test_people_of_a_shifted_cohort_respond_in_directions_that_neither_others_nor_traits_tell() -> None:
    cohort = people("shifted", 60)
    directions = np.array([direction(one) for one in cohort])
    assert min(auroc(one, along=own) for one, own in zip(cohort, directions, strict=True)) > 0.95
    others = np.array([np.delete(directions, i, axis=0).mean(axis=0) for i in range(len(cohort))])
    assert abs(np.mean([auroc(one, along=other) for one, other in zip(cohort, others, strict=True)]) - 0.5) < 0.15
    for trait in BIG_FIVE:
        values = np.array([one.traits[trait] for one in cohort], dtype=float)
        assert max(abs(np.corrcoef(values, axis)[0, 1]) for axis in directions.T) < 0.4


def test_a_recognizable_person_has_one_living_feature() -> None:
    for number, one in enumerate(people("shifted_recognizable", 6)):
        signal = one.segments[0].signals["a"]
        after = signal[len(signal) // 8 :]
        assert number == int(after.std(axis=0).argmax())
        assert after.std(axis=0).max() > 10 * np.sort(after.std(axis=0))[-2]


def kinds(cohort: list[Recording]) -> np.ndarray:
    """Which of the two directions is nearer to the person's own; both occur, and nobody is in between."""
    along = np.array([TYPES @ direction(one) for one in cohort])
    assert np.sort(along, axis=1)[:, 1].min() > 0.9
    found = along.argmax(axis=1)
    assert len(cohort) / 2 == found.sum()
    return np.asarray(found)


def test_the_big_five_tell_the_type_of_a_clustered_cohort() -> None:
    cohort = people("clustered")
    means = np.array([np.mean([float(one.traits[name]) for name in BIG_FIVE]) for one in cohort])
    np.testing.assert_array_equal(kinds(cohort), means > 4)


def test_the_second_channel_tells_the_hidden_type_and_the_traits_do_not() -> None:
    cohort = people("clustered_hidden", 40)
    kind = kinds(cohort)
    quick = np.array([np.abs(np.diff(one.segments[0].signals["b"][:, 0])).mean() for one in cohort])
    assert quick[kind == 1].min() > quick[kind == 0].max()
    means = np.array([np.mean([float(one.traits[name]) for name in BIG_FIVE]) for one in cohort])
    assert abs(np.corrcoef(means, kind)[0, 1]) < 0.5


def test_the_response_drifts_from_one_channel_to_the_other() -> None:
    third = 5.4 * 6 / 3  # windows of 10 s
    early, late = slice(0, int(third)), slice(-int(third), None)
    for one in people("drift", 30):
        for channel, strong, weak in (("a", early, late), ("b", late, early)):
            level, stress = levels(one, channel)
            moved = level[strong][stress[strong]].mean(axis=0) - level[strong][~stress[strong]].mean(axis=0)
            assert auroc(one, channel, strong, moved) > 0.85
            gone = level[weak][stress[weak]].mean(axis=0) - level[weak][~stress[weak]].mean(axis=0)
            assert np.linalg.norm(gone) < 0.8 * np.linalg.norm(moved)


def test_the_runs_of_blocks_differ_more_than_its_labels() -> None:
    cohort = people("blocks", 40)
    assert abs(np.mean([auroc(one) for one in cohort]) - 0.5) < 0.1
    within, between = [], []
    for one in cohort:
        level, stress = levels(one, "a")
        level = level[:, 0]
        run = np.cumsum(np.diff(stress, prepend=stress[0]) != 0)
        means = np.array([level[run == r].mean() for r in np.unique(run)])
        between.append(means.std())
        within.append(np.mean([level[run == r].std() for r in np.unique(run)]))
    assert np.mean(between) > 2 * np.mean(within)


@pytest.mark.parametrize("truth", SIMULATED_EFFECTS)
def test_a_person_is_the_same_whoever_else_is_read(truth: str) -> None:
    first, again = (read(HERE, "P03", {"truth": truth, "seed": 5}) for _ in range(2))
    other = read(HERE, "P03", {"truth": truth, "seed": 6})
    np.testing.assert_array_equal(first.segments[0].signals["a"], again.segments[0].signals["a"])
    assert not np.array_equal(first.segments[0].signals["a"][-100:], other.segments[0].signals["a"][-100:])
    assert first.notes == (f"known truth {truth}: {SIMULATED_EFFECTS[truth].description}",)


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
