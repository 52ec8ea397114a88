"""Several corpora to train on, in the words of the tested one: channels of the same sensor, a label that stands for another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.studies import study
from builders.windows import make_windows, store, with_card, with_labels

from raylab.errors import RaylabError, StudyError
from raylab.trials.plan import plan, stages_of
from raylab.trials.study import parse_study
from raylab.windows.alike import counterparts, with_label
from raylab.windows.cross_corpus import index_source, read_source
from raylab.windows.dataset import Windows

PEOPLE = {f"P{i}": [0] * 6 + [1] * 6 for i in range(1, 4)}


def _corpus(name: str, seed: int, channels: dict[str, str] | None = None, classes: tuple[str, ...] = ()) -> Windows:
    """A corpus with its own names for channels (``a`` of one modality, ``b`` of another) and for the classes of ``stress``."""
    windows = make_windows(PEOPLE, seed=seed)
    names = channels or {}
    cards = [c.changed(modality=f"sensor {c.name}", name=names.get(c.name, c.name)) for c in windows.index.card.channels]
    windows = with_card(windows, dataset=name, channels=tuple(cards))
    if classes:
        windows = with_card(windows, **with_labels(windows.index.card, {"stress": classes}))
    index = windows.index
    statistics = {names.get(key, key): values for key, values in index.statistics.items()}
    changed = type(index)(
        index.card,
        index.participants,
        index.window,
        index.participant_index,
        index.segment,
        index.start_s,
        index.labels,
        statistics,
    )
    return Windows(changed, {names.get(key, key): values for key, values in windows.signals.items()})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three corpora: ``here``; ``there``, whose channels and classes are named otherwise; ``third``, whose label is."""
    store(_corpus("here", 1), tmp_path / "here")
    store(_corpus("there", 2, {"a": "wrist_a", "b": "wrist_b"}, ("calm", "angry")), tmp_path / "there")
    third = _corpus("third", 3, {"a": "hand_a"})
    labels = with_labels(third.index.card, {"arousal": ("low", "high")})
    third = with_card(third, **labels)
    index = third.index
    renamed = type(index)(
        index.card, index.participants, index.window, index.participant_index, index.segment, index.start_s,
        {"arousal": index.labels["stress"]}, index.statistics,
    )  # fmt: skip
    store(Windows(renamed, third.signals), tmp_path / "third")
    return tmp_path


def _planned(root: Path, train_on: Any, **entry: Any) -> tuple[Any, Windows]:
    content = study(datasets=[{"windows": "here", "label": "stress", "folds": {"train_on": train_on}, **entry}])
    parsed = parse_study(content, "test")
    source = parsed.source(parsed.datasets[0])
    windows = read_source(str(root), source)
    return list(plan(parsed, {source: index_source(str(root), source)})), windows


def test_two_corpora_are_trained_on_and_a_third_is_tested(root: Path) -> None:
    """All of the tested corpus are held out together; everybody of the others trains or validates; windows are theirs under new ids."""
    trials, windows = _planned(root, ["there#stress", "third#arousal"])
    assert {"here (trained on there & third)"} == {trial.dataset for trial in trials}
    assert {"P1", "P2", "P3"} == {trial.target for trial in trials}
    base = stages_of(trials[0], windows.index)[1][0]
    used = np.unique(windows.index.participant_index[np.concatenate([base.train, base.validation])])
    names = {windows.index.participants[k] for k in used}
    assert {f"{corpus} P{i}" for corpus in ("there", "third") for i in (1, 2, 3)} == names
    assert 3 * 36 == len(np.unique(windows.index.window))
    assert ("class0", "class1") == windows.index.classes("stress")
    for name, corpus in (("a", "there"), ("b", "third")):
        theirs = read_source(str(root), corpus).signals
        start = 36 if corpus == "there" else 72
        stored = theirs.get(f"wrist_{name}", theirs.get(name))
        assert stored is not None
        np.testing.assert_array_equal(stored, windows.signals[name][start : start + 36])
    sentence = "stress of there (calm, angry) stands for stress (class0, class1)."
    assert sentence in windows.index.card.caution


def test_which_label_stands_for_another_is_in_the_identity_of_what_is_trained(root: Path) -> None:
    """Two labels of the same windows are two trainings, and so are other names of channels."""
    one = index_source(str(root), "here <- third#arousal=stress").fingerprint
    third = read_source(str(root), "third").index
    assert one != index_source(str(root), "here <- there#stress=stress").fingerprint
    assert with_label(third, "arousal", "stress", ("x", "y")).fingerprint != third.fingerprint


@pytest.mark.parametrize(
    ("train_on", "problem"),
    [
        ("there", "label stress differs: class0, class1 in here; calm, angry in there"),
        ("third#stress", r"third has no label stress \(it has arousal\); mend train_on: PATH#LABEL"),
        (["there#stress", "there#stress"], "P1, P2, P3 stand in both preparations of there"),
        (["there#stress", "a & b"], "a path of windows cannot hold ' & '"),
        ([], "train_on"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_differs(train_on: Any, problem: str, root: Path) -> None:
    """Classes under other names are never matched unless the study says so; nobody is trained on twice."""
    with pytest.raises((RaylabError, StudyError), match=problem):
        _planned(root, train_on)


def test_channels_are_matched_only_if_one_of_each_side_can_be_meant() -> None:
    """Same modality, unit, rate and features, and no other channel of that kind; equal names are left alone."""
    here = _corpus("here", 1).index.card
    assert {"wrist_a": "a"} == counterparts(here, _corpus("there", 2, {"a": "wrist_a"}).index.card)
    two = _corpus("there", 2, {"a": "x", "b": "y"}).index.card
    alike = tuple(channel.changed(modality="acc", rate_hz=1.0, recorded_hz=1.0) for channel in two.channels)
    same = tuple(channel.changed(modality="acc", rate_hz=1.0, recorded_hz=1.0) for channel in here.channels)
    assert {} == counterparts(here.changed(channels=same), two.changed(channels=alike))
    assert {} == counterparts(here, here)
