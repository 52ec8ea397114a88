"""The training loop: plateau and early stopping, the parts that move, against a loop by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders.training import CPU, TRUNK_HEAD, context_of, copied, cross_entropy, network_of, people, run, same, staged
from torch.nn import functional as F

from raylab.models.network import PARTS, Network
from raylab.models.registry import ENCODERS
from raylab.training.batches import Signals
from raylab.training.loop import train
from raylab.training.plateau import Plateau
from raylab.training.protocol import Hyperparameters
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.trials.run_trial import one_thread
from raylab.windows.dataset import Windows


# Plateau and early stopping
def test_plateau_and_early_stopping_follow_keras() -> None:
    """A sequence worked out by hand: the plateau needs a gain of more than 1e-4, early stopping any gain at all."""
    plateau = Plateau(Hyperparameters(learning_rate=1.0, patience=4, plateau_patience=2, plateau_factor=0.1))
    by_hand = [  # loss, learning rate after it, best so far, stop
        (1.0, 1.0, True, False),
        (0.99995, 1.0, True, False),  # not 1e-4 better than 1.0: the plateau waits 1, early stopping does not
        (0.99992, 1e-1, True, False),  # the plateau waited 2
        (0.9, 1e-1, True, False),
        (0.9, 1e-1, False, False),  # equal is not better: both wait 1
        (0.95, 1e-2, False, False),  # 2 and 2; the plateau starts to count anew
        (0.91, 1e-2, False, False),  # 1 and 3
        (0.89995, 1e-3, True, False),  # better for early stopping, the plateau's second
        (0.9, 1e-3, False, False),  # 1 and 1
        (0.9, 1e-4, False, False),  # 2 and 2
        (0.9, 1e-4, False, False),  # 1 and 3
        (0.9, 1e-5, False, True),  # 2 and 4: stop
    ]

    for loss, rate, best, stop in by_hand:
        assert (best, stop) == plateau.step(loss)
        assert rate == pytest.approx(plateau.rate, rel=1e-12)


def test_the_best_validation_epochs_weights_are_kept(made: Windows) -> None:
    """After training, the validation loss is the curve's smallest, and training stopped ``patience`` epochs after it."""
    context = context_of(made, width=0.05)
    rows, validation = people(context, "P2", "P3"), people(context, "P4", "P5")
    stage = staged(rows, validation, epochs=60, patience=4, plateau_patience=2, learning_rate=0.03)

    network, done = run(made, context, stage)

    losses = [epoch["val_loss"] for epoch in done.curve]
    assert int(np.argmin(losses)) + 1 == done.best_epoch
    assert done.best_epoch + 4 == len(done.curve) < 60
    assert min(losses) < min(losses[-4:])  # the last weights would not do
    assert min(losses) == pytest.approx(cross_entropy(network, made, context, validation), rel=1e-5)
    assert list(range(1, len(losses) + 1)) == [epoch["epoch"] for epoch in done.curve]


def test_the_curves_learning_rate_follows_the_plateau(made: Windows) -> None:
    """Each epoch runs at the rate that the plateau gives after the validation losses before it."""
    context = context_of(made)
    stage = staged(people(context, "P2"), people(context, "P3"), epochs=12, patience=12, plateau_patience=1, plateau_factor=0.5)

    _, done = run(made, context, replace(stage, hyper=replace(stage.hyper, learning_rate=0.1)))

    plateau, expected = Plateau(replace(stage.hyper, learning_rate=0.1)), []
    for epoch in done.curve:
        expected.append(plateau.rate)
        plateau.step(epoch["val_loss"])
    assert expected == [epoch["learning_rate"] for epoch in done.curve]
    assert len(set(expected)) > 1


def test_without_validation_the_last_epoch_is_kept(made: Windows) -> None:
    """A calibration has no validation part: all epochs run, and the last weights stay."""
    context = context_of(made)

    network, done = run(made, context, staged(people(context, "P2"), epochs=5, patience=1, plateau_patience=1))
    four, _ = run(made, context, staged(people(context, "P2"), epochs=4))

    assert 5 == len(done.curve) == done.best_epoch
    assert not any("val_loss" in epoch for epoch in done.curve)
    assert {0.003} == {epoch["learning_rate"] for epoch in done.curve}
    assert not same(copied(four), copied(network))


