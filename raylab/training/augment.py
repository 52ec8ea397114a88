"""Augmentation: training windows are changed a little at every step, so that a network sees none of them twice. The study has none."""

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from raylab.models.batch import Batch, valid
from raylab.strict_part import StrictPart


class Augmentation(StrictPart):
    """The settings of a study's ``protocol: {augmentation: {...}}``; 0 switches a kind off.

    Attributes:
        noise: standard deviation of the Gaussian noise on every sample, in standard deviations of that feature in that window.
        gain: each channel of a window is multiplied by a number drawn between 1 - gain and 1 + gain.
        shift: a channel moves earlier or later by up to this share of the window's steps; the value at the end that becomes free is held.
        mask_time: one stretch of up to this share of the steps is replaced by the window's mean.
        mask_features: the same for neighbouring features, such as bands of a spectrogram.

    Both masks are from Park et al. 2019 (SpecAugment), section 2. Their third kind, time warping, gained them the least and is left out.
    """

    noise: float = Field(0.0, ge=0)
    gain: float = Field(0.0, ge=0, lt=1)
    shift: float = Field(0.0, ge=0, lt=1)
    mask_time: float = Field(0.0, ge=0, lt=1)
    mask_features: float = Field(0.0, ge=0, lt=1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, which are part of a stage's hash."""
        return self.model_dump()


@dataclass(frozen=True)
class Augmenter:
    """Applies an augmentation to training batches.

    Attributes:
        settings: the kinds and their strengths.
        generator: its own random stream, on the processor, so that training on a GPU draws the same numbers.
    """

    settings: Augmentation
    generator: torch.Generator

    def __call__(self, batch: Batch) -> Batch:
        """A changed copy of the batch; values beyond the end of a window stay 0."""
        return Batch({name: self._channel(x, batch.lengths.get(name)) for name, x in batch.values.items()}, batch.lengths)

    def _channel(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """One channel, (batch, length, n_features) in and out; the mean and the SD are those of its valid steps before any change."""
        n_steps = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        mask = valid(x.shape[1], n_steps)[:, :, None]
        count = n_steps.clamp(min=1)[:, None, None]
        mean = (x * mask).sum(dim=1, keepdim=True) / count
        sd = (((x - mean) * mask).square().sum(dim=1, keepdim=True) / count).sqrt()
        x = self._shifted(x, n_steps)
        x = x * (1 + self.settings.gain * self._uniform(x, len(x), 1, 1))
        x = x + self.settings.noise * sd * torch.randn(x.shape, generator=self.generator).to(x)
        x = torch.where(self._stretch(n_steps, x.shape[1], self.settings.mask_time)[:, :, None], mean, x)
        n_features = torch.full_like(n_steps, x.shape[2])
        x = torch.where(self._stretch(n_features, x.shape[2], self.settings.mask_features)[:, None, :], mean, x)
        return x.masked_fill(~mask, 0.0)

    def _uniform(self, like: Tensor, *shape: int) -> Tensor:
        """Numbers drawn evenly between -1 and 1, of this shape, on the device and of the type of ``like``."""
        return torch.as_tensor((2 * torch.rand(shape, generator=self.generator) - 1).to(like))

    def _shifted(self, x: Tensor, n_steps: Tensor) -> Tensor:
        """x (batch, length, n_features), each window moved in time by its own number of steps."""
        offset = (self._uniform(x, len(x)) * self.settings.shift * n_steps).round().long()
        position = torch.arange(x.shape[1], device=x.device) - offset[:, None]
        position = torch.minimum(position.clamp(min=0), (n_steps - 1).clamp(min=0)[:, None])
        return x.gather(1, position[:, :, None].expand(-1, -1, x.shape[2]))

    def _stretch(self, count: Tensor, length: int, share: float) -> Tensor:
        """Mask (batch, length) of one stretch of 0 to ``share`` of the first ``count`` (batch,) positions, anywhere among them."""
        size, place = torch.rand((2, len(count)), generator=self.generator).to(count.device)
        width = (size * share * (count + 1)).floor().clamp(max=count)
        start = (place * (count - width + 1)).floor()
        position = torch.arange(length, device=count.device)
        return torch.logical_and(position >= start[:, None], position < (start + width)[:, None])
