"""Augmentation: training windows changed a little at every step, so that a network sees none of them twice."""

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from raylab.models.batch import Batch, valid


class Augmentation(BaseModel):
    """What a study's ``protocol: {augmentation: {...}}`` may set; a 0 leaves that kind out.

    Attributes:
        noise: standard deviation of what is added to every sample, in standard deviations of the window's own feature.
        gain: a channel is multiplied by a number between 1 - gain and 1 + gain, one per window.
        shift: a channel moves earlier or later by up to this share of the window's steps; its end is held where it moves away from.
        mask_time: one stretch of up to this share of the steps becomes the window's mean; ``mask_features``: the same for neighbouring
            features (Park et al. 2019, SpecAugment, section 2; their third kind, time warping, gained them the least).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    noise: float = Field(0.0, ge=0)
    gain: float = Field(0.0, ge=0, lt=1)
    shift: float = Field(0.0, ge=0, lt=1)
    mask_time: float = Field(0.0, ge=0, lt=1)
    mask_features: float = Field(0.0, ge=0, lt=1)

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump()


@dataclass(frozen=True)
class Augmenter:
    """Applies an augmentation to batches, with its own random stream (on the processor, so that a GPU draws the same)."""

    asked: Augmentation
    draws: torch.Generator

    def __call__(self, batch: Batch) -> Batch:
        """A changed copy; what stands beyond a window's end stays 0."""
        return Batch({name: self._channel(x, batch.lengths.get(name)) for name, x in batch.values.items()}, batch.lengths)

    def _channel(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, length, n_features) of one channel."""
        n = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        mask = valid(x.shape[1], n)[:, :, None]
        count = n.clamp(min=1)[:, None, None]
        mean = (x * mask).sum(dim=1, keepdim=True) / count
        sd = (((x - mean) * mask).square().sum(dim=1, keepdim=True) / count).sqrt()
        x = self._shifted(x, n)
        x = x * (1 + self.asked.gain * self._uniform(x, len(x), 1, 1))
        x = x + self.asked.noise * sd * torch.randn(x.shape, generator=self.draws).to(x)
        x = torch.where(self._stretch(n, x.shape[1], self.asked.mask_time)[:, :, None], mean, x)
        features = torch.full_like(n, x.shape[2])
        x = torch.where(self._stretch(features, x.shape[2], self.asked.mask_features)[:, None, :], mean, x)
        return x.masked_fill(~mask, 0.0)

    def _uniform(self, like: Tensor, *shape: int) -> Tensor:
        """Between -1 and 1."""
        return torch.as_tensor((2 * torch.rand(shape, generator=self.draws) - 1).to(like))

    def _shifted(self, x: Tensor, n: Tensor) -> Tensor:
        by = (self._uniform(x, len(x)) * self.asked.shift * n).round().long()
        place = torch.arange(x.shape[1], device=x.device) - by[:, None]
        place = torch.minimum(place.clamp(min=0), (n - 1).clamp(min=0)[:, None])
        return x.gather(1, place[:, :, None].expand(-1, -1, x.shape[2]))

    def _stretch(self, n: Tensor, length: int, share: float) -> Tensor:
        """(batch, length) of bool: one stretch of 0 to ``share`` of the first n positions, anywhere among them."""
        size, place = torch.rand((2, len(n)), generator=self.draws).to(n.device)
        wide = (size * share * (n + 1)).floor().clamp(max=n)
        start = (place * (n - wide + 1)).floor()
        at = torch.arange(length, device=n.device)
        return torch.logical_and(at >= start[:, None], at < (start + wide)[:, None])
