"""A small network and short stages of it, for the tests of training."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from raylab.folds.fold import Fold, RowIds
from raylab.models.network import ModelSpec, Network, build
from raylab.training.batches import Signals
from raylab.training.loop import predict, train
from raylab.training.protocol import Hyperparameters
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.windows.dataset import Windows

CPU = torch.device("cpu")
NOBODY: RowIds = np.zeros(0, dtype=np.int64)
TRUNK_HEAD = ("trunk", "head")
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 16, "batch_share": 1.0}


def context_of(windows: Windows, encoder: str = "fcn", adapter: bool = False, width: float = 0.02) -> TrainingContext:
    """A small model for the fold that holds out P1."""
    shapes = {name: (values.shape[1], values.shape[2]) for name, values in windows.signals.items()}
    return TrainingContext(Fold(windows.index, "stress", "P1", 0), ModelSpec(encoder, width=width), adapter, shapes)


def network_of(context: TrainingContext) -> Network:
    """With the initial weights of the fold's draws."""
    return build(context.model, context.shapes, context.n_classes, context.adapter, context.fold.draws)


def staged(
    train_rows: RowIds, validation: RowIds = NOBODY, trainable: tuple[str, ...] = TRUNK_HEAD, **hyper: Any
) -> PlannedStage:
    """A stage of few epochs and large batches unless told otherwise."""
    return PlannedStage(
        "everyone_else", train_rows, validation, NOBODY, trainable, Hyperparameters(**{**QUICK, **hyper}), "", ""
    )


def people(context: TrainingContext, *names: str) -> RowIds:
    """The rows of these participants' windows."""
    return context.fold.windows_of(list(names))


def run(windows: Windows, context: TrainingContext, stage: PlannedStage, **more: Any) -> tuple[Network, Any]:
    """A network fresh from the fold's draws, trained on the stage."""
    network = network_of(context)
    done = train(network, Signals(windows.signals), context.fold.y, stage, context.fold.draws, CPU, **more)
    return network, done


def cross_entropy(network: Network, windows: Windows, context: TrainingContext, rows: RowIds) -> float:
    """Mean loss in inference mode, from the probabilities."""
    p = predict(network, Signals(windows.signals), rows, CPU)
    return float(-np.log(p[np.arange(len(rows)), context.fold.y[rows]]).mean())


def copied(network: Network) -> dict[str, torch.Tensor]:
    """Weights and statistics that further training leaves alone."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(expected: dict[str, torch.Tensor], actual: dict[str, torch.Tensor]) -> bool:
    """Equal names and equal bits."""
    return expected.keys() == actual.keys() and all(torch.equal(expected[name], actual[name]) for name in expected)


def a_stage(method: Any, train_rows: RowIds = NOBODY, **more: Any) -> PlannedStage:
    """A stage of this method; ``more``: fields of the stage, or hyperparameters."""
    given = {name: more.pop(name) for name in list(more) if name in PlannedStage.__dataclass_fields__}
    return replace(staged(train_rows, **more), method=method, **given)


def carried_out(windows: Windows, context: TrainingContext, stage: PlannedStage, network: Network | None = None) -> Network:
    network = network or network_of(context)
    who = windows.index.participant_index
    train(network, Signals(windows.signals), context.fold.y, stage, context.fold.draws, CPU, people=who)
    return network
