"""The training loop (PROTOCOL, Training), for one stage of any technique."""

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
from raylab.models.estimators import Estimator
from raylab.models.keras_defaults import ADAM_EPSILON
from raylab.models.network import Network
from raylab.training.augment import Augmenter
from raylab.training.batches import Signals
from raylab.training.protocol import Hyperparameters
from raylab.training.stage_hash import PlannedStage
from raylab.training.worker_group import ALONE, WorkerGroup

PLATEAU_MIN_DELTA = 1e-4  # Keras's ReduceLROnPlateau; its EarlyStopping has 0
EVALUATION_BATCH = 256
CPU = torch.device("cpu")

Epoch = dict[str, float]
OnBatch = Callable[[RowIds], None]
OnEpoch = Callable[[Epoch], None]


class TrainingError(RaylabError, RuntimeError):
    """A training that went wrong, with what was seen."""


@dataclass
class TrainingResult:
    """What the loop did.

    Attributes:
        curve: one record per epoch: epoch, loss, learning_rate, and val_loss where there is a validation part.
        best_epoch: whose weights were kept (the last one where nothing validates).
        steps: optimizer steps.
        seen: the window rows that the optimizer received, distinct, rising.
        augmented: the window rows that were changed before they were seen, distinct, rising.
    """

    curve: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    steps: int = 0
    seen: RowIds = field(default_factory=lambda: NO_ROWS)
    augmented: RowIds = field(default_factory=lambda: NO_ROWS)


def features_of(network: Network, signals: Signals, rows: RowIds, device: torch.device) -> Tensor:
    """Trunk features (n, n_fused) in inference mode."""
    network.eval()
    with torch.no_grad():
        parts = [network.features(signals.batch(part, device)) for part in _slices(rows)]
    return torch.cat(parts)


def predict(network: Model, signals: Signals, rows: RowIds, device: torch.device) -> npt.NDArray[np.float32]:
    """Probabilities (n, n_classes) in inference mode."""
    if isinstance(network, Estimator):
        with threadpool_limits(1):  # as torch has one: sums in another order give other bits
            each = [network.probabilities(signals.padded(part)) for part in _slices(rows)]
        return np.concatenate(each).astype(np.float32)
    features = features_of(network, signals, rows, device)
    with torch.no_grad():
        p: npt.NDArray[np.float32] = torch.softmax(network.classify(features), dim=1).cpu().numpy()
    return p


def attention(network: Model, signals: Signals, rows: RowIds, device: torch.device) -> npt.NDArray[np.float32] | None:
    """Weight of each channel in each window in inference mode, (n, n_channels); None where the model gives none."""
    if isinstance(network, Estimator):
        return None
    network.eval()
    with torch.no_grad():
        parts = [network.attention(signals.batch(part, device)) for part in _slices(rows)]
    found = [part for part in parts if part is not None]
    return torch.cat(found).cpu().numpy() if found else None


def _slices(rows: RowIds) -> list[RowIds]:
    return [rows[i : i + EVALUATION_BATCH] for i in range(0, len(rows), EVALUATION_BATCH)]


