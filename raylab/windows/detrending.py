"""Slow drift taken out of a channel by what it was before: nothing after a sample changes it, so a stream can have the same.

The mean or the median goes on over the recording's segments: the level of a channel is the person's, and the next segment starts from it. The
time between segments, of which there are no samples, does not count.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]
Detrend = Literal["none", "high_pass", "running_median"]
DETREND_S = 300.0


class HighPass:
    """Samples less their running mean, which forgets by a factor e in so many seconds: a high-pass filter of order 1.

    The mean begins at the first sample. Chunks of a signal give what the whole gives, to the bit.
    """

    def __init__(self, seconds: float, rate_hz: float) -> None:
        self._kept = float(np.exp(-1 / (seconds * rate_hz)))  # of the mean, from one sample to the next
        self._state: Signal | None = None

    def __call__(self, samples: Signal) -> Signal:
        """The next samples (n, n_features), less the mean that includes them."""
        from scipy.signal import lfilter

        if not len(samples):
            return samples
        state = self._kept * samples[:1] if self._state is None else self._state
        mean, self._state = lfilter([1 - self._kept], [1, -self._kept], samples, axis=0, zi=state)
        return np.asarray(samples - mean)


def running_median(samples: Signal, seconds: float, rate_hz: float) -> Signal:
    """Samples (n, n_features) less the median of each one and of those before it in so many seconds (fewer at the start)."""
    import pandas as pd

    width = max(1, round(seconds * rate_hz))
    return np.asarray(samples - pd.DataFrame(samples).rolling(width, min_periods=1).median().to_numpy())


def detrended(parts: list[Signal], detrend: Detrend, seconds: float, rate_hz: float) -> list[Signal]:
    """The segments of a channel without its slow drift.

    Args:
        parts: a signal per segment, (n_samples, n_features).
        seconds: time constant of ``high_pass``, length of ``running_median``.
    """
    if detrend == "none":
        return parts
    joined = np.concatenate(parts)
    flat = HighPass(seconds, rate_hz)(joined) if detrend == "high_pass" else running_median(joined, seconds, rate_hz)
    return np.split(flat, np.cumsum([len(part) for part in parts])[:-1])
