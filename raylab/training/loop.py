"""The training loop (PROTOCOL, Training), for one stage of any technique."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from raylab.folds.draws import Draws
from raylab.folds.fold import Rows
from raylab.models.keras import ADAM_EPSILON
from raylab.models.network import Network
from raylab.training.identity import PlannedStage
from raylab.training.protocol import Hyperparameters

PLATEAU_MIN_DELTA = 1e-4  # Keras's ReduceLROnPlateau; its EarlyStopping has 0
EVALUATION_BATCH = 256

Signals = Mapping[str, npt.NDArray[np.float32]]
Epoch = dict[str, float]
Watch = Callable[[Rows], None]
OnEpoch = Callable[[Epoch], None]


class TrainingError(RuntimeError):
    """A training that went wrong, with what was seen."""


@dataclass
class Trained:
    """What the loop did.

    Attributes:
        curve: one record per epoch: epoch, loss, learning_rate, and val_loss where there is a validation part.
        best_epoch: whose weights were kept (the last one where nothing validates).
        steps: optimizer steps.
        seen: the window rows that the optimizer received, distinct, rising.
    """

    curve: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    steps: int = 0
    seen: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def batch_of(signals: Signals, rows: Rows, device: torch.device) -> dict[str, Tensor]:
    """The windows of these rows, channel name to (batch, length, n_features)."""
    return {name: torch.from_numpy(values[rows]).to(device) for name, values in signals.items()}


def features_of(network: Network, signals: Signals, rows: Rows, device: torch.device) -> Tensor:
    """Trunk features (n, n_fused) in inference mode."""
    network.eval()
    with torch.no_grad():
        parts = [network.features(batch_of(signals, part, device)) for part in _slices(rows)]
    return torch.cat(parts)


def predict(network: Network, signals: Signals, rows: Rows, device: torch.device) -> npt.NDArray[np.float32]:
    """Probabilities (n, n_classes) in inference mode."""
    features = features_of(network, signals, rows, device)
    with torch.no_grad():
        p: npt.NDArray[np.float32] = torch.softmax(network.classify(features), dim=1).cpu().numpy()
    return p


def _slices(rows: Rows) -> list[Rows]:
    return [rows[i : i + EVALUATION_BATCH] for i in range(0, len(rows), EVALUATION_BATCH)]


class _Source:
    """Logits of rows. Where the trunk stands still, its features are computed once: it runs in inference mode anyway."""

    def __init__(self, network: Network, signals: Signals, stage: PlannedStage, device: torch.device) -> None:
        self.network, self.signals, self.device = network, signals, device
        self.features: Tensor | None = None
        if "trunk" not in stage.frees:
            self.rows = np.union1d(stage.train, stage.validation)
            self.features = features_of(network, signals, self.rows, device)

    def logits(self, rows: Rows) -> Tensor:
        if self.features is None:
            return torch.as_tensor(self.network(batch_of(self.signals, rows, self.device)))
        at = torch.from_numpy(np.searchsorted(self.rows, rows)).to(self.device)
        return self.network.classify(self.features[at])


def _validation_loss(network: Network, source: _Source, stage: PlannedStage, y: Tensor) -> float:
    network.eval()
    total = 0.0
    with torch.no_grad():
        for rows in _slices(stage.validation):
            total += float(F.cross_entropy(source.logits(rows), y[torch.from_numpy(rows)], reduction="sum"))
    network.free(stage.frees)
    return total / len(stage.validation)


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


def train(
    network: Network,
    signals: Signals,
    classes: npt.NDArray[np.int8],
    stage: PlannedStage,
    draws: Draws,
    device: torch.device,
    watch: Watch = lambda rows: None,
    on_epoch: OnEpoch = lambda epoch: None,
) -> Trained:
    """Train the freed parts of the network in place, and leave the best validation epoch's weights in it.

    Args:
        classes: (n,) class index of every row of the index.
        watch: called with the rows of every batch that the optimizer receives.
        on_epoch: called with each epoch's record.

    Raises:
        TrainingError: on a loss that is not finite, or if the optimizer saw other windows than planned.
    """
    torch.manual_seed(draws.integer("dropout"))
    y = torch.from_numpy(classes.astype(np.int64)).to(device)
    loop = _Loop(network, _Source(network, signals, stage, device), stage, y, draws.generator("shuffle"), watch)
    return loop.run(on_epoch)


class _Loop:
    """The state of one training."""

    def __init__(
        self, network: Network, source: _Source, stage: PlannedStage, y: Tensor, shuffle: np.random.Generator, watch: Watch
    ) -> None:
        self.network, self.source, self.stage, self.y, self.shuffle, self.watch = network, source, stage, y, shuffle, watch
        rate = stage.hyper.learning_rate
        self.optimizer = torch.optim.Adam(network.free(stage.frees), lr=rate, eps=ADAM_EPSILON, fused=True)
        self.plateau = _Plateau(stage.hyper)
        self.done = Trained()
        self.seen: list[Rows] = []

    def run(self, on_epoch: OnEpoch) -> Trained:
        network, stage, done = self.network, self.stage, self.done
        kept: dict[str, Tensor] = {}
        for epoch in range(1, stage.hyper.epochs + 1):
            rate = self.plateau.rate
            record: Epoch = {"epoch": epoch, "loss": self._epoch(), "learning_rate": rate}
            better, stop = True, False
            if len(stage.validation):
                record["val_loss"] = _validation_loss(network, self.source, stage, self.y)
                better, stop = self.plateau.step(record["val_loss"])
            _refuse_nonfinite(record, stage)
            if better:
                done.best_epoch = epoch
                kept = {name: value.clone() for name, value in network.state_of(stage.frees).items()}
            done.curve.append(record)
            on_epoch(record)
            if stop:
                break
        network.load_parts(kept)
        network.eval()
        done.seen = np.unique(np.concatenate(self.seen))
        if not np.array_equal(done.seen, np.sort(stage.train)):
            raise TrainingError(
                f"stage {stage.name} trained on {len(done.seen)} windows, {len(stage.train)} others were planned"
            )
        return done

    def _epoch(self) -> float:
        """One pass over the training windows; the mean loss. The last short batch is kept, as Keras does."""
        stage, done = self.stage, self.done
        order = self.shuffle.permutation(stage.train)
        size, total = stage.hyper.batch(len(order)), 0.0
        self.network.free(stage.frees)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            self.optimizer.param_groups[0]["lr"] = self.plateau.rate / (1 + stage.hyper.decay * done.steps)
            self.optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(self.source.logits(rows), self.y[torch.from_numpy(rows)])
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            done.steps += 1
            total += float(loss.detach()) * len(rows)
            self.watch(rows)
            if not done.curve:  # every epoch sees the same windows: the first one's are recorded
                self.seen.append(rows)
        return total / len(order)


def _refuse_nonfinite(record: Epoch, stage: PlannedStage) -> None:
    for name in ("loss", "val_loss"):
        if name in record and not math.isfinite(record[name]):
            raise TrainingError(
                f"{name} is {record[name]} in epoch {record['epoch']:.0f} of stage {stage.name} "
                f"(learning rate {record['learning_rate']:g}, {len(stage.train)} windows); check the windows for NaN, or lower the rate"
            )
