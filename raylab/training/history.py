"""``History``: a person's own unlabelled windows as a conditioning input.

The input of a window is the mean of the trunk's features over windows of the same person: those before it, the first share of them, or all. It
modulates the window's features (``raylab.models.added_parts.FiLM``). Training people are conditioned on their own windows as the target is on its
own, so what is learned is how to use a history, never whose it is. The trunk is frozen, so the input is the same in every epoch.

After the idea of conditioning on retrieved history of the same wearer (arXiv 2606.24985); without their retrieval: the mean of all windows that may
be seen.
"""

import numpy as np
import torch
from torch import Tensor

from raylab.folds.fold import RowIds
from raylab.models.estimators import People
from raylab.models.network import Network
from raylab.techniques.method import History, Which
from raylab.techniques.similarity import first_share
from raylab.training.batches import Signals
from raylab.training.gradient import Loop, Objective
from raylab.training.job import Job, TrainingError, TrainingResult, features_of


class HistoryReader:
    """Features of windows, and beside them the mean of the features of their person's history.

    Args:
        people: (n_windows,) who every row of the index is of.
        rows: the windows that a history may hold, rising.
        method: which of a person's windows those are, and for how many windows the mean of the training people counts.
    """

    def __init__(self, people: People, rows: RowIds, method: History) -> None:
        self.people, self.rows, self.method = people, rows, method

    def __call__(self, network: Network, signals: Signals, rows: RowIds, device: torch.device) -> Tensor:
        """(n, 2 n_fused): features, then the mean of the history, drawn to the centre of the training people's by prior / (n + prior)."""
        assert network.film is not None
        features = features_of(network, signals, rows, device)
        context = torch.empty_like(features)
        centre = network.film.centre.cpu().double()
        for person in np.unique(self.people[rows]):
            own = self.rows[self.people[self.rows] == person]
            of_own = features_of(network, signals, own, device).cpu().double()
            mine = np.flatnonzero(self.people[rows] == person)
            count = torch.from_numpy(counts_of_history(own, rows[mine], self.method.which))
            # Sums over the first 0, 1, 2, ... windows, in double precision: which windows follow must change no bit. On the processor, because a GPU
            # has no deterministic running sum.
            sums = torch.cat([torch.zeros_like(of_own[:1]), of_own.cumsum(dim=0)])
            mean = (sums[count] + self.method.prior * centre) / (count[:, None] + self.method.prior)
            context[torch.from_numpy(mine).to(device)] = mean.to(features)
        return torch.cat([features, context], dim=1)


def counts_of_history(own: RowIds, rows: RowIds, which: Which) -> RowIds:
    """How many of a person's windows ``own``, from the first, each of ``rows`` (n,) may look at."""
    if which == "past":
        return np.searchsorted(own, rows).astype(np.int64)
    return np.full(len(rows), len(first_share(own)) if which == "first" else len(own), dtype=np.int64)


def descend_with_history(job: Job) -> TrainingResult:
    """Train the modulation and the head on the training people, each conditioned on their own windows.

    Raises:
        TrainingError: if windows are changed at every step, as by augmentation: the input is computed once.
    """
    network, stage, method = job.network, job.stage, job.stage.method
    assert isinstance(method, History)
    assert network.film is not None
    if job.people is None:
        raise TrainingError(f"stage {stage.name} needs to know who windows are of")
    rows = np.union1d(stage.train, stage.validation)
    reader = HistoryReader(job.people, rows, method)
    of_train = features_of(network, job.signals, np.sort(stage.train), job.device)
    network.film.centre.copy_(of_train.mean(dim=0))
    people = job.people_of(np.sort(stage.train))
    own_means = torch.stack([of_train[torch.from_numpy(people == p).to(job.device)].mean(dim=0) for p in np.unique(people)])
    network.film.spread.copy_(own_means.std(dim=0, unbiased=False) + 1e-3 * of_train.std(dim=0, unbiased=False) + 1e-6)
    loop = Loop(job, Objective(job), reader)
    if loop.inputs.features is None:
        raise TrainingError(
            f"stage {stage.name}: a conditioning input is computed once, and augmentation, mixup or channel dropout change the windows at "
            f"every step; leave them out of protocol.stages.{stage.name}"
        )
    return loop.run(job.on_epoch)
