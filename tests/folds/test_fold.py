"""Folds: who trains, who validates, what calibrates, what is purged."""

import numpy as np
import pytest
from builders.windows import make_windows

from raylab.folds.calibration import calibration, wanted
from raylab.folds.fold import Fold, FoldError, StageSplit
from raylab.folds.seeding import FoldSeeds
from raylab.techniques.selection import Calibration, EveryoneElse
from raylab.windows.dataset import Windows


def _fold(windows: Windows, target: str = "P1", seed: int = 0) -> Fold:
    return Fold(windows.index, "stress", target, seed)


def test_validation_is_a_fifth_of_the_people_rounded_up() -> None:
    """14 remaining people give 3 for validation, 4 give 1, and nobody is on both sides."""
    for count, expected in ((15, 3), (5, 1), (6, 1), (7, 2)):
        fold = _fold(make_windows({f"P{i}": [0, 1] for i in range(count)}), "P0")
        train, validation = fold.split_participants(fold.others)
        assert expected == len(validation)
        assert sorted(fold.others) == sorted(train + validation)


def test_one_person_cannot_be_split() -> None:
    """With one person to train on there is nobody left to validate on, and the sentence says so."""
    with pytest.raises(FoldError, match="cannot give one for validation"):
        _fold(make_windows({"P0": [0, 1], "P1": [0, 1]}), "P0").split_participants(("P1",))


def test_draws_depend_on_the_fold_and_the_purpose_only() -> None:
    """Asking twice, or for something else in between, gives the same stream; every field of the fold changes it."""
    draws = FoldSeeds(0, "d", "l", "t")
    expected = draws.generator("x").integers(1 << 40, size=5)
    draws.generator("y").random(100)
    np.testing.assert_array_equal(expected, draws.generator("x").integers(1 << 40, size=5))
    others = [
        FoldSeeds(1, "d", "l", "t"),
        FoldSeeds(0, "e", "l", "t"),
        FoldSeeds(0, "d", "m", "t"),
        FoldSeeds(0, "d", "l", "u"),
    ]
    assert len({d.integer("x") for d in (draws, *others)}) == 5


def test_calibration_takes_the_first_windows_of_each_label_rounded_up() -> None:
    """A share of 0.25 of 10 and 5 windows gives the first 3 and 2; an integer gives that many of each; 0 gives none."""
    windows = make_windows({"P1": [0] * 10 + [1] * 5, "P2": [0, 1], "P3": [0, 1]})
    assert calibration(_fold(windows), 0.25).tolist() == [0, 1, 2, 10, 11]
    assert calibration(_fold(windows), 2).tolist() == [0, 1, 10, 11]
    assert calibration(_fold(windows), 0).tolist() == []


@pytest.mark.parametrize(("share", "count", "expected"), [(0.2, 10, 2), (0.3, 10, 3), (0.1, 30, 3), (0.2, 11, 3), (0.7, 10, 7)])
def test_a_share_is_rounded_up_but_not_by_floating_point(share: float, count: int, expected: int) -> None:
    """0.3 of 10 is 3 windows, not 4, though 0.3 * 10 may exceed 3 in floating point."""
    assert expected == wanted(share, count)


def test_more_calibration_windows_than_there_are_is_refused() -> None:
    """A budget of 6 windows per label where a label has 5 is refused with participant, label and both numbers."""
    windows = make_windows({"P1": [0] * 10 + [1] * 5, "P2": [0, 1], "P3": [0, 1]})
    with pytest.raises(FoldError, match=r"P1 has 5 windows of 'class1', the budget asks for 6"):
        calibration(_fold(windows), 6)


def test_random_calibration_is_drawn_once_per_fold() -> None:
    """The random draw differs from the initial one, repeats itself, and a larger budget contains the smaller."""
    fold = _fold(make_windows({"P1": [0] * 20 + [1] * 20, "P2": [0, 1], "P3": [0, 1]}))
    small, large = calibration(fold, 0.2, "random"), calibration(fold, 0.4, "random")
    assert calibration(fold, 0.2).tolist() != small.tolist()
    assert small.tolist() == calibration(fold, 0.2, "random").tolist()
    assert set(small) < set(large)


