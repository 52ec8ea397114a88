"""`python -m raylab.features.fill_numba_cache FOLDER`: compile into an empty folder what raylab uses of librosa, and seal it."""

import sys
from pathlib import Path

import numpy as np

from raylab.features import numba_cache
from raylab.features.acoustic import ACOUSTIC
from raylab.features.sound import RATE_HZ, standard, trimmed

SECONDS, STEP_MS = 1.0, 10.0


def fill(folder: Path) -> None:
    """Compute every representation of one second of noise once: that compiles everything that raylab calls."""
    numba_cache.read_only(folder, filling=True)
    noise = np.random.default_rng(0).normal(0, 0.1, (round(SECONDS * RATE_HZ * 3), 2))
    sound = trimmed(standard(noise, RATE_HZ * 3, 0.0, folder), 40.0, SECONDS)
    for features in ACOUSTIC.values():
        features.frames(sound.samples, features.hop(STEP_MS))
    numba_cache.seal(folder)


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
