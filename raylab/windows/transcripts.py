"""Windows of one transcript: utterances of the same words have one and the same linguistic channel."""

import numpy as np
import numpy.typing as npt

from raylab.windows.dataset import WindowIndex

UNKNOWN = -1
CLOSE = 1e-3  # statistics of one embedding: their last bits may differ between processors


def transcripts(index: WindowIndex) -> npt.NDArray[np.int64] | None:
    """(n,) a number for each window's transcript, ``UNKNOWN`` if it has none; None for a dataset without a linguistic channel."""
    channels = index.card.linguistic_channels
    if not channels:
        return None
    words = np.concatenate([index.statistics[name] for name in channels], axis=1)
    different, numbers = np.unique(words, axis=0, return_inverse=True)
    first = np.arange(len(different))
    for row in range(1, len(different)):
        near = np.flatnonzero(np.abs(different[:row] - different[row]).max(axis=1) < CLOSE)
        first[row] = first[near[0]] if len(near) else row
    return np.where(words.any(axis=1), first[numbers.reshape(-1)], UNKNOWN).astype(np.int64)
