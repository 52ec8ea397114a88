"""Leak probes: what they change in prepared windows, and that a planted leak is seen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from builders.command_line import run_command as _run
from builders.windows import make_windows, store, with_card, with_labels

import raylab.trials.run_trial
from analysis.scores.metrics import auroc
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.folds.fold import Fold, StageSplit
from raylab.runs.provenance import notes
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import by_people
from raylab.techniques.stage import Stage, Technique
from raylab.training.loop import train
from raylab.trials.plan import check_datasets, plan
from raylab.trials.study import Study, parse_study
from raylab.validity.label_flip_probe import flipped_labels
from raylab.validity.probes import PROBES, probe
from raylab.windows.dataset import (
    WindowIndex,
    Windows,
    read_index,
    read_windows,
)

PANEL: list[Any] = [
    "non_personalized",
    {"name": "fine_tuning", "layers": ["all", "last"], "budget": 0.4, "unit": "window"},
    {"name": "hybrid", "budget": 0.4, "unit": "window"},
    {"name": "cluster_specific", "k": 2},
    {"name": "multi_task", "task": "user"},
    {"name": "user_dependent", "budget": 0.4, "unit": "window"},
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``made``: six people of 30 windows with traits, a label of two runs, and another of which windows lack a class;
    its channels pass for words."""
    names = [f"P{i}" for i in range(1, 7)]
    traits = {name: {"age": 20.0 + i, "gender": "female" if i % 2 else "male"} for i, name in enumerate(names)}
    windows = make_windows({name: [0] * 12 + [1] * 18 for name in names}, traits=traits)
    mood = np.tile(np.array([-1, 0, 1, 2, 2, -1], np.int8), 30)
    card = windows.index.card
    channels = tuple(channel.changed(modality="linguistic") for channel in card.channels)
    labels = with_labels(card, {"stress": ["class0", "class1"], "mood": ["low", "mid", "high"]})
    windows = with_card(windows, channels=channels, **labels)
    index = replace(windows.index, labels={**windows.index.labels, "mood": mood})
    root = tmp_path_factory.mktemp("probes")
    store(replace(windows, index=index), root / "made")
    return root


