"""What encoders are made of. Each takes a mask (batch, length) of the steps that a window has; None: all of them.

With a mask nothing beyond a window's end is seen: it is 0 before every convolution, no part of the batch statistics, no part of a mean.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.models.batch import valid
from raylab.models.keras_defaults import batch_norm


def scaled(units: int, width: float) -> int:
    """``width`` times the paper's units, at least 1."""
    return max(1, round(units * width))


def mask_of(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """(batch, length) of the valid steps of x (batch, length, n_features)."""
    return None if lengths is None else valid(x.shape[1], lengths)


def silenced(x: Tensor, mask: Tensor | None) -> Tensor:
    """x (batch, maps, length), 0 where a window has no step."""
    return x if mask is None else x.masked_fill(~mask[:, None], 0.0)


def mean_over_steps(x: Tensor, mask: Tensor | None) -> Tensor:
    """(batch, maps) from x (batch, maps, length); 0 where a window has no step at all."""
    if mask is None:
        return x.mean(dim=2)
    return silenced(x, mask).sum(dim=2) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def normalized(norm: nn.BatchNorm1d, x: Tensor, mask: Tensor | None) -> Tensor:
    """Batch norm of x (batch, maps, length), its statistics those of the valid steps alone; 0 beyond them.

    A batch with fewer than two values of a map has no variance: it is normalized by the running statistics, and does not move them.
    """
    count = x.shape[0] * x.shape[2] if mask is None else int(mask.sum())
    if norm.training and count < 2:
        still = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return silenced(still, mask)
    if mask is None or not norm.training:
        return silenced(norm(x), mask)
    steps = torch.zeros_like(x.transpose(1, 2))
    steps[mask] = norm(x.transpose(1, 2)[mask])
    return steps.transpose(1, 2)


class Convolution(nn.Sequential):
    """Convolution with 'same' padding (the odd sample at the end, as in Keras) and batch norm."""

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        odd = kernel % 2  # an odd kernel pads alike on both sides, which the convolution does without a copy
        super().__init__(
            OrderedDict(
                pad=nn.Identity() if odd else nn.ConstantPad1d((kernel // 2 - 1, kernel // 2), 0.0),
                conv=nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2 if odd else 0),
                norm=batch_norm(n_out),
            )
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, maps, length), 0 where the mask says so."""
        pad, conv, norm = self
        assert isinstance(norm, nn.BatchNorm1d)
        return normalized(norm, conv(pad(x)), mask)


class FrameLayer(nn.Module):
    """At most ``most`` steps of a window: neighbouring samples stand side by side, and a dense layer sees each group.

    Recurrence and attention cost time per step, so that a pulse of 640 samples or a waveform of 48,000 needs groups. A network is built for
    one length of window, which decides how many samples a group has; the last group of a short window is filled with 0.
    """

    def __init__(self, length: int, n_features: int, units: int, most: int) -> None:
        super().__init__()
        self.size = math.ceil(length / most)
        self.dense = nn.Linear(self.size * n_features, units)

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, n_frames, units), and the valid frames of each window."""
        mask = mask_of(x, lengths)
        if mask is not None:
            x = x.masked_fill(~mask[:, :, None], 0.0)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.size))
        frames = self.dense(x.reshape(len(x), x.shape[1] // self.size, -1))
        return frames, None if lengths is None else (lengths + self.size - 1) // self.size


class BothWays(nn.Module):
    """An LSTM that reads a window forward and another one that reads it backward from its own last valid step."""

    def __init__(self, n_in: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, units, batch_first=True, bidirectional=True)
        self.n_out = 2 * units

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The mean output over the valid steps, (batch, 2 units), of x (batch, length, n_in)."""
        if lengths is None:
            return torch.as_tensor(self.lstm(x)[0].mean(dim=1))
        there = lengths.clamp(min=1)  # a window without steps is read as one of zeros; what comes of it is not used
        packed = nn.utils.rnn.pack_padded_sequence(x, there.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return mean_over_steps(out.transpose(1, 2), valid(x.shape[1], lengths))
