"""A common time base for the channels of a window, whatever their rates; ``early`` fusion needs it."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from raylab.models.batch import Batch, valid


class TimeBase:
    """Resamples the channels of a window to equal steps and concatenates their features.

    The number of steps is the median channel's number of samples. Channels with more samples are aggregated (means over neighbouring
    samples), channels with fewer are interpolated (linearly, between the centres of the samples).

    If a window is shorter than the full length, the channel with the most samples that it has decides how many steps it has. Its other
    channels are stretched to that, so that the tokens of a text, which have no times, cover the utterance evenly. A missing channel is 0.

    Attributes:
        lengths: channel name to its samples in a full window.
        steps: steps of a full window on the time base.
    """

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self.lengths = dict(lengths)
        self.steps = sorted(lengths.values())[len(lengths) // 2]

    def join(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """All channels as (batch, steps, sum of n_features), and the valid steps of each window (batch,); None if every window is full."""
        valid_steps = self._valid_steps(batch)
        joined = torch.cat([self._resampled(name, batch, valid_steps) for name in self.lengths], dim=2)
        return joined, valid_steps

    def _valid_steps(self, batch: Batch) -> Tensor | None:
        """Valid steps of each window on the time base, (batch,); 0 if it has no channel; None if every window is full."""
        if not batch.lengths:
            return None
        steps = torch.zeros_like(next(iter(batch.lengths.values())))
        for name in sorted(self.lengths, key=self.lengths.__getitem__, reverse=True):
            full = self.lengths[name]
            n_samples = batch.lengths.get(name, torch.full_like(steps, full))
            by_channel = (n_samples * self.steps + full - 1) // full  # rounded up
            steps = torch.where(steps == 0, by_channel.clamp(max=self.steps), steps)
        return steps

    def _resampled(self, name: str, batch: Batch, valid_steps: Tensor | None) -> Tensor:
        """One channel on the time base, (batch, steps, n_features)."""
        x, n_samples = batch.values[name], batch.lengths.get(name)
        full = torch.full((len(x),), x.shape[1], dtype=torch.int64, device=x.device)
        n_samples = full if n_samples is None else n_samples
        x, n_samples = aggregated(x, n_samples, max(1, math.ceil(self.lengths[name] / self.steps)))
        all_steps = torch.full_like(full, self.steps)
        return _interpolated(x, n_samples, all_steps if valid_steps is None else valid_steps, self.steps)


def aggregated(x: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Means over groups of ``size`` neighbouring samples, valid ones only: (batch, n_groups, n_features), and the valid groups (batch,).

    Args:
        x: (batch, length, n_features).
        lengths: (batch,) valid samples of each window.
        size: samples per group; the last group may have fewer.
    """
    mask = valid(x.shape[1], lengths).to(x.dtype)[:, :, None]
    padding = -x.shape[1] % size
    shape = (len(x), (x.shape[1] + padding) // size, size)
    sums = F.pad(x.masked_fill(mask == 0, 0.0), (0, 0, 0, padding)).reshape(*shape, x.shape[2]).sum(dim=2)
    counts = F.pad(mask, (0, 0, 0, padding)).reshape(*shape, 1).sum(dim=2)
    return sums / counts.clamp(min=1), (lengths + size - 1) // size


def _interpolated(x: Tensor, n_samples: Tensor, valid_steps: Tensor, steps: int) -> Tensor:
    """Each window's valid samples, interpolated linearly to its valid steps: (batch, steps, n_features); 0 beyond, and without a sample.

    A step stands for an interval of time and is read at its centre, as samples are: hence the halves. Before the first centre and after
    the last one the nearest sample is held.

    Args:
        x: (batch, length, n_features).
        n_samples: (batch,) valid samples of each window.
        valid_steps: (batch,) valid steps of each window, at most ``steps``.
        steps: length of the result.
    """
    samples_per_step = n_samples.to(x.dtype) / valid_steps.clamp(min=1)
    position = (torch.arange(steps, device=x.device, dtype=x.dtype) + 0.5) * samples_per_step[:, None] - 0.5
    last = (n_samples - 1).clamp(min=0)[:, None]
    position = torch.minimum(position.clamp(min=0), last.to(x.dtype))
    below = position.floor().long()
    above = torch.minimum(below + 1, last)
    share = (position - below)[:, :, None]
    shape = (-1, -1, x.shape[2])
    low, high = x.gather(1, below[:, :, None].expand(shape)), x.gather(1, above[:, :, None].expand(shape))
    has_value = valid(steps, valid_steps) & (n_samples > 0)[:, None]
    return (low * (1 - share) + high * share).masked_fill(~has_value[:, :, None], 0.0)
