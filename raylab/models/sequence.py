"""Encoders that the study does not have: convolutions with pooling, recurrence, both, and attention over the steps.

They are the kinds of network that papers on speech emotion compare, in their usual sizes. All accept every channel, also of variable length.
``width`` scales the units of every layer. Shapes and ``lengths`` are as in ``raylab.models.encoders``.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.models.batch import valid
from raylab.models.layers import BothWays, Convolution, FrameLayer, mask_of, mean_over_steps, scaled, silenced
from raylab.models.registry import ENCODERS, implements

STEPS = 128  # at most so many steps are read by recurrence and attention
HEADS = 4  # of attention


class Pooled(nn.Module):
    """Convolutions, each with batch norm, ReLU, max pooling and dropout.

    The pooling size is the same after every convolution: the smallest, and at least 2, that shortens a full window to about ``STEPS`` steps.
    """

    def __init__(self, length: int, maps: list[int], kernels: tuple[int, ...], drop: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            Convolution(n_in, n_out, kernel) for n_in, n_out, kernel in zip(maps, maps[1:], kernels, strict=False)
        )
        self.dropout = nn.Dropout(drop)
        self.pool = max(2, math.ceil((length / STEPS) ** (1 / len(self.convs))))

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, maps, steps) and the number of valid steps (batch,), from x (batch, length, n_features)."""
        mask = mask_of(x, lengths)
        x = silenced(x.transpose(1, 2), mask)
        for conv in self.convs:
            # Padding is 0 and a ReLU gives nothing below 0: a maximum that reaches beyond the end is that of the valid steps.
            x = F.max_pool1d(F.relu(conv(x, mask)), self.pool, ceil_mode=True)
            x = self.dropout(x)
            if lengths is not None:
                lengths = (lengths + self.pool - 1) // self.pool
                mask = valid(x.shape[2], lengths)
        return x, lengths


@implements(ENCODERS["cnn"])
class CNN(nn.Module):
    """Conv(64, k5), Conv(128, k5), Conv(256, k3), each with batch norm, ReLU, max pooling and dropout 0.2; global average pooling.

    After the one-dimensional networks of Zhao, Mao and Chen 2019 (speech emotion recognition using deep 1D & 2D CNN LSTM
    networks), section 3.2, without their LSTM.
    """

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps = [n_features, *[scaled(units, width) for units in (64, 128, 256)]]
        self.pooled = Pooled(length, maps, (5, 5, 3), 0.2)
        self.n_out = maps[-1]

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x, steps = self.pooled(x, lengths)
        return mean_over_steps(x, mask_of(x.transpose(1, 2), steps))


@implements(ENCODERS["rnn"])
class RNN(nn.Module):
    """Dense(128) ReLU on each of at most 128 frames, dropout 0.3, a bidirectional LSTM of 128 per direction; the mean of its outputs.

    After Mirsamadi, Barsoum and Zhang 2017 (automatic speech emotion recognition using recurrent neural networks with local attention),
    section 2.3, with mean pooling over time.
    """

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        units = scaled(128, width)
        self.frames = FrameLayer(length, n_features, units, STEPS)
        self.dropout = nn.Dropout(0.3)
        self.recurrent = BothWays(units, units)
        self.n_out = self.recurrent.n_out

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x, steps = self.frames(x, lengths)
        return torch.as_tensor(self.recurrent(self.dropout(F.relu(x)), steps))


@implements(ENCODERS["cnn_rnn"])
class CNNRNN(nn.Module):
    """Conv(64, k5) and Conv(128, k5) as in ``CNN``, then a bidirectional LSTM of 64 per direction; the mean of its outputs.

    Convolutions and pooling shorten the window before the recurrence, so that a raw waveform costs no more steps than computed features. After
    Trigeorgis et al. 2016 (Adieu features?), section 3, with batch norm and without their second LSTM.
    """

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps = [n_features, *[scaled(units, width) for units in (64, 128)]]
        self.pooled = Pooled(length, maps, (5, 5), 0.2)
        self.recurrent = BothWays(maps[-1], scaled(64, width))
        self.n_out = self.recurrent.n_out

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x, steps = self.pooled(x, lengths)
        return torch.as_tensor(self.recurrent(x.transpose(1, 2), steps))


@implements(ENCODERS["transformer"])
class Transformer(nn.Module):
    """At most 128 frames as tokens of 64, sinusoidal positions, two layers of 4 heads (256 hidden units, dropout 0.1); the mean token.

    After Vaswani et al. 2017 (attention is all you need), with layer norm first as in Xiong et al. 2020 and groups of samples as tokens as in
    Dosovitskiy et al. 2021.
    """

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        units = HEADS * scaled(16, width)
        self.frames = FrameLayer(length, n_features, units, STEPS)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(units, HEADS, 4 * units, dropout=0.1, batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(units)
        self.n_out = units

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x, steps = self.frames(x, lengths)
        x = x + _positions(x)
        mask = mask_of(x, steps)
        # Attention to nothing is NaN: a window without a valid step attends to its first one, and the mean below leaves it out.
        padding = None if steps is None else ~valid(x.shape[1], steps.clamp(min=1))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        return mean_over_steps(self.norm(x).transpose(1, 2), mask)


def _positions(x: Tensor) -> Tensor:
    """Sinusoidal positions (Vaswani et al. 2017, section 3.5): (length, units) for x (batch, length, units)."""
    length, units = x.shape[1:]
    unit = torch.arange(units, device=x.device)
    rate = torch.exp(-math.log(10_000.0) * (unit - unit % 2) / units)
    angle = torch.arange(length, device=x.device)[:, None] * rate
    return torch.where(unit % 2 == 0, angle.sin(), angle.cos()).to(x.dtype)
