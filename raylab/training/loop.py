"""The training loop for one stage of any technique (docs/protocol.md, Training), and prediction.

The optimizer, the stopping rules and their constants are those of the study's public code, which is written in Keras, so that scores are
comparable. All techniques share this one loop: a stage says what differs (windows, trainable parts, hyperparameters), and nothing else does.

Equal stage hashes promise equal weights to the bit. So every random draw here comes from the fold's streams and is seeded anew at the start
of a stage: a stage that continues from stored weights trains as one that follows the training of its parent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.errors import RaylabError
from raylab.folds.fold import NO_ROWS, RowIds
from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.build import Model
from raylab.models.estimators import Estimator, People
from raylab.models.keras_defaults import ADAM_EPSILON
from raylab.models.network import Network
from raylab.training.batches import Signals
from raylab.training.plateau import Plateau
from raylab.training.regularize import Targets
from raylab.training.stage_hash import PlannedStage
from raylab.training.step_changes import StepChanges, step_changes
from raylab.training.worker_group import ALONE, WorkerGroup

EVALUATION_BATCH = 256  # windows per batch in inference mode, which bounds the memory of predictions
CPU = torch.device("cpu")

Epoch = dict[str, float]
OnBatch = Callable[[RowIds], None]
OnEpoch = Callable[[Epoch], None]


class TrainingError(RaylabError, RuntimeError):
    """A training failed; the message says what was found."""


@dataclass
class TrainingResult:
    """The account of one training.

    Attributes:
        curve: one record per epoch: epoch, loss, learning_rate, and val_loss if there are validation windows.
        best_epoch: the epoch with the lowest validation loss, whose weights were kept; the last one if there are no validation windows.
        steps: number of optimizer steps.
        seen: row numbers of the windows that the optimizer received, each once, rising.
        augmented: row numbers of the windows that were augmented before that, each once, rising.
    """

    curve: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    steps: int = 0
    seen: RowIds = field(default_factory=lambda: NO_ROWS)
    augmented: RowIds = field(default_factory=lambda: NO_ROWS)


def features_of(network: Network, signals: Signals, rows: RowIds, device: torch.device) -> Tensor:
    """Fused features of the trunk in inference mode, (n, n_fused), on the device."""
    network.eval()
    with torch.no_grad():
        parts = [network.features(signals.batch(part, device)) for part in _slices(rows)]
    return torch.cat(parts)


def predict(model: Model, signals: Signals, rows: RowIds, device: torch.device) -> npt.NDArray[np.float32]:
    """Probabilities of the classes in inference mode, (n, n_classes)."""
    if isinstance(model, Estimator):
        with threadpool_limits(1):  # sums in another order give other bits, so numpy gets one thread, as torch has
            parts = [model.probabilities(signals.padded(part)) for part in _slices(rows)]
        return np.concatenate(parts).astype(np.float32)
    features = features_of(model, signals, rows, device)
    with torch.no_grad():
        p: npt.NDArray[np.float32] = torch.softmax(model.classify(features), dim=1).cpu().numpy()
    return p


def attention(model: Model, signals: Signals, rows: RowIds, device: torch.device) -> npt.NDArray[np.float32] | None:
    """Weight of each channel in each window in inference mode, (n, n_channels); None if the model does not weight channels by window."""
    if isinstance(model, Estimator):
        return None
    model.eval()
    with torch.no_grad():
        parts = [model.attention(signals.batch(part, device)) for part in _slices(rows)]
    weights = [part for part in parts if part is not None]
    return torch.cat(weights).cpu().numpy() if weights else None


def _slices(rows: RowIds) -> list[RowIds]:
    """The rows in batches for inference."""
    return [rows[i : i + EVALUATION_BATCH] for i in range(0, len(rows), EVALUATION_BATCH)]


class _Logits(nn.Module):
    """Logits and, if the fusion has them, the channels' votes; from windows, or from trunk features that were computed before.

    It is a module because DistributedDataParallel wraps one ``forward``, and the steps of a training need two paths through the network.

    The head's loss must not train the votes: each channel's vote learns from its own loss (``Targets.votes_loss``), and the head learns to use the
    votes. Hence the detached features.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor | Batch, kept: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """``kept``: factors (batch, n_fused) of the fused features, 0 for those that a step drops."""
        if isinstance(inputs, Tensor):
            return self.network.classify(inputs if kept is None else inputs * kept), None
        features = self.network.features(inputs)
        votes = self.network.votes(features)
        features = features if votes is None else features.detach()
        return self.network.classify(features if kept is None else features * kept), votes


