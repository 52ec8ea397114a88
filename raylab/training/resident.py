"""The windows of a dataset as tensors on the device, from which batches are gathered by row number (docs/decisions/0030-stacks.md)."""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raylab.models.batch import Batch
from raylab.training.batches import Signals
from raylab.windows.overlapping import CutWindows, overlapping

SHARE_OF_A_DEVICE = 0.5  # of its free memory that windows may take; else they stay on the processor and batches are copied


@dataclass(frozen=True)
class Resident:
    """The windows of ``Signals`` as tensors.

    Attributes:
        values, lengths: as those of ``Signals``. Of a channel whose windows overlap: (n_places, length, n_features), a window from each sample on,
            which take the memory of the samples.
        first: of such a channel, (n_windows,) the place of each window.
        device: that batches are needed on.
    """

    values: dict[str, Tensor]
    lengths: dict[str, Tensor]
    first: dict[str, Tensor]
    device: torch.device

    @classmethod
    def of(cls, signals: Signals, device: torch.device) -> "Resident":
        """On the processor the arrays themselves, without a copy."""
        home = device if device.type == "cpu" or _fits(signals, device) else torch.device("cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # arrays of Ray's object store cannot be written to, and nothing here writes
            values = {name: _tensor(value, home) for name, value in signals.values.items()}
        lengths = {name: torch.from_numpy(n.astype(np.int64)).to(home) for name, n in signals.lengths.items()}
        first = {name: torch.from_numpy(np.array(x.first)).to(home) for name, x in overlapping(signals.values).items()}
        return cls(values, lengths, first, device)

    def gather(self, rows: npt.NDArray[np.int64]) -> Batch:
        """The windows of these rows, (n,), cut to the longest of them."""
        index = torch.from_numpy(rows)
        home = next(iter(self.values.values())).device
        index = index.to(home)
        lengths = {name: n[index] for name, n in self.lengths.items()}
        longest = {name: max(1, int(n.max())) for name, n in lengths.items()}
        places = {name: first[index] for name, first in self.first.items()}
        values = {
            name: (x[:, : longest[name]] if name in longest else x)
            .index_select(0, places.get(name, index))
            .to(self.device, non_blocking=True)
            for name, x in self.values.items()
        }
        return Batch(values, {name: n.to(self.device) for name, n in lengths.items()})


def _tensor(values: object, home: torch.device) -> Tensor:
    if isinstance(values, CutWindows):
        samples = torch.from_numpy(values.samples).to(home)
        return samples.as_strided(values.at.shape, (samples.shape[1], samples.shape[1], 1))
    return torch.as_tensor(values).to(home)


def _fits(signals: Signals, device: torch.device) -> bool:
    """Whether the windows take at most their share of the device's free memory."""
    free, _ = torch.cuda.mem_get_info(device)
    return sum(value.nbytes for value in signals.values.values()) <= SHARE_OF_A_DEVICE * free