# What moves and what stands still
@pytest.mark.parametrize("trainable", [("head",), ("adapter", "head"), ("trunk",), TRUNK_HEAD, PARTS], ids="+".join)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_only_freed_parts_move(made: Windows, encoder: str, trainable: tuple[str, ...]) -> None:
    """Frozen parts keep every bit, batch norm statistics included; in freed parts every weight and statistic moves."""
    context = context_of(made, encoder, adapter=True)
    before = copied(network_of(context))

    network, _ = run(made, context, staged(people(context, "P2", "P3"), people(context, "P4"), trainable))

    moved = {name for name, value in network.state_dict().items() if not torch.equal(before[name], value)}
    freed = {name for name in before if name.split(".")[0] in trainable and "bias_hh" not in name}
    # A bias right before batch norm has no gradient but rounding noise: it may move or not.
    idle = {name for name in freed if name.endswith("1.bias") and f"{name.removesuffix('1.bias')}2.running_mean" in before}
    assert freed - idle == moved - idle


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_part_that_is_not_freed_drops_nothing(made: Windows, encoder: str) -> None:
    """With a learning rate of almost nothing, training the head sees the loss of inference mode; freeing the trunk does not."""
    context = context_of(made, encoder, adapter=True, width=0.05)
    rows = people(context, "P2", "P3")
    expected = cross_entropy(network_of(context), made, context, rows)

    for trainable in (("head",), ("adapter", "head")):
        _, done = run(made, context, staged(rows, trainable=trainable, epochs=1, learning_rate=1e-12))
        assert expected == pytest.approx(done.curve[0]["loss"], rel=1e-5)
    _, done = run(made, context, staged(rows, trainable=TRUNK_HEAD, epochs=1, learning_rate=1e-12))
    assert expected != pytest.approx(done.curve[0]["loss"], rel=1e-3)


def loop_by_hand(network: Network, windows: Windows, context: TrainingContext, stage: PlannedStage) -> list[float]:
    """The plain loop over a network whose every part is evaluated for every batch; the mean loss of each epoch."""
    hyper, draws = stage.hyper, context.fold.draws
    torch.manual_seed(draws.integer("dropout"))
    shuffle = draws.generator("shuffle")
    y = torch.from_numpy(context.fold.y.astype(np.int64))
    optimizer = torch.optim.Adam(network.set_trainable(stage.trainable), lr=hyper.learning_rate, eps=1e-7)
    step, losses = 0, []
    for _ in range(hyper.epochs):
        order, total = shuffle.permutation(stage.train), 0.0
        for start in range(0, len(order), hyper.batch_size):
            rows = order[start : start + hyper.batch_size]
            optimizer.param_groups[0]["lr"] = hyper.learning_rate / (1 + hyper.decay * step)
            optimizer.zero_grad()
            loss = F.cross_entropy(network(Signals(windows.signals).batch(rows, CPU)), y[torch.from_numpy(rows)])
            loss.backward()
            optimizer.step()
            step, total = step + 1, total + loss.item() * len(rows)
        losses.append(total / len(order))
    return losses


@pytest.mark.parametrize("trainable", [("head",), ("adapter", "head"), TRUNK_HEAD], ids="+".join)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_loop_equals_a_loop_by_hand(made: Windows, encoder: str, trainable: tuple[str, ...]) -> None:
    """Training on the frozen trunk's features, computed once, is training with the trunk evaluated for each batch.

    In double precision: in single, Adam makes steps of the rounding noise in biases before batch norm.
    """
    context = context_of(made, encoder, adapter=True)
    stage = staged(people(context, "P2", "P3"), trainable=trainable, batch_size=7, learning_rate=0.01, decay=0.1)
    doubled = Windows(made.index, {name: values.astype(np.float64) for name, values in made.signals.items()})
    expected, network = network_of(context).double(), network_of(context).double()
    losses = loop_by_hand(expected, doubled, context, stage)

    done = train(network, Signals(doubled.signals), context.fold.y, stage, context.fold.draws, CPU)

    np.testing.assert_allclose(losses, [epoch["loss"] for epoch in done.curve], rtol=1e-9)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-6, atol=1e-9, msg=name)
    assert losses[-1] < losses[0]


def test_something_is_learned(made: Windows) -> None:
    """The made windows carry their class: training brings the held-out person's loss well under a coin's."""
    context = context_of(made, width=0.05)

    network, _ = run(
        made, context, staged(people(context, "P2", "P3", "P4"), people(context, "P5"), epochs=15, learning_rate=0.01)
    )

    assert cross_entropy(network, made, context, context.fold.target_windows) < 0.4 < math.log(2)


def test_what_a_process_did_before_changes_no_weight(made: Windows) -> None:
    """A process that switched oneDNN off and took several threads, as a live stream or a user's notebook may, trains the same bits."""
    context = context_of(made, width=0.05)
    stage = staged(people(context, "P2", "P3"), people(context, "P4"))
    settings = torch.backends.mkldnn.enabled, torch.get_num_threads()
    states = []
    try:
        for enabled, threads in ((True, 1), (False, 2)):
            torch.backends.mkldnn.enabled = enabled
            torch.set_num_threads(threads)
            with one_thread():
                states.append(run(made, context, stage)[0].state_dict())
            assert (enabled, threads) == (torch.backends.mkldnn.enabled, torch.get_num_threads())
    finally:
        torch.backends.mkldnn.enabled = settings[0]
        torch.set_num_threads(settings[1])
    assert same(states[0], states[1])
