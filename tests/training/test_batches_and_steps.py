"""Batches and steps of the training loop: which windows, at which rate, and the same bits again."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from builders.training import CPU, TRUNK_HEAD, context_of, copied, network_of, people, run, same, staged
from builders.windows import make_windows
from torch.optim.optimizer import register_optimizer_step_pre_hook

from raylab.files import Folder
from raylab.folds.fold import RowIds
from raylab.models.registry import ENCODERS
from raylab.training.batches import Signals
from raylab.training.loop import TrainingError, train
from raylab.training.stage_store import StageStore
from raylab.windows.dataset import Windows


def test_the_last_short_batch_is_kept(made: Windows) -> None:
    """21 windows in batches of 4 are six steps an epoch, the last of one window."""
    context = context_of(made)
    sizes: list[int] = []

    _, done = run(
        made, context, staged(people(context, "P2", "P3")[:21], batch_size=4), on_batch=lambda rows: sizes.append(len(rows))
    )

    assert sizes == [4, 4, 4, 4, 4, 1] * 3
    assert done.steps == 18


@pytest.mark.parametrize("trainable", [("head",), TRUNK_HEAD], ids="+".join)
def test_the_optimizer_receives_exactly_the_planned_windows(made: Windows, trainable: tuple[str, ...]) -> None:
    """Every epoch's batches hold every training window once, no validation window, in another order than before."""
    context = context_of(made)
    rows, validation = people(context, "P2", "P4"), people(context, "P3")
    batches: list[RowIds] = []

    _, done = run(made, context, staged(rows, validation, trainable, batch_size=8), on_batch=batches.append)

    epochs = [np.concatenate(batches[i : i + 5]) for i in range(0, 15, 5)]
    assert len(batches) == 15
    for epoch in epochs:
        np.testing.assert_array_equal(rows, np.sort(epoch))
    assert not any(np.array_equal(before, after) for before, after in pairwise(epochs))
    np.testing.assert_array_equal(rows, done.seen)


def test_the_learning_rate_decays_with_every_step(made: Windows) -> None:
    """Step n, counted over epochs from 0, runs at rate / (1 + decay n)."""
    context = context_of(made)
    rates: list[float] = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        run(made, context, staged(people(context, "P2"), epochs=2, batch_size=8, learning_rate=0.01, decay=0.5))
    finally:
        hook.remove()

    assert [0.01 / (1 + 0.5 * step) for step in range(6)] == pytest.approx(rates, rel=1e-12)


def test_every_epoch_is_told(made: Windows) -> None:
    """``on_epoch`` gets the records of the curve, one by one."""
    context = context_of(made)
    told: list[dict[str, float]] = []

    _, done = run(made, context, staged(people(context, "P2"), people(context, "P3")), on_epoch=told.append)

    assert told == done.curve
    assert {"epoch", "loss", "learning_rate", "val_loss"} == told[0].keys()


@pytest.mark.parametrize(("person", "what"), [("P2", "loss"), ("P3", "val_loss")])
@pytest.mark.parametrize("trainable", [("head",), TRUNK_HEAD], ids="+".join)
def test_a_nan_in_a_window_names_the_stage(trainable: tuple[str, ...], person: str, what: str) -> None:
    """One sample that is not a number, in training or validation, ends the training with an error that names the stage."""
    windows = make_windows({name: [0, 1] * 5 for name in ("P1", "P2", "P3")})
    context = context_of(windows)
    windows.signals["b"][people(context, person)[3], 2, 0] = np.nan

    with pytest.raises(TrainingError, match=rf"^{what} is nan in epoch 1 of stage everyone_else .*check the windows for NaN"):
        run(windows, context, staged(people(context, "P2"), people(context, "P3"), trainable))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_two_trainings_are_equal_to_the_bit(made: Windows, encoder: str) -> None:
    """The same stage from the same weights gives the same bits and the same curve, whatever was drawn in between."""
    context = context_of(made, encoder)
    stage = staged(people(context, "P2", "P3"), people(context, "P4"))

    first, done = run(made, context, stage)
    torch.manual_seed(99)
    again, done_again = run(made, context, stage)

    assert same(copied(first), copied(again))
    assert done.curve == done_again.curve
    assert not same(copied(network_of(context)), copied(first))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_continuing_from_a_stored_stage_is_the_same(made: Windows, encoder: str, tmp_path: Any) -> None:
    """A second stage gives the same bits after the first was trained here and after it was loaded from the store."""
    context = context_of(made, encoder)
    first, second = staged(people(context, "P2", "P3")), staged(people(context, "P1")[::2], trainable=("head",), batch_size=2)
    network, _ = run(made, context, first)
    store = StageStore(Folder(tmp_path))
    store.save("first", network.state_of(first.trainable))
    train(network, Signals(made.signals), context.fold.y, second, context.fold.draws, CPU)

    resumed = network_of(context)
    resumed.load_parts(store.load("first") or {})
    train(resumed, Signals(made.signals), context.fold.y, second, context.fold.draws, CPU)

    assert same(copied(network), copied(resumed))
