"""A group of workers that train one stage together (torch's DistributedDataParallel, DDP).

Each worker takes its share of every batch, and gradients are averaged, so that the group takes the steps that one worker would take. The class
hides DDP from the training loop: for a single worker every method is the identity, and the loop has no second path.
docs/decisions/0012-several-workers.md has the measurements.
"""

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
    """The place of a worker in its group; by default a group of one.

    With ``size`` above 1 torch's default process group must exist (gloo or nccl), and every worker must make the same calls in the same
    order, because each call waits for all workers. So a branch of the training loop may depend only on values that are equal on all of them.

    What changes with several workers:

    - Without dropout and batch norm only the order of sums: weights equal those of one worker at the same global batch within float tolerance.
    - Dropout draws other masks. The leader's stream is that of a lone worker; every other worker has its own.
    - Batch norm normalizes each worker's share by itself, and the running statistics are those of the leader's shares. SyncBatchNorm, which would
      use the whole batch, exists on CUDA only.

    Attributes:
        rank: number of this worker, 0 to size - 1; 0 is the leader.
        size: number of workers.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_leader(self) -> bool:
        """Whether this is the one worker that stores weights, predicts and writes."""
        return self.rank == 0

    def my_rows(self, rows: RowIds) -> tuple[RowIds, float]:
        """This worker's rows of a global batch, and the factor by which to multiply their mean loss.

        DDP averages gradients over workers as if their shares were equal, but shares differ by up to one window. The factor
        (size * share / batch) makes the result the average over windows.

        A worker without a share, if the batch is smaller than the group, gets the first row with factor 0. It has to compute gradients, of zero,
        because the others wait for them.
        """
        if self.size == 1:
            return rows, 1.0
        share = np.array_split(rows, self.size)[self.rank]
        return (share, self.size * len(share) / len(rows)) if len(share) else (rows[:1], 0.0)

    def my_batches(self, batches: list[RowIds]) -> list[RowIds]:
        """The batches that this worker evaluates: every ``size``-th. Workers may have unequal numbers of them, even none."""
        return batches[self.rank :: self.size]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over the group in every backward pass."""
        # By default DDP sends the buffers (batch statistics) at every forward pass. Training does not read them: once an epoch is enough.
        return module if self.size == 1 else DistributedDataParallel(module, forward_sync_buffers=False)

    def sync_buffers(self, network: nn.Module) -> None:
        """Give every worker the leader's batch statistics, in place, so that all evaluate the same network.

        Each worker has moved its own during the epoch. Called at the end of an epoch, before validation.
        """
        if self.size > 1:
            for buffer in network.buffers():
                distributed.broadcast(buffer, 0)

    def all_reduce_sum(self, value: float, device: torch.device) -> float:
        """The sum of ``value`` over the group, equal to the bit on every worker: decisions to stop or to lower the rate depend on it.

        Args:
            device: the device to sum on; nccl sums on a GPU only.
        """
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.all_reduce(total)
        return float(total)

    def broadcast_from_leader(self, compute: Callable[[], T]) -> T:
        """The result of ``compute`` on the leader, given to every worker.

        For everything that two workers could see differently: a clock, or a file that appears between two looks. Workers that then took different
        branches would wait for each other for ever.
        """
        if self.size == 1:
            return compute()
        result = [compute() if self.is_leader else None]
        distributed.broadcast_object_list(result, 0)
        return result[0]  # type: ignore[return-value]  # the broadcast filled it

    def gather_rows(self, rows: RowIds) -> RowIds:
        """The rows that any worker of the group has, each once, rising; on every worker."""
        if self.size == 1:
            return np.unique(rows)
        parts: list[RowIds] = [rows] * self.size
        distributed.all_gather_object(parts, rows)
        return np.unique(np.concatenate(parts))


ALONE = WorkerGroup()