def study(*techniques: Any, windows: str = "made", **changes: Any) -> Study:
    content = {
        "name": "probes",
        "datasets": [{"windows": windows, "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": list(techniques),
        "protocol": {"epochs": 2, "batch_size": 8},
        **changes,
    }
    return parse_study(content, "test")


def of(index: WindowIndex, label: str, person: int) -> npt.NDArray[np.int8]:
    return np.asarray(index.labels[label][index.participant_index == person])


def test_shuffled_labels_keep_each_persons_counts_and_signals(source: Path, tmp_path: Path) -> None:
    """Of every label and person, the classes move among the windows that have one; each person's order is another one."""
    probe("shuffled_labels", str(source / "made"), str(tmp_path / "out"), seed=1)
    before, after = read_windows(Folder(source / "made")), read_windows(Folder(tmp_path / "out"))
    for label, y in before.index.labels.items():
        assert np.array_equal(y == -1, after.index.labels[label] == -1)
        for person in range(6):
            one, two = of(before.index, label, person), of(after.index, label, person)
            assert not np.array_equal(one, two)
            assert np.array_equal(np.sort(one), np.sort(two))
        assert 6 == len({of(after.index, label, person).tobytes() for person in range(6)})
    assert np.array_equal(before.index.window, after.index.window)
    for name, x in before.signals.items():
        assert np.array_equal(x, after.signals[name])


def test_the_seed_decides_the_permutation(source: Path, tmp_path: Path) -> None:
    made = [
        probe("shuffled_labels", str(source / "made"), str(tmp_path / str(i)), seed=seed) for i, seed in enumerate((1, 1, 2))
    ]
    assert made[0] == made[1]
    assert made[0].participants[0].fingerprint != made[2].participants[0].fingerprint


def test_shuffled_traits_move_whole_records_and_nothing_else(source: Path, tmp_path: Path) -> None:
    card = probe("shuffled_traits", str(source / "made"), str(tmp_path / "out"), seed=1)
    before, after = read_index(Folder(source / "made")), read_index(Folder(tmp_path / "out"))
    one, two = ([index.traits(name) for name in index.participants] for index in (before, after))
    assert sorted(one, key=str) == sorted(two, key=str)
    kept = sum(a == b for a, b in zip(one, two, strict=True))
    assert kept == card.probes[0].kept_own < 6
    prints = [[entry.fingerprint for entry in index.card.participants] for index in (before, after)]
    assert prints[0] == prints[1]


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_duplicated_person_stands_twice(source: Path, tmp_path: Path, noise: float) -> None:
    """Equal labels and times under another name and other window ids; signals equal but for the noise that was asked for."""
    probe("duplicated_person", str(source / "made"), str(tmp_path / "out"), person="P2", noise=noise)
    after = read_windows(Folder(tmp_path / "out"))
    assert ("P1", "P2", "P3", "P4", "P5", "P6", "P2_copy") == after.index.participants
    one, two = after.index.participant_index == 1, after.index.participant_index == 6
    assert len(np.unique(after.index.window)) == len(after.index.window)
    assert np.array_equal(after.index.start_s[one], after.index.start_s[two])
    assert np.array_equal(after.index.labels["mood"][one], after.index.labels["mood"][two])
    assert after.index.traits("P2") == after.index.traits("P2_copy")
    difference = np.concatenate([(x[two] - x[one]).ravel() for x in after.signals.values()])
    assert difference.std() == pytest.approx(noise, rel=0.1)


@pytest.mark.parametrize("kind", PROBES)
def test_the_card_says_what_was_done_and_no_stage_is_mistaken(source: Path, tmp_path: Path, kind: str) -> None:
    """Kind, seed and origin stand in the card; tables print the sentence and the name; no trained stage is shared with the original."""
    person = "P2" if kind == "duplicated_person" else None
    card = probe(kind, Folder(source / "made"), f"file://{tmp_path}/out", seed=3, person=person)
    before, after = read_index(Folder(source / "made")), read_index(Folder(tmp_path / "out"))
    assert card == after.card
    assert (kind, 3, before.fingerprint) == (card.probes[0].kind, card.probes[0].seed, card.probes[0].origin)
    assert card.caution.startswith("Made windows. Probe " + kind)
    two = study(*PANEL, datasets=[{"windows": name, "label": "stress"} for name in ("made", "out")])
    ready = check_datasets(two, {"made": before, "out": after})
    assert ["made", f"made ({kind.replace('_', ' ')})"] == [one.name for one in ready]
    assert any(card.caution in note for note in notes(two, ready))
    plans = [{stage for trial in plan(study(*PANEL), {"made": index}) for stage in trial.stages} for index in (before, after)]
    assert not plans[0] & plans[1]


def test_a_run_with_a_duplicated_person_warns(source: Path, tmp_path: Path) -> None:
    """Both names and what to do; the windows without the copy give no warning."""
    probe("duplicated_person", str(source / "made"), str(tmp_path / "out"), person="P2")
    said = []
    for root in (source / "made", tmp_path / "out"):
        indexes = {"made": read_index(Folder(root))}
        said.append(
            [
                note
                for note in notes(study("non_personalized"), check_datasets(study("non_personalized"), indexes))
                if "near" in note
            ]
        )
    assert [] == said[0]
    assert 1 == len(said[1])
    assert "P2 and P2_copy are near-identical (100%" in said[1][0]
    assert "--exclude P2_copy" in said[1][0]


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("shuffled", {}, "unknown probe 'shuffled'; there are shuffled_labels"),
        ("duplicated_person", {}, "P1, P2, P3, P4, P5, P6; got None"),
        ("duplicated_person", {"person": "P9"}, "got 'P9'"),
        ("duplicated_person", {"person": "P1", "noise": -1.0}, "--noise -1 is no standard deviation"),
        ("shuffled_labels", {"person": "P1"}, "belong to duplicated_person"),
        ("shuffled_labels", {"out": "made"}, "made is not empty; give another --out"),
        ("shuffled_labels", {"source": "nothing"}, "nothing"),
    ],
)
def test_what_a_probe_cannot_do_is_refused(
    source: Path, tmp_path: Path, kind: str, changes: dict[str, Any], expected: str
) -> None:
    """Nothing is written then."""
    where, out = str(source / changes.pop("source", "made")), str(source / changes.pop("out", tmp_path / "out"))
    with pytest.raises(RaylabError) as caught:
        probe(kind, where, out, **changes)
    assert expected in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_traits_that_are_not_there_cannot_be_shuffled(made: Windows, tmp_path: Path) -> None:
    with pytest.raises(RaylabError, match="shuffled_traits needs traits, and made has none"):
        probe("shuffled_traits", str(store(made, tmp_path / "made")), str(tmp_path / "out"))


def test_a_probe_of_a_probe_tells_of_both(source: Path, tmp_path: Path) -> None:
    first = probe("shuffled_labels", str(source / "made"), str(tmp_path / "one"))
    both = probe("duplicated_person", str(tmp_path / "one"), str(tmp_path / "two"), person="P1")
    assert [read_index(Folder(source / "made")).fingerprint, first.fingerprint] == [record.origin for record in both.probes]
    assert both.caution.startswith(first.caution)


def test_shuffled_labels_leave_no_signal(tmp_path: Path) -> None:
    """The class that the signals were made from tells nothing of the shuffled one: over 60 people their AUROC is 0.5 within 4 standard errors."""
    windows = make_windows({f"P{i}": [0] * 15 + [1] * 15 for i in range(60)})
    probe("shuffled_labels", str(store(windows, tmp_path / "made")), str(tmp_path / "out"))
    after = read_index(Folder(tmp_path / "out"))
    score = np.stack([1.0 - windows.index.labels["stress"], windows.index.labels["stress"]], axis=1)
    people = [after.participant_index == person for person in range(60)]
    found = np.array([auroc(after.labels["stress"][rows], score[rows]) for rows in people])
    assert abs(found.mean() - 0.5) < 4 * found.std() / np.sqrt(60)
    assert found.std() > 0.03


