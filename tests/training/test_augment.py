"""Augmentation: each kind by itself, lengths respected, training windows only, the same draws every time."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from builders.windows import make_windows

import raylab.training.augment
from raylab.errors import StudyError
from raylab.folds.fold import Fold, RowIds
from raylab.models.batch import Batch
from raylab.models.network import ModelSpec, build
from raylab.training.augment import Augmentation, Augmenter
from raylab.training.batches import Signals
from raylab.training.loop import TrainingResult, train
from raylab.training.protocol import Hyperparameters
from raylab.training.stage_hash import PlannedStage
from raylab.trials.run_trial import one_thread
from raylab.trials.study import parse_study

CPU = torch.device("cpu")
NOBODY = np.zeros(0, dtype=np.int64)
ALL = Augmentation(noise=0.1, gain=0.2, shift=0.2, mask_time=0.2, mask_features=0.5)


@pytest.fixture(autouse=True)
def _as_a_worker_does() -> Iterator[None]:
    with one_thread():
        yield


def augmented(x: torch.Tensor, lengths: list[int] | None = None, seed: int = 0, **asked: float) -> torch.Tensor:
    """One channel after augmentation."""
    given = {} if lengths is None else {"a": torch.tensor(lengths)}
    return Augmenter(Augmentation(**asked), torch.Generator().manual_seed(seed))(Batch({"a": x}, given)).values["a"]


def some(count: int = 200, length: int = 20, n_features: int = 4) -> torch.Tensor:
    return 3.0 + 2.0 * torch.randn(count, length, n_features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_nothing_asked_changes_nothing() -> None:
    """All at 0 leave every bit."""
    assert torch.equal(some(), augmented(some()))


def test_noise_has_the_size_that_was_asked_for() -> None:
    """The standard deviation of what was added is this share of the window's own, for large and small windows alike."""
    x = some() * torch.linspace(1, 100, 200)[:, None, None]

    added = (augmented(x, noise=0.25) - x) / x.std(dim=1, keepdim=True, correction=0)

    assert float(added.std()) == pytest.approx(0.25, rel=0.05)
    assert abs(float(added.mean())) < 0.01


def test_gain_multiplies_a_window_by_one_number_of_its_range() -> None:
    """Every sample of a window is multiplied by the same number, between 0.7 and 1.3, and windows by different ones."""
    ratio = augmented(some(), gain=0.3) / some()

    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio))
    assert 0.7 <= float(ratio.min()) < 0.72 and 1.28 < float(ratio.max()) <= 1.3


def test_shift_moves_a_window_and_holds_its_end() -> None:
    """A ramp moved by d is the ramp plus d, cut at its ends; moves are whole steps of at most a quarter of the window, both ways."""
    ramp = torch.arange(20.0)[None, :, None].repeat(200, 1, 1)

    moved = augmented(ramp, shift=0.25)[:, :, 0]

    by = moved[:, 10] - 10
    assert {float(d) for d in range(-5, 6)} == set(by.tolist())
    assert torch.equal(moved, (torch.arange(20.0) + by[:, None]).clamp(0, 19))


@pytest.mark.parametrize(("kind", "axis", "most"), [("mask_time", 1, 6), ("mask_features", 2, 2)])
def test_a_masked_stretch_is_the_windows_mean(kind: str, axis: int, most: int) -> None:
    """At most the share is masked, in one stretch anywhere, sometimes nothing; all else is untouched."""
    x = some()
    share = 0.3 if kind == "mask_time" else 0.5

    found = augmented(x, **{kind: share})

    changed = (found != x).all(dim=3 - axis)
    torch.testing.assert_close(found, torch.where((found != x), x.mean(dim=1, keepdim=True), x))
    assert torch.equal(changed, (found != x).any(dim=3 - axis))
    sizes = changed.sum(dim=1)
    assert set(range(most + 1)) == set(sizes.tolist())
    assert (changed.int().diff(dim=1).clamp(min=0).sum(dim=1) + changed[:, 0] <= 1).all()  # one stretch
    assert changed.any(dim=0).all()


