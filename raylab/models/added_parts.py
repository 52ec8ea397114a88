"""Parts that a stage adds to a network: low-rank updates of the trunk's layers, and the modulation of its features by a conditioning input.

Each begins as the identity, so a network with an untrained one predicts what it predicted before.
"""

from functools import partial

import torch
from torch import Tensor, nn


def _shape(layer: nn.Conv1d) -> tuple[int, int, int]:
    """Kernel, stride and padding of a convolution that pads with zeros by a number."""
    assert isinstance(layer.padding[0], int)
    return layer.kernel_size[0], layer.stride[0], layer.padding[0]


class _Update(nn.Module):
    """The update of one layer: down to ``rank`` units, by the layer's own kind of operation, and up to the layer's outputs.

    ``down`` is drawn and ``up`` is 0, as in the source, so that the update begins as 0 and has a gradient.
    """

    def __init__(self, layer: nn.Conv1d | nn.Linear, rank: int) -> None:
        super().__init__()
        self.down: nn.Module
        self.up: nn.Module
        if isinstance(layer, nn.Linear):
            rank = min(rank, layer.in_features, layer.out_features)
            self.down = nn.Linear(layer.in_features, rank, bias=False)
            self.up = nn.Linear(rank, layer.out_features, bias=False)
        else:
            rank = min(rank, layer.in_channels * layer.kernel_size[0], layer.out_channels)
            self.down = nn.Conv1d(layer.in_channels, rank, *_shape(layer), bias=False)
            self.up = nn.Conv1d(rank, layer.out_channels, 1, bias=False)
        nn.init.zeros_(torch.as_tensor(self.up.weight))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.up(self.down(x)))

    @property
    def change(self) -> Tensor:
        """What the update adds to the layer's weight, in the layer's shape."""
        down, up = (torch.as_tensor(part.weight) for part in (self.down, self.up))
        return (up.flatten(1) @ down.flatten(1)).reshape(len(up), *down.shape[1:])


def _add(update: _Update, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + torch.as_tensor(update(inputs[0]))


class LowRank(nn.Module):
    """Rank-r updates of every convolution and dense layer of a trunk (Hu et al. 2021, LoRA, section 4.1), the layers themselves frozen.

    A convolution is updated as the matrix (maps, maps before x kernel). Recurrent layers and attention's own products have none; biases stay. The
    source's scale alpha / r is 1.

    Args:
        trunk: gets forward hooks that add the updates.
        rank: capped by the size of each layer.
    """

    def __init__(self, trunk: nn.Module, rank: int) -> None:
        super().__init__()
        self.updates = nn.ModuleDict()
        for name, layer in trunk.named_modules():
            # by exact type: attention's output layer is a subclass, whose weight is read without a call of the layer
            if type(layer) in (nn.Conv1d, nn.Linear):
                update = _Update(layer, rank)
                self.updates[name.replace(".", "/")] = update
                layer.register_forward_hook(partial(_add, update))


class FiLM(nn.Module):
    """Scale and shift of each fused feature, decided by a conditioning input (Perez et al. 2018, FiLM, equations 1 and 2).

    Between the input and scale and shift are ``units`` hidden units (tanh), since there are only as many different inputs as there are people.

    Attributes:
        centre, spread: (n_features,) mean and SD of the input over the training people, by which it is standardized.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, n_features: int, units: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, units)
        self.modulation = nn.Linear(units, 2 * n_features)
        nn.init.xavier_uniform_(self.hidden.weight)
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))

    def forward(self, joined: Tensor) -> Tensor:
        """Modulated features (batch, n_features) from features and conditioning input side by side, (batch, 2 n_features)."""
        features, context = joined.chunk(2, dim=1)
        scale, shift = self.modulation(torch.tanh(self.hidden((context - self.centre) / self.spread))).chunk(2, dim=1)
        return torch.as_tensor(features * (1 + scale) + shift)
