"""The input of a network: the windows of one batch, and how many steps of each window are valid."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The windows of one batch.

    Attributes:
        values: channel name to a tensor (batch, length, n_features); every channel has its own rate, so lengths differ between channels.
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
