"""Stacks: K trainings as one give what each gives alone, to 1e-10 in double precision."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from builders.training import CPU, TRUNK_HEAD, copied, staged
from builders.windows import make_windows

from raylab.folds.fold import Fold
from raylab.models.network import ModelSpec, Network, build
from raylab.models.registry import ENCODERS, FUSIONS
from raylab.training.augment import Augmentation
from raylab.training.batches import Signals
from raylab.training.job import Job, TrainingError, TrainingResult
from raylab.training.loop import known_classes, train
from raylab.training.regularize import Regularization
from raylab.training.stacked import train_stack

WINDOWS = make_windows({f"P{i}": [0] * (9 + i) + [1] * (12 - i) for i in range(1, 7)}, length=16)
EQUAL = 1e-10  # of weights of about 1
# A bias before batch norm changes no output, so its gradient is rounding alone, of which Adam makes steps of about 1e-10; the running mean follows.
WITHOUT_EFFECT = 1e-8


def signals(lengths: bool = False) -> Signals:
    """In double precision; with ``lengths`` one channel of variable length, which some windows lack."""
    rng = np.random.default_rng(1)
    valid = rng.integers(0, 33, len(WINDOWS.index.window))
    values = {name: x.astype(np.float64) for name, x in WINDOWS.signals.items()}
    return Signals(values, {"b": valid} if lengths else {})


def jobs(
    spec: ModelSpec,
    given: Signals,
    adapter: bool = False,
    trainable: Sequence[str] = TRUNK_HEAD,
    validate: bool = True,
    **hyper: Any,
) -> list[Job]:
    """Three folds: other targets, unequal numbers of windows to train and to validate on, other draws."""
    made = []
    for number in range(3):
        shapes = {name: (x.shape[1], x.shape[2]) for name, x in given.values.items()}
        fold = Fold(WINDOWS.index, "stress", f"P{number + 1}", number)
        rows = fold.windows_of([f"P{k}" for k in range(1, 7) if k != number + 1])
        rows = rows[np.random.default_rng(number).permutation(len(rows))]
        stage = staged(
            np.sort(rows[15 : 41 + 3 * number]),
            np.sort(rows[: 7 + number]) if validate else rows[:0],
            tuple(trainable),
            **hyper,
        )
        network = build(spec, shapes, 2, adapter, fold.draws).double()
        people = WINDOWS.index.participant_index
        made.append(Job(network, given, known_classes(fold.y, stage), stage, fold.draws, CPU, people=people))
    return made


def alone(job: Job, network: Network) -> TrainingResult:
    """The job's training by itself, of another network of equal weights."""
    return train(network, job.signals, job.classes.astype(np.int8), job.stage, job.draws, CPU, people=job.people)


def compare(made: list[Job]) -> list[TrainingResult]:
    """Train alone and stacked, compare everything that is stored or recorded; the accounts of the ordinary trainings."""
    spec_networks = [deepcopy(job.network) for job in made]
    expected = [alone(job, network) for job, network in zip(made, spec_networks, strict=True)]
    found = train_stack(made)
    for job, network, one, other in zip(made, spec_networks, expected, found, strict=True):
        assert isinstance(other, TrainingResult)
        assert (one.best_epoch, one.steps, len(one.curve)) == (other.best_epoch, other.steps, len(other.curve))
        assert np.array_equal(one.seen, other.seen)
        assert np.array_equal(one.augmented, other.augmented)
        for epoch, same in zip(one.curve, other.curve, strict=True):
            assert epoch == pytest.approx(same, abs=EQUAL)
        after, state = job.network.state_dict(), network.state_dict()
        assert after.keys() == state.keys()
        for name, value in state.items():
            idle = name.endswith(("conv.bias", "running_mean"))
            assert (after[name] - value).abs().max() < (WITHOUT_EFFECT if idle else EQUAL), name
    return expected


EACH = [*((encoder, "late") for encoder in ENCODERS), *(("fcn", fusion) for fusion in FUSIONS if fusion != "late")]
REST = [pytest.param(*pair, marks=pytest.mark.slow) for pair in product(ENCODERS, FUSIONS) if pair not in EACH]


