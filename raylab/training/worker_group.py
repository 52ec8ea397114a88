"""Several workers that train one stage together: each takes its share of every batch, and their gradients are averaged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from raylab.folds.fold import RowIds

T = TypeVar("T")


@dataclass(frozen=True)
class WorkerGroup:
    """A worker's place among those that train together; alone unless told otherwise.

    With ``size`` above 1 torch's default process group must exist (gloo or nccl), and every worker must make the same calls in
    the same order: each of them waits for the others.

    What several workers change: nothing but the order of sums where a network has no dropout and no batch norm, so weights
    equal one worker's at the same global batch within float tolerance. Dropout draws other masks (the first worker's stream is the
    one a lone worker has, every other worker has its own). Batch norm normalizes each worker's share by itself, and the running
    statistics are those of the first worker's share. docs/decisions/0012-several-workers.md has it measured.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_leader(self) -> bool:
        """Whether this worker is the one that stores, predicts and writes."""
        return self.rank == 0

    def my_rows(self, rows: RowIds) -> tuple[RowIds, float]:
        """This worker's rows of a global batch, and the weight of their mean loss.

        DistributedDataParallel averages over workers as if their shares were equal; the weight makes it an average over windows. A worker
        without a share (the batch is smaller than the group) gets the first row with weight 0: the others wait for its gradients.
        """
        if self.size == 1:
            return rows, 1.0
        mine = np.array_split(rows, self.size)[self.rank]
        return (mine, self.size * len(mine) / len(rows)) if len(mine) else (rows[:1], 0.0)

    def my_batches(self, batches: list[RowIds]) -> list[RowIds]:
        """The batches that this worker evaluates."""
        return batches[self.rank :: self.size]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over the group whenever they are computed."""
        # the batch statistics matter at an epoch's end only: ``sync_buffers`` sends them once, not at every step
        return module if self.size == 1 else DistributedDataParallel(module, forward_sync_buffers=False)

    def sync_buffers(self, network: nn.Module) -> None:
        """The first worker's batch statistics for all: each has moved its own since the last step."""
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def all_reduce_sum(self, value: float, device: torch.device) -> float:
        """The sum over the group, the same to the bit on every worker."""
        if self.size == 1:
            return value
        found = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(found)
        return float(found)

    def broadcast_from_leader(self, find: Callable[[], T]) -> T:
        """What the first worker finds, on every worker: only it looks, so that no two can see different things."""
        if self.size == 1:
            return find()
        found = [find() if self.is_leader else None]
        distributed.broadcast_object_list(found, 0)
        return found[0]  # type: ignore[return-value]  # the broadcast filled it

    def gather_rows(self, rows: RowIds) -> RowIds:
        """The rows that any worker has, distinct and rising."""
        if self.size == 1:
            return np.unique(rows)
        parts: list[RowIds] = [rows] * self.size
        distributed.all_gather_object(parts, rows)
        return np.unique(np.concatenate(parts))


ALONE = WorkerGroup()