class _Inputs:
    """The network's input for given rows: their windows, or their trunk features.

    If the trunk is frozen it runs in inference mode, so its features are the same in every epoch: they are computed once, and
    a step costs the head alone. Augmentation, mixup and channel dropout change the windows at every step and rule this out.
    """

    def __init__(
        self, network: Network, signals: Signals, stage: PlannedStage, device: torch.device, y: Tensor, changes: StepChanges
    ) -> None:
        self.network, self.signals, self.device, self.y, self.changes = network, signals, device, y, changes
        self.features: Tensor | None = None
        if "trunk" not in stage.trainable and not changes.of_windows:
            self.rows = np.union1d(stage.train, stage.validation)
            self.features = features_of(network, signals, self.rows, device)

    def for_step(self, rows: RowIds) -> tuple[Tensor | Batch, Targets, Tensor | None]:
        """Windows, or features (n, n_fused), of a training step on these rows; its targets; factors of the features if some are dropped."""
        inputs, targets = self.of(rows), self.changes.targets(self.y[torch.from_numpy(rows)])
        if isinstance(inputs, Batch):
            inputs, targets = self.changes.of_batch(inputs, targets, rows, self.network.trunk.channels_used)
        return inputs, targets, self.changes.kept_features(len(rows), self.network.trunk.n_out, self.device)

    def of(self, rows: RowIds) -> Tensor | Batch:
        """Windows, or features (n, n_fused), of these rows in their order."""
        if self.features is None:
            return self.signals.batch(rows, self.device)
        positions = torch.from_numpy(np.searchsorted(self.rows, rows)).to(self.device)
        return self.features[positions]


def train(
    model: Model,
    signals: Signals,
    classes: npt.NDArray[np.int8],
    stage: PlannedStage,
    draws: FoldSeeds,
    device: torch.device,
    on_batch: OnBatch = lambda rows: None,
    on_epoch: OnEpoch = lambda epoch: None,
    group: WorkerGroup = ALONE,
    people: People | None = None,
) -> TrainingResult:
    """Train the trainable parts of a network in place and leave the best epoch's weights in it; or fit a classical model.

    Args:
        model: the model; its parts hold the initial weights or those of the parent stage.
        signals: the channels of the model, for all rows of the index.
        classes: (n_windows,) class index of every row of the index.
        stage: windows, trainable parts and hyperparameters.
        draws: the random streams of the fold: dropout, augmentation, regularization and shuffling.
        device: the device that the model is on.
        on_batch: called with the rows of every batch that this worker's optimizer receives.
        on_epoch: called with the record of each epoch; every worker of a group gets equal records.
        group: the workers that train together; each calls this function with the same arguments except for its rank.
        people: (n_windows,) who every row of the index is of, for models and mixup that look at people one by one; None: one person.

    Raises:
        TrainingError: if a loss is not finite, or if the optimizers received other windows than planned; on every worker of the group.
    """
    if isinstance(model, Estimator):
        return _fit(model, signals, classes, stage, people, on_batch, on_epoch)
    # Dropout draws from torch's global generator: seeded here, so that a stage drops the same whether or not its parent was trained before it.
    torch.manual_seed(draws.integer("dropout" if group.is_leader else f"dropout of worker {group.rank}"))
    y = torch.from_numpy(classes.astype(np.int64)).to(device)
    inputs = _Inputs(model, signals, stage, device, y, step_changes(stage.hyper, draws, group, people))
    loop = _Loop(model, inputs, stage, draws.generator("shuffle"), on_batch, group)
    return loop.run(on_epoch)


def _fit(
    model: Estimator,
    signals: Signals,
    classes: npt.NDArray[np.int8],
    stage: PlannedStage,
    people: People | None,
    on_batch: OnBatch,
    on_epoch: OnEpoch,
) -> TrainingResult:
    """Fit a classical model at once; recorded as one epoch of one step, with the loss on the windows it was fitted on.

    It has no early stopping and so no use for validation windows: they are fitted too, and both kinds of model use the same windows.

    Raises:
        TrainingError: if there are too few windows, or if the loss is not finite.
    """
    rows = np.union1d(stage.train, stage.validation)
    model.load_libraries()
    try:
        with threadpool_limits(1):
            model.fit(signals.padded(rows), classes[rows].astype(np.int64), None if people is None else people[rows])
    except ValueError as error:
        raise TrainingError(f"stage {stage.name}: {error}") from error
    on_batch(rows)
    p = predict(model, signals, rows, CPU)[np.arange(len(rows)), classes[rows]]
    loss = float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())
    record: Epoch = {"epoch": 1, "loss": loss, "learning_rate": 0.0}
    _refuse_nonfinite(record, stage)
    on_epoch(record)
    return TrainingResult([record], best_epoch=1, steps=1, seen=rows)


