"""Which windows say the same: utterances of one transcript have one and the same linguistic channel."""

from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.windows.dataset import WindowIndex

UNKNOWN = -1
DECIMALS = 4  # of the statistics of an embedding, whose last bits may differ between processors


def linguistic(card: dict[str, Any]) -> tuple[str, ...]:
    """Names of the channels that hold what was said."""
    return tuple(channel["name"] for channel in card["channels"] if channel.get("modality") == "linguistic")


def transcripts(index: WindowIndex) -> npt.NDArray[np.int64] | None:
    """(n,) a number for each window's transcript, ``UNKNOWN`` where it has none; None for a dataset without a linguistic channel."""
    words = linguistic(index.card)
    if not words:
        return None
    said = np.concatenate([index.statistics[name] for name in words], axis=1).round(DECIMALS) + 0.0  # no -0.0
    _, numbers = np.unique(said, axis=0, return_inverse=True)
    return np.where(said.any(axis=1), numbers.reshape(-1), UNKNOWN).astype(np.int64)
