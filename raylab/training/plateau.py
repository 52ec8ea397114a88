"""When the learning rate falls and when training stops: Keras's rules, as in the study's public code (docs/protocol.md, Training)."""

import math

from raylab.training.protocol import Hyperparameters

PLATEAU_MIN_DELTA = 1e-4  # Keras's ReduceLROnPlateau; its EarlyStopping has 0


class Plateau:
    """Keras's ReduceLROnPlateau and EarlyStopping on the validation loss.

    The two keep separate best losses, because Keras asks the first for an improvement of at least 1e-4 and the second for any.

    Attributes:
        rate: the learning rate of the next step, before its decay.
    """

    def __init__(self, hyper: Hyperparameters) -> None:
        self.hyper = hyper
        self.rate = hyper.learning_rate
        self.plateau_best = self.best = math.inf
        self.plateau_wait = self.wait = 0

    def step(self, loss: float) -> tuple[bool, bool]:
        """Take in the validation loss of an epoch: whether it is the lowest so far, and whether training should stop."""
        if loss < self.plateau_best - PLATEAU_MIN_DELTA:
            self.plateau_best, self.plateau_wait = loss, 0
        else:
            self.plateau_wait += 1
            if self.plateau_wait >= self.hyper.plateau_patience:
                self.rate, self.plateau_wait = self.rate * self.hyper.plateau_factor, 0
        better = loss < self.best
        self.best, self.wait = (loss, 0) if better else (self.best, self.wait + 1)
        return better, self.wait >= self.hyper.patience
