"""Encoders: one channel's window (batch, length, n_features) to features (batch, n_out). PROTOCOL, Models.

The three of the study follow Fawaz et al. 2019 (deep learning for time series classification), whose networks it uses. ``lengths`` (batch,)
are the valid steps of windows of a channel of variable length: what stands beyond them changes nothing. None: all steps.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.errors import InvalidValueError
from raylab.models.keras_defaults import batch_norm
from raylab.models.layers import Convolution, mask_of, mean_over_steps, normalized, scaled, silenced
from raylab.models.registry import ENCODERS, implements


@implements(ENCODERS["fcn"])
class FCN(nn.Module):
    """Conv(128, k8), Conv(256, k5), Conv(128, k3), each with batch norm and ReLU; global average pooling."""

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps = [n_features, *[scaled(units, width) for units in (128, 256, 128)]]
        self.blocks = nn.ModuleList(Convolution(*pair, kernel) for pair, kernel in zip(pairwise(maps), (8, 5, 3), strict=True))
        self.n_out = maps[-1]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        mask = mask_of(x, lengths)
        x = silenced(x.transpose(1, 2), mask)
        for block in self.blocks:
            x = F.relu(block(x, mask), inplace=True)  # a third of a step is moving memory
        return mean_over_steps(x, mask)


class _Residual(nn.Module):
    def __init__(self, n_in: int, n_out: int, project: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList([Convolution(n_in, n_out, 8), Convolution(n_out, n_out, 5), Convolution(n_out, n_out, 3)])
        self.shortcut = Convolution(n_in, n_out, 1) if project else batch_norm(n_out)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        out = x
        for i, conv in enumerate(self.convs):
            out = conv(out, mask)
            if i < len(self.convs) - 1:
                out = F.relu(out, inplace=True)
        short = self.shortcut
        return F.relu(out + (normalized(short, x, mask) if isinstance(short, nn.BatchNorm1d) else short(x, mask)))


@implements(ENCODERS["resnet"])
class ResNet(nn.Module):
    """Three residual blocks of 64, 128, 128 maps (k8, k5, k3); the last keeps its maps and has batch norm alone as shortcut."""

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps = [n_features, *[scaled(units, width) for units in (64, 128, 128)]]
        self.blocks = nn.ModuleList(_Residual(maps[i], maps[i + 1], project=i < 2) for i in range(3))
        self.n_out = maps[-1]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        mask = mask_of(x, lengths)
        x = silenced(x.transpose(1, 2), mask)
        for block in self.blocks:
            x = block(x, mask)
        return mean_over_steps(x, mask)


@implements(ENCODERS["mlp_lstm"])
class MLPLSTM(nn.Module):
    """The window as 2 steps of half a window; per step dropout and dense layers; an LSTM whose last output is the feature.

    A window of odd length loses its last sample (the paper's channels are all even).
    """

    STEPS = 2

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        if length < self.STEPS:
            raise InvalidValueError(f"mlp_lstm needs windows of at least {self.STEPS} samples, found {length}")
        units = scaled(500, width)
        self.half_length = length // self.STEPS
        layers: list[nn.Module] = []
        for n_in, drop in ((self.half_length * n_features, 0.1), (units, 0.2), (units, 0.2)):
            layers += [nn.Dropout(drop), nn.Linear(n_in, units), nn.ReLU()]
        self.dense = nn.Sequential(*layers, nn.Dropout(0.3))
        self.lstm = nn.LSTM(units, units, batch_first=True)
        self.n_out = units

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if (
            lengths is not None and not ((lengths == 0) | (lengths == x.shape[1])).all()
        ):  # 0: missing, which the fusion leaves out
            raise InvalidValueError(
                "mlp_lstm takes windows of one length only: halves of a padded window are not halves of the signal"
            )
        steps = x[:, : self.half_length * self.STEPS].reshape(len(x), self.STEPS, -1)
        out, _ = self.lstm(self.dense(steps))
        return torch.as_tensor(out[:, -1])
