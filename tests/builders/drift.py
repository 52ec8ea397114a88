"""Cohorts with emotion, drift, both or neither, in one order or counterbalanced: the truths that an audit has to tell apart."""

from dataclasses import replace

import numpy as np

from builders.windows import make_windows, statistics
from raylab.windows.dataset import Windows

LENGTH = 8


def drifting(
    emotion: float, drift: float, counterbalanced: bool, seed: int, people: int = 12, each: int = 12, every: int = 2
) -> Windows:
    """One run of each class and person, class 1 second, or first for every other person (one in ``every``).

    Args:
        emotion: what class 1 adds to the signals of channel ``a``, in standard deviations of a window's mean.
        drift: what the whole recording adds, from its first window to its last.
        each: windows of each class.
    """
    rng = np.random.default_rng(seed)
    labels = {}
    for k in range(people):
        first = int(counterbalanced and k % every == 1)
        labels[f"P{k:02}"] = [first] * each + [1 - first] * each
    windows = make_windows(labels, length=LENGTH, seed=seed)
    y = windows.index.labels["stress"]
    time = np.tile(np.linspace(0, 1, 2 * each), people)
    level = emotion * y + drift * time + rng.normal(0, 1, len(y))
    signals = {
        name: (rng.normal(0, 1, values.shape) + (level[:, None, None] if name == "a" else 0)).astype(np.float32)
        for name, values in windows.signals.items()
    }
    described = {name: statistics(values) for name, values in signals.items()}
    return replace(windows, signals=signals, index=replace(windows.index, statistics=described))
