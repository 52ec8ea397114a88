"""The input of a network: the windows of one batch, and how many steps of each window are valid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class WindowRows(Mapping[str, Tensor]):
    """Channel name to the windows of these rows of a dataset's arrays, at full length; copied when a channel is asked for, and not before.

    Attributes:
        arrays: channel name to (n_windows, length, n_features), of the whole dataset.
        lengths: name of a channel of variable length to the valid steps of every window, (n_windows,).
        rows: (batch,) row numbers.
    """

    arrays: Mapping[str, npt.NDArray[np.floating]]
    lengths: Mapping[str, npt.NDArray[np.integer]]
    rows: npt.NDArray[np.integer]

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name][self.rows])

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


@dataclass(frozen=True)
class Batch:
    """The windows of one batch.

    Attributes:
        values: channel name to a tensor (batch, length, n_features); every channel has its own rate, so lengths differ between channels.
            ``WindowRows`` say which windows of which dataset they are, so that what is known of them need not be computed again.
        lengths: name of a channel of variable length to its valid steps, (batch,), int64. 0 means that the window lacks the modality. A
            channel that is not named is full in every window.
    """

    values: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor] = field(default_factory=dict)

    def present(self, channels: list[str]) -> Tensor:
        """Which of these channels each window has: (batch, n_channels), bool."""
        reference = self.values[channels[0]]
        full = torch.ones(len(reference), dtype=torch.bool, device=reference.device)
        return torch.stack([self.lengths[name] > 0 if name in self.lengths else full for name in channels], dim=1)


def valid(length: int, lengths: Tensor) -> Tensor:
    """Mask of the valid steps: (batch, length), bool, from the number of valid steps of each window, (batch,)."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]
