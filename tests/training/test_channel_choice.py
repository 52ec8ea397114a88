"""``channels: auto``: greedy forward selection on held-out training people, and who has a part in it."""

from typing import Any

import numpy as np
import pytest
from builders.windows import make_windows

from raylab.folds.fold import NO_ROWS, Fold
from raylab.training.batches import Signals
from raylab.training.channel_choice import choose_channels, select_channels
from raylab.training.protocol import Hyperparameters
from raylab.training.stage_hash import PlannedStage

N_PEOPLE, N_EACH = 10, 20
PEOPLE = np.repeat(np.arange(N_PEOPLE), N_EACH)
Y = np.tile(np.repeat([0, 1], N_EACH // 2), N_PEOPLE)


def statistics_of(**channels: Any) -> dict[str, Any]:
    """Channel to one statistic of each window."""
    return {name: np.asarray(x, dtype=float)[:, None] for name, x in channels.items()}


def selected(statistics: dict[str, Any], y: Any = Y, people: Any = PEOPLE, seed: int = 0) -> tuple[str, ...]:
    return select_channels(statistics, np.asarray(y), np.asarray(people), np.random.default_rng(seed))


def noise(seed: int, size: float = 1.0) -> Any:
    return size * np.random.default_rng(seed).normal(size=len(Y))


def test_a_confounded_channel_is_left_out() -> None:
    """A channel that tells the classes apart perfectly in each person, with a sign that is the person's, helps nobody who is new."""
    order = np.where(PEOPLE % 2 == 0, 1.0, -1.0) * np.where(PEOPLE < 6, 1.0, -1.0)
    confounded = order * (Y - 0.5) + noise(1, 0.01)

    assert ("good",) == selected(statistics_of(confounded=confounded, good=Y + noise(2), noise=noise(3)))


def test_a_second_channel_joins_only_if_it_helps() -> None:
    """Two independent views of the class are both chosen; a copy of the first adds nothing and is not."""
    first = Y + noise(1)

    assert ("a", "b") == selected(statistics_of(a=first, b=Y + noise(2), c=noise(3)))
    assert ("a",) == selected(statistics_of(a=first, b=first.copy(), c=noise(3)))


def test_channels_keep_their_order() -> None:
    """The choice is in the order of the channels, not in that in which they were found."""
    better, worse = Y + noise(1, 0.8), Y + noise(2)

    assert ("a", "b") == selected(statistics_of(a=worse, b=better))


def test_of_more_than_two_classes_each_counts() -> None:
    """One channel knows class 2 from the others, another class 1: both are needed."""
    y = np.tile(np.arange(20) % 3, N_PEOPLE)
    people = np.repeat(np.arange(N_PEOPLE), 20)
    channels = statistics_of(a=(y == 2) + noise(1, 0.3), b=(y == 1) + noise(2, 0.3), c=noise(3))

    assert ("a", "b") == selected(channels, y, people)


@pytest.mark.parametrize(
    ("y", "people"),
    [
        (Y, np.where(PEOPLE < 5, 0, 1)),  # two people
        (np.where(PEOPLE < 8, 0, Y), PEOPLE),  # only two people have both classes
        (np.zeros_like(Y), PEOPLE),
    ],
)
def test_without_three_people_to_judge_by_all_channels_are_kept(y: Any, people: Any) -> None:
    """A standard error of people needs people who have windows of two classes."""
    assert ("a", "b") == selected(statistics_of(a=Y + noise(1), b=noise(2)), y, people)


def test_too_few_windows_to_fit_the_judge_keep_all_channels() -> None:
    """Three people of two windows: no covariance of a class with a single window."""
    y, people = np.array([0, 1, 0, 1, 2, 0]), np.array([0, 0, 1, 1, 2, 2])

    assert ("a", "b") == selected(statistics_of(a=np.arange(6.0), b=np.ones(6)), y, people)


def test_the_choice_repeats_itself() -> None:
    """Same windows, same draws, same channels; groups are drawn, so other draws may choose otherwise."""
    channels = statistics_of(a=Y + noise(1), b=Y + noise(2), c=noise(3))

    assert selected(channels) == selected(channels)


def _stage(fold: Fold, *people: str, more: Any = NO_ROWS) -> PlannedStage:
    rows = np.union1d(fold.windows_of(people), more)
    return PlannedStage("everyone_else", rows, NO_ROWS, NO_ROWS, ("trunk", "head"), Hyperparameters(), "", "")


def test_the_target_has_no_part_in_it() -> None:
    """Whatever the target's windows are, also those that a stage trains on, the choice is the same; of the target alone all are kept."""
    windows = make_windows({f"P{i}": [0, 1] * 8 for i in range(1, 8)})
    fold = Fold(windows.index, "stress", "P1", 0)
    target = fold.windows_of(["P1"])
    values = {name: x.copy() for name, x in windows.signals.items()}
    values["b"] = np.random.default_rng(5).normal(size=values["b"].shape).astype(np.float32)  # noise, but for the target
    helped = {name: x.copy() for name, x in values.items()}
    helped["a"][target] = 1000 * np.random.default_rng(6).normal(size=helped["a"][target].shape)
    helped["b"][target] += 1000.0 * fold.y[target].astype(np.float32)[:, None, None]
    stage = _stage(fold, *[f"P{i}" for i in range(2, 8)], more=target[:8])

    assert ("a",) == choose_channels(Signals(values), fold, stage) == choose_channels(Signals(helped), fold, stage)
    assert ("a", "b") == choose_channels(Signals(values), fold, _stage(fold, "P1"))


def test_missing_and_short_windows_are_judged_by_what_they_have() -> None:
    """Statistics are those of valid steps; a channel that a window lacks is no obstacle."""
    windows = make_windows({f"P{i}": [0, 1] * 8 for i in range(1, 8)})
    fold = Fold(windows.index, "stress", "P1", 0)
    n = len(windows.index.window)
    lengths = {"b": np.where(np.arange(n) % 5 == 0, 0, 4 + np.arange(n) % 12)}

    chosen = choose_channels(Signals(windows.signals, lengths), fold, _stage(fold, *[f"P{i}" for i in range(2, 8)]))

    assert chosen and set(chosen) <= {"a", "b"}
