"""Layers that hold the weights of K networks of one shape and compute them side by side (docs/decisions/0030-stacks.md).

A stack's batch has the windows of K members in turn: row ``b * K + k`` is window b of member k. To everything without parameters (fusion, masks,
pooling, padding, attention's products) these are windows like any other, so a network's own ``forward`` serves. For a convolution and for batch norm
the same memory, seen as (batch, K x maps, length), is one operation of K groups: no member is looped over and nothing is copied.

Every parameter and buffer has the name that it has in the ordinary layer, and a first axis more: the member.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.models.batch import valid
from raylab.models.fusions import WeightedAverage
from raylab.models.layers import BothWays, OwnNorm, mean_over_steps, silenced
from raylab.models.recurrence import recurrence

_unsafe_view = torch.ops.aten._unsafe_view  # a view that may be changed in place without a copy in the backward pass


@dataclass
class Members:
    """Which members the rows of a batch are of; all layers of a stacked network share one.

    Attributes:
        generators: of each member of the stack, the stream that its dropout draws from.
        active: positions of the members that a step is of, on the device; None: all of them.
        drawing: the generators of these members.
        longest: channel name to each active member's longest window in the batch, in steps: an ordinary batch ends there, a stack's at the longest
            of all; only of channels of variable length.
        channel: the channel whose tower is computed.
        length: steps of that channel in the stack's batch.
    """

    generators: list[torch.Generator]
    active: Tensor | None = None
    drawing: Sequence[torch.Generator] = ()
    longest: dict[str, list[int]] = field(default_factory=dict)
    channel: str = ""
    length: int = 0

    def of(self, value: Tensor) -> Tensor:
        """The entries (first axis) of the active members."""
        return value if self.active is None else value[self.active]

    def own_lengths(self, length: int, base: int) -> list[int]:
        """How many of ``length`` steps an ordinary batch of each active member would have, at a layer behind the tower's input.

        Args:
            base: factor by which the tower shortens a window, once or several times.
        """
        own = self.longest.get(self.channel)
        if own is None:
            return [length] * len(self.drawing)
        factor = 1
        while -(-self.length // factor) > length:
            factor *= base
        return [-(-n // factor) for n in own]


class Layer(nn.Module):
    """A layer of a stack; ``weight`` and other parameters are (K, shape of the ordinary layer's)."""

    members: Members


class StackedConv1d(Layer):
    """K convolutions as the groups of one."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv1d, members: Members) -> None:
        super().__init__()
        self.members = members
        self.padding = int(conv.padding[0])  # a number in raylab's encoders, and neither stride nor dilation

    def forward(self, x: Tensor) -> Tensor:
        """(batch x K, maps, length)."""
        weight = self.members.of(self.weight)
        bias = None if self.bias is None else self.members.of(self.bias).flatten()
        k, n_out, n_in, _ = weight.shape
        grouped = x.reshape(-1, k * n_in, x.shape[2])
        out = F.conv1d(grouped, weight.flatten(0, 1), bias, padding=self.padding, groups=k)
        return torch.as_tensor(_unsafe_view(out, (len(x), n_out, out.shape[2])))


class StackedBatchNorm(OwnNorm, Layer):
    """K batch norms as one of K x maps; a map's statistics are its own member's by nature."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm1d, members: Members) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        self.members, self.share = members, float(norm.momentum or 0.0)

    def normalized(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """As ``raylab.models.layers.normalized``, of x (batch x K, maps, length)."""
        if self.training and mask is not None:
            return self._by_valid_steps(x, mask)
        per_member = len(x) // len(self.members.of(self.weight)) * x.shape[2]
        return silenced(self._grouped(x, self.training and per_member >= 2), mask)

    def forward(self, x: Tensor) -> Tensor:
        """(batch x K, maps, length)."""
        return self._grouped(x, self.training)

    def _grouped(self, x: Tensor, by_batch: bool) -> Tensor:
        of = self.members.of
        mean, variance = of(self.running_mean), of(self.running_var)
        grouped = x.reshape(-1, mean.numel(), x.shape[2])
        weight, bias = of(self.weight).flatten(), of(self.bias).flatten()
        out = F.batch_norm(grouped, mean.view(-1), variance.view(-1), weight, bias, by_batch, self.share, self.eps)
        if by_batch:
            self._counted(mean, variance)
        return torch.as_tensor(_unsafe_view(out, x.shape))

    def _counted(self, mean: Tensor, variance: Tensor) -> None:
        """Put moved statistics back, if they are those of some members only, and count the batch."""
        active = self.members.active
        if active is None:
            self.num_batches_tracked.add_(1)
            return
        self.running_mean[active], self.running_var[active] = mean, variance
        self.num_batches_tracked[active] += 1

    def _by_valid_steps(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalized by the valid steps of each member, 0 beyond them; a member with fewer than two by its running statistics."""
        of, (k, maps) = self.members.of, self.members.of(self.weight).shape
        grouped = x.reshape(-1, k, maps, x.shape[2]).to(self.running_mean.dtype)  # statistics are never of bfloat16
        steps = mask.view(-1, k, 1, x.shape[2])
        count = steps.sum(dim=(0, 3))  # (K, 1)
        divisor = count.clamp(min=1)
        mean = grouped.masked_fill(~steps, 0.0).sum(dim=(0, 3)) / divisor
        centred = (grouped - mean[None, :, :, None]).masked_fill(~steps, 0.0)
        variance = centred.square().sum(dim=(0, 3)) / divisor
        held, enough = (of(self.running_mean), of(self.running_var)), count >= 2
        used = [torch.where(enough, own, running) for own, running in zip((mean, variance), held, strict=True)]
        scale = of(self.weight) * (used[1] + self.eps).rsqrt()
        shift = of(self.bias) - used[0] * scale
        out = (grouped * scale[None, :, :, None] + shift[None, :, :, None]).masked_fill(~steps, 0.0)
        which = slice(None) if self.members.active is None else self.members.active
        unbiased = variance.detach() * count / (count - 1).clamp(min=1)
        for own, new, old in ((self.running_mean, mean.detach(), held[0]), (self.running_var, unbiased, held[1])):
            own[which] = torch.where(enough, (1 - self.share) * old + self.share * new, old).to(own)
        self.num_batches_tracked[which] += enough[:, 0].long()
        return out.reshape(x.shape).to(x.dtype)


class StackedLinear(Layer):
    """K dense layers as one batched product."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, members: Members) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """(batch x K, ..., n_in) to (batch x K, ..., n_out)."""
        weight = self.members.of(self.weight)
        bias = None if self.bias is None else self.members.of(self.bias)
        out = product(_by_member(x, len(weight)), weight, bias)
        return _in_turn(out, (*x.shape[:-1], weight.shape[1]), len(weight))


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(K, n, n_out) from x (K, n, n_in), weight (K, n_out, n_in) and bias (K, n_out)."""
    across = weight.transpose(1, 2)
    return torch.bmm(x, across) if bias is None else torch.baddbmm(bias[:, None], x, across)


def _by_member(x: Tensor, k: int) -> Tensor:
    """(K, n, features) from (batch x K, ..., features)."""
    return x.reshape(-1, k, x[0, ..., 0].numel(), x.shape[-1]).transpose(0, 1).flatten(1, 2)


def _in_turn(x: Tensor, shape: Sequence[int], k: int) -> Tensor:
    """The inverse of ``_by_member``: ``shape`` is (batch x K, ..., features)."""
    return x.view(k, shape[0] // k, -1, shape[-1]).transpose(0, 1).reshape(*shape)


class StackedLayerNorm(Layer, nn.LayerNorm):
    """K layer norms: the statistics are of each token, scale and shift of each member."""

    def __init__(self, norm: nn.LayerNorm, members: Members) -> None:
        nn.LayerNorm.__init__(self, norm.normalized_shape, eps=norm.eps)
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        """(batch x K, ..., features)."""
        weight, bias = self.members.of(self.weight), self.members.of(self.bias)
        normalized = F.layer_norm(x, self.normalized_shape, eps=self.eps).view(
            -1, len(weight), x[0, ..., 0].numel(), x.shape[-1]
        )
        return (normalized * weight[:, None] + bias[:, None]).view(x.shape)


class StackedDropout(Layer):
    """Dropout whose masks are those of the members' ordinary trainings: each draws from its own stream, for a batch of its own length.

    Args:
        time: the axes of the input that are steps of the window.
        base: factor by which the tower shortens windows before it (``Members.own_lengths``).
        steps_first: whether the ordinary layer draws with the first two axes exchanged, as behind torch's attention, whose output lies so in memory.
    """

    def __init__(
        self, share: float, members: Members, time: tuple[int, ...] = (), base: int = 1, steps_first: bool = False
    ) -> None:
        super().__init__()
        self.share, self.members, self.time, self.base, self.steps_first = share, members, time, base, steps_first

    def forward(self, x: Tensor) -> Tensor:
        """(batch x K, ...)."""
        if not self.training or not self.share:
            return x
        shape = [len(x) // len(self.members.drawing), *x.shape[1:]]
        own = self.members.own_lengths(x.shape[self.time[0]], self.base) if self.time else []
        kept = [self._drawn(x, shape, own[k] if own else 0, g) for k, g in enumerate(self.members.drawing)]
        return x * torch.stack(kept, dim=1).flatten(0, 1)

    def _drawn(self, x: Tensor, shape: list[int], length: int, generator: torch.Generator) -> Tensor:
        """Factors of one member's rows; 1 at steps that its own batch would not have, which count nowhere."""
        drawn = [length if axis in self.time else n for axis, n in enumerate(shape)]
        kept = x.new_empty([drawn[1], drawn[0], *drawn[2:]] if self.steps_first else drawn)
        kept.bernoulli_(1 - self.share, generator=generator).div_(1 - self.share)
        kept = kept.transpose(0, 1) if self.steps_first else kept
        if drawn == shape:
            return kept
        full = x.new_ones(shape)
        full[tuple(slice(n) for n in drawn)] = kept
        return full


class StackedAverage(WeightedAverage):
    """The head of ``weighted`` fusion, with each member's own weights of the channels."""

    members: Members

    def scores_of(self, present: Tensor) -> Tensor:
        scores = self.members.of(self.scores)
        return scores.expand(len(present) // len(scores), *scores.shape).reshape(present.shape)


class StackedLSTM(Layer):
    """K LSTMs of one layer: a batched product for each step, of both directions together if there are two."""

    weight_ih_l0: Tensor

    def __init__(self, lstm: nn.LSTM, members: Members) -> None:
        super().__init__()
        self.members, self.units = members, lstm.hidden_size
        self.suffixes = ("", "_reverse") if lstm.bidirectional else ("",)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, None]:
        """Outputs (batch x K, length, directions x units), as the first of a pair, from (batch x K, length, n_in).

        Args:
            mask: (batch x K, length), the valid steps; the backward direction begins at the last of them. None: all.
        """
        of, length, k = self.members.of, x.shape[1], len(self.members.of(self.weight_ih_l0))
        by_member, inputs, recurrent = _by_member(x, k), [], []
        for suffix in self.suffixes:
            weight, bias = (of(getattr(self, f"{name}_ih_l0{suffix}")) for name in ("weight", "bias"))
            fixed = of(getattr(self, f"bias_hh_l0{suffix}"))
            steps = product(by_member, weight, bias + fixed).view(k, -1, length, 4 * self.units)
            inputs.append(steps.flip(2) if suffix else steps)
            recurrent.append(of(getattr(self, f"weight_hh_l0{suffix}")).transpose(1, 2))
        valid_steps = None if mask is None else mask.view(-1, k, length, 1).transpose(0, 1)
        out = recurrence(
            torch.cat(inputs), torch.cat(recurrent), None if valid_steps is None else self._directions(valid_steps)
        )
        parts = [part.flip(2) if i else part for i, part in enumerate(torch.split(out, k))]
        return torch.cat(parts, dim=3).transpose(0, 1).reshape(len(x), length, -1), None

    def _directions(self, mask: Tensor) -> Tensor:
        """The mask for each direction; the forward one needs none, since what follows a window's end changes nothing before it."""
        return torch.cat([mask.flip(2) if suffix else torch.ones_like(mask) for suffix in self.suffixes])


class StackedBothWays(BothWays):
    """A bidirectional LSTM by masks: torch's packed sequences know nothing of members."""

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        mask = None if lengths is None else valid(x.shape[1], lengths.clamp(min=1))
        out = self.lstm(x, mask)[0]
        if lengths is None:
            return torch.as_tensor(out.mean(dim=1))
        return mean_over_steps(out.transpose(1, 2), valid(x.shape[1], lengths))


class StackedAttention(Layer):
    """K self-attentions (``nn.MultiheadAttention`` with one packed weight), for the encoder layer below."""

    in_proj_weight: Tensor
    in_proj_bias: Tensor
    out_proj: nn.Module

    def __init__(self, attention: nn.MultiheadAttention, members: Members, base: int) -> None:
        super().__init__()
        self.members, self.heads = members, attention.num_heads
        self.drop = StackedDropout(attention.dropout, members, (2, 3), base)

    def forward(self, x: Tensor, ignored: Tensor | None) -> Tensor:
        """(batch x K, length, units); ``ignored`` (batch x K, length): true for steps that none attends to."""
        weight, (rows, length, units) = self.members.of(self.in_proj_weight), x.shape
        packed = product(_by_member(x, len(weight)), weight, self.members.of(self.in_proj_bias))
        packed = _in_turn(packed, (rows, length, 3 * units), len(weight))
        q, k, v = (part.view(rows, length, self.heads, -1).transpose(1, 2) for part in packed.chunk(3, dim=2))
        scores = (q @ k.transpose(2, 3)) * (units // self.heads) ** -0.5
        if ignored is not None:
            scores = scores.masked_fill(ignored[:, None, None], -torch.inf)
        attended = self.drop(torch.softmax(scores, dim=3)) @ v
        return torch.as_tensor(self.out_proj(attended.transpose(1, 2).reshape(x.shape)))


class StackedEncoderLayer(nn.Module):
    """``nn.TransformerEncoderLayer`` with layer norm first and ReLU, out of stacked layers of the same names."""

    self_attn: nn.Module
    norm1: nn.Module
    norm2: nn.Module
    linear1: nn.Module
    linear2: nn.Module
    dropout: nn.Module
    dropout1: nn.Module
    dropout2: nn.Module

    def forward(self, x: Tensor, src_key_padding_mask: Tensor | None = None) -> Tensor:
        """(batch x K, length, units)."""
        x = x + self.dropout1(self.self_attn(self.norm1(x), src_key_padding_mask))
        hidden = self.dropout(F.relu(self.linear1(self.norm2(x))))
        return torch.as_tensor(x + self.dropout2(self.linear2(hidden)))
