"""Fusions: how the channels of a window become one feature vector, and what head it needs.

A window that lacks a modality (0 valid steps) has no part of it in any fusion: 0 in `late` and `early`, no vote in `weighted`, a vote that
is marked as missing in `stacked`, no weight in `attention`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import raylab.models.encoders
import raylab.models.sequence  # noqa: F401  with encoders: the classes behind ENCODERS, known once imported
from raylab.models.batch import Batch
from raylab.models.layers import scaled
from raylab.models.registry import ENCODERS, FUSIONS, implements
from raylab.models.timebase import TimeBase

Shapes = Mapping[str, tuple[int, int]]
ATTENTION_UNITS = 128


class Fusion(nn.Module):
    """What all fusions offer.

    Attributes:
        n_out: features that come out.
        channels: names, in order.
    """

    n_out: int

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__()
        self.channels = list(shapes)

    def head(self, units: int, n_classes: int) -> nn.Module:
        """What makes logits of ``units`` features."""
        return nn.Linear(units, n_classes)

    def votes(self, features: Tensor) -> Tensor | None:
        """Each channel's own logits (batch, n_channels, n_classes), where they are what the fusion fuses: each is then trained by itself."""
        return None

    def attention(self, batch: Batch) -> Tensor | None:
        """Weight of each channel in each window, (batch, n_channels), rows summing to 1; None where the fusion gives none."""
        return None


class _Towers(Fusion):
    """One tower per channel."""

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.towers = nn.ModuleDict({name: ENCODERS[encoder].build(*shape, width) for name, shape in shapes.items()})
        self.units = {name: int(tower.n_out) for name, tower in self.towers.items()}  # type: ignore[arg-type]  # a module attribute: Tensor or Module to mypy

    def encoded(self, batch: Batch) -> list[Tensor]:
        """(batch, units) of each channel, in order; 0 where the window lacks it."""
        found = []
        for name, tower in self.towers.items():
            lengths = batch.lengths.get(name)
            features = tower(batch.values[name], lengths)
            found.append(features if lengths is None else features.masked_fill(lengths[:, None] == 0, 0.0))
        return found


@implements(FUSIONS["late"])
class Late(_Towers):
    """The features of the towers, concatenated: (batch, sum of their units)."""

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.n_out = sum(self.units.values())

    def forward(self, batch: Batch) -> Tensor:
        return torch.cat(self.encoded(batch), dim=1)


@implements(FUSIONS["early"])
class Early(Fusion):
    """One encoder for all channels, concatenated step by step on a common time base (``raylab.models.timebase``)."""

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.base = TimeBase({name: length for name, (length, _) in shapes.items()})
        self.encoder = ENCODERS[encoder].build(self.base.steps, sum(n for _, n in shapes.values()), width)
        self.n_out = int(self.encoder.n_out)

    def forward(self, batch: Batch) -> Tensor:
        x, lengths = self.base.join(batch)
        features = self.encoder(x, lengths)
        return torch.as_tensor(features if lengths is None else features.masked_fill(lengths[:, None] == 0, 0.0))


class _Votes(_Towers):
    """A classifier on each tower. Its features are the votes (logits) and, beside them, whether there is one."""

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.classifiers = nn.ModuleDict({name: nn.Linear(units, n_classes) for name, units in self.units.items()})
        self.n_classes = n_classes
        self.n_out = len(shapes) * (n_classes + 1)

    def forward(self, batch: Batch) -> Tensor:
        said = [classify(x) for classify, x in zip(self.classifiers.values(), self.encoded(batch), strict=True)]
        present = batch.present(self.channels)
        votes = torch.stack(said, dim=1).masked_fill(~present[:, :, None], 0.0)
        return torch.cat([votes.flatten(1), present.to(votes.dtype)], dim=1)

    def votes(self, features: Tensor) -> Tensor | None:
        return features[:, : len(self.channels) * self.n_classes].reshape(len(features), len(self.channels), self.n_classes)


class _Average(nn.Module):
    """Logits whose softmax is the weighted average of the votes' probabilities; the weights are learned, and equal at the start."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.n_channels, self.n_classes = n_channels, n_classes
        self.scores = nn.Parameter(torch.zeros(n_channels))

    def forward(self, features: Tensor) -> Tensor:
        votes, present = torch.split(features, [self.n_channels * self.n_classes, self.n_channels], dim=1)
        each = F.log_softmax(votes.reshape(len(votes), self.n_channels, self.n_classes), dim=2)
        weights = masked_softmax(self.scores.expand_as(present), present > 0)
        return torch.logsumexp(each + torch.log(weights.clamp(min=1e-30))[:, :, None], dim=1)


@implements(FUSIONS["weighted"])
class Weighted(_Votes):
    """The votes' probabilities, averaged with one learned weight per channel."""

    def head(self, units: int, n_classes: int) -> nn.Module:
        return _Average(len(self.channels), n_classes)


@implements(FUSIONS["stacked"])
class Stacked(_Votes):
    """A linear classifier on the votes (the head that every fusion has by default)."""


@implements(FUSIONS["attention"])
class Attention(_Towers):
    """Tokens are the towers' features through a dense layer of 128 each; a token's weight is a softmax over those present.

    Pooling after Ilse, Tomczak and Welling 2018 (attention-based deep multiple instance learning), equation 8, with channels as the bag's instances.
    """

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.n_out = scaled(ATTENTION_UNITS, width)
        self.tokens = nn.ModuleDict({name: nn.Linear(units, self.n_out) for name, units in self.units.items()})
        self.hidden = nn.Linear(self.n_out, self.n_out)
        self.score = nn.Linear(self.n_out, 1, bias=False)  # a bias would add the same to all, which a softmax does not see

    def weighed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Tokens (batch, n_channels, n_out) and their weights (batch, n_channels)."""
        each = [dense(x) for dense, x in zip(self.tokens.values(), self.encoded(batch), strict=True)]
        tokens = torch.stack(each, dim=1)
        scores = self.score(torch.tanh(self.hidden(tokens)))[:, :, 0]
        return tokens, masked_softmax(scores, batch.present(self.channels))

    def forward(self, batch: Batch) -> Tensor:
        tokens, weights = self.weighed(batch)
        return (weights[:, :, None] * tokens).sum(dim=1)

    def attention(self, batch: Batch) -> Tensor | None:
        return self.weighed(batch)[1]


def masked_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the last axis among those present; exactly 0 for the others, and for all where none is."""
    hidden = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
    return torch.softmax(hidden, dim=-1) * present
