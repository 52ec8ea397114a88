"""What one training is given, what it accounts for, and the features of windows in inference mode."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raylab.errors import RaylabError
from raylab.folds.fold import NO_ROWS, RowIds
from raylab.folds.seeding import FoldSeeds
from raylab.models.build import Model
from raylab.models.estimators import Estimator, People
from raylab.models.network import Network
from raylab.training.batches import Signals
from raylab.training.stage_hash import PlannedStage
from raylab.training.worker_group import ALONE, WorkerGroup

EVALUATION_BATCH = 256  # windows per batch in inference mode, which bounds the memory of predictions
CPU = torch.device("cpu")

Epoch = dict[str, float]
OnBatch = Callable[[RowIds], None]
OnEpoch = Callable[[Epoch], None]
FeatureReader = Callable[[Network, Signals, RowIds, torch.device], Tensor]


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
        cpu_s: processor seconds of this worker's process in the training; of a stack, this training's share.
    """

    curve: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    steps: int = 0
    seen: RowIds = field(default_factory=lambda: NO_ROWS)
    augmented: RowIds = field(default_factory=lambda: NO_ROWS)
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """One training of one stage; ``raylab.training.loop.train`` says what the fields are.

    Attributes:
        classes: (n_windows,) class index of every row whose label the stage may read, -1 of all others.
    """

    model: Model
    signals: Signals
    classes: npt.NDArray[np.int64]
    stage: PlannedStage
    draws: FoldSeeds
    device: torch.device
    on_batch: OnBatch = lambda rows: None
    on_epoch: OnEpoch = lambda epoch: None
    group: WorkerGroup = ALONE
    people: People | None = None

    @property
    def network(self) -> Network:
        """The model of a method that needs a network; studies that would give it another are refused.

        Raises:
            TrainingError: if it is none.
        """
        if isinstance(self.model, Estimator):
            raise TrainingError(f"stage {self.stage.name} needs a network: {self.stage.method}")
        return self.model

    @property
    def targets(self) -> Tensor:
        """``classes`` on the device."""
        return torch.from_numpy(self.classes).to(self.device)

    def people_of(self, rows: RowIds) -> People:
        """(n,) who these rows are of."""
        return np.zeros(len(rows), dtype=np.int64) if self.people is None else self.people[rows].astype(np.int64)

    def computed_at_once(self, loss: float, **found: float) -> TrainingResult:
        """The account of a method without epochs: one epoch of one step, in which every window was received once.

        Args:
            loss: of the training windows after it; 0 if there is none.
            found: what else the record of the training says.

        Raises:
            TrainingError: if the loss is not finite.
        """
        record: Epoch = {"epoch": 1, "loss": loss, "learning_rate": 0.0, **found}
        refuse_nonfinite(record, self.stage)
        received = self.stage.received
        self.on_batch(received)
        self.on_epoch(record)
        return TrainingResult([record], best_epoch=1, steps=1, seen=received)


def features_of(network: Network, signals: Signals, rows: RowIds, device: torch.device) -> Tensor:
    """Fused features of the trunk in inference mode, (n, n_fused), on the device."""
    network.eval()
    signals.expect(rows)
    with torch.no_grad():
        parts = [network.features(signals.batch(part, device)) for part in slices(rows)]
    return torch.cat(parts)


def slices(rows: RowIds) -> list[RowIds]:
    """The rows in batches for inference."""
    return [rows[i : i + EVALUATION_BATCH] for i in range(0, len(rows), EVALUATION_BATCH)]


def refuse_nonfinite(record: Epoch, stage: PlannedStage) -> None:
    """Raise a TrainingError if a loss of this epoch is NaN or infinite: going on would only store worthless weights."""
    for name in ("loss", "val_loss"):
        if name in record and not math.isfinite(record[name]):
            raise TrainingError(
                f"{name} is {record[name]} in epoch {record['epoch']:.0f} of stage {stage.name} "
                f"(learning rate {record['learning_rate']:g}, {len(stage.train)} windows); check the windows for NaN, or lower the rate"
            )
