"""Datasets that are restricted to borders or matched in time: which windows are used, what is refused, and what remains of drift and emotion."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.drift import drifting
from builders.windows import make_windows, with_card

from raylab.errors import StudyError
from raylab.files import Folder
from raylab.folds.fold import MATCH_S, Fold
from raylab.training.stage_store import StageStore
from raylab.trials.choices import window_sentences
from raylab.trials.plan import check_datasets, plan, stages_of
from raylab.trials.run_trial import run_trial
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial
from raylab.validity.label_flip_probe import _run_twice
from raylab.windows.dataset import WindowIndex, Windows
from raylab.windows.order import restricted
from raylab.windows.utterances import Utterances

BORDER = {"restrict": {"border_minutes": 0.25}}  # 15 s, three windows of 5 s
MATCH = {"match": "clock"}


def study(techniques: Any = ("non_personalized",), **entry: Any) -> Study:
    return parse_study(
        {
            "name": "test",
            "datasets": [{"windows": "made", "label": "stress", **entry}],
            "models": [{"encoder": "lda"}],
            "techniques": list(techniques),
        },
        "test",
    )


def refusal(index: WindowIndex, **entry: Any) -> str:
    with pytest.raises(StudyError) as refused:
        check_datasets(study(**entry), {"made": index})
    return str(refused.value)


def aurocs(windows: Windows, where: Path, **entry: Any) -> Any:
    """AUROC of ``lda`` without personalization, per person."""
    store = StageStore(Folder(where))
    trials = plan(study(**entry), {"made": windows.index})
    outcomes = [run_trial(trial, windows, store) for trial in trials]
    assert {"ok"} == {outcome.status for outcome in outcomes}
    return np.array([outcome.record["auroc"] for outcome in outcomes])


# At borders


def test_windows_near_a_change_of_label_are_used_and_no_others() -> None:
    """Three on each side of a change; classes, ids and everything else stay."""
    index = make_windows({f"P{k}": [0] * 10 + [1] * 10 for k in range(4)}).index

    kept = restricted(index, "stress", 0.25)

    assert [7, 8, 9, 10, 11, 12] == np.flatnonzero(kept.labels["stress"][:20] >= 0).tolist()
    np.testing.assert_array_equal(index.labels["stress"][7:13], kept.labels["stress"][7:13])
    assert index.window is kept.window and restricted(kept, "stress", 0.25) is kept
    assert restricted(index, "stress", 0.0) is index


def test_both_sides_of_a_fold_are_restricted_and_the_name_says_so() -> None:
    """Training, validation and test; also under a name that the study gives. A worker restricts the index that it reads alike."""
    index = make_windows({f"P{k}": [0] * 10 + [1] * 10 for k in range(5)}).index
    trials = list(plan(study(**BORDER), {"made": index}))
    near = [row for k in range(5) for row in range(20 * k + 7, 20 * k + 13)]

    context, (stage,) = stages_of(trials[0], index)

    used = [*context.fold.target_windows, *stage.train, *stage.validation]
    assert near == sorted(used)
    assert {"made (within 0.25 min of a change of label)"} == {trial.dataset for trial in trials}
    assert trials[0] == Trial.from_config(trials[0].as_config())
    (named,) = check_datasets(study(**BORDER, name="mine"), {"made": index})
    assert "mine (within 0.25 min of a change of label)" == named.name
    assert "30 windows of 5 people" in " ".join(window_sentences(study(**BORDER), named))


def test_borders_that_are_too_far_apart_are_refused() -> None:
    """A gap of a minute between the runs; and utterances, of which no time is known."""
    windows = make_windows({f"P{k}": [0] * 5 + [-1] * 12 + [1] * 5 for k in range(4)})
    assert "leaves no window: nobody has two runs of different classes of stress" in refusal(windows.index, **BORDER)
    spoken = with_card(windows, preprocessing=Utterances(4.0)).index
    assert "`restrict` needs to know when windows were recorded, and these are utterances" in refusal(spoken, **BORDER)
    assert "`match` needs to know when windows were recorded" in refusal(spoken, **MATCH)


def test_the_flip_probe_is_clean_on_restricted_and_matched_windows() -> None:
    """Other classes of test windows would move borders; the probe keeps those of the true labels."""
    windows = drifting(2.0, 0.0, True, 0, people=6)
    for entry in (BORDER, {**BORDER, **MATCH}):
        flip = _run_twice(next(plan(study(**entry), {"made": windows.index})), windows)
        assert (0, ()) == (flip.changed, flip.peeking) and flip.flipped == flip.windows > 0


# Matched in time


def test_training_windows_have_every_class_alike_in_every_minute() -> None:
    """Of people of either order, training and validation each; the target keeps the minutes in which the others have both classes."""
    windows = drifting(0.0, 0.0, True, 0, people=9, every=3)
    for trial in plan(study(**MATCH), {"made": windows.index}):
        context, (stage,) = stages_of(trial, windows.index)
        fold = context.fold
        for rows in (stage.train, stage.validation):
            minute = windows.index.start_s[rows] // MATCH_S
            counts = [[np.sum((minute == m) & (fold.y[rows] == k)) for k in (0, 1)] for m in np.unique(minute)]
            assert counts and all(zero == one > 0 for zero, one in counts)
        assert windows.index.participants.index(trial.target) not in windows.index.participant_index[stage.train]
        assert 24 == len(fold.target_windows)


def test_minutes_in_which_the_others_have_one_class_are_not_tested() -> None:
    """Class 1 alone has windows after the second minute: nothing there is trained on or tested."""
    people = {f"P{k}": [0] * 12 + [1] * 12 if k % 2 else [1] * 12 + [0] * 12 for k in range(6)}
    longer = {name: [*labels, *[1] * 12] for name, labels in people.items()}
    index = make_windows(longer).index
    fold = Fold(index, "stress", "P0", 0, match="clock")

    assert list(range(24)) == fold.target_windows.tolist()
    matched = fold.matched(fold.windows_of(fold.others))
    assert index.start_s[matched].max() < 120 and set(matched) < set(fold.windows_of(fold.others))


def test_the_draw_is_that_of_the_fold() -> None:
    """Windows of a smaller group of people are matched by the same ranks, and asking twice gives the same."""
    fold = Fold(drifting(0.0, 0.0, True, 0, people=9, every=3).index, "stress", "P00", 0, match="clock")
    rows = fold.windows_of(fold.others)
    assert fold.matched(rows).tolist() == fold.matched(rows).tolist()
    assert fold.matched(rows).tolist() != Fold(fold.index, "stress", "P00", 1, match="clock").matched(rows).tolist()


def test_a_fixed_order_has_nothing_to_match() -> None:
    """Refused before anything runs, in the words of the order; a person alone, and people of one order, are carried as missing."""
    assert "match: clock has nothing to match: class1 comes after class0 for all 12 people" in refusal(
        drifting(0.0, 0.0, False, 0).index, **MATCH
    )
    windows = drifting(0.0, 0.0, True, 0, people=8, every=8)  # P01 alone has the other order
    trials = {trial.target: trial for trial in plan(study(**MATCH), {"made": windows.index})}
    assert "in no minute of participant P01 do the others have windows of every class" in trials["P01"].problem
    assert "match: clock: of 7 people to train or to validate on too few have the other order" in trials["P00"].problem
    split = {**MATCH, "folds": {"split": [0.8, 0.1, 0.1]}}
    with pytest.raises(StudyError, match="`match` is about people who are trained on; a random split"):
        study(**split)


def test_calibration_windows_of_the_target_are_not_thinned() -> None:
    """Within one person no two windows are of one time: hybrid trains on the others matched and on the target's windows as they are."""
    windows = drifting(0.0, 0.0, True, 0, people=6)
    techniques = ["non_personalized", {"name": "hybrid", "budget": 0.25, "unit": "window"}]
    base, hybrid = (
        stages_of(trial, windows.index)[1][0]
        for trial in plan(study(techniques, **MATCH), {"made": windows.index})
        if trial.target == "P00"
    )
    assert [*[0, 1, 2, 12, 13, 14], *base.train] == hybrid.train.tolist()
    (dataset,) = check_datasets(study(**MATCH), {"made": windows.index})
    assert "144 windows of 6 of 6 people, 6 of whom have two classes there" in " ".join(
        window_sentences(study(**MATCH), dataset)
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"match": "time"}, "datasets.0.match: it has to be 'clock', not 'time'"),
        ({"restrict": {}}, "datasets.0.restrict.border_minutes: is missing"),
        ({"restrict": {"border_minutes": 0}}, "datasets.0.restrict.border_minutes: it has to be greater than 0, not 0"),
        ({"restrict": {"border": 3}}, "datasets.0.restrict.border: is no key of it; did you mean border_minutes"),
        ({"restrict": 3}, "datasets.0.restrict: it has to be a mapping of keys to values, not 3"),
    ],
)
def test_a_study_that_says_it_wrongly_is_told(entry: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        study(**entry)


@pytest.mark.parametrize("every", [2, 4])
def test_short_form_drift_is_at_chance_and_emotion_stays(every: int, tmp_path: Path) -> None:
    """Four cohorts of drift alone: turned round where the orders are even, mistaken for emotion where most people have one order, and at
    chance matched in time. Of emotion alone as much is left as there was."""
    drift = [drifting(0.0, 4.0, True, seed, every=every) for seed in range(4)]
    plain, matched = (
        np.mean([aurocs(windows, tmp_path / f"{name}{k}", **entry).mean() for k, windows in enumerate(drift)])
        for name, entry in (("plain", {}), ("matched", MATCH))
    )
    assert plain < 0.45 if every == 2 else plain > 0.6
    assert abs(matched - 0.5) < 0.08

    emotion = drifting(2.0, 0.0, True, 0, every=every)
    assert aurocs(emotion, tmp_path / "emotion", **MATCH).mean() > aurocs(emotion, tmp_path / "emotion").mean() - 0.02
