"""Stacks: K trainings as one give what each gives alone, to 1e-10 in double precision."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from builders.training import CPU, TRUNK_HEAD, context_of, copied, staged
from builders.windows import make_windows
from raylab.folds.fold import Fold
from raylab.models.network import ModelSpec, Network, build
from raylab.models.registry import ENCODERS, FUSIONS
from raylab.training.augment import Augmentation
from raylab.training.batches import Signals
from raylab.training.job import Job, TrainingError, TrainingResult
from raylab.training.loop import job_of, train
from raylab.training.regularize import Regularization
from raylab.training.stacked import train_stack

WINDOWS = make_windows({f"P{i}": [0] * (9 + i) + [1] * (12 - i) for i in range(1, 7)}, length=16)
EQUAL = 1e-10  # of weights of about 1
# A convolution's bias before batch norm changes no output, so its gradient is rounding alone, of which Adam makes steps of about 1e-10; the running mean follows it.
WITHOUT_EFFECT = 1e-8


def signals(lengths: bool = False) -> Signals:
    """In double precision; with ``lengths`` one channel of variable length, which some windows lack."""
    rng = np.random.default_rng(1)
    valid = rng.integers(0, 33, len(WINDOWS.index.window))
    values = {name: x.astype(np.float64) for name, x in WINDOWS.signals.items()}
    return Signals(values, {"b": valid} if lengths else {})


def jobs(
    spec: ModelSpec, given: Signals, adapter: bool = False, trainable: Sequence[str] = TRUNK_HEAD, validate: bool = True, **hyper: Any
) -> list[Job]:
    """Three folds: other targets, unequal numbers of windows to train and to validate on, other draws."""
    made = []
    for number in range(3):
        shapes = {name: (x.shape[1], x.shape[2]) for name, x in given.values.items()}
        fold = Fold(WINDOWS.index, "stress", f"P{number + 1}", number)
        rows = fold.windows_of([f"P{k}" for k in range(1, 7) if k != number + 1])
        rows = rows[np.random.default_rng(number).permutation(len(rows))]
        stage = staged(np.sort(rows[15 : 41 + 3 * number]), np.sort(rows[: 7 + number]) if validate else rows[:0], tuple(trainable), **hyper)
        network = build(spec, shapes, 2, adapter, fold.draws).double()
        people = WINDOWS.index.participant_index
        made.append(job_of(network, given, fold.y, stage, fold.draws, CPU, people=people))
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
