"""The signals of a dataset as the training loop takes them: values, and the valid steps of windows that are shorter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from raylab.folds.fold import RowIds
from raylab.models.batch import Batch


@dataclass(frozen=True)
class Signals:
    """Every window of a dataset.

    Attributes:
        values: channel name to (n, length, n_features), lengths differ by channel.
        lengths: of each channel of variable length, (n,) valid steps of each window, 0..length. Full where not named.
    """

    values: Mapping[str, npt.NDArray[np.floating]]
    lengths: Mapping[str, npt.NDArray[np.integer]] = field(default_factory=dict)

    def channels(self, names: Iterable[str]) -> "Signals":
        """These channels, in this order."""
        kept = list(names)
        return Signals(
            {name: self.values[name] for name in kept},
            {name: self.lengths[name] for name in kept if name in self.lengths},
        )

    def longest_first(self, rows: RowIds) -> RowIds:
        """These rows, those with the most valid steps first."""
        steps = sum((n[rows].astype(np.int64) for n in self.lengths.values()), np.zeros(len(rows), dtype=np.int64))
        return rows[np.argsort(-steps, kind="stable")]

    def padded(self, rows: RowIds) -> Batch:
        """The windows of these rows at full length, on the processor."""
        return Batch(
            {name: torch.from_numpy(values[rows]) for name, values in self.values.items()},
            {name: torch.from_numpy(steps[rows].astype(np.int64)) for name, steps in self.lengths.items()},
        )

    def batch(self, rows: RowIds, device: torch.device) -> Batch:
        """The windows of these rows, no longer than the longest of them: padding changes nothing (``tests/models/test_masks.py``), and costs time."""
        lengths = {name: steps[rows].astype(np.int64) for name, steps in self.lengths.items()}
        longest = {name: max(1, int(steps.max(initial=0))) for name, steps in lengths.items()}
        return Batch(
            {name: torch.from_numpy(values[rows, : longest.get(name)]).to(device) for name, values in self.values.items()},
            {name: torch.from_numpy(steps).to(device) for name, steps in lengths.items()},
        )
