"""Encoders: one channel's window (batch, length, n_features) to features (batch, n_out). PROTOCOL, Models.

The three of the study follow Fawaz et al. 2019 (deep learning for time series classification), whose networks it uses.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.models.keras import batch_norm


def scaled(units: int, width: float) -> int:
    """``width`` times the paper's units, at least 1."""
    return max(1, round(units * width))


def _conv(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    """Convolution with 'same' padding (the odd sample at the end, as in Keras) and batch norm."""
    odd = kernel % 2  # an odd kernel pads alike on both sides, which the convolution does without a copy
    return nn.Sequential(
        OrderedDict(
            pad=nn.Identity() if odd else nn.ConstantPad1d((kernel // 2 - 1, kernel // 2), 0.0),
            conv=nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2 if odd else 0),
            norm=batch_norm(n_out),
        )
    )


class FCN(nn.Module):
    """Conv(128, k8), Conv(256, k5), Conv(128, k3), each with batch norm and ReLU; global average pooling."""

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps = [n_features, *[scaled(units, width) for units in (128, 256, 128)]]
        self.blocks = nn.ModuleList(_conv(*pair, kernel) for pair, kernel in zip(pairwise(maps), (8, 5, 3), strict=True))
        self.n_out = maps[-1]

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        for block in self.blocks:
            x = F.relu(block(x), inplace=True)  # a third of a step is moving memory
        return x.mean(dim=2)


class _Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int, project: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList([_conv(n_in, n_out, 8), _conv(n_out, n_out, 5), _conv(n_out, n_out, 3)])
        self.shortcut = _conv(n_in, n_out, 1) if project else batch_norm(n_out)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for i, conv in enumerate(self.convs):
            out = conv(out)
            if i < len(self.convs) - 1:
                out = F.relu(out, inplace=True)
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """Three residual blocks of 64, 128, 128 maps (k8, k5, k3); the last keeps its maps and has batch norm alone as shortcut."""

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps = [n_features, *[scaled(units, width) for units in (64, 128, 128)]]
        self.blocks = nn.Sequential(*[_Residual(maps[i], maps[i + 1], project=i < 2) for i in range(3)])
        self.n_out = maps[-1]

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.blocks(x.transpose(1, 2)).mean(dim=2))


class MLPLSTM(nn.Module):
    """The window as 2 steps of half a window; per step dropout and dense layers; an LSTM whose last output is the feature.

    A window of odd length loses its last sample (the paper's channels are all even).
    """

    STEPS = 2

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        if length < self.STEPS:
            raise ValueError(f"mlp_lstm needs windows of at least {self.STEPS} samples, found {length}")
        units = scaled(500, width)
        self.half_length = length // self.STEPS
        layers: list[nn.Module] = []
        for n_in, drop in ((self.half_length * n_features, 0.1), (units, 0.2), (units, 0.2)):
            layers += [nn.Dropout(drop), nn.Linear(n_in, units), nn.ReLU()]
        self.dense = nn.Sequential(*layers, nn.Dropout(0.3))
        self.lstm = nn.LSTM(units, units, batch_first=True)
        self.n_out = units

    def forward(self, x: Tensor) -> Tensor:
        steps = x[:, : self.half_length * self.STEPS].reshape(len(x), self.STEPS, -1)
        out, _ = self.lstm(self.dense(steps))
        return torch.as_tensor(out[:, -1])


@dataclass(frozen=True)
class Encoder:
    """An entry of the table: how to build it, and the paper's batch size for it."""

    name: str
    build: Callable[[int, int, float], nn.Module]
    batch_size: int
    about: str


ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        Encoder("fcn", FCN, 4, "fully convolutional: 3 convolutions (128, 256, 128 maps), global average pooling"),
        Encoder("resnet", ResNet, 4, "residual: 3 blocks of 3 convolutions (64, 128, 128 maps), global average pooling"),
        Encoder("mlp_lstm", MLPLSTM, 16, "2 half-windows through 3 dense layers of 500, then an LSTM of 500"),
    )
}
