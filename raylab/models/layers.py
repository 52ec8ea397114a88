"""Layers that encoders are made of. Each takes a mask (batch, length) of the valid steps of each window; None means all steps.

Values beyond the end of a window must change nothing, so that padding does not: they are set to 0 before every convolution and are left out of
batch statistics and of means. ``tests/models/test_masks.py`` puts large noise there and expects equal logits, gradients and running statistics.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.models.batch import valid
from raylab.models.keras_defaults import batch_norm


def scaled(units: int, width: float) -> int:
    """Units (or maps) of a layer: ``width`` times the study's, at least 1."""
    return max(1, round(units * width))


def mask_of(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Mask (batch, length) of the valid steps of x (batch, length, n_features); None if there are no lengths."""
    return None if lengths is None else valid(x.shape[1], lengths)


def silenced(x: Tensor, mask: Tensor | None) -> Tensor:
    """x (batch, maps, length) with 0 at every step that is not valid."""
    return x if mask is None else x.masked_fill(~mask[:, None], 0.0)


def mean_over_steps(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the valid steps, (batch, maps), of x (batch, maps, length); 0 for a window without a valid step."""
    if mask is None:
        return x.mean(dim=2)
    return silenced(x, mask).sum(dim=2) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class OwnNorm(nn.BatchNorm1d):
    """Batch norm that does by itself what ``normalized`` does."""

    def normalized(self, x: Tensor, mask: Tensor | None) -> Tensor:
        raise NotImplementedError


def normalized(norm: nn.BatchNorm1d, x: Tensor, mask: Tensor | None) -> Tensor:
    """Batch norm of x (batch, maps, length) with statistics of the valid steps alone; 0 beyond them.

    A training batch with fewer than two values of a map has no variance. It is normalized by the running statistics and does not move them;
    torch would raise an error.
    """
    if isinstance(norm, OwnNorm):
        return norm.normalized(x, mask)
    count = x.shape[0] * x.shape[2] if mask is None else int(mask.sum())
    if norm.training and count < 2:
        by_running = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return silenced(by_running, mask)
    if mask is None or not norm.training:
        return silenced(norm(x), mask)
    # torch's batch norm takes (n, maps) too: the valid steps of all windows are its n samples
    steps = torch.zeros_like(x.transpose(1, 2))
    steps[mask] = norm(x.transpose(1, 2)[mask])
    return steps.transpose(1, 2)


class Convolution(nn.Sequential):
    """A convolution with 'same' padding and batch norm. An even kernel pads one sample more at the end, as in Keras."""

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        symmetric = kernel % 2  # then the convolution pads by itself, without a copy of the input
        super().__init__(
            OrderedDict(
                pad=nn.Identity() if symmetric else nn.ConstantPad1d((kernel // 2 - 1, kernel // 2), 0.0),
                conv=nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2 if symmetric else 0),
                norm=batch_norm(n_out),
            )
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, n_out, length) from x (batch, n_in, length), which must be 0 outside the mask, as the result is."""
        pad, conv, norm = self
        assert isinstance(norm, nn.BatchNorm1d)
        return normalized(norm, conv(pad(x)), mask)


class FrameLayer(nn.Module):
    """Shorten a window to at most ``max_steps`` frames: neighbouring samples are concatenated, and a dense layer reads each group.

    Recurrence and attention cost time per step, so a pulse signal of 640 samples or a waveform of 48,000 must be shortened first. The full length
    of a window, for which a network is built, decides how many samples a group has; the last group of a shorter window is filled with 0.
    """

    def __init__(self, length: int, n_features: int, units: int, max_steps: int) -> None:
        super().__init__()
        self.size = math.ceil(length / max_steps)
        self.dense = nn.Linear(self.size * n_features, units)

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames (batch, n_frames, units), and the number of valid frames of each window (batch,)."""
        mask = mask_of(x, lengths)
        if mask is not None:
            x = x.masked_fill(~mask[:, :, None], 0.0)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.size))
        frames = self.dense(x.reshape(len(x), x.shape[1] // self.size, -1))
        return frames, None if lengths is None else (lengths + self.size - 1) // self.size


class BothWays(nn.Module):
    """A bidirectional LSTM, whose backward direction starts at each window's own last valid step."""

    def __init__(self, n_in: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, units, batch_first=True, bidirectional=True)
        self.n_out = 2 * units

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Mean output over the valid steps, (batch, 2 units), for x (batch, length, n_in)."""
        if lengths is None:
            return torch.as_tensor(self.lstm(x)[0].mean(dim=1))
        # torch packs no empty sequence: a window without a valid step is read as one step, and the mean below leaves it out
        at_least_one = lengths.clamp(min=1)
        packed = nn.utils.rnn.pack_padded_sequence(x, at_least_one.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return mean_over_steps(out.transpose(1, 2), valid(x.shape[1], lengths))
