"""Signals seen from a moment in time: filters, events and statistics that use nothing after it, computed once for a whole session.

An event (a beat, a breath, a skin conductance response) is only seen some samples after it happened: a maximum is none before the signal
falls. So every event has the sample at which it is known, and a window counts the events that lie in it and are known before it ends. A
window's features are therefore the same bits whatever the signal does afterwards, though the session is filtered and searched once and not
once per window.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]
Samples = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """What was found in one signal, in the order of time.

    Attributes:
        at: (n,) sample at which each event is, between two samples if it was interpolated.
        known: (n,) first sample after those that tell of it; rises with the events.
        size: (n,) how far the signal rose to it.
    """

    at: Signal
    known: Samples
    size: Signal

    def within(self, begin: Samples, end: Samples) -> tuple[Samples, Samples]:
        """(m,) first and one past the last event of each stretch of samples [begin, end): those that are in it, and known in it."""
        first, last = np.searchsorted(self.at, begin), np.searchsorted(self.known, end, side="right")
        return first, np.maximum(first, last)


def forward(
    samples: Signal, rate_hz: float, band: Literal["low", "high", "band"], cut_hz: float | tuple[float, float], order: int
) -> Signal:
    """Butterworth over (n,) samples, forward only and at rest on the first one. One that also runs backward has no delay, and sees the future."""
    from scipy.signal import butter, sosfilt

    if not len(samples):
        return samples
    sos = butter(order, cut_hz, btype=band, fs=rate_hz, output="sos")
    start = samples[0] if band == "low" else 0.0
    # From 0, so that a signal that never moves stays exactly 0 behind a high-pass.
    return np.asarray(sosfilt(sos, samples - samples[0]) + start, dtype=np.float64)


def centred_mean(values: Signal, half: int) -> Signal:
    """Mean of (n,) values over those at most ``half`` samples away: it looks ``half`` samples ahead, which an event's ``known`` has to count."""
    edges = np.arange(len(values))
    begin, end = np.maximum(edges - half, 0), np.minimum(edges + half + 1, len(values))
    return Sums(values).mean(begin, end)


def trailing_mean(values: Signal, count: int) -> Signal:
    """Mean of the last ``count`` of (n,) values, fewer at the beginning."""
    end = np.arange(1, len(values) + 1)
    return Sums(values).mean(np.maximum(end - count, 0), end)


class Sums:
    """Sums over stretches [begin, end) of one series, as differences of running sums: no stretch, however long, costs a pass of its own.

    The series is taken relative to its first value, so that squares of a large offset do not swallow what moves.
    """

    def __init__(self, values: Signal) -> None:
        self.offset = float(values[0]) if len(values) else 0.0
        moved = values - self.offset
        self._moved, self._sum = moved, _running(moved)

    @cached_property
    def _squares(self) -> Signal:
        return _running(np.square(self._moved))

    @cached_property
    def _products(self) -> Signal:
        return _running(self._moved * np.arange(len(self._moved)))

    def mean(self, begin: Samples, end: Samples) -> Signal:
        """(m,) means; NaN of an empty stretch."""
        return self.offset + self._mean(begin, end)

    def sd(self, begin: Samples, end: Samples) -> Signal:
        """(m,) standard deviations; NaN of an empty stretch."""
        mean = self._mean(begin, end)
        variance = (self._squares[end] - self._squares[begin]) / count(begin, end) - np.square(mean)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def rms(self, begin: Samples, end: Samples) -> Signal:
        """(m,) roots of the mean square; NaN of an empty stretch."""
        return np.asarray(np.hypot(self.sd(begin, end), self.mean(begin, end)))

    def slope(self, begin: Samples, end: Samples) -> Signal:
        """(m,) least-squares slopes, per sample; NaN below two samples."""
        n, middle = count(begin, end), (begin + end - 1) / 2
        covariance = self._products[end] - self._products[begin] - middle * (self._sum[end] - self._sum[begin])
        return np.asarray(covariance / np.where(n > 1, n * (np.square(n) - 1) / 12, np.nan))

    def _mean(self, begin: Samples, end: Samples) -> Signal:
        return np.asarray((self._sum[end] - self._sum[begin]) / count(begin, end))


def count(begin: Samples, end: Samples) -> Signal:
    """(m,) number of samples of each stretch; NaN for none, so that what is divided by it is missing."""
    return np.where(end > begin, end - begin, np.nan)


def _running(values: Signal) -> Signal:
    return np.concatenate([[0.0], np.cumsum(values)])


def total(values: Signal, begin: Samples, end: Samples) -> Signal:
    """(m,) sums of the values of each stretch [begin, end); 0 for none."""
    running = _running(values)
    return np.asarray(running[np.maximum(end, begin)] - running[begin])


def stretches_of(mask: Mask) -> tuple[Samples, Samples]:
    """First, and one past the last, of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]


def swings(x: Signal, least: Signal) -> Events:
    """Maxima to which x (n,) rises by ``least`` (n,) from the lowest point since the one before, known once it has fallen by as much.

    Smaller ripples are part of a larger swing. Only turning points are looked at, so a slow signal at a high rate costs little.
    """
    if len(x) < 2:
        return Events(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0))
    steps = np.diff(x)
    moving = np.flatnonzero(steps)
    turns = moving[1:][np.diff(np.sign(steps[moving])) != 0]  # the last sample before x goes the other way
    found: list[tuple[int, int, float]] = []
    top, trough, rising = 0, float(x[0]), False
    for turn in [*turns.tolist(), len(x) - 1]:
        value = float(x[turn])
        if rising and value > x[top]:
            top = turn
        elif rising and x[top] - value >= least[turn]:
            fallen = top + int(np.argmax(x[top] - x[top : turn + 1] >= least[top : turn + 1]))
            found.append((top, fallen + 1, float(x[top]) - trough))
            trough, rising = value, False
        elif not rising and value < trough:
            trough = value
        elif not rising and value - trough >= least[turn]:
            top, rising = turn, True
    at, known, size = (np.array(column) for column in zip(*found, strict=True)) if found else (np.zeros(0),) * 3
    return Events(at.astype(np.float64), known.astype(np.int64), size.astype(np.float64))
