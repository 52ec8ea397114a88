"""A common time base for the channels of a window, whatever their rates."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from raylab.models.batch import Batch, valid


class TimeBase:
    """The channels of a window in equal steps, their features side by side.

    A window has as many steps as the middle one of its channels has samples: finer channels are aggregated (means over
    neighbouring samples), coarser ones interpolated (linear between the samples' centres). Of a window that is shorter than the longest, the finest
    channel that it has tells how much; its other channels are stretched to that, so that tokens of a text, which have no times, cover the
    utterance evenly. A missing channel is 0 throughout.
    """

    def __init__(self, lengths: Mapping[str, int]) -> None:
        self.lengths = dict(lengths)
        self.steps = sorted(lengths.values())[len(lengths) // 2]

    def join(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(batch, steps, features of all channels), and the valid steps of each window; None where every window is full."""
        there = self._there(batch)
        joined = torch.cat([self._on_base(name, batch, there) for name in self.lengths], dim=2)
        return joined, there

    def _there(self, batch: Batch) -> Tensor | None:
        """(batch,) valid steps of each window on the time base."""
        if not batch.lengths:
            return None
        found = torch.zeros_like(next(iter(batch.lengths.values())))
        for name in sorted(self.lengths, key=self.lengths.__getitem__, reverse=True):
            longest = self.lengths[name]
            n = batch.lengths.get(name, torch.full_like(found, longest))
            mine = (n * self.steps + longest - 1) // longest  # rounded up
            found = torch.where(found == 0, mine.clamp(max=self.steps), found)
        return found

    def _on_base(self, name: str, batch: Batch, there: Tensor | None) -> Tensor:
        """(batch, steps, n_features) of one channel."""
        x, n = batch.values[name], batch.lengths.get(name)
        full = torch.full((len(x),), x.shape[1], dtype=torch.int64, device=x.device)
        n = full if n is None else n
        x, n = aggregated(x, n, max(1, math.ceil(self.lengths[name] / self.steps)))
        return _interpolated(x, n, torch.full_like(full, self.steps) if there is None else there, self.steps)


def aggregated(x: Tensor, n: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Means over ``size`` neighbouring samples, those that a window has; the samples left."""
    mask = valid(x.shape[1], n).to(x.dtype)[:, :, None]
    short = -x.shape[1] % size
    shape = (len(x), (x.shape[1] + short) // size, size)
    groups = F.pad(x.masked_fill(mask == 0, 0.0), (0, 0, 0, short)).reshape(*shape, x.shape[2]).sum(dim=2)
    counts = F.pad(mask, (0, 0, 0, short)).reshape(*shape, 1).sum(dim=2)
    return groups / counts.clamp(min=1), (n + size - 1) // size


def _interpolated(x: Tensor, n: Tensor, there: Tensor, steps: int) -> Tensor:
    """(batch, steps, n_features): each window's first n samples, linearly, in its ``there`` steps; 0 beyond, and where it has no sample."""
    rate = n.to(x.dtype) / there.clamp(min=1)
    place = (torch.arange(steps, device=x.device, dtype=x.dtype) + 0.5) * rate[:, None] - 0.5
    last = (n - 1).clamp(min=0)[:, None]
    place = torch.minimum(place.clamp(min=0), last.to(x.dtype))
    below = place.floor().long()
    above = torch.minimum(below + 1, last)
    share = (place - below)[:, :, None]
    wide = (-1, -1, x.shape[2])
    found = x.gather(1, below[:, :, None].expand(wide)) * (1 - share) + x.gather(1, above[:, :, None].expand(wide)) * share
    return found.masked_fill(~(valid(steps, there) & (n > 0)[:, None])[:, :, None], 0.0)
