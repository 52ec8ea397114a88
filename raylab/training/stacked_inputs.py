"""Batches of a stack: the members' windows in turn, their targets, and what a step changes of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raylab.folds.fold import RowIds
from raylab.models.batch import Batch
from raylab.models.stacked_layers import Members
from raylab.training.gradient import Inputs
from raylab.training.regularize import Targets
from raylab.training.resident import Resident


class StackedInputs:
    """The input of a stacked network for rows (batch, k): column j has the rows of the member at ``positions[j]``.

    Three ways, with the same outcome as the members' own ``Inputs``: windows gathered for all members at once; trunk features that were computed
    once, gathered alike; and, if steps change windows, targets or features (augmentation, regularization), each member's own way, put together.
    """

    def __init__(self, inputs: Sequence[Inputs], resident: Resident) -> None:
        self.inputs, self.resident = list(inputs), resident
        first = self.inputs[0]
        self.device = first.device
        self.changed = first.changes.augmenter is not None or first.changes.regularizer is not None
        self.y = torch.stack([own.y for own in self.inputs])
        weights = [own.weights for own in self.inputs if own.weights is not None]
        self.weights = torch.stack(weights) if weights else None
        self.features = (
            None if first.features is None else torch.cat([own.features for own in self.inputs if own.features is not None])
        )
        counts = [0 if own.features is None else len(own.features) for own in self.inputs]
        self.offsets = np.concatenate([[0], np.cumsum(counts)])[:-1]

    def keep(self, positions: Sequence[int]) -> "StackedInputs":
        """Those of some of the members."""
        return StackedInputs([self.inputs[k] for k in positions], self.resident)

    def for_step(
        self, positions: Sequence[int], rows: RowIds, members: Members
    ) -> tuple[Tensor | Batch, Targets, Tensor | None]:
        """As ``Inputs.for_step``; tells the dropout how long each member's own batch is."""
        if self.changed:
            return self._each_by_itself(positions, rows, members)
        inputs = self.of(positions, rows)
        if isinstance(inputs, Batch) and inputs.lengths:
            shape = rows.shape
            members.longest = {name: n.view(shape).amax(dim=0).clamp(min=1).tolist() for name, n in inputs.lengths.items()}
        return inputs, Targets(self._of_rows(self.y, positions, rows), weight=self._weights(positions, rows)), None

    def of(self, positions: Sequence[int], rows: RowIds) -> Tensor | Batch:
        """Windows, or features (batch x k, n_fused), of these rows; nothing is changed."""
        if self.features is None:
            return self.resident.gather(rows.reshape(-1))
        places = [np.searchsorted(self.inputs[k].rows, rows[:, j]) + self.offsets[k] for j, k in enumerate(positions)]
        return self.features.index_select(0, torch.from_numpy(np.stack(places, axis=1).reshape(-1)).to(self.device))

    def validation_losses(self, logits: Tensor, positions: Sequence[int], rows: RowIds) -> Tensor:
        """The cross-entropy of each row (batch, k), weighted as in training; never smoothed."""
        losses = F.cross_entropy(logits, self._of_rows(self.y, positions, rows), reduction="none")
        weights = self._weights(positions, rows)
        return (losses if weights is None else weights * losses).view(rows.shape)

    def _weights(self, positions: Sequence[int], rows: RowIds) -> Tensor | None:
        return None if self.weights is None else self._of_rows(self.weights, positions, rows)

    def _of_rows(self, values: Tensor, positions: Sequence[int], rows: RowIds) -> Tensor:
        """The entries of (K, n_windows) for these rows, (batch x k,)."""
        index = rows + np.asarray(positions)[None, :] * values.shape[1]
        return values.view(-1).index_select(0, torch.from_numpy(index.reshape(-1)).to(self.device))

    def _each_by_itself(
        self, positions: Sequence[int], rows: RowIds, members: Members
    ) -> tuple[Tensor | Batch, Targets, Tensor | None]:
        parts = [
            self.inputs[k].for_step(
                rows[:, j].copy(),
            )
            for j, k in enumerate(positions)
        ]
        inputs, targets, kept = zip(*parts, strict=True)
        first = targets[0]
        together = Targets(
            _in_turn([t.y for t in targets]),
            None if first.partner is None else _in_turn([t.partner for t in targets]),
            None if first.share is None else _in_turn([t.share for t in targets]),
            first.smoothing,
            None if first.weight is None else _in_turn([t.weight for t in targets]),
        )
        factors = None if kept[0] is None else _in_turn(list(kept))
        if isinstance(inputs[0], Tensor):
            return _in_turn(list(inputs)), together, factors
        members.longest = {name: [batch.values[name].shape[1] for batch in inputs] for name in inputs[0].lengths}
        return _batches_in_turn(inputs), together, factors


def _in_turn(parts: Sequence[Tensor]) -> Tensor:
    """(batch x k, ...) from k tensors (batch, ...)."""
    return torch.stack(list(parts), dim=1).flatten(0, 1)


def _batches_in_turn(batches: Sequence[Batch]) -> Batch:
    """The windows of k batches in turn, filled with 0 to the longest batch."""
    values = {}
    for name in batches[0].values:
        parts = [batch.values[name] for batch in batches]
        longest = max(part.shape[1] for part in parts)
        values[name] = _in_turn([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])
    return Batch(values, {name: _in_turn([batch.lengths[name] for batch in batches]) for name in batches[0].lengths})
