"""Kinds of folds beside leave-one-participant-out: groups of people, a random split, and training on another corpus."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.studies import study
from builders.windows import make_windows, store, with_card, with_labels

from raylab.errors import RaylabError, StudyError
from raylab.files import Folder
from raylab.folds.fold import Fold
from raylab.folds.split_scheme import SplitScheme, participant_groups
from raylab.runs.provenance import notes
from raylab.techniques.selection import EveryoneElse
from raylab.training.stage_store import StageStore
from raylab.trials.plan import check_datasets, plan, stages_of
from raylab.trials.run_trial import run_trial
from raylab.trials.study import parse_study
from raylab.trials.trial import Trial
from raylab.windows.cross_corpus import join_indexes, join_windows, read_source, source
from raylab.windows.dataset import Windows

PEOPLE = {f"P{i}": [0] * 10 + [1] * 10 for i in range(1, 8)}
SPLIT = {"split": [0.6, 0.2, 0.2]}


def _plan(windows: Windows, where: str = "made", **changes: Any) -> list[Trial]:
    return list(plan(parse_study(study(**changes), "s"), {where: windows.index}))


def _renamed(windows: Windows, name: str, **card: Any) -> Windows:
    """The same windows as another dataset."""
    return with_card(windows, dataset=name, fingerprint=f"{name}-f", **card)


def _people_of(windows: Windows, rows: np.ndarray) -> set[str]:
    return {windows.index.participants[i] for i in np.unique(windows.index.participant_index[rows])}


# Groups


def test_everyone_is_in_one_group_and_sizes_differ_by_one_at_most() -> None:
    """Seven people in three groups are 3, 2 and 2; the draw repeats itself, does not heed the order of names, and differs between seeds."""
    index, people = make_windows(PEOPLE).index, tuple(PEOPLE)
    groups = participant_groups(index, "stress", 0, 3, people)
    assert (sorted(people), [3, 2, 2]) == (sorted(name for group in groups for name in group), [len(group) for group in groups])
    assert groups == participant_groups(index, "stress", 0, 3, people[::-1])
    assert len({participant_groups(index, "stress", seed, 3, people) for seed in range(5)}) > 1


def test_group_k_fold_trains_on_nobody_of_the_group_and_shares_one_base() -> None:
    """Seven people in three groups: seven trials, one per person, on three trainings; nobody of a target's group is in any of its stages."""
    windows = make_windows(PEOPLE)
    trials = _plan(windows, techniques=["non_personalized"], folds={"group_k_fold": 3})
    assert (7, 3) == (len(trials), len({trial.stages for trial in trials}))
    for trial in trials:
        group = {trial.target, *trial.held_out_with}
        stage = stages_of(trial, windows.index)[1][0]
        used = _people_of(windows, np.concatenate([stage.train, stage.validation]))
        assert used == set(PEOPLE) - group
    assert {trial.dataset for trial in trials} == {"made (3 groups of people)"}


def test_calibration_of_a_grouped_target_is_its_own() -> None:
    """Fine-tuning in a group continues from the group's base on the target's windows alone."""
    windows = make_windows(PEOPLE)
    for trial in _plan(
        windows, techniques=[{"name": "fine_tuning", "layers": "all", "budget": 0.2}], folds={"group_k_fold": 3}
    ):
        assert _people_of(windows, stages_of(trial, windows.index)[1][1].train) == {trial.target}


def test_too_many_groups_are_refused() -> None:
    with pytest.raises(StudyError, match="made has 7 people with the label stress, too few for 8 groups"):
        _plan(make_windows(PEOPLE), folds={"group_k_fold": 8})


# A random split


@pytest.mark.parametrize("seed", range(3))
def test_a_random_split_shares_no_sample_between_its_parts(seed: int) -> None:
    """Windows overlap by half; of two that do, one is left out of the earlier part. All test windows stay, and people are on all sides."""
    index = make_windows(PEOPLE).index
    train, validation, test = Fold(index, "stress", "P1", seed, shares=(0.6, 0.2, 0.2)).parts
    assert len(test) == 28
    for one, other in ((train, validation), (train, test), (validation, test)):
        for row in one:
            near = other[index.participant_index[other] == index.participant_index[row]]
            assert (np.abs(index.start_s[near] - index.start_s[row]) >= index.window_s).all()
    assert min(len(train), len(validation)) > 0
    assert set(index.participant_index[train]) & set(index.participant_index[test])


