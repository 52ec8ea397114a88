"""``Episodes``: base training that looks for weights from which one person is learned in a few steps.

Reptile (Nichol, Achiam and Schulman 2018, algorithm 1): from weights t, a few steps on one person lead to p, and the weights move to t + step (p -
t). An episode goes once through the person's windows; its optimizer starts anew (Adam without momentum, as theirs). An epoch is one episode of
every training person, in a new order. Departures: the outer step does not fall over the training, since the plateau of the protocol lowers the
inner rate; batch statistics are not drawn back, since they are averages already.
"""

import numpy as np
import torch

from raylab.models.keras_defaults import ADAM_EPSILON
from raylab.techniques.method import Episodes
from raylab.training.gradient import Loop, Objective
from raylab.training.job import Job, TrainingResult


class EpisodeLoop(Loop):
    """The loop whose epoch is an episode of every person."""

    def epoch(self) -> float:
        """One episode of every training person; the mean loss over windows."""
        method, job = self.stage.method, self.objective.job
        assert isinstance(method, Episodes)
        people = job.people_of(self.stage.train)
        parameters = self.network.set_trainable(self.stage.trainable)
        total = 0.0
        for person in self.shuffle.permutation(np.unique(people)):
            rows = self.shuffle.permutation(self.stage.train[people == person])
            before = [parameter.detach().clone() for parameter in parameters]
            self.optimizer = torch.optim.Adam(parameters, lr=self.plateau.rate, betas=(0.0, 0.999), eps=ADAM_EPSILON)
            size = min(self.stage.hyper.batch_size, len(rows))
            self.inputs.expect([rows])
            for start in range(0, len(rows), size):
                total += self.step(rows[start : start + size], 1.0)
            with torch.no_grad():
                for parameter, old in zip(parameters, before, strict=True):
                    parameter.copy_(old + method.step * (parameter - old))
        return total / len(self.stage.train)


def descend_by_episodes(job: Job) -> TrainingResult:
    """Episodes until early stopping."""
    return EpisodeLoop(job, Objective(job)).run(job.on_epoch)
