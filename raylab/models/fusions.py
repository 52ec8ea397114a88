"""Fusions: how the channels of a window become one feature vector, and which head reads it.

``late`` is the study's; the others are raylab's (docs/decisions/0015-masks-and-fusion.md says why these).

A channel that a window lacks (0 valid steps) must not influence the prediction, whatever values stand in its place. Its features are 0 in
``late`` and ``early``, it has no vote in ``weighted``, its vote is marked as missing in ``stacked``, and its weight is 0 in ``attention``.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import raylab.models.encoders
import raylab.models.inception
import raylab.models.sequence  # noqa: F401  with encoders: the classes behind ENCODERS, known once imported
from raylab.errors import InvalidValueError
from raylab.models.batch import Batch
from raylab.models.layers import scaled
from raylab.models.registry import ENCODERS, FUSIONS, implements
from raylab.models.timebase import TimeBase

Shapes = Mapping[str, tuple[int, int]]  # channel name to (length, n_features)
ATTENTION_UNITS = 128


class Fusion(nn.Module):
    """The trunk of a network: windows to fused features (batch, n_out), and the head that such features need.

    Attributes:
        n_out: number of fused features.
        channels: names of the channels, in the order of the trial.
        selected: (n_channels,) 1 for each channel that is used, 0 for the others; None if all are used. A buffer: it is stored with the weights.
    """

    n_out: int
    selected: Tensor | None

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__()
        self.channels = list(shapes)
        self.register_buffer("selected", None)

    @property
    def channels_used(self) -> list[str]:
        """The channels that are used, in their order: the chosen ones, or all if there is no choice."""
        if self.selected is None:
            return self.channels
        return [name for name, flag in zip(self.channels, self.selected.tolist(), strict=True) if flag > 0]

    @property
    def channels_unused(self) -> list[str]:
        """The channels that were not chosen, in their order."""
        used = self.channels_used
        return [name for name in self.channels if name not in used]

    def select(self, names: Sequence[str]) -> None:
        """Use these channels alone.

        Raises:
            InvalidValueError: if none is named, if one is unknown, or if the model was not declared to choose its channels.
        """
        unknown = sorted(set(names) - set(self.channels))
        if self.selected is None or unknown or not names:
            raise InvalidValueError(
                f"cannot choose the channels {', '.join(names) or 'none'} of {', '.join(self.channels)}; "
                "a model with `channels: auto` chooses one of them or more"
            )
        self.selected.copy_(torch.tensor([float(name in names) for name in self.channels]))

    def visible(self, batch: Batch) -> Batch:
        """The batch as the trunk sees it: it lacks every channel that was not chosen, as if the modality were missing in all windows."""
        if not self.channels_unused:
            return batch
        reference = batch.values[self.channels[0]]
        none = torch.zeros(len(reference), dtype=torch.int64, device=reference.device)
        return Batch(batch.values, {**batch.lengths, **dict.fromkeys(self.channels_unused, none)})

    @property
    def unused(self) -> list[nn.Module]:
        """The modules that read a channel that was not chosen (``ModuleDict`` by channel in every fusion that has some)."""
        by_channel = [module for module in self.children() if isinstance(module, nn.ModuleDict)]
        return [modules[name] for modules in by_channel for name in self.channels_unused]

    def head(self, units: int, n_classes: int) -> nn.Module:
        """The layer that turns ``units`` features into logits (batch, n_classes)."""
        return nn.Linear(units, n_classes)

    def votes(self, features: Tensor) -> Tensor | None:
        """Logits of each channel's own classifier, (batch, n_channels, n_classes), read from the fused features; None if the fusion has none.

        If there are votes, the training loop gives each channel a loss of its own (``raylab.training.loop``).
        """
        return None

    def attention(self, batch: Batch) -> Tensor | None:
        """Weight of each channel in each window, (batch, n_channels), rows summing to 1 (to 0 if all channels are missing); None if the
        fusion does not weight channels window by window."""
        return None


class _Towers(Fusion):
    """A fusion with one tower (an encoder of its own) per channel, since channels differ in rate and in number of features."""

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.towers = nn.ModuleDict({name: ENCODERS[encoder].build(*shape, width) for name, shape in shapes.items()})
        self.units = {name: int(tower.n_out) for name, tower in self.towers.items()}  # type: ignore[arg-type]  # a module attribute: Tensor or Module to mypy

    def encode(self, batch: Batch) -> list[Tensor]:
        """Features of each channel, (batch, units), in the order of the channels; 0 in windows that lack the channel.

        The tower of a channel that was not chosen is not computed.
        """
        features, used = [], self.channels_used
        for name, tower in self.towers.items():
            if name not in used:
                features.append(batch.values[name].new_zeros(len(batch.values[name]), self.units[name]))
                continue
            lengths = batch.lengths.get(name)
            encoded = tower(batch.values[name], lengths)
            # Of an empty window a tower still gives its biases: they are set to 0 here, once for all encoders.
            features.append(encoded if lengths is None else encoded.masked_fill(lengths[:, None] == 0, 0.0))
        return features


@implements(FUSIONS["late"])
class Late(_Towers):
    """Late fusion, the study's: the towers' features are concatenated."""

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.n_out = sum(self.units.values())

    def forward(self, batch: Batch) -> Tensor:
        return torch.cat(self.encode(batch), dim=1)


@implements(FUSIONS["early"])
class Early(Fusion):
    """Early fusion: the channels are resampled to one time base (``raylab.models.timebase``) and share one encoder."""

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
    """Decision fusion: a linear classifier on each tower votes for a class.

    The fused features are the votes, (n_channels * n_classes) logits, followed by one flag per channel that says whether the window has it. The
    flags are needed because a missing vote is 0 for every class, which a head could not tell from an undecided one.

    A vote is trained by its own loss only, and the head sees the votes without a gradient back (``raylab.training.loop``). Otherwise
    the towers would be trained together as in ``late``, and a channel's vote would not be that channel's opinion.
    """

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.classifiers = nn.ModuleDict({name: nn.Linear(units, n_classes) for name, units in self.units.items()})
        self.n_classes = n_classes
        self.n_out = len(shapes) * (n_classes + 1)

    def forward(self, batch: Batch) -> Tensor:
        logits = [classify(x) for classify, x in zip(self.classifiers.values(), self.encode(batch), strict=True)]
        present = batch.present(self.channels)
        votes = torch.stack(logits, dim=1).masked_fill(~present[:, :, None], 0.0)
        return torch.cat([votes.flatten(1), present.to(votes.dtype)], dim=1)

    def votes(self, features: Tensor) -> Tensor | None:
        return features[:, : len(self.channels) * self.n_classes].reshape(len(features), len(self.channels), self.n_classes)


class WeightedAverage(nn.Module):
    """Head of ``weighted``: the average of the channels' probabilities, with one learned weight per channel (equal at the start).

    Its outputs are the logarithms of the averaged probabilities. A softmax leaves them as they are, so the loss and the prediction need no
    special case for this head. Sums of probabilities are computed by logsumexp, which does not underflow.
    """

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.n_channels, self.n_classes = n_channels, n_classes
        self.scores = nn.Parameter(torch.zeros(n_channels))

    def forward(self, features: Tensor) -> Tensor:
        votes, present = torch.split(features, [self.n_channels * self.n_classes, self.n_channels], dim=1)
        log_p = F.log_softmax(votes.reshape(len(votes), self.n_channels, self.n_classes), dim=2)
        weights = masked_softmax(self.scores_of(present), present > 0)
        # A missing channel has weight 0, whose logarithm has no gradient: 1e-30 takes its place and is negligible next to any other weight.
        return torch.logsumexp(log_p + torch.log(weights.clamp(min=1e-30))[:, :, None], dim=1)

    def scores_of(self, present: Tensor) -> Tensor:
        """The channels' scores for each row of ``present`` (batch, n_channels)."""
        return self.scores.expand_as(present)


