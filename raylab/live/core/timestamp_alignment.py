"""Time stamps to indices: the place of each chunk on its channel's even grid of samples, despite gaps, jitter, drift and clock jumps."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.live.core.messages import Chunk, Note, Notify

GAP_S = 0.1  # stamps that are off by less than this are jitter
GAP_SAMPLES = 0.75  # the same for a slow channel, of which a sample lasts longer
DRIFT_RATE = 0.02  # share of each chunk's deviation that is taken for drift
SLIP_SAMPLES = 0.5  # of drift, at which a sample is repeated or dropped
RATE_OVER_S, RATE_OVER_STEPS = 2.0, 4  # a rate is measured over at least so many seconds and steps from stamp to stamp
RATE_OFF = 0.2  # a rate that is off by this share is refused
AHEAD_S = 2.0  # stamps ahead of all channels by more than this are a clock that was set, or a pause of all
LATE_S = 2.0  # if all samples are late for longer than this, the clock was set back
NOTE_AGAIN_S = 60.0  # late samples are noted once a minute
SAME_JUMP_S = 3.0  # clocks of channels that jump by amounts this close jumped together
LARGEST = 1e30  # a sample beyond this is no measurement: its square is no 32-bit number


@dataclass
class Timeline:
    """State that the channels of a stream share.

    Attributes:
        max_behind_s: how far a channel may be behind the furthest one when it first comes.
        origin_s: the first time stamp, from which windows are counted.
        newest_s: position of the furthest channel, counted from the origin.
        longest_chunk_s: length of the longest of the last chunks: a channel may be ahead by as much.
        shifts_s: shifts of clocks so far, the last one last.
    """

    max_behind_s: float
    origin_s: float | None = None
    newest_s: float = 0.0
    longest_chunk_s: float = 0.0
    shifts_s: list[float] = field(default_factory=lambda: [0.0])

    def add_chunk(self, seconds: float) -> None:
        """Take note of a chunk of this length."""
        self.longest_chunk_s = max(0.99 * self.longest_chunk_s, seconds)

    @property
    def max_ahead_s(self) -> float:
        """How far a channel may be ahead of the furthest one."""
        return max(AHEAD_S, 1.5 * self.longest_chunk_s)

    def shared_shift(self, shift_s: float) -> float:
        """The new shift of a clock: that of another channel if it is about the same, else this one."""
        shared = next((earlier for earlier in reversed(self.shifts_s) if abs(earlier - shift_s) <= SAME_JUMP_S), shift_s)
        self.shifts_s = [*[earlier for earlier in self.shifts_s if earlier != shared][-7:], shared]
        return shared


@dataclass(frozen=True)
class AlignedChunk:
    """Samples (n, n_features) with their index.

    Attributes:
        index: of the first sample, counted from the stream's origin at the channel's recorded rate.
        after_gap: whether samples are missing before them.
    """

    index: int
    samples: npt.NDArray[np.float64]
    after_gap: bool


class TimestampAligner:
    """Gives each chunk of one channel its index.

    A chunk that continues the one before, within jitter, does so to the sample. Clocks that run a little fast or slow are followed by repeating
    or dropping single samples. A gap leaves places empty. Late samples are dropped and counted. Stamps that cannot be of this stream (a clock that
    was set, a pause of everything) are shifted, together with those of other channels that jump by as much, and go on after an empty place. A
    channel with another rate than the model's is left out until it has the right one.

    Args:
        keep_every: one of so many samples is kept later: a break leaves as many places empty, so that it is seen there too.
    """

    def __init__(self, name: str, rate_hz: float, timeline: Timeline, notify: Notify, keep_every: int = 1) -> None:
        self.name, self.rate_hz, self.timeline, self._notify, self._keep_every = name, rate_hz, timeline, notify, keep_every
        self.tolerance = max(GAP_S * rate_hz, GAP_SAMPLES)
        self.next_index = -1  # of the next sample; -1 before the first
        self.shift_s = 0.0
        self.drift = 0.0  # samples
        self.wrong_rate = False
        self.counts: dict[str, int] = dict.fromkeys(("samples", "gaps", "late", "jumps", "slips"), 0)
        self._rates: deque[tuple[float, float]] = deque()  # stamp, and the rate since the one before
        self._previous: tuple[float, int] | None = None  # the last chunk's stamp, and the samples since the stamp before that
        self._last_samples: npt.NDArray[np.float64] = np.zeros((0, 0))
        self._late_samples = 0  # in a row
        self._late_noted_s = -np.inf
        self._after_gap = True

    def time_of(self, index: int) -> float:
        """The source's clock at an index."""
        return (self.timeline.origin_s or 0.0) + self.shift_s + index / self.rate_hz

    def align(self, chunk: Chunk) -> AlignedChunk | None:
        """The samples with their index; None if all are dropped."""
        samples = np.asarray(chunk.samples, dtype=np.float64)
        self.counts["samples"] += len(samples)
        timeline = self.timeline
        if timeline.origin_s is None:
            timeline.origin_s = chunk.time_s
        if self.next_index < 0:
            self._begin(chunk.time_s)
        elif self._is_jump(chunk.time_s):
            self._jump(chunk.time_s)
        elif self._is_late(chunk.time_s, samples):
            return None
        self._last_samples = samples
        if self._has_right_rate(chunk.time_s, len(samples)):
            aligned = self._append(samples, self._offset(chunk.time_s))
        else:
            self.next_index = max(self.next_index, round(self._index_at(chunk.time_s)))
            self._after_gap, aligned = True, None
        timeline.newest_s = max(timeline.newest_s, self.next_index / self.rate_hz)
        return aligned

    def _index_at(self, time_s: float) -> float:
        return (time_s - (self.timeline.origin_s or 0.0) - self.shift_s) * self.rate_hz

    def _offset(self, time_s: float) -> float:
        """Samples by which a stamp is later than the index after the last sample."""
        return self._index_at(time_s) - self.next_index

    def _begin(self, time_s: float) -> None:
        """Place the first chunk: by the other channels' clock or, if its clock has nothing to do with theirs, after their newest samples."""
        timeline = self.timeline
        self.shift_s, self.next_index = timeline.shifts_s[-1], 0
        position_s = self._index_at(time_s) / self.rate_hz
        if not timeline.newest_s - timeline.max_behind_s <= position_s <= timeline.newest_s + timeline.max_ahead_s:
            self.shift_s = timeline.shared_shift(self.shift_s + position_s - timeline.newest_s)
            self._note("has a clock of its own: it is taken to begin with what has just come of the others")
        self.next_index = max(0, round(self._index_at(time_s)))

    def _is_jump(self, time_s: float) -> bool:
        """Whether a stamp is far ahead of all channels (a channel that was away while others went on has not jumped), far back, or back for long."""
        timeline, position_s, own_s = self.timeline, self._index_at(time_s) / self.rate_hz, self.next_index / self.rate_hz
        ahead = position_s - max(timeline.newest_s, own_s) > timeline.max_ahead_s
        return ahead or own_s - position_s > timeline.max_behind_s or self._late_samples > LATE_S * self.rate_hz

    def _jump(self, time_s: float) -> None:
        """The clock was set, or all channels paused: the chunk is placed after the newest samples of all channels, after an empty place."""
        jump_s = self._index_at(time_s) / self.rate_hz - max(self.timeline.newest_s, self.next_index / self.rate_hz)
        self.counts["jumps"] += 1
        self._note(f"time stamps jump by {jump_s:+.1f} s (the clock was set, or the source paused); no window spans this")
        self.next_index += self._keep_every
        self.shift_s = self.timeline.shared_shift(self.shift_s + jump_s)
        self._rates.clear()
        self._previous, self._late_samples, self._after_gap = None, 0, True

    def _is_late(self, time_s: float, samples: npt.NDArray[np.float64]) -> bool:
        """Whether a chunk was sent twice or overtaken by a later one. Two chunks of one stamp have a coarse clock, unless their samples are equal."""
        previous_s = self._previous[0] if self._previous else -np.inf
        repeated = time_s == previous_s and np.array_equal(samples, self._last_samples, equal_nan=True)
        if not repeated and time_s >= previous_s:
            self._late_samples = 0
            return False
        if self.timeline.newest_s - self._late_noted_s > NOTE_AGAIN_S:
            self._late_noted_s = self.timeline.newest_s
            self._note("samples came late or twice, and are dropped")
        self._late_samples += len(samples)
        self.counts["late"] += len(samples)
        return True

    def _append(self, samples: npt.NDArray[np.float64], offset: float) -> AlignedChunk | None:
        if self._previous and self._previous[1] > len(samples) and not self._after_gap:
            offset = 0.0  # a stamp equal to the one before does not tell the place
        if offset > self.tolerance or (self._after_gap and offset > 0):
            self._leave_gap(offset)
        elif offset < -self.tolerance or (self._after_gap and offset < 0):
            late = min(len(samples), round(-offset))
            self.counts["late"] += late
            samples = samples[late:]
        elif not self._after_gap:
            samples = self._correct_drift(samples, offset)
        if not len(samples):
            return None
        aligned = AlignedChunk(self.next_index, samples, self._after_gap)
        self.next_index, self._after_gap = self.next_index + len(samples), False
        return aligned

    def _leave_gap(self, offset: float) -> None:
        """Leave the places of the missing samples empty."""
        if offset > self.tolerance:
            self.counts["gaps"] += 1
            self._note(f"{offset / self.rate_hz:.2f} s are missing")
        self.next_index += round(offset)
        self._after_gap, self.drift = True, 0.0

    def _correct_drift(self, samples: npt.NDArray[np.float64], offset: float) -> npt.NDArray[np.float64]:
        """Repeat or drop a sample if the mean deviation has grown to that: clocks differ a little."""
        self.drift += DRIFT_RATE * (offset - self.drift)
        if abs(self.drift) < SLIP_SAMPLES:
            return samples
        self.counts["slips"] += 1
        repeat, self.drift = self.drift > 0, 0.0
        return np.concatenate([samples[:1], samples]) if repeat else samples[1:]

    def _has_right_rate(self, time_s: float, n: int) -> bool:
        """Whether the median of the rates from stamp to stamp, which a gap does not move, is the model's."""
        if self._previous and time_s == self._previous[0]:
            self._previous = time_s, self._previous[1] + n
            return not self.wrong_rate
        if self._previous:
            previous_s, count = self._previous
            self._rates.append((time_s, count / (time_s - previous_s)))
        self._previous = time_s, n
        while len(self._rates) > RATE_OVER_STEPS and time_s - self._rates[0][0] > RATE_OVER_S:
            self._rates.popleft()
        if len(self._rates) < RATE_OVER_STEPS or time_s - self._rates[0][0] < RATE_OVER_S / 2:
            return not self.wrong_rate
        rate_hz = float(np.median([rate for _, rate in self._rates]))
        wrong_rate = abs(rate_hz / self.rate_hz - 1) > RATE_OFF
        if wrong_rate != self.wrong_rate:
            rates = f"{rate_hz:.3g} samples a second, the model needs {self.rate_hz:g}"
            self._note(
                f"brings {rates}: it is left out until it does" if wrong_rate else f"has its rate of {self.rate_hz:g} Hz again"
            )
        self.wrong_rate = wrong_rate
        return not wrong_rate

    def _note(self, text: str) -> None:
        self._notify(Note(self.name, text))


def is_measurement(samples: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each of the samples (n, n_features) is a measurement in every feature: no NaN, no infinity, no absurd value. Shape (n,)."""
    return np.asarray((np.abs(samples) < LARGEST).all(axis=1))


def finite_runs(samples: npt.NDArray[Any]) -> Iterator[slice]:
    """Runs of consecutive samples (n, n_features) that are all measurements."""
    valid = np.concatenate([[False], is_measurement(samples), [False]])
    edges = np.flatnonzero(valid[1:] != valid[:-1])
    yield from (slice(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True))
