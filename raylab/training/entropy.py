"""``EntropyMinimization``: a model that is made surer of what it predicts for unlabelled windows.

TENT (Wang et al. 2021, section 3) on scale and shift of the normalization layers. It can make a model sure of one class for everything, which no
label corrects: hence the warning of the technique that uses it. Departure: batch norm has fixed statistics, which a stage before has taken from the
same windows, so that one window's prediction does not depend on the others of its batch.
"""

import torch
from torch import Tensor

from raylab.folds.fold import RowIds
from raylab.training.gradient import Loop, Objective


def mean_entropy(logits: Tensor) -> Tensor:
    """Mean entropy, in nats, of the softmax of logits (n, n_classes)."""
    log_p = torch.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


class EntropyLoss(Objective):
    """The entropy of the predictions; no label is read."""

    def losses(self, loop: Loop, rows: RowIds) -> tuple[Tensor, Tensor]:
        output = loop.wrapped(self.job.signals.batch(rows, self.job.device))
        loss = mean_entropy(output.logits)
        return loss, loss