@implements(FUSIONS["weighted"])
class Weighted(_Votes):
    """Decision fusion by a weighted average of the channels' probabilities; there is no feature vector for an adapter to adapt."""

    def head(self, units: int, n_classes: int) -> nn.Module:
        return WeightedAverage(len(self.channels), n_classes)


@implements(FUSIONS["stacked"])
class Stacked(_Votes):
    """Decision fusion by stacking: a linear classifier on the votes and the flags.

    It is fitted on the windows that the towers are trained on, as the simplest stacking is; inner folds for it would train every tower
    several times.
    """


@implements(FUSIONS["attention"])
class Attention(_Towers):
    """Attention over channels: each tower's features pass a dense layer of 128 (a token), and tokens are averaged with weights per window.

    Pooling after Ilse, Tomczak and Welling 2018 (attention-based deep multiple instance learning), equation 8, with channels as the
    instances of a bag. No layer mixes tokens before they are weighted: afterwards a weight would not tell which channel's information it weights.

    A weight says what the network used, not what would have been useful (measured in docs/decisions/0015-masks-and-fusion.md).
    """

    def __init__(self, shapes: Shapes, encoder: str, width: float, n_classes: int) -> None:
        super().__init__(shapes, encoder, width, n_classes)
        self.n_out = scaled(ATTENTION_UNITS, width)
        self.tokens = nn.ModuleDict({name: nn.Linear(units, self.n_out) for name, units in self.units.items()})
        self.hidden = nn.Linear(self.n_out, self.n_out)
        self.score = nn.Linear(self.n_out, 1, bias=False)  # a softmax ignores what is added to all scores, so no bias

    def _tokens_and_weights(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Tokens (batch, n_channels, n_out) and their weights (batch, n_channels)."""
        tokens = torch.stack([dense(x) for dense, x in zip(self.tokens.values(), self.encode(batch), strict=True)], dim=1)
        scores = self.score(torch.tanh(self.hidden(tokens)))[:, :, 0]
        return tokens, masked_softmax(scores, batch.present(self.channels))

    def forward(self, batch: Batch) -> Tensor:
        tokens, weights = self._tokens_and_weights(batch)
        return (weights[:, :, None] * tokens).sum(dim=1)

    def attention(self, batch: Batch) -> Tensor | None:
        return self._tokens_and_weights(batch)[1]


def masked_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Softmax over the last axis among the entries that are present; exactly 0 for all others, and for every entry if none is present.

    Args:
        scores: (..., n).
        present: (..., n) of bool.
    """
    # The smallest finite number, not minus infinity: a row without any entry would be 0 / 0. The product makes missing ones exactly 0.
    masked = scores.masked_fill(~present, torch.finfo(scores.dtype).min)
    return torch.softmax(masked, dim=-1) * present
