"""Steps of an optimizer: the loop that every stage with a gradient runs through, whatever it minimizes.

The optimizer, the stopping rules and their constants are those of the study's public code, which is written in Keras, so that scores are
comparable. What a step minimizes is an ``Objective``; the default is the cross-entropy.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.folds.fold import NO_ROWS, RowIds
from raylab.models.batch import Batch
from raylab.models.keras_defaults import ADAM_EPSILON
from raylab.models.network import BELOW_FEATURES, Network
from raylab.training.epoch_order import order_of_epoch
from raylab.training.job import (
    Epoch,
    FeatureReader,
    Job,
    OnEpoch,
    TrainingError,
    TrainingResult,
    features_of,
    refuse_nonfinite,
    slices,
)
from raylab.training.plateau import Plateau
from raylab.training.regularize import Targets
from raylab.training.stage_hash import PlannedStage
from raylab.training.step_changes import step_changes


class Output(NamedTuple):
    """What a network makes of a batch.

    Attributes:
        logits: (batch, n_classes).
        votes: the channels' own logits, (batch, n_channels, n_classes), if the fusion has them.
        features: fused features, (batch, n_fused).
    """

    logits: Tensor
    votes: Tensor | None
    features: Tensor


class Logits(nn.Module):
    """Logits and, if the fusion has them, the channels' votes; from windows, or from trunk features that were computed before.

    It is a module because DistributedDataParallel wraps one ``forward``, and the steps of a training need two paths through the network.

    The head's loss must not train the votes: each channel's vote learns from its own loss (``Targets.votes_loss``), and the head learns to use the
    votes. Hence the detached features.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor | Batch, kept: Tensor | None = None) -> Output:
        """``kept``: factors (batch, n_fused) of the fused features, 0 for those that a step drops."""
        if isinstance(inputs, Tensor):
            return Output(self.network.classify(inputs, kept), None, inputs)
        features = self.network.features(inputs)
        votes = self.network.votes(features)
        read = features if votes is None else features.detach()
        return Output(self.network.classify(read, kept), votes, features)


class Inputs:
    """The network's input for given rows: their windows, or their trunk features.

    If nothing below the features is trained, the trunk runs in inference mode and its features are the same in every epoch: they are computed once,
    and a step costs the head alone. Augmentation, mixup and channel dropout change the windows at every step and rule this out.
    """

    def __init__(self, job: Job, reader: FeatureReader) -> None:
        self.network, self.signals, self.device, self.y = job.network, job.signals, job.device, job.targets
        self.changes = step_changes(job.stage.hyper, job.draws, job.group, job.people)
        self.weights = _weights(job)
        self.features: Tensor | None = None
        if not set(BELOW_FEATURES) & set(job.stage.trainable) and not self.changes.of_windows:
            self.rows = np.union1d(job.stage.stepped, job.stage.validation)
            self.features = reader(self.network, self.signals, self.rows, self.device)

    def for_step(self, rows: RowIds) -> tuple[Tensor | Batch, Targets, Tensor | None]:
        """Windows, or features (n, n_fused), of a training step on these rows; its targets; factors of the features if some are dropped."""
        inputs, targets = self.of(rows), self.changes.targets(self.y[torch.from_numpy(rows)])
        if self.weights is not None:
            targets = replace(targets, weight=self.weights[torch.from_numpy(rows)])
        if isinstance(inputs, Batch):
            inputs, targets = self.changes.of_batch(inputs, targets, rows, self.network.trunk.channels_used)
        return inputs, targets, self.changes.kept_features(len(rows), self.network.trunk.n_out, self.device)

    def expect(self, batches: Sequence[RowIds]) -> None:
        """Windows of these rows will be asked for next, in this order; features are there already."""
        if self.features is None and batches:
            self.signals.expect(np.concatenate(batches))

    def validation_loss(self, logits: Tensor, rows: RowIds) -> Tensor:
        """Sum of the cross-entropy of these rows, weighted as in training; never smoothed."""
        y = self.y[torch.from_numpy(rows)]
        if self.weights is None:
            return F.cross_entropy(logits, y, reduction="sum")
        return (self.weights[torch.from_numpy(rows)] * F.cross_entropy(logits, y, reduction="none")).sum()

    def of(self, rows: RowIds) -> Tensor | Batch:
        """Windows, or features (n, n_fused), of these rows in their order."""
        if self.features is None:
            return self.signals.batch(rows, self.device)
        positions = torch.from_numpy(np.searchsorted(self.rows, rows)).to(self.device)
        return self.features[positions]


