"""What no model at all would score: rows that stand in every table, untested."""

import zlib

import numpy as np
import numpy.typing as npt

MAJORITY, GUESS = "majority_class", "random_guess"
REFERENCES = (MAJORITY, GUESS)
GUESSES = 20


def majority(others: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """Probabilities (count, n_classes): all on the class that most windows of the other participants have (n_classes,)."""
    p = np.zeros((count, len(others)))
    p[:, int(others.argmax())] = 1.0
    return p


def guesses(n_classes: int, count: int, who: str) -> npt.NDArray[np.float64]:
    """Probabilities (GUESSES, count, n_classes) drawn at random, the same for the same ``who``; one draw alone is noisy."""
    return np.random.default_rng(zlib.crc32(who.encode())).dirichlet(np.ones(n_classes), (GUESSES, count))
