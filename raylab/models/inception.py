"""``inception``: one network of InceptionTime, whose ensemble of five is five seeds of a study here.

Ismail Fawaz et al. 2020 (InceptionTime: finding AlexNet for time series classification), section 3, with the sizes of their public code: 6 modules,
bottleneck of 32 maps, kernels of 40, 20 and 10 steps with 32 maps each, a shortcut around every three modules. Their predictions are averaged over
five networks with other initial weights; raylab averages the scores of seeds, not the probabilities, so its numbers are a single
network's. Training (epochs, rate, batches) is raylab's, not theirs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.models.keras_defaults import batch_norm
from raylab.models.layers import mask_of, mean_over_steps, normalized, scaled, silenced
from raylab.models.registry import ENCODERS, implements

DEPTH = 6
RESIDUAL_EVERY = 3
MAPS = 32
BOTTLENECK = 32
KERNELS = (40, 20, 10)  # the paper names these lengths, and the code keeps them even


class _Module(nn.Module):
    """One inception module: convolutions of three lengths after a bottleneck, and a convolution of length 1 after max pooling, side by side.

    Convolutions have no biases, since batch norm follows. As in the public code there is no bottleneck for an input of one feature.
    """

    def __init__(self, n_in: int, maps: int, bottleneck: int) -> None:
        super().__init__()
        self.bottleneck = nn.Conv1d(n_in, bottleneck, 1, bias=False) if n_in > 1 else None
        n_inner = bottleneck if self.bottleneck else n_in
        self.convs = nn.ModuleList(nn.Conv1d(n_inner, maps, kernel, bias=False) for kernel in KERNELS)
        self.after_pool = nn.Conv1d(n_in, maps, 1, bias=False)
        self.norm = batch_norm((len(KERNELS) + 1) * maps)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, 4 maps, length) from x (batch, n_in, length), which is 0 outside the mask, as the result is."""
        inner = x if self.bottleneck is None else self.bottleneck(x)
        # 'same' padding; of an even kernel one sample more at the end, as in Keras
        parts = [conv(F.pad(inner, (kernel // 2 - 1, kernel // 2))) for conv, kernel in zip(self.convs, KERNELS, strict=True)]
        return F.relu(normalized(self.norm, torch.cat([*parts, self.after_pool(_pooled(x, mask))], dim=1), mask))


class _Shortcut(nn.Module):
    """Around three modules: a convolution of length 1 with batch norm, added before ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, 1, bias=False)
        self.norm = batch_norm(n_out)

    def forward(self, x: Tensor, out: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, n_out, length) from the input x (batch, n_in, length) and the output of the modules."""
        return F.relu(out + normalized(self.norm, self.conv(x), mask))


@implements(ENCODERS["inception"])
class Inception(nn.Module):
    """Six inception modules with two shortcuts, then global average pooling; 128 features at full width."""

    def __init__(self, length: int, n_features: int, width: float) -> None:
        super().__init__()
        maps, bottleneck = scaled(MAPS, width), scaled(BOTTLENECK, width)
        self.n_out = (len(KERNELS) + 1) * maps
        n_in = [n_features, *[self.n_out] * (DEPTH - 1)]
        self.blocks = nn.ModuleList(_Module(n, maps, bottleneck) for n in n_in)
        self.shortcuts = nn.ModuleList(_Shortcut(n, self.n_out) for n in n_in[::RESIDUAL_EVERY])

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        mask = mask_of(x, lengths)
        x = before = silenced(x.transpose(1, 2), mask)
        for number, block in enumerate(self.blocks):
            x = block(x, mask)
            if number % RESIDUAL_EVERY == RESIDUAL_EVERY - 1:
                x = before = self.shortcuts[number // RESIDUAL_EVERY](before, x, mask)
        return mean_over_steps(x, mask)


def _pooled(x: Tensor, mask: Tensor | None) -> Tensor:
    """Maximum over three neighbouring valid steps, (batch, maps, length); 0 outside the mask."""
    if mask is None:
        return F.max_pool1d(x, 3, stride=1, padding=1)
    outside = ~mask[:, None]
    return F.max_pool1d(x.masked_fill(outside, -torch.inf), 3, stride=1, padding=1).masked_fill(outside, 0.0)
