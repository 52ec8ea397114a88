"""One channel of a stream: the preprocessing of ``normalization: past``, sample by sample, with the numbers of the prepared windows."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, lfilter, lfilter_zi

from raylab.live.core.model_file import ModelChannel
from raylab.live.core.timestamp_alignment import finite_runs, measured
from raylab.windows.preprocess import Preprocessing, min_max

KEPT_WINDOWS = 8  # of samples; a channel that is further ahead of the others than this loses its oldest
ARRIVALS = 256  # chunks whose time of arrival is known

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChannelWindow:
    """A window of one channel.

    Attributes:
        values: normalized (length, n_features); 0 where a sample is missing.
        share: of its samples that are there. ``moves``: whether the signal does anything.
        arrived: when its last sample came in.
    """

    values: npt.NDArray[np.float32]
    share: float
    moves: bool
    arrived: float


class RunningChannel:
    """Low-pass, keep every k-th sample, running minimum and maximum; the last samples are kept for windows.

    Where samples are missing or no numbers their places are empty and the filter starts anew, at rest on the first sample that follows, as in
    prepared windows at the start of a segment: what it would ring with would stay in the running minimum and maximum for good.
    """

    def __init__(self, card: ModelChannel, settings: Preprocessing) -> None:
        self.card = card
        self.factor = round(card.recorded_hz / card.rate_hz)
        self.length = card.length
        self.capacity = KEPT_WINDOWS * card.length
        shape = (self.capacity, card.n_features)
        self._values, self._low, self._high = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._there = np.zeros(self.capacity, dtype=bool)
        self._least, self._most = np.full(card.n_features, np.inf), np.full(card.n_features, -np.inf)
        self._filter = butter(settings.lowpass_order, settings.lowpass_hz / (card.recorded_hz / 2)) if (
            card.recorded_hz / 2 > settings.lowpass_hz
        ) else None  # fmt: skip
        self._state: Signal | None = None
        self.head = 0  # place, at the target rate, behind the newest sample
        self.not_numbers = 0
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS)  # head, and when it came to be there

    def feed(self, index: int, samples: Signal, fresh: bool, arrived: float = 0.0) -> None:
        """Samples (n, n_features), at most a window of them, from a place at the recorded rate; ``fresh``: something is missing before them."""
        self._empty_to(-(-index // self.factor))
        for run in finite_runs(samples):
            if fresh or run.start:
                self._state = None
            self._run(index + run.start, samples[run])
            fresh = False
        good = measured(samples)
        self.not_numbers += int((~good).sum())
        if not good[-1]:
            self._state = None
        self._empty_to(-(-(index + len(samples)) // self.factor))
        self._arrivals.append((self.head, arrived))

    def _run(self, index: int, samples: Signal) -> None:
        """Samples without a hole."""
        broken = self._filter is not None and self._state is None
        first = -index % self.factor
        kept = self._filtered(samples)[first :: self.factor]
        if not len(kept):
            return
        place = (index + first) // self.factor
        if broken and place == self.head and place:
            self._there[(place - 1) % self.capacity] = (
                False  # what is missing lay between two places that are kept: it must be seen
            )
        self._empty_to(place)
        low = np.minimum(np.minimum.accumulate(kept), self._least)
        high = np.maximum(np.maximum.accumulate(kept), self._most)
        at = (place + np.arange(len(kept))) % self.capacity
        self._values[at], self._low[at], self._high[at], self._there[at] = kept, low, high, True
        self._least, self._most = low[-1], high[-1]
        self.head = place + len(kept)

    def _filtered(self, samples: Signal) -> Signal:
        if self._filter is None:
            return samples
        b, a = self._filter
        if self._state is None:
            self._state = lfilter_zi(b, a)[:, None] * samples[0]
        filtered, self._state = lfilter(b, a, samples, axis=0, zi=self._state)
        return np.asarray(filtered, dtype=np.float64)

    def _empty_to(self, place: int) -> None:
        """Nothing is there up to this place."""
        if place <= self.head:
            return
        at = np.arange(max(self.head, place - self.capacity), place) % self.capacity
        self._there[at] = False
        self.head = place

    def restart(self) -> None:
        """Another recording begins, as prepared windows begin a segment: at place 0 with a filter at rest; the range so far is kept."""
        self._there[:] = False
        self._arrivals.clear()
        self._state, self.head = None, 0

    def _arrived(self, place: int) -> float:
        """When the sample at a place came in."""
        return next((at for head, at in self._arrivals if head > place), 0.0)

    def take(self, first: int) -> ChannelWindow:
        """The window of ``length`` samples from a place at the target rate, by the minimum and maximum up to its end."""
        if self.head - first > self.capacity or first + self.length > self.head:
            return ChannelWindow(np.zeros((self.length, self.card.n_features), dtype=np.float32), 0.0, False, 0.0)
        at = (first + np.arange(self.length)) % self.capacity
        there = self._there[at]
        values = self._values[at]
        if not there.all():
            return ChannelWindow(np.zeros(values.shape, dtype=np.float32), float(there.mean()), False, 0.0)
        made = min_max(values, self._low[at[-1]][None], self._high[at[-1]][None]).astype(np.float32)
        moves = bool((values.min(axis=0) < values.max(axis=0)).all())
        return ChannelWindow(made, 1.0, moves, self._arrived(first + self.length - 1))
