"""Preprocessing of one channel of a stream, chunk by chunk: ``normalization: past``, with or without ``detrend: high_pass``, with the values of
prepared windows to the bit."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter, lfilter_zi

from raylab.live.core.model_card import ModelChannel
from raylab.live.core.timestamp_alignment import finite_runs, is_measurement
from raylab.windows.detrending import HighPass
from raylab.windows.normalization import min_max
from raylab.windows.preprocess import Preprocessing

KEPT_WINDOWS = 8  # of samples; a channel that is further ahead of the others than this loses its oldest samples
MAX_ARRIVALS = 256  # chunks of which the time of receipt is kept

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChannelWindow:
    """A window of one channel.

    Attributes:
        values: normalized (length, n_features); all 0 if a sample is missing.
        present_share: of its samples.
        varies: whether every feature of the signal varies in the window.
        arrived: when its last sample was received.
    """

    values: npt.NDArray[np.float32]
    present_share: float
    varies: bool
    arrived: float


class RunningChannel:
    """Low-pass filter, decimation, high-pass (if the study had it) and running minimum and maximum; the last samples are kept for windows.

    If samples are missing or invalid, their places stay empty and the filter starts again, at rest on the first sample after them, as in prepared
    windows at the start of a segment. Otherwise the filter's transient would stay in the running minimum and maximum for good.
    """

    def __init__(self, card: ModelChannel, settings: Preprocessing) -> None:
        self.card = card
        self.factor = round(card.recorded_hz / card.rate_hz)
        self.length = card.length
        self.capacity = KEPT_WINDOWS * card.length
        shape = (self.capacity, card.n_features)
        self._values, self._running_min, self._running_max = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._present = np.zeros(self.capacity, dtype=bool)
        self._minimum, self._maximum = np.full(card.n_features, np.inf), np.full(card.n_features, -np.inf)
        self._filter = butter(settings.lowpass_order, settings.lowpass_hz / (card.recorded_hz / 2)) if (
            card.recorded_hz / 2 > settings.lowpass_hz
        ) else None  # fmt: skip
        self._filter_state: Signal | None = None
        self._high_pass = HighPass(settings.detrend_s, card.rate_hz) if settings.detrend == "high_pass" else None
        self.head = 0  # index after the newest sample, at the target rate
        self.n_invalid = 0  # samples
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=MAX_ARRIVALS)  # head, and when it was reached

    def feed(self, index: int, samples: Signal, after_gap: bool, arrived: float = 0.0) -> None:
        """Add samples (n, n_features), at most a window of them.

        Args:
            index: of the first sample, at the recorded rate.
            after_gap: whether samples are missing before them.
        """
        self._leave_empty_to(-(-index // self.factor))
        for run in finite_runs(samples):
            if after_gap or run.start:
                self._filter_state = None
            self._append(index + run.start, samples[run])
            after_gap = False
        valid = is_measurement(samples)
        self.n_invalid += int((~valid).sum())
        if not valid[-1]:
            self._filter_state = None
        self._leave_empty_to(-(-(index + len(samples)) // self.factor))
        self._arrivals.append((self.head, arrived))

    def _append(self, index: int, samples: Signal) -> None:
        """Add samples without a gap among them."""
        restarted = self._filter is not None and self._filter_state is None
        first = -index % self.factor
        decimated = self._low_pass(samples)[first :: self.factor]
        if not len(decimated):
            return
        place = (index + first) // self.factor
        if restarted and place == self.head and place:
            # the missing samples lay between two that are kept: the gap must not go unseen
            self._present[(place - 1) % self.capacity] = False
        self._leave_empty_to(place)
        if self._high_pass is not None:  # its mean goes on after a gap, as over the segments of prepared windows
            decimated = self._high_pass(decimated)
        running_min = np.minimum(np.minimum.accumulate(decimated), self._minimum)
        running_max = np.maximum(np.maximum.accumulate(decimated), self._maximum)
        slots = (place + np.arange(len(decimated))) % self.capacity
        self._values[slots], self._present[slots] = decimated, True
        self._running_min[slots], self._running_max[slots] = running_min, running_max
        self._minimum, self._maximum = running_min[-1], running_max[-1]
        self.head = place + len(decimated)

    def _low_pass(self, samples: Signal) -> Signal:
        if self._filter is None:
            return samples
        b, a = self._filter
        if self._filter_state is None:
            self._filter_state = lfilter_zi(b, a)[:, None] * samples[0]
        filtered, self._filter_state = lfilter(b, a, samples, axis=0, zi=self._filter_state)
        return np.asarray(filtered, dtype=np.float64)

    def _leave_empty_to(self, place: int) -> None:
        """Mark the places from the head to this one as missing."""
        if place <= self.head:
            return
        slots = np.arange(max(self.head, place - self.capacity), place) % self.capacity
        self._present[slots] = False
        self.head = place

    def restart(self) -> None:
        """Begin a segment, as prepared windows do: at place 0 with the filter at rest; minimum and maximum so far are kept."""
        self._present[:] = False
        self._arrivals.clear()
        self._filter_state, self.head = None, 0

    def rewind(self, place: int) -> None:
        """Forget all samples, and go on at a place before or after the newest one: what came was not what it was taken for."""
        self._present[:] = False
        self._arrivals.clear()
        self._filter_state, self.head = None, place

    def _arrival_of(self, place: int) -> float:
        """When the sample at a place was received."""
        return next((arrived for head, arrived in self._arrivals if head > place), 0.0)

    def window(self, first: int) -> ChannelWindow:
        """The window of ``length`` samples from a place at the target rate, normalized by the minimum and maximum up to its end."""
        if self.head - first > self.capacity or first + self.length > self.head:
            return ChannelWindow(np.zeros((self.length, self.card.n_features), dtype=np.float32), 0.0, False, 0.0)
        slots = (first + np.arange(self.length)) % self.capacity
        present = self._present[slots]
        values = self._values[slots]
        if not present.all():
            return ChannelWindow(np.zeros(values.shape, dtype=np.float32), float(present.mean()), False, 0.0)
        normalized = min_max(values, self._running_min[slots[-1]][None], self._running_max[slots[-1]][None]).astype(np.float32)
        varies = bool((values.min(axis=0) < values.max(axis=0)).all())
        return ChannelWindow(normalized, 1.0, varies, self._arrival_of(first + self.length - 1))
