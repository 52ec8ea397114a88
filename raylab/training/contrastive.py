"""``Contrastive``: a trunk that learns without labels to recognize a window in two changed versions of it.

SimCLR (Chen et al. 2020, equation 1 and algorithm 1) with raylab's augmentations of signals, and a projection of two dense layers that is left behind
after the stage.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.folds.fold import RowIds
from raylab.models.keras_defaults import initialize
from raylab.techniques.method import Contrastive
from raylab.training.augment import Augmentation, Augmenter
from raylab.training.gradient import Loop, Objective
from raylab.training.job import Job

VIEWS = Augmentation(noise=0.2, gain=0.3, shift=0.1, mask_time=0.3)  # part of the numerics: a change raises NUMERICS


def contrastive_loss(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Mean over all 2 n views of -log softmax of the similarity to the other view of the same window, among all views but itself.

    Args:
        one, other: (n, units) the two views of each window; similarity is their cosine divided by the temperature.
    """
    z = F.normalize(torch.cat([one, other]), dim=1)
    n = len(one)
    similarity = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(similarity, partner)


class ContrastiveLoss(Objective):
    """The loss of two views of each window of a batch; no label is read."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        assert isinstance(job.stage.method, Contrastive)
        self.method = job.stage.method
        units = self.method.units
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.draws.integer("initial weights: projection"))
            self.projection = nn.Sequential(nn.Linear(job.network.trunk.n_out, units), nn.ReLU(), nn.Linear(units, units))
            initialize(self.projection)
        self.projection.to(job.device)
        self.change = Augmenter(VIEWS, torch.Generator().manual_seed(job.draws.integer("views")))

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.projection.parameters())

    def losses(self, loop: Loop, rows: RowIds) -> tuple[Tensor, Tensor]:
        batch = self.job.signals.batch(rows, self.job.device)
        views = [self.projection(loop.network.features(self.change(batch))) for _ in range(2)]
        loss = contrastive_loss(views[0], views[1], self.method.temperature)
        return loss, loss