def _weights(job: Job) -> Tensor | None:
    """(n_windows,) the weight of every row that the stage trains or validates on; None if all weigh alike."""
    stage = job.stage
    if stage.weights is None:
        return None
    weights = torch.zeros(len(job.classes))
    weights[torch.from_numpy(np.concatenate([stage.train, stage.validation]))] = torch.from_numpy(stage.weights).float()
    return weights.to(job.device)


class Objective:
    """What the steps of a stage minimize: the cross-entropy, and that of the votes of a fusion that has some.

    A subclass is made at the start of a training, so that it may have a state. ``losses`` is all that it must give.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Parameters of its own that the optimizer moves with the network's; they are not stored."""
        return []

    def order(self, rows: RowIds, shuffle: np.random.Generator) -> RowIds:
        """The order in which an epoch goes through the windows."""
        return order_of_epoch(rows, self.job.people_of(rows), self.job.stage.hyper.shuffle_buffer, shuffle)

    def losses(self, loop: "Loop", rows: RowIds) -> tuple[Tensor, Tensor]:
        """The loss that the curve shows and the one that is minimized, of a batch of rows.

        Recorded is the loss of the prediction alone, so that curves of all fusions mean the same; the votes' loss is only trained on.
        """
        output, targets = loop.output(rows)
        loss = targets.loss(output.logits)
        return loss, loss if output.votes is None else loss + targets.votes_loss(output.votes)


