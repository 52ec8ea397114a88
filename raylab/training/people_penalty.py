"""``PeoplePenalty``: training that is to hold for people who are not among the training people, with people as the domains.

As in DomainBed (Gulrajani and Lopez-Paz 2021, algorithms.py) where it has the algorithm; departures are named below. All of them leave the network's
architecture as it is, and validate on the plain cross-entropy of the validation people.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.folds.fold import RowIds
from raylab.models.keras_defaults import initialize
from raylab.techniques.method import PeoplePenalty
from raylab.training.gradient import Loop, Objective
from raylab.training.job import Job, TrainingResult

RUN = 8  # windows of one person in a row: a batch of 32 then has about four people with enough windows each to compare
UNITS = 64  # of the classifier of people


class OverPeople(Objective):
    """A loss that compares the people of a batch."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        assert isinstance(job.stage.method, PeoplePenalty)
        self.strength = job.stage.method.strength
        known = np.unique(job.people_of(job.stage.train))
        self.n_people = len(known)
        self.number = {int(person): k for k, person in enumerate(known)}

    def order(self, rows: RowIds, shuffle: np.random.Generator) -> RowIds:
        """Each person's windows in a new order, cut into runs of 8, and the runs of all people in a new order."""
        people = self.job.people_of(rows)
        runs: list[RowIds] = []
        for person in np.unique(people):
            own = shuffle.permutation(rows[people == person])
            runs += [own[i : i + RUN] for i in range(0, len(own), RUN)]
        return np.concatenate([runs[i] for i in shuffle.permutation(len(runs))])

    def people(self, rows: RowIds) -> Tensor:
        """(n,) number of each row's person among the training people."""
        return torch.tensor([self.number[int(person)] for person in self.job.people_of(rows)], device=self.job.device)

    def losses(self, loop: Loop, rows: RowIds) -> tuple[Tensor, Tensor]:
        output, targets = loop.output(rows)
        each, people = targets.losses(output.logits), self.people(rows)
        return each.mean(), self.trained(each, output.features, people, loop)

    def trained(self, each: Tensor, features: Tensor, people: Tensor, loop: Loop) -> Tensor:
        """The loss that is minimized.

        Args:
            each: (batch,) cross-entropy of each window.
            features: (batch, n_fused).
            people: (batch,) numbers of their people.
        """
        raise NotImplementedError


def means_over(people: Tensor, each: Tensor) -> tuple[Tensor, Tensor]:
    """Who is in the batch, (n,), and the mean of ``each`` (batch,) over their windows, (n,)."""
    present = torch.unique(people)
    return present, torch.stack([each[people == person].mean() for person in present])


class GroupDRO(OverPeople):
    """The worst person: weights q of people that grow as exp(0.01 x strength x loss) (Sagawa et al. 2020, algorithm 1).

    A batch has a few of the people, so the weights of those present are scaled to sum to 1.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.q = torch.full((self.n_people,), 1 / self.n_people, device=job.device)

    def trained(self, each: Tensor, features: Tensor, people: Tensor, loop: Loop) -> Tensor:
        present, losses = means_over(people, each)
        self.q[present] *= torch.exp(0.01 * self.strength * losses.detach())
        self.q /= self.q.sum()
        q = self.q[present]
        return (q / q.sum() * losses).sum()


class VREx(OverPeople):
    """Equal losses: the mean over people plus strength x their variance (Krueger et al. 2021, equation 8)."""

    def trained(self, each: Tensor, features: Tensor, people: Tensor, loop: Loop) -> Tensor:
        _, losses = means_over(people, each)
        return losses.mean() + self.strength * losses.var(unbiased=False)


class Coral(OverPeople):
    """Equal features: the cross-entropy plus strength x the mean squared difference of the features' means and covariances, over pairs of people
    (Sun and Saenko 2016, equation 1; means as in DomainBed). A person with one window in the batch has no covariance and is left out."""

    def trained(self, each: Tensor, features: Tensor, people: Tensor, loop: Loop) -> Tensor:
        groups = [features[people == person] for person in torch.unique(people)]
        moments = [(x.mean(dim=0), torch.cov(x.T)) for x in groups if len(x) > 1]
        pairs = [
            sum((one - other).square().mean() for one, other in zip(moments[i], moments[j], strict=True))
            for i in range(len(moments))
            for j in range(i)
        ]
        return each.mean() + (self.strength * torch.stack([torch.as_tensor(p) for p in pairs]).mean() if pairs else 0.0)


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -factor (Ganin et al. 2016, section 4.2)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None  # type: ignore[attr-defined]


def reversed_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself; what comes back through it is multiplied by -factor."""
    return torch.as_tensor(_Reversed.apply(x, factor))  # type: ignore[no-untyped-call]


class DANN(OverPeople):
    """Features that do not tell who: a classifier of people learns from the features, and its gradient reaches the trunk reversed (Ganin et al.
    2016).

    The factor rises to ``strength`` over the epochs that are allowed, as 2 / (1 + exp(-10 p)) - 1 (their section 5.2.2). The classifier is not
    stored.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.draws.integer("initial weights: classifier of people"))
            self.classifier = nn.Sequential(
                nn.Linear(job.network.trunk.n_out, UNITS), nn.ReLU(), nn.Linear(UNITS, self.n_people)
            )
            initialize(self.classifier)
        self.classifier.to(job.device)

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.classifier.parameters())

    def trained(self, each: Tensor, features: Tensor, people: Tensor, loop: Loop) -> Tensor:
        hyper = self.job.stage.hyper
        n = len(self.job.stage.train)
        progress = loop.result.steps / (hyper.epochs * -(-n // hyper.batch(n)))
        factor = self.strength * (2 / (1 + math.exp(-10 * progress)) - 1)
        return each.mean() + F.cross_entropy(self.classifier(reversed_gradient(features, factor)), people)


PENALTIES: Mapping[str, type[OverPeople]] = {"groupdro": GroupDRO, "vrex": VREx, "coral": Coral, "dann": DANN}


def descend_over_people(job: Job) -> TrainingResult:
    """Steps on the loss that the method names."""
    assert isinstance(job.stage.method, PeoplePenalty)
    return Loop(job, PENALTIES[job.stage.method.kind](job)).run(job.on_epoch)