class _Logits(nn.Module):
    """Logits, and the channels' votes where there are any, from windows or from trunk features that were computed before: one module, so
    that a group can wrap it.

    What fuses votes does not teach them: a channel's vote learns from its own loss, and what stands above learns to use it.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor | Batch) -> tuple[Tensor, Tensor | None]:
        if isinstance(inputs, Tensor):
            return self.network.classify(inputs), None
        features = self.network.features(inputs)
        votes = self.network.votes(features)
        return self.network.classify(features if votes is None else features.detach()), votes


class _Source:
    """What goes into the network for rows. Where the trunk stands still, its features are computed once (it runs in inference mode
    anyway), unless augmentation changes the windows at every step."""

    def __init__(
        self, network: Network, signals: Signals, stage: PlannedStage, device: torch.device, augmenter: Augmenter | None
    ) -> None:
        self.signals, self.device, self.augmenter = signals, device, augmenter
        self.features: Tensor | None = None
        if "trunk" not in stage.trainable and augmenter is None:
            self.rows = np.union1d(stage.train, stage.validation)
            self.features = features_of(network, signals, self.rows, device)

    def inputs(self, rows: RowIds, augment: bool = False) -> Tensor | Batch:
        if self.features is None:
            batch = self.signals.batch(rows, self.device)
            return self.augmenter(batch) if augment and self.augmenter else batch
        at = torch.from_numpy(np.searchsorted(self.rows, rows)).to(self.device)
        return self.features[at]


class _Plateau:
    """Keras's ReduceLROnPlateau and EarlyStopping on the validation loss; remembers the best epoch's weights."""

    def __init__(self, hyper: Hyperparameters) -> None:
        self.hyper = hyper
        self.rate = hyper.learning_rate
        self.plateau_best = self.best = math.inf
        self.plateau_wait = self.wait = 0

    def step(self, loss: float) -> tuple[bool, bool]:
        """(this epoch is the best so far, training should stop)."""
        if loss < self.plateau_best - PLATEAU_MIN_DELTA:
            self.plateau_best, self.plateau_wait = loss, 0
        else:
            self.plateau_wait += 1
            if self.plateau_wait >= self.hyper.plateau_patience:
                self.rate, self.plateau_wait = self.rate * self.hyper.plateau_factor, 0
        better = loss < self.best
        self.best, self.wait = (loss, 0) if better else (self.best, self.wait + 1)
        return better, self.wait >= self.hyper.patience


def _augmenter(stage: PlannedStage, draws: FoldSeeds, group: WorkerGroup) -> Augmenter | None:
    """With a stream of its own for every worker; None where the stage augments nothing."""
    if stage.hyper.augmentation is None:
        return None
    purpose = "augmentation" if group.is_leader else f"augmentation of worker {group.rank}"
    return Augmenter(stage.hyper.augmentation, torch.Generator().manual_seed(draws.integer(purpose)))


def train(
    network: Model,
    signals: Signals,
    classes: npt.NDArray[np.int8],
    stage: PlannedStage,
    draws: FoldSeeds,
    device: torch.device,
    watch: OnBatch = lambda rows: None,
    on_epoch: OnEpoch = lambda epoch: None,
    group: WorkerGroup = ALONE,
) -> TrainingResult:
    """Train the freed parts of the network in place, and leave the best validation epoch's weights in it; fit a baseline.

    Args:
        classes: (n,) class index of every row of the index.
        watch: called with the rows of every batch that this worker's optimizer receives.
        on_epoch: called with each epoch's record, the same on every worker.
        group: who trains together with this worker; each calls this function with the same arguments but for its place.

    Raises:
        TrainingError: on a loss that is not finite, or if the optimizers saw other windows than planned; on every worker at once.
    """
    if isinstance(network, Estimator):
        return _fit(network, signals, classes, stage, watch, on_epoch)
    torch.manual_seed(draws.integer("dropout" if group.is_leader else f"dropout of worker {group.rank}"))
    y = torch.from_numpy(classes.astype(np.int64)).to(device)
    source = _Source(network, signals, stage, device, _augmenter(stage, draws, group))
    loop = _Loop(network, source, stage, y, draws.generator("shuffle"), watch, group)
    return loop.run(on_epoch)


def _fit(
    model: Estimator,
    signals: Signals,
    classes: npt.NDArray[np.int8],
    stage: PlannedStage,
    watch: OnBatch,
    on_epoch: OnEpoch,
) -> TrainingResult:
    """Fit a baseline, at once: one epoch, one step, its loss that of the windows it was fitted on.

    Nothing is stopped early, so the windows that a network validates on are fitted too: both kinds of model use the same windows.
    """
    rows = np.union1d(stage.train, stage.validation)
    try:
        with threadpool_limits(1):
            model.fit(signals.padded(rows), classes[rows].astype(np.int64))
    except ValueError as error:
        raise TrainingError(f"stage {stage.name}: {error}") from error
    watch(rows)
    p = predict(model, signals, rows, CPU)[np.arange(len(rows)), classes[rows]]
    loss = float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())
    record: Epoch = {"epoch": 1, "loss": loss, "learning_rate": 0.0}
    _refuse_nonfinite(record, stage)
    on_epoch(record)
    return TrainingResult([record], best_epoch=1, steps=1, seen=rows)


class _Loop:
    """The state of one training."""

    def __init__(
        self,
        network: Network,
        source: _Source,
        stage: PlannedStage,
        y: Tensor,
        shuffle: np.random.Generator,
        watch: OnBatch,
        group: WorkerGroup,
    ) -> None:
        self.network, self.source, self.stage, self.y, self.shuffle, self.watch = network, source, stage, y, shuffle, watch
        self.group = group
        rate = stage.hyper.learning_rate
        self.optimizer = torch.optim.Adam(network.set_trainable(stage.trainable), lr=rate, eps=ADAM_EPSILON, fused=True)
        self.logits = _Logits(network)
        self.wrapped = group.wrap(self.logits)  # for the steps only: evaluation needs no gradients of the others
        self.plateau = _Plateau(stage.hyper)
        self.done = TrainingResult()
        self.seen: list[RowIds] = []
        self.augmented: list[RowIds] = [NO_ROWS]

    def run(self, on_epoch: OnEpoch) -> TrainingResult:
        network, stage, done = self.network, self.stage, self.done
        kept: dict[str, Tensor] = {}
        for epoch in range(1, stage.hyper.epochs + 1):
            rate = self.plateau.rate
            record: Epoch = {"epoch": epoch, "loss": self._epoch(), "learning_rate": rate}
            better, stop = True, False
            if len(stage.validation):
                record["val_loss"] = self._validation_loss()
                better, stop = self.plateau.step(record["val_loss"])
            _refuse_nonfinite(record, stage)
            if better:
                done.best_epoch = epoch
                kept = {name: value.clone() for name, value in network.state_of(stage.trainable).items()}
            done.curve.append(record)
            on_epoch(record)
            if stop:
                break
        network.load_parts(kept)
        network.eval()
        done.seen = self.group.gather_rows(np.concatenate(self.seen))
        done.augmented = self.group.gather_rows(np.concatenate(self.augmented))
        if not np.array_equal(done.seen, np.sort(stage.train)):
            raise TrainingError(
                f"stage {stage.name} trained on {len(done.seen)} windows, {len(stage.train)} others were planned"
            )
        return done

    def _epoch(self) -> float:
        """One pass over the training windows; the mean loss. The last short batch is kept, as Keras does."""
        order = self.shuffle.permutation(self.stage.train)
        size, total = self.stage.hyper.batch(len(order)), 0.0
        self.network.set_trainable(self.stage.trainable)
        for start in range(0, len(order), size):
            total += self._step(*self.group.my_rows(order[start : start + size]))
        self.group.sync_buffers(self.network)
        return self.group.all_reduce_sum(total, self.y.device) / len(order)

    def _step(self, rows: RowIds, weight: float) -> float:
        """One step of the optimizer; the summed loss of the rows."""
        done, rate = self.done, self.plateau.rate
        self.optimizer.param_groups[0]["lr"] = rate / (1 + self.stage.hyper.decay * done.steps)
        self.optimizer.zero_grad(set_to_none=True)
        y = self.y[torch.from_numpy(rows)]
        logits, votes = self.wrapped(self.source.inputs(rows, augment=True))
        loss = F.cross_entropy(logits, y)
        whole = loss if votes is None else loss + _votes_loss(votes, y)
        (whole * weight).backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.optimizer.step()
        done.steps += 1
        mine = rows if weight else rows[:0]
        self.watch(mine)
        if not done.curve:  # every epoch sees the same windows: the first one's are recorded
            self.seen.append(mine)
            if self.source.augmenter:
                self.augmented.append(mine)
        return float(loss.detach()) * len(mine)

    def _validation_loss(self) -> float:
        """Mean loss of the validation windows in inference mode, each worker's part of them added up."""
        self.network.eval()
        total = 0.0
        with torch.no_grad():
            for rows in self.group.my_batches(_slices(self.stage.validation)):
                logits, _ = self.logits(self.source.inputs(rows))
                total += float(F.cross_entropy(logits, self.y[torch.from_numpy(rows)], reduction="sum"))
        self.network.set_trainable(self.stage.trainable)
        return self.group.all_reduce_sum(total, self.y.device) / len(self.stage.validation)


def _votes_loss(votes: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of the channels' votes (batch, n_channels, n_classes); a missing vote is 0 for all classes, and teaches nothing."""
    return F.cross_entropy(votes.flatten(0, 1), y.repeat_interleave(votes.shape[1]))


def _refuse_nonfinite(record: Epoch, stage: PlannedStage) -> None:
    for name in ("loss", "val_loss"):
        if name in record and not math.isfinite(record[name]):
            raise TrainingError(
                f"{name} is {record[name]} in epoch {record['epoch']:.0f} of stage {stage.name} "
                f"(learning rate {record['learning_rate']:g}, {len(stage.train)} windows); check the windows for NaN, or lower the rate"
            )