def test_block_calibration_takes_whole_runs() -> None:
    """With runs 0,1,0,1 of 5 windows a budget of 0.2 takes the first run of each label and no part of another."""
    fold = _fold(make_windows({"P1": [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5, "P2": [0, 1], "P3": [0, 1]}))
    assert list(range(10)) == calibration(fold, 0.2, unit="block").tolist()
    assert list(range(20)) == calibration(fold, 0.6, unit="block").tolist()


@pytest.mark.parametrize("step_s", [5.0, 10.0, 20.0])
def test_blocks_do_not_depend_on_the_stride(step_s: float) -> None:
    """Windows every 20 s are not each a block of their own: whole runs are taken, and more windows than by window."""
    windows = make_windows({"P1": [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5, "P2": [0, 1], "P3": [0, 1]}, step_s=step_s)
    fold = _fold(windows)
    assert [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5 == fold.label_runs(fold.target_windows).tolist()
    assert list(range(10)) == calibration(fold, 0.2, unit="block").tolist()
    assert [0, 1, 5, 6] == calibration(fold, 0.2).tolist()


def test_blocks_end_at_gaps_and_label_changes() -> None:
    """A stretch without label between two runs of one label makes two blocks."""
    fold = _fold(make_windows({"P1": [0, 0, -1, -1, 0, 1], "P2": [0, 1], "P3": [0, 1]}))
    assert fold.label_runs(fold.target_windows).tolist() == [0, 0, 1, 2]


def test_purge_is_what_shares_samples_with_calibration() -> None:
    """10-s windows every 5 s: the one window after the last calibration window shares 5 s with it, no other does."""
    fold = _fold(make_windows({"P1": [0] * 10 + [1] * 10, "P2": [0, 1], "P3": [0, 1]}))
    used = calibration(fold, 0.2)
    rest = np.setdiff1d(fold.target_windows, used)
    assert used.tolist() == [0, 1, 10, 11]
    assert fold.overlapping(rest, used).tolist() == [2, 9, 12]


def test_overlap_never_crosses_people_or_segments() -> None:
    """Windows at the same second of two people, or of two segments, share nothing."""
    fold = _fold(make_windows({"P1": [0, 1, 0], "P2": [0, 1, 0], "P3": [0, 1]}))
    assert fold.overlapping(fold.windows_of(["P1"]), fold.windows_of(["P2", "P3"])).tolist() == []
    fold.index.segment[:] = np.arange(len(fold.index.segment))
    assert fold.overlapping(fold.windows_of(["P1"])[:1], fold.windows_of(["P1"])[1:]).tolist() == []


def test_overlapping_training_and_validation_windows_are_refused() -> None:
    """A validation window that is, or shares samples with, a training window is refused."""
    fold = _fold(make_windows({"P1": [0] * 6, "P2": [0, 1], "P3": [0, 1]}))
    rows = fold.target_windows
    with pytest.raises(FoldError, match="in training and validation"):
        StageSplit(rows[:3], rows[2:]).check(fold)
    with pytest.raises(FoldError, match="shares samples"):
        StageSplit(rows[:3], rows[3:]).check(fold)
    StageSplit(rows[:3], rows[4:]).check(fold)


def test_a_budget_that_leaves_no_test_window_is_refused() -> None:
    """Calibrating on everything that is not overlapped is refused with the participant and the budget."""
    fold = _fold(make_windows({"P1": [0, 0, 1, 1], "P2": [0, 1], "P3": [0, 1]}))
    with pytest.raises(FoldError, match=r"budget of 0.9 \(windows\) leaves participant P1 no test window"):
        Calibration(0.9).choose(fold)


def test_everyone_else_never_holds_the_target(made: Windows) -> None:
    """No window of the target, and every window of everyone else, is in training or validation."""
    fold = _fold(made, "P3")
    chosen = EveryoneElse().choose(fold)
    assert fold.windows_of(["P1", "P2", "P4", "P5"]).tolist() == sorted([*chosen.train, *chosen.validation])


def test_people_without_this_label_are_not_in_the_fold() -> None:
    """A participant whose windows carry no class of this label neither trains nor validates."""
    fold = _fold(make_windows({"P1": [0, 1], "P2": [-1, -1], "P3": [0, 1], "P4": [1, 0]}))
    assert fold.others == ("P3", "P4")
