"""What changes the windows, the targets and the features of training steps: augmentation and regularization, in this order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raylab.folds.fold import RowIds
from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.estimators import People
from raylab.training.augment import Augmenter
from raylab.training.protocol import Hyperparameters
from raylab.training.regularize import Regularizer, Targets
from raylab.training.worker_group import WorkerGroup


@dataclass(frozen=True)
class StepChanges:
    """The changes of one stage; None for what it does not do.

    Attributes:
        people: (n_windows,) who every row of the index is of; None: one person.
    """

    augmenter: Augmenter | None
    regularizer: Regularizer | None
    people: People | None

    @property
    def of_windows(self) -> bool:
        """Whether windows differ from step to step."""
        return self.augmenter is not None or (self.regularizer is not None and self.regularizer.changes_windows)

    def targets(self, y: Tensor) -> Targets:
        """The targets of windows that are not mixed, from their class indexes (batch,)."""
        return Targets(y, smoothing=self.regularizer.settings.label_smoothing if self.regularizer else 0.0)

    def of_batch(self, batch: Batch, targets: Targets, rows: RowIds, channels: Sequence[str]) -> tuple[Batch, Targets]:
        """The changed batch and its targets.

        Args:
            rows: (batch,) of the index.
            channels: the channels that the network uses.
        """
        if self.augmenter:
            batch = self.augmenter(batch)
        if self.regularizer is None:
            return batch, targets
        people = np.zeros(len(rows), dtype=np.int64) if self.people is None else self.people[rows]
        batch, targets = self.regularizer.mixed(batch, targets, people)
        return self.regularizer.without_some_channels(batch, channels), targets

    def kept_features(self, n: int, n_features: int, device: torch.device) -> Tensor | None:
        """Factors (n, n_features) of the fused features, see ``Regularizer.kept_features``; None if none are dropped."""
        return self.regularizer.kept_features(n, n_features, device) if self.regularizer else None


def step_changes(hyper: Hyperparameters, draws: FoldSeeds, group: WorkerGroup, people: People | None) -> StepChanges:
    """The augmentation and regularization of a stage, at the start of their random streams.

    Each worker of a group has its own streams, else all shares of a batch would be changed alike. The leader's are those of a lone worker.
    """
    worker = "" if group.is_leader else f" of worker {group.rank}"
    generator = torch.Generator().manual_seed(draws.integer(f"augmentation{worker}"))
    regularization = hyper.regularization
    return StepChanges(
        Augmenter(hyper.augmentation, generator) if hyper.augmentation else None,
        Regularizer(regularization, draws.generator(f"regularization{worker}")) if regularization else None,
        people,
    )
