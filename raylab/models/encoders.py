"""Encoders: one channel's window (batch, length, n_features) to features (batch, n_out). docs/protocol.md, Models.

``fcn``, ``resnet`` and ``mlp_lstm`` are the study's (Han et al. 2024), which takes them from Fawaz et al. 2019 (deep learning for time series
classification: a review). Layer sizes are those of the study's public code; ``width`` scales the units of every layer.

``forward(x, lengths)``: ``lengths`` (batch,) are the valid steps of each window of a channel of variable length; values beyond them do not
change the features. None means that every step is valid.
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
    """Fully convolutional: Conv(128, k8), Conv(256, k5), Conv(128, k3), each with batch norm and ReLU; global average pooling.

    Attributes:
        n_out: number of features, as of every encoder.
    """

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps = [n_features, *[scaled(units, width) for units in (128, 256, 128)]]
        self.blocks = nn.ModuleList(Convolution(*pair, kernel) for pair, kernel in zip(pairwise(maps), (8, 5, 3), strict=True))
        self.n_out = maps[-1]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        mask = mask_of(x, lengths)
        x = silenced(x.transpose(1, 2), mask)
        for block in self.blocks:
            x = F.relu(block(x, mask), inplace=True)  # in place: moving memory takes a third of a training step
        return mean_over_steps(x, mask)


class _Residual(nn.Module):
    """Three convolutions (k8, k5, k3) with batch norm, and a shortcut around them: a 1x1 convolution with batch norm if ``project``, else
    batch norm alone (docs/protocol.md, Models)."""

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
        shortcut = self.shortcut
        return F.relu(out + (normalized(shortcut, x, mask) if isinstance(shortcut, nn.BatchNorm1d) else shortcut(x, mask)))


@implements(ENCODERS["resnet"])
class ResNet(nn.Module):
    """Three residual blocks of 64, 128, 128 maps (k8, k5, k3), then global average pooling.

    The third block has as many maps as the second, so its shortcut needs no convolution and is batch norm alone.
    """

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
    """The window as 2 steps of half a window: per step dropout and three dense layers of 500, then an LSTM of 500; its last output.

    A window of odd length loses its last sample (the channels of the study all have an even number of samples).

    Raises:
        ValueError: if a window has fewer than 2 samples, or if a batch holds a window that is neither full nor missing.
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
        # a length of 0 is a missing modality: the fusion drops the features of such a window, whatever they are
        if lengths is not None and not ((lengths == 0) | (lengths == x.shape[1])).all():
            raise InvalidValueError(
                "mlp_lstm takes windows of one length only: halves of a padded window are not halves of the signal"
            )
        steps = x[:, : self.half_length * self.STEPS].reshape(len(x), self.STEPS, -1)
        out, _ = self.lstm(self.dense(steps))
        return torch.as_tensor(out[:, -1])
