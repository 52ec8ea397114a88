"""The signals of a dataset, and batches of them: values, and the valid steps of windows of variable length."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from raylab.folds.fold import RowIds
from raylab.models.batch import Batch, WindowRows
from raylab.windows.streamed import stream_of


@dataclass(frozen=True)
class Signals:
    """All windows of a dataset; a row number of the dataset's index is a row of every array.

    Attributes:
        values: channel name to (n_windows, length, n_features), or to what stands for such an array (``raylab.windows.overlapping``,
            ``raylab.windows.streamed``); lengths differ between channels, since rates do.
        lengths: name of a channel of variable length to its valid steps, (n_windows,), 0..length; 0 means that the window lacks it. A
            channel that is not named is full in every window.
    """

    values: Mapping[str, npt.NDArray[np.floating]]
    lengths: Mapping[str, npt.NDArray[np.integer]] = field(default_factory=dict)

    def channels(self, names: Iterable[str]) -> "Signals":
        """The signals of these channels alone, in this order (that of a network's towers)."""
        selected = list(names)
        return Signals(
            {name: self.values[name] for name in selected},
            {name: self.lengths[name] for name in selected if name in self.lengths},
        )

    def expect(self, rows: RowIds) -> None:
        """Windows of these rows are asked for next, in this order: streamed ones are then read ahead, and kept until they have been asked for."""
        if stream := stream_of(self.values):
            stream.expect(rows, list(self.values))

    def longest_first(self, rows: RowIds) -> RowIds:
        """These rows in order of their valid steps (summed over channels), most first; used to measure the largest batch."""
        steps = sum((n[rows].astype(np.int64) for n in self.lengths.values()), np.zeros(len(rows), dtype=np.int64))
        return rows[np.argsort(-steps, kind="stable")]

    def padded(self, rows: RowIds) -> Batch:
        """The windows of these rows at full length, on the processor: the input of a classical model."""
        return Batch(
            WindowRows(self.values, self.lengths, rows),
            {name: torch.from_numpy(steps[rows].astype(np.int64)) for name, steps in self.lengths.items()},
        )

    def batch(self, rows: RowIds, device: torch.device) -> Batch:
        """The windows of these rows on the device, cut to the longest of them.

        Padding changes no result (``tests/models/test_masks.py``) and costs time.
        """
        lengths = {name: steps[rows].astype(np.int64) for name, steps in self.lengths.items()}
        longest = {name: max(1, int(steps.max(initial=0))) for name, steps in lengths.items()}
        return Batch(
            {name: torch.from_numpy(values[rows, : longest.get(name)]).to(device) for name, values in self.values.items()},
            {name: torch.from_numpy(steps).to(device) for name, steps in lengths.items()},
        )
