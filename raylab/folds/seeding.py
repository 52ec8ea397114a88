"""Every random draw of a study comes from here (PROTOCOL, Draws)."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FoldSeeds:
    """Random streams of one fold. They depend on the fold and on the purpose, never on the technique, the variant or the order of trials
    and draws, so all techniques of a fold share validation participants, initial weights and shuffles (common random numbers) and a
    restart repeats them.

    Attributes:
        seed: of the study.
        target: the held-out participant, or all of them if several are held out (``raylab.folds.fold.Fold.held_out``).
    """

    seed: int
    dataset: str
    label: str
    target: str

    def integer(self, purpose: str) -> int:
        """A 63-bit seed for the purpose."""
        text = "\x1f".join([str(self.seed), self.dataset, self.label, self.target, purpose])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    def generator(self, purpose: str) -> np.random.Generator:
        """A fresh generator for the purpose: asking twice gives the same stream."""
        return np.random.default_rng(self.integer(purpose))