def test_windows_side_by_side_are_all_used() -> None:
    """Without overlap the split has the shares that were asked for: 84, 28 and 28 of 140."""
    index = make_windows(PEOPLE, step_s=10.0).index
    parts = Fold(index, "stress", "P1", 0, shares=(0.6, 0.2, 0.2)).parts
    assert [84, 28, 28] == [len(part) for part in parts]
    assert list(range(140)) == sorted(np.concatenate(parts))


def test_a_split_is_trained_once_and_tested_person_by_person() -> None:
    """All people share the training; each one's trial tests the windows that the split gave to the test."""
    windows = make_windows(PEOPLE)
    trials = _plan(windows, techniques=["non_personalized"], folds=SPLIT)
    assert 1 == len({trial.stages for trial in trials})
    tested = [stages_of(trial, windows.index)[0].fold.target_windows for trial in trials]
    parts = Fold(windows.index, "stress", "P1", 0, shares=(0.6, 0.2, 0.2)).parts
    np.testing.assert_array_equal(np.sort(np.concatenate(tested)), parts[2])
    chosen = EveryoneElse().choose(stages_of(trials[0], windows.index)[0].fold)
    np.testing.assert_array_equal(np.sort(chosen.train), np.sort(parts[0]))


def test_a_split_is_called_leaking_wherever_it_is_named() -> None:
    """In the dataset's name, also behind a name given in the study, so that no table mixes it with other folds; and in a note."""
    windows = make_windows(PEOPLE)
    entries = [{"windows": "made", "label": "stress"}, {"windows": "made", "label": "stress", "name": "mine", "folds": SPLIT}]
    read = parse_study(study(techniques=["non_personalized"], datasets=entries), "s")
    leaking = "mine (LEAKING: random 60-20-20 split of windows)"
    assert {trial.dataset for trial in plan(read, {"made": windows.index})} == {"made", leaking}
    said = [note for note in notes(read, check_datasets(read, {"made": windows.index})) if "LEAKING: windows" in note]
    assert len(said) == 1 and said[0].startswith(leaking)


def test_personalization_in_a_random_split_is_refused() -> None:
    """The target is trained on already."""
    with pytest.raises(StudyError, match="fine_tuning would mean nothing"):
        parse_study(study(folds=SPLIT), "s")


def test_a_person_without_a_test_window_is_missing() -> None:
    """Whoever the split gave no test window is carried with the reason."""
    windows = make_windows({**PEOPLE, "P8": [0]}, step_s=10.0)
    problems = [trial.problem for trial in _plan(windows, techniques=["non_personalized"], folds=SPLIT) if trial.problem]
    assert problems == ["no window of participant P8 fell into the test part of the random split"]


# Training on another corpus


def _corpora() -> tuple[Windows, Windows]:
    """Two datasets that share a person's name, but no window."""
    tested = make_windows({f"P{i}": [0] * 6 + [1] * 6 for i in range(1, 4)}, seed=1)
    return _renamed(tested, "here"), _renamed(make_windows(PEOPLE, seed=2), "there")


def test_nobody_of_the_tested_corpus_is_trained_on(tmp_path: Path) -> None:
    """All three people are held out together on one training with everybody of the other corpus, and tested on windows of their own."""
    windows = join_windows(*_corpora())
    entry = {"windows": "here", "label": "stress", "folds": {"train_on": "there"}}
    trials = _plan(windows, source("here", "there"), datasets=[entry])
    assert {trial.dataset for trial in trials} == {"here (trained on there)"}
    assert ["P1", "P2", "P3"] == sorted({trial.target for trial in trials})
    assert 1 == len({trial.stages[0] for trial in trials})
    for trial in trials:
        stages = stages_of(trial, windows.index)[1]
        base = np.concatenate([stages[0].train, stages[0].validation])
        assert _people_of(windows, base) == {f"there {name}" for name in PEOPLE}
        for stage in stages[1:]:
            assert _people_of(windows, stage.train) == {trial.target}
    outcome = run_trial(trials[0], windows, StageStore(Folder(tmp_path)))
    assert outcome.predictions is not None
    assert outcome.predictions["window"].to_pylist() == _corpora()[0].index.window[:12].tolist()