def test_no_technique_depends_on_test_labels(source: Path) -> None:
    """Every prediction of every technique is equal to the bit when all test labels are others; both times everything was trained."""
    said: list[str] = []
    flips = flipped_labels(study(*PANEL), str(source), limit=7, log=said.append)
    assert 7 == len({(flip.trial.technique, str(flip.trial.variant)) for flip in flips.trials}) == len(said)
    assert len({flip.trial.target for flip in flips.trials}) > 1
    assert flips.clean
    for flip in flips.trials:
        assert (
            flip.windows
            == flip.flipped
            == (30 if flip.trial.technique in ("non_personalized", "cluster_specific", "multi_task") else 17)
        )
        assert 2 * len(flip.trial.stages) == flip.trainings
    assert "no trial depends on a test label" in flips.summary()


def _smoothing(train: Callable[..., Any]) -> Callable[..., Any]:
    """A training that smooths classes over neighbouring windows: the first window of a person sees the last one of another."""

    def smoothed(network: Any, signals: Any, classes: npt.NDArray[np.int8], *rest: Any) -> Any:
        return train(network, signals, np.maximum(classes, np.roll(classes, 1)), *rest)

    return smoothed


def test_a_worker_that_peeks_at_test_labels_is_reported(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says how many predictions changed, and ends with 1; without the leak with 0."""
    path = tmp_path / "study.yaml"
    path.write_text(
        yaml.safe_dump(
            study("non_personalized", {"name": "fine_tuning", "layers": "all", "budget": 0.4, "unit": "window"}).as_dict()
        )
    )
    arguments = ("probe", "flipped_labels", str(path), "--windows", str(source), "--limit", "2")
    assert 0 == _run(monkeypatch, *arguments)
    assert "2 trials, 47 predictions, 47 labels flipped, 0 changed: no trial" in capsys.readouterr().out
    monkeypatch.setattr(raylab.trials.run_trial, "train", _smoothing(train))
    assert 1 == _run(monkeypatch, *arguments)
    printed = capsys.readouterr().out
    assert "non_personalized - P1 0: 30 of 30 predictions changed" in printed
    assert "depend on test labels" in printed


@dataclass(frozen=True)
class _Peeking:
    """Trains on everyone else, or on fewer, by the class of the target's last window, and declares no need of it."""

    needs: frozenset[str] = frozenset()

    def choose(self, fold: Fold) -> StageSplit:
        return by_people(fold, fold.others[fold.y[fold.target_windows[-1]] :])


def test_a_selection_that_peeks_at_test_labels_is_reported(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stage is named, though the planned training repeats to the bit."""
    stages = (Stage("everyone_else", _Peeking(), ("trunk", "head")),)
    monkeypatch.setitem(TECHNIQUES, "peeking", Technique("peeking", "a planted leak", (), lambda variant: stages))
    flips = flipped_labels(study("peeking"), str(source), limit=1)
    assert not flips.clean
    assert [("everyone_else",), 0] == [flips.trials[0].peeking, flips.trials[0].changed]
    assert "chosen by test labels: stage everyone_else" in flips.trials[0].line()


def test_a_flip_needs_a_trial_that_runs(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No trial asked for or possible, and a trial that fails, are errors and not a clean result; one without a fold is counted."""
    with pytest.raises(RaylabError, match="--limit 0 leaves no trial"):
        flipped_labels(study("non_personalized"), str(source), limit=0)
    too_many = {"name": "cluster_specific", "k": 9}
    with pytest.raises(RaylabError, match="no trial of probes has a fold, so there is nothing to compare: k=9"):
        flipped_labels(study(too_many), str(source))
    assert 6 == flipped_labels(study("non_personalized", too_many), str(source), limit=1).missing
    with pytest.raises(RaylabError, match=r"this trial failed, so there is nothing to compare: TrainingError: .*NaN"):
        flipped_labels(study("non_personalized", protocol={"epochs": 1, "learning_rate": 1e30}), str(source), limit=1)


def test_the_commands_write_and_refuse(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A probe is written and told of; options of the other kind are refused by a sentence."""
    out = str(tmp_path / "out")
    assert 0 == _run(
        monkeypatch, "probe", "duplicated_person", str(source / "made"), "--out", out, "--person", "P1", "--noise", "0.01"
    )
    assert "P1_copy is P1 again with noise of SD 0.01" in capsys.readouterr().out
    for arguments, expected in (
        (("shuffled_labels", str(source / "made")), "with --out"),
        (("shuffled_labels", str(source / "made"), "--out", out), "is not empty"),
        (("shuffled_labels", str(source / "made"), "--out", "x", "--limit", "1"), "belong to flipped_labels"),
        (("flipped_labels", "study.yaml", "--out", "x"), "takes --windows and --limit only"),
    ):
        assert 1 == _run(monkeypatch, "probe", *arguments)
        assert expected in capsys.readouterr().err
