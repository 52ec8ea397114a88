"""What a network is given: the windows of one batch, and how many steps of each are valid."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The windows of one batch.

    Attributes:
        values: channel name to (batch, length, n_features).
        lengths: of each channel of variable length, (batch,) valid steps, int64; 0: the window lacks the modality. Full where not named.
    """

    values: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor] = field(default_factory=dict)

    def present(self, channels: list[str]) -> Tensor:
        """(batch, n_channels) of bool: which of these modalities each window has."""
        some = self.values[channels[0]]
        full = torch.ones(len(some), dtype=torch.bool, device=some.device)
        return torch.stack([self.lengths[name] > 0 if name in self.lengths else full for name in channels], dim=1)


def valid(length: int, lengths: Tensor) -> Tensor:
    """(batch, length) of bool: the steps that a window has."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]