def test_joined_corpora_are_read_from_both_paths(tmp_path: Path) -> None:
    """What a worker reads is what was planned on; the second corpus's windows are the stored ones under new ids."""
    one, two = _corpora()
    store(one, tmp_path / "here"), store(two, tmp_path / "there")
    read = read_source(str(tmp_path), source("here", "there"))
    assert len(np.unique(read.index.window)) == len(one.index.window) + len(two.index.window)
    for name, values in two.signals.items():
        np.testing.assert_array_equal(values, read.signals[name][len(one.index.window) :])
    np.testing.assert_array_equal(one.index.window, read.index.window[: len(one.index.window)])


def test_channels_of_variable_length_are_padded_to_the_longer() -> None:
    """Zeros behind the shorter corpus's windows, whose lengths stay."""
    one, two = (
        with_card(
            windows, channels=(windows.index.card.channels[0].changed(variable=True, length=n), windows.index.card.channels[1])
        )
        for windows, n in zip(_corpora(), (8, 5), strict=True)
    )
    lengths = [np.full(len(w.index.window), n, np.int32) for w, n in ((one, 8), (two, 5))]
    one = replace(one, lengths={"a": lengths[0]})
    two = replace(two, lengths={"a": lengths[1]}, signals={**two.signals, "a": two.signals["a"][:, :5]})
    both = join_windows(one, two)
    assert (8, 5) == (both.signals["a"].shape[1], both.lengths["a"][-1])
    assert not both.signals["a"][-1, 5:].any() and both.signals["a"][-1, :5].any()


def test_corpora_that_do_not_fit_are_refused_with_what_differs() -> None:
    """Other classes, other channels and another normalization are sentences; a channel that is not asked for may differ."""
    one, two = _corpora()
    entry = {"windows": "here", "label": "stress", "folds": {"train_on": "there"}}
    where = source("here", "there")
    with pytest.raises(StudyError, match="label stress differs: class0, class1 in here; calm, angry in there"):
        _plan(
            join_windows(one, _renamed(two, "there", **with_labels(two.index.card, {"stress": ["calm", "angry"]}))),
            where,
            datasets=[entry],
        )
    longer = (two.index.card.channels[0].changed(length=9), two.index.card.channels[1])
    differing = join_indexes(one.index, _renamed(two, "there", channels=longer).index)
    with pytest.raises(StudyError, match="channel a differs: length 8 in here, 9 in there"):
        list(plan(parse_study(study(datasets=[entry]), "s"), {where: differing}))
    named = parse_study(study(datasets=[{**entry, "channels": ["b"]}]), "s")
    assert {trial.channels for trial in plan(named, {where: differing})} == {("b",)}
    how = replace(two.index.card.preprocessing, normalization="past")
    with pytest.raises(RaylabError, match="here is normalized by recording, there by past"):
        join_indexes(one.index, _renamed(two, "there", preprocessing=how).index)
    how = replace(two.index.card.preprocessing, scale="zscore")
    with pytest.raises(RaylabError, match=r"here is normalized by recording, there by recording \(z-score\)"):
        join_indexes(one.index, _renamed(two, "there", preprocessing=how).index)


def test_a_kind_of_folds_survives_the_trials_config() -> None:
    """A worker rebuilds the very trial from plain values."""
    for folds in ({"group_k_fold": 3}, SPLIT):
        for trial in _plan(make_windows(PEOPLE), techniques=["non_personalized"], folds=folds):
            assert trial == Trial.from_config(trial.as_config())


def test_leave_one_out_has_no_mark_and_holds_nobody_else_out() -> None:
    """What there was before has the name and the draws that it had."""
    index = make_windows(PEOPLE).index
    assert ("", "", ()) == (
        SplitScheme().suffix,
        SplitScheme().description,
        SplitScheme().held_out_with(index, "stress", 0, "P1", tuple(PEOPLE)),
    )
    assert Fold(index, "stress", "P1", 0).held_out == "P1"


def test_another_preparation_of_the_same_corpus_is_no_other_corpus() -> None:
    """Who is tested would be trained on under another name; halves of a corpus that share nobody are two."""
    windows = make_windows(PEOPLE)
    with pytest.raises(RaylabError, match=r"P1, .* stand in both preparations of made: who is tested would be trained on"):
        join_indexes(windows.index, windows.index)
    other = make_windows({f"Q{i}": [0] * 10 + [1] * 10 for i in range(3)})
    assert "Q0" in join_indexes(windows.index, other.index).participants[-3]
