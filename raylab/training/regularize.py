"""Regularization: what keeps a network from learning its training people by heart. The study by Han et al. has none of it.

Everything here touches training steps only, and draws from a stream of its own, on the processor, so that training on a GPU draws the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch
from raylab.models.estimators import People
from raylab.strict_part import StrictPart


class Regularization(StrictPart):
    """The settings of a study's ``protocol: {regularization: {...}}``; 0 switches a kind off.

    Attributes:
        weight_decay: each step shrinks every trained weight by this share times the learning rate, apart from the gradient (Loshchilov and Hutter
            2019, Decoupled weight decay regularization, algorithm 2). Biases and batch norm shrink too, as in ``torch.optim.AdamW``.
        dropout: share of the fused features that are set to 0 before the adapter or head, the others scaled up (Srivastava et al. 2014).
        label_smoothing: share of a label that is spread evenly over all classes (Szegedy et al. 2016, Rethinking the Inception architecture,
            section 7). The validation loss is not smoothed.
        mixup: alpha of the Beta(alpha, alpha) distribution of the shares in which two windows of *different people* of a batch are mixed, and
            their labels with them (Zhang et al. 2018, mixup, equation 1). There any two windows are mixed; here the person is what is to
            be unlearned. A window without a partner, as in the calibration stage of one target, stays as it is.
        channel_dropout: probability that a channel of a window is dropped, as if the window lacked it; at least one stays (Neverova et al.
            2016, ModDrop, section 4.2, drops whole modalities so).
    """

    weight_decay: float = Field(0.0, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    mixup: float = Field(0.0, ge=0)
    channel_dropout: float = Field(0.0, ge=0, lt=1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, which are part of a stage's hash."""
        return self.model_dump()


@dataclass(frozen=True)
class Targets:
    """What a training step is to predict.

    Attributes:
        y: (batch,) class indexes.
        partner: (batch,) class index of the window that each window is mixed with; None if none is mixed.
        share: (batch,) share of the window itself in the mixture, 0 to 1.
        smoothing: share of each label that is spread over all classes.
        weight: (batch,) weight of each window in the mean; None: all alike.
    """

    y: Tensor
    partner: Tensor | None = None
    share: Tensor | None = None
    smoothing: float = 0.0
    weight: Tensor | None = None

    def losses(self, logits: Tensor) -> Tensor:
        """Cross-entropy of each of the logits (batch, n_classes), (batch,)."""
        own = F.cross_entropy(logits, self.y, label_smoothing=self.smoothing, reduction="none")
        if self.partner is None or self.share is None:
            return own
        other = F.cross_entropy(logits, self.partner, label_smoothing=self.smoothing, reduction="none")
        return self.share * own + (1 - self.share) * other

    def loss(self, logits: Tensor) -> Tensor:
        """Mean cross-entropy of logits (batch, n_classes)."""
        if self.weight is not None:
            return (self.weight * self.losses(logits)).mean()
        if self.partner is None:
            return F.cross_entropy(
                logits, self.y, label_smoothing=self.smoothing
            )  # one operation: its bits are those of stored stages
        return self.losses(logits).mean()

    def votes_loss(self, votes: Tensor) -> Tensor:
        """Mean cross-entropy of the channels' votes (batch, n_channels, n_classes).

        A missing channel's vote is the constant 0 for all classes: it has no gradient and only adds a constant to the loss.
        """
        return self._of_votes(votes.shape[1]).loss(votes.flatten(0, 1))

    def each_vote(self, votes: Tensor) -> tuple[Tensor, Tensor | None]:
        """The cross-entropy of each vote, (batch x n_channels,), and its weight."""
        targets = self._of_votes(votes.shape[1])
        return targets.losses(votes.flatten(0, 1)), targets.weight

    def _of_votes(self, n: int) -> "Targets":
        """The targets of ``n`` votes for each window."""
        partner, share, weight = (
            None if x is None else x.repeat_interleave(n) for x in (self.partner, self.share, self.weight)
        )
        return Targets(self.y.repeat_interleave(n), partner, share, self.smoothing, weight)


@dataclass(frozen=True)
class Regularizer:
    """Applies a regularization to training steps.

    Attributes:
        settings: the kinds and their strengths.
        generator: its own random stream.
    """

    settings: Regularization
    generator: np.random.Generator

    @property
    def changes_windows(self) -> bool:
        """Whether windows differ from step to step, so that no features can be computed beforehand."""
        return self.settings.mixup > 0 or self.settings.channel_dropout > 0

    def mixed(self, batch: Batch, targets: Targets, people: People) -> tuple[Batch, Targets]:
        """The batch with windows of different people mixed, and its targets mixed alike; both as they are without mixup.

        Args:
            people: (batch,) who each window is of.

        Raises:
            InvalidValueError: if windows are of variable length; a study that asks for it is refused before it runs.
        """
        if not self.settings.mixup:
            return batch, targets
        if batch.lengths:
            raise InvalidValueError("mixup adds windows sample by sample, and these have different lengths; leave mixup out")
        y, (partner, share) = targets.y, self._pairs(people)
        index, weight = torch.from_numpy(partner).to(y.device), torch.from_numpy(share).to(y.device, torch.float32)
        values = {name: _blend(x, x[index], weight) for name, x in batch.values.items()}
        return Batch(values), replace(targets, partner=y[index], share=weight)

    def without_some_channels(self, batch: Batch, channels: Sequence[str]) -> Batch:
        """The batch with channels dropped window by window; of those that a window has, at least one stays.

        Args:
            channels: the channels that the network uses.
        """
        if not self.settings.channel_dropout:
            return batch
        names = list(channels)
        present = batch.present(names)
        draws = torch.from_numpy(self.generator.random(tuple(present.shape))).to(present.device)
        # the largest draw among the channels that a window has is kept, whatever it is
        last = torch.where(present, draws, -1.0).argmax(dim=1, keepdim=True)
        dropped = (draws < self.settings.channel_dropout).scatter(1, last, False)
        lengths = dict(batch.lengths)
        for number, name in enumerate(names):
            full = torch.full((len(present),), batch.values[name].shape[1], dtype=torch.int64, device=present.device)
            lengths[name] = lengths.get(name, full).masked_fill(dropped[:, number], 0)
        return Batch(batch.values, lengths)

    def kept_features(self, n: int, n_features: int, device: torch.device) -> Tensor | None:
        """Factors (n, n_features) for the fused features: 0 for those that are dropped, 1 / (1 - dropout) for the others; None without."""
        share = self.settings.dropout
        if not share:
            return None
        kept = self.generator.random((n, n_features)) >= share
        return torch.from_numpy((kept / (1 - share)).astype(np.float32)).to(device)

    def _pairs(self, people: People) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """For each window (n,) a window of another person, drawn evenly, and its own share; itself, with a share of 1, if there is none.

        The numbers of draws do not depend on who is in the batch.
        """
        alpha, n = self.settings.mixup, len(people)
        share, draws = self.generator.beta(alpha, alpha, n), self.generator.random(n)
        others = people[:, None] != people[None, :]
        rank = np.floor(draws * others.sum(axis=1)).astype(np.int64)
        partner = (others & (np.cumsum(others, axis=1) - 1 == rank[:, None])).argmax(axis=1)
        alone = ~others.any(axis=1)
        return np.where(alone, np.arange(n), partner), np.where(alone, 1.0, share)


def _blend(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """share x + (1 - share) other, window by window; x itself, to the bit, for a share of 1."""
    weight = share.to(x.dtype)[:, None, None]
    return torch.where(weight == 1, x, weight * x + (1 - weight) * other)