class Loop:
    """The state of one training of a network."""

    def __init__(self, job: Job, objective: Objective, reader: FeatureReader = features_of) -> None:
        self.network, self.stage, self.on_batch, self.group = job.network, job.stage, job.on_batch, job.group
        self.objective, self.shuffle = objective, job.draws.generator("shuffle")
        # Dropout draws from torch's global generator: seeded here, so that a stage drops the same whether or not its parent was trained before it.
        torch.manual_seed(job.draws.integer("dropout" if job.group.is_leader else f"dropout of worker {job.group.rank}"))
        self.inputs = Inputs(job, reader)
        self.y = self.inputs.y
        self.optimizer = self.new_optimizer()
        self.logits = Logits(job.network)
        self.wrapped = job.group.wrap(self.logits)
        self.plateau = Plateau(job.stage.hyper)
        self.result = TrainingResult()
        self.seen: list[RowIds] = []
        self.augmented: list[RowIds] = [NO_ROWS]

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Adam on the parameters of the stage's parts and of the objective; AdamW if weights decay."""
        return _optimizer([*self.network.set_trainable(self.stage.trainable), *self.objective.parameters], self.stage)

    def output(self, rows: RowIds) -> tuple[Output, Targets]:
        """What the network makes of these rows in a training step, and what it is to predict."""
        inputs, targets, kept = self.inputs.for_step(rows)
        return self.wrapped(inputs, kept), targets

    def run(self, on_epoch: OnEpoch) -> TrainingResult:
        """All epochs, until early stopping; then the best epoch's weights.

        Raises:
            TrainingError: if a loss is not finite, or if the group received other windows than planned.
        """
        network, stage, result = self.network, self.stage, self.result
        best: dict[str, Tensor] = {}
        for epoch in range(1, stage.hyper.epochs + 1):
            rate = self.plateau.rate  # read before the plateau may change it for the next epoch
            record: Epoch = {"epoch": epoch, "loss": self.epoch(), "learning_rate": rate}
            better, stop = True, False  # without validation windows the last epoch is the best, and nothing stops early
            if len(stage.validation):
                record["val_loss"] = self._validation_loss()
                better, stop = self.plateau.step(record["val_loss"])
            refuse_nonfinite(record, stage)
            if better:
                result.best_epoch = epoch
                # cloned: on the processor state_of gives the very tensors that the next step changes
                best = {name: value.clone() for name, value in network.state_of(stage.trainable).items()}
            result.curve.append(record)
            on_epoch(record)
            if stop:
                break
        network.load_parts(best)
        network.eval()
        result.seen = self.group.gather_rows(np.concatenate(self.seen))
        result.augmented = self.group.gather_rows(np.concatenate(self.augmented))
        # The leak tests trust this account, and the plan is hashed: a training on other windows must not be stored under that hash.
        if not np.array_equal(result.seen, np.sort(stage.stepped)):
            raise TrainingError(
                f"stage {stage.name} trained on {len(result.seen)} windows, {len(stage.stepped)} others were planned"
            )
        return result

    def epoch(self) -> float:
        """One pass over the training windows in a new order; the mean loss over windows. The last, short batch is kept, as in Keras.

        Every worker draws the same order and takes its share of each batch.
        """
        order = self.objective.order(self.stage.stepped, self.shuffle)
        size, total = self.stage.hyper.batch(len(order)), 0.0
        self.network.set_trainable(self.stage.trainable)
        shares = [self.group.my_rows(order[start : start + size]) for start in range(0, len(order), size)]
        self.inputs.expect([rows for rows, _ in shares])
        for rows, weight in shares:
            total += self.step(rows, weight)
        self.group.sync_buffers(self.network)
        return self.group.all_reduce_sum(total, self.y.device) / len(order)

    def step(self, rows: RowIds, weight: float) -> float:
        """One optimizer step on this worker's rows of a batch; the sum of their losses (0 for a worker without a share).

        Args:
            weight: of the mean loss, see ``WorkerGroup.my_rows``; 0 if the rows only stand in for an empty share.
        """
        result = self.result
        # Keras's inverse-time decay; steps go on counting when the plateau lowers the rate
        self.optimizer.param_groups[0]["lr"] = self.plateau.rate / (1 + self.stage.hyper.decay * result.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss, objective = self.objective.losses(self, rows)
        (objective * weight).backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.optimizer.step()
        result.steps += 1
        trained = rows if weight else rows[:0]
        self.on_batch(trained)
        if not result.curve:  # the first epoch: all epochs see the same windows
            self.seen.append(trained)
            if self.inputs.changes.augmenter:
                self.augmented.append(trained)
        return float(loss.detach()) * len(trained)

    def _validation_loss(self) -> float:
        """Mean loss of the validation windows in inference mode; each worker evaluates some of the batches.

        The sum over workers is equal to the bit on all of them, so that all stop in the same epoch.
        """
        self.network.eval()
        total = 0.0
        with torch.no_grad():
            batches = self.group.my_batches(slices(self.stage.validation))
            self.inputs.expect(batches)
            for rows in batches:
                logits = self.logits(self.inputs.of(rows)).logits
                total += float(self.inputs.validation_loss(logits, rows))
        self.network.set_trainable(self.stage.trainable)
        return self.group.all_reduce_sum(total, self.y.device) / len(self.stage.validation)


def _optimizer(parameters: list[nn.Parameter], stage: PlannedStage) -> torch.optim.Optimizer:
    rate = stage.hyper.learning_rate
    decay = stage.hyper.regularization.weight_decay if stage.hyper.regularization else 0.0
    if decay:
        return torch.optim.AdamW(parameters, lr=rate, eps=ADAM_EPSILON, weight_decay=decay, fused=True)
    return torch.optim.Adam(parameters, lr=rate, eps=ADAM_EPSILON, fused=True)


def descend(job: Job) -> TrainingResult:
    """Steps on the cross-entropy, the method of a stage that names none."""
    return Loop(job, Objective(job)).run(job.on_epoch)