def test_short_windows_are_changed_within_their_steps() -> None:
    """What stands beyond a window's end is 0 and has no part in what the window becomes; a missing modality stays missing."""
    x, lengths = some(6), [20, 10, 3, 1, 0, 5]
    asked: dict[str, Any] = ALL.as_dict()
    end = torch.arange(20) >= torch.tensor(lengths)[:, None]
    silent, loud = x.masked_fill(end[:, :, None], 0.0), x.masked_fill(end[:, :, None], 99.0)

    found = augmented(silent, lengths, **asked)

    assert not found[end].any()
    torch.testing.assert_close(found, augmented(loud, lengths, **asked))
    assert not torch.equal(found, silent)


def _train(
    augmentation: Augmentation | None, frees: tuple[str, ...] = ("trunk", "head")
) -> tuple[Any, TrainingResult, RowIds, RowIds]:
    """Three epochs on P2 and P3, validated on P4: network, what the loop did, training and validation rows."""
    windows = make_windows({f"P{i}": [0, 1] * 6 for i in range(1, 5)})
    fold = Fold(windows.index, "stress", "P1", 0)
    shapes = {name: values.shape[1:] for name, values in windows.signals.items()}
    network = build(ModelSpec("fcn", width=0.05), shapes, 2, False, fold.draws)
    rows, validation = fold.windows_of(["P2", "P3"]), fold.windows_of(["P4"])
    hyper = Hyperparameters(epochs=3, batch_size=8, batch_share=1.0, augmentation=augmentation)
    stage = PlannedStage("everyone_else", rows, validation, NOBODY, frees, hyper, "", "")
    return network, train(network, Signals(windows.signals), fold.y, stage, fold.draws, CPU), rows, validation


@pytest.mark.parametrize("frees", [("trunk", "head"), ("head",)], ids="+".join)
def test_training_windows_are_augmented_and_no_others(frees: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop records which windows it changed: every training window, no validation window, in every epoch; without it none."""
    seen: list[int] = []
    real = Augmenter.__call__

    def counted(self: Augmenter, batch: Batch) -> Batch:
        seen.append(len(batch.values["a"]))
        return real(self, batch)

    monkeypatch.setattr(raylab.training.augment.Augmenter, "__call__", counted)
    _, done, rows, validation = _train(ALL, frees)
    _, plain, _, _ = _train(None, frees)

    np.testing.assert_array_equal(rows, done.augmented)
    assert not np.intersect1d(validation, done.augmented).size
    assert [8, 8, 8] * 3 == seen
    assert 0 == len(plain.augmented)


def test_augmentation_changes_training_and_repeats_itself() -> None:
    """The same stage gives the same bits twice, and others than without augmentation."""
    once, again, without = (_train(asked)[0].state_dict() for asked in (ALL, ALL, None))

    assert all(torch.equal(value, again[name]) for name, value in once.items())
    assert not all(torch.equal(value, without[name]) for name, value in once.items())


def test_a_study_sets_augmentation_for_all_stages_or_one() -> None:
    """It is part of the protocol, off unless named; what does not exist is refused."""
    study = {
        "name": "x",
        "datasets": [{"windows": "w", "label": "l"}],
        "models": [{"encoder": "cnn"}],
        "techniques": ["fine_tuning"],
    }

    assert parse_study(study, "s").protocol.augmentation is None
    found = parse_study({**study, "protocol": {"augmentation": {"noise": 0.1}}}, "s").protocol
    assert Augmentation(noise=0.1) == found.augmentation
    with pytest.raises(StudyError, match=r"augmentation\.warp"):
        parse_study({**study, "protocol": {"augmentation": {"warp": 1}}}, "s")
    with pytest.raises(StudyError, match=r"svm has none"):
        parse_study({**study, "models": [{"encoder": "svm"}], "techniques": ["hybrid"], "protocol": {"augmentation": {}}}, "s")


def test_without_augmentation_hyperparameters_are_what_they_were() -> None:
    """The record that a stage's hash is made of has no word of augmentation unless there is some."""
    plain = Hyperparameters()

    assert "augmentation" not in plain.as_dict()
    assert {**plain.as_dict(), "augmentation": ALL.as_dict()} == replace(plain, augmentation=ALL).as_dict()
