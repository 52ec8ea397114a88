"""The rate at which a channel really brings samples, measured from its time stamps."""

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

RATE_OVER_S, RATE_OVER_STEPS = 2.0, 4  # a rate is measured over at least so many seconds and steps from stamp to stamp
RATE_OFF = 0.2  # a rate that is off by this share is refused
FAR_TOO_HIGH, FAR_TOO_HIGH_STEPS = 8.0, 2  # times the rate, and steps in a row: then nothing more is waited for
MAX_STEPS = 10_000  # that are kept
UNITS = {1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}  # of stamps that make a rate too low by this factor


class RateMeter:
    """Measures the rate of one channel as the median of the rates from stamp to stamp, which neither a gap nor a clock that is set moves.

    Chunks are counted whole, as they come: pieces of a chunk have time stamps that were computed from the rate that is to be checked.

    Attributes:
        rate_hz: the rate that the channel should have.
        wrong: whether it has another one.
        suspect: whether the last step was at many times the rate: the chunk is not to be used until the next ones tell more.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.wrong, self.suspect = False, False
        self.measured_hz = 0.0
        self._rates: deque[tuple[float, float]] = deque(maxlen=MAX_STEPS)  # stamp, and the rate since the one before
        self._previous: tuple[float, int] | None = None  # the last stamp, and the samples since the stamp before that
        self._last_samples: npt.NDArray[Any] = np.zeros((0, 0))

    def add(self, time_s: float, samples: npt.NDArray[Any], n_dropped: int = 0) -> None:
        """Count a chunk.

        Args:
            n_dropped: samples between this chunk and the one before that raylab itself dropped.
        """
        if self._previous and time_s == self._previous[0] and np.array_equal(samples, self._last_samples, equal_nan=True):
            return  # it was sent twice
        self._last_samples, self.suspect = samples, False
        if self._previous and time_s == self._previous[0]:  # a coarse clock
            self._previous = time_s, self._previous[1] + n_dropped + len(samples)
            return
        if self._previous and time_s > self._previous[0]:
            rate_hz = (self._previous[1] + n_dropped) / (time_s - self._previous[0])
            self._rates.append((time_s, rate_hz))
            self.suspect = rate_hz > FAR_TOO_HIGH * self.rate_hz
        elif self._previous:  # overtaken, or the clock was set back
            self._rates = deque((step for step in self._rates if step[0] <= time_s), maxlen=MAX_STEPS)
        self._previous = time_s, len(samples)
        self._judge(time_s)

    def _judge(self, time_s: float) -> None:
        rates = self._rates
        while len(rates) > RATE_OVER_STEPS and time_s - rates[0][0] > RATE_OVER_S:
            rates.popleft()
        last = [rate for _, rate in rates][-FAR_TOO_HIGH_STEPS:]
        if len(last) == FAR_TOO_HIGH_STEPS and min(last) > FAR_TOO_HIGH * self.rate_hz:
            self.wrong, self.measured_hz = True, float(np.median(last))
        elif len(rates) >= RATE_OVER_STEPS and time_s - rates[0][0] >= RATE_OVER_S / 2:
            self.measured_hz = float(np.median([rate for _, rate in rates]))
            self.wrong = abs(self.measured_hz / self.rate_hz - 1) > RATE_OFF

    @property
    def hint(self) -> str:
        """What the time stamps seem to be, if they are too quick by the factor of a unit; otherwise empty."""
        factor = self.measured_hz / self.rate_hz
        unit = next((name for size, name in UNITS.items() if abs(factor / size - 1) <= RATE_OFF), "")
        return f", as if its time stamps were {unit}: send seconds" if unit else ""
