"""The windows of a dataset as tensors on the device, from which batches are gathered by row number (docs/decisions/0030-stacks.md)."""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raylab.models.batch import Batch
from raylab.training.batches import Signals

SHARE_OF_A_DEVICE = 0.5  # of its free memory that windows may take; else they stay on the processor and batches are copied


@dataclass(frozen=True)
class Resident:
    """The windows of ``Signals`` as tensors.

    Attributes:
        values, lengths: as those of ``Signals``.
        device: that batches are needed on.
    """

    values: dict[str, Tensor]
    lengths: dict[str, Tensor]
    device: torch.device

    @classmethod
    def of(cls, signals: Signals, device: torch.device) -> "Resident":
        """On the processor the arrays themselves, without a copy."""
        home = device if device.type == "cpu" or _fits(signals, device) else torch.device("cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # arrays of Ray's object store cannot be written to, and nothing here writes
            values = {name: torch.from_numpy(value).to(home) for name, value in signals.values.items()}
        return cls(values, {name: torch.from_numpy(n.astype(np.int64)).to(home) for name, n in signals.lengths.items()}, device)

    def gather(self, rows: npt.NDArray[np.int64]) -> Batch:
        """The windows of these rows, (n,), cut to the longest of them."""
        index = torch.from_numpy(rows)
        home = next(iter(self.values.values())).device
        index = index.to(home)
        lengths = {name: n[index] for name, n in self.lengths.items()}
        longest = {name: max(1, int(n.max())) for name, n in lengths.items()}
        values = {
            name: (x[:, : longest[name]] if name in longest else x).index_select(0, index).to(self.device, non_blocking=True)
            for name, x in self.values.items()
        }
        return Batch(values, {name: n.to(self.device) for name, n in lengths.items()})


def _fits(signals: Signals, device: torch.device) -> bool:
    """Whether the windows take at most their share of the device's free memory."""
    free, _ = torch.cuda.mem_get_info(device)
    return sum(value.nbytes for value in signals.values.values()) <= SHARE_OF_A_DEVICE * free