class _Loop:
    """The state of one training of a network."""

    def __init__(
        self,
        network: Network,
        inputs: _Inputs,
        stage: PlannedStage,
        shuffle: np.random.Generator,
        on_batch: OnBatch,
        group: WorkerGroup,
    ) -> None:
        self.network, self.inputs, self.stage, self.y, self.shuffle = network, inputs, stage, inputs.y, shuffle
        self.on_batch, self.group = on_batch, group
        self.optimizer = _optimizer(network, stage)
        self.logits = _Logits(network)
        # Only steps go through the wrapper: it synchronizes gradients, and in evaluation workers may have unequal numbers of batches.
        self.wrapped = group.wrap(self.logits)
        self.plateau = Plateau(stage.hyper)
        self.result = TrainingResult()
        self.seen: list[RowIds] = []
        self.augmented: list[RowIds] = [NO_ROWS]

    def run(self, on_epoch: OnEpoch) -> TrainingResult:
        """All epochs, until early stopping; then the best epoch's weights.

        Raises:
            TrainingError: if a loss is not finite, or if the group received other windows than planned.
        """
        network, stage, result = self.network, self.stage, self.result
        best: dict[str, Tensor] = {}
        for epoch in range(1, stage.hyper.epochs + 1):
            rate = self.plateau.rate  # read before the plateau may change it for the next epoch
            record: Epoch = {"epoch": epoch, "loss": self._epoch(), "learning_rate": rate}
            better, stop = True, False  # without validation windows the last epoch is the best, and nothing stops early
            if len(stage.validation):
                record["val_loss"] = self._validation_loss()
                better, stop = self.plateau.step(record["val_loss"])
            _refuse_nonfinite(record, stage)
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
        if not np.array_equal(result.seen, np.sort(stage.train)):
            raise TrainingError(
                f"stage {stage.name} trained on {len(result.seen)} windows, {len(stage.train)} others were planned"
            )
        return result

    def _epoch(self) -> float:
        """One pass over the training windows in a new order; the mean loss over windows. The last, short batch is kept, as in Keras.

        Every worker draws the same order and takes its share of each batch.
        """
        order = self.shuffle.permutation(self.stage.train)
        size, total = self.stage.hyper.batch(len(order)), 0.0
        self.network.set_trainable(self.stage.trainable)
        for start in range(0, len(order), size):
            total += self._step(*self.group.my_rows(order[start : start + size]))
        self.group.sync_buffers(self.network)
        return self.group.all_reduce_sum(total, self.y.device) / len(order)

    def _step(self, rows: RowIds, weight: float) -> float:
        """One optimizer step on this worker's rows of a batch; the sum of their losses (0 for a worker without a share).

        Args:
            weight: of the mean loss, see ``WorkerGroup.my_rows``; 0 if the rows only stand in for an empty share.
        """
        result = self.result
        # Keras's inverse-time decay; steps go on counting when the plateau lowers the rate
        self.optimizer.param_groups[0]["lr"] = self.plateau.rate / (1 + self.stage.hyper.decay * result.steps)
        self.optimizer.zero_grad(set_to_none=True)
        inputs, targets, kept = self.inputs.for_step(rows)
        logits, votes = self.wrapped(inputs, kept)
        loss = targets.loss(logits)
        # Recorded is the loss of the prediction alone, so that curves of all fusions mean the same; the votes' loss is only trained on.
        objective = loss if votes is None else loss + targets.votes_loss(votes)
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
            for rows in self.group.my_batches(_slices(self.stage.validation)):
                logits, _ = self.logits(self.inputs.of(rows))
                total += float(F.cross_entropy(logits, self.y[torch.from_numpy(rows)], reduction="sum"))
        self.network.set_trainable(self.stage.trainable)
        return self.group.all_reduce_sum(total, self.y.device) / len(self.stage.validation)


def _optimizer(network: Network, stage: PlannedStage) -> torch.optim.Optimizer:
    """Adam on the parameters of the stage's parts; AdamW if weights decay."""
    parameters, rate = network.set_trainable(stage.trainable), stage.hyper.learning_rate
    decay = stage.hyper.regularization.weight_decay if stage.hyper.regularization else 0.0
    if decay:
        return torch.optim.AdamW(parameters, lr=rate, eps=ADAM_EPSILON, weight_decay=decay, fused=True)
    return torch.optim.Adam(parameters, lr=rate, eps=ADAM_EPSILON, fused=True)


def _refuse_nonfinite(record: Epoch, stage: PlannedStage) -> None:
    """Raise a TrainingError if a loss of this epoch is NaN or infinite: going on would only store worthless weights."""
    for name in ("loss", "val_loss"):
        if name in record and not math.isfinite(record[name]):
            raise TrainingError(
                f"{name} is {record[name]} in epoch {record['epoch']:.0f} of stage {stage.name} "
                f"(learning rate {record['learning_rate']:g}, {len(stage.train)} windows); check the windows for NaN, or lower the rate"
            )