@pytest.mark.parametrize(("encoder", "fusion"), [*EACH, *REST])
def test_every_encoder_and_fusion(encoder: str, fusion: str) -> None:
    """With unequal numbers of windows, short last batches, plateau, and early stopping."""
    spec = ModelSpec(encoder, fusion, 0.05)
    compare(jobs(spec, signals(), epochs=5, patience=1, plateau_patience=1, batch_size=6, learning_rate=0.01))


@pytest.mark.parametrize("encoder", [name for name, encoder in ENCODERS.items() if encoder.variable])
def test_windows_of_variable_length(encoder: str) -> None:
    """Members whose batches end at other steps draw other dropout masks, and a window may lack the channel."""
    compare(jobs(ModelSpec(encoder, "late", 0.05), signals(lengths=True), epochs=2, batch_size=6))


@pytest.mark.parametrize(
    ("trainable", "adapter"),
    [(("head",), False), (("trunk", "head"), True), (("adapter", "head"), True), (("norm_affine", "head"), False)],
)
def test_frozen_parts(trainable: tuple[str, ...], adapter: bool) -> None:
    """As in fine-tuning: without validation windows, two windows a batch; parts that are not freed do not move."""
    made = jobs(ModelSpec("fcn", width=0.05), signals(), adapter, trainable, validate=False, epochs=2, batch_size=2)
    before = [copied(job.network) for job in made]
    compare(made)
    for job, old in zip(made, before, strict=True):
        moved = {name for name, value in job.network.state_dict().items() if not torch.equal(value, old[name])}
        assert moved
        assert moved <= set(job.network.state_of(trainable))


@pytest.mark.parametrize(
    "settings",
    [
        {"augmentation": Augmentation(noise=0.1, gain=0.1, shift=0.1, mask_time=0.2)},
        {"regularization": Regularization(weight_decay=0.1, dropout=0.2, label_smoothing=0.1, mixup=0.5)},
        {"regularization": Regularization(channel_dropout=0.3)},
    ],
)
def test_what_changes_steps(settings: dict[str, Any]) -> None:
    """Augmentation and regularization draw from each member's own streams."""
    compare(jobs(ModelSpec("fcn", "stacked", 0.05), signals(), epochs=2, batch_size=6, **settings))


def test_weighted_windows() -> None:
    """Importance weights are a member's own."""
    made = jobs(ModelSpec("fcn", "weighted", 0.05), signals(), epochs=2, batch_size=6)
    rng = np.random.default_rng(0)
    weighted = [replace(job.stage, weights=rng.random(len(job.stage.train) + len(job.stage.validation))) for job in made]
    compare([replace(job, stage=stage) for job, stage in zip(made, weighted, strict=True)])


def test_members_end_at_their_own_epochs() -> None:
    """The cases above are no test of stopping if all members stop together."""
    made = jobs(
        ModelSpec("fcn", width=0.05), signals(), epochs=12, patience=2, plateau_patience=1, batch_size=6, learning_rate=0.02
    )
    accounts = compare(made)
    assert len({len(account.curve) for account in accounts}) > 1
    assert len({account.steps for account in accounts}) > 1
    assert any(account.curve[-1]["learning_rate"] < account.curve[0]["learning_rate"] for account in accounts)


def test_a_nan_ends_its_member_alone() -> None:
    """The others go on as if nothing had happened."""
    made, ended = jobs(ModelSpec("fcn", width=0.05), signals(), epochs=3, batch_size=6), []
    train_stack(made, lambda number, end: ended.append((number, type(end))))
    broken = jobs(ModelSpec("fcn", width=0.05), signals(), epochs=3, batch_size=6)
    with torch.no_grad():
        next(broken[1].network.parameters()).fill_(torch.nan)
    found = train_stack(broken, lambda number, end: ended.append((number, type(end))))
    assert isinstance(found[1], TrainingError)
    assert "loss is nan in epoch 1" in str(found[1])
    for number in (0, 2):
        for name, value in broken[number].network.state_dict().items():
            assert (made[number].network.state_dict()[name] - value).abs().max() < WITHOUT_EFFECT
    assert ended[3] == (1, TrainingError)
    assert {number for number, _ in ended[4:]} == {0, 2}
