"""Time stamps to indices: the place of each chunk on its channel's even grid of samples, despite gaps, jitter, drift and clock jumps."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.live.core.messages import Chunk, Note, Notify, is_time
from raylab.live.core.rate_meter import RateMeter

GAP_S = 0.1  # stamps that are off by less than this are jitter
GAP_SAMPLES = 0.75  # the same for a slow channel, of which a sample lasts longer
DRIFT_RATE = 0.02  # share of each chunk's deviation that is taken for drift
SLIP_SAMPLES = 0.5  # of drift, at which a sample is repeated or dropped
AHEAD_S = 2.0  # stamps ahead of all channels by more than this are a clock that was set, or a pause of all
LATE_S = 2.0  # if all samples are late for longer than this, the clock was set back
NOTE_AGAIN_S = 60.0  # late samples are noted once a minute
SAME_JUMP_S = 3.0  # clocks of channels that jump by amounts this close jumped together
MOST_OWN_DROPS = 256  # stretches that raylab dropped, of which the places are kept
LARGEST = 1e30  # a sample beyond this is no measurement: its square is no 32-bit number


@dataclass
class Timeline:
    """State that the channels of a stream share.

    Attributes:
        max_behind_s: how far a channel may be behind the furthest one when it first comes.
        origin_s: the first time stamp, from which windows are counted.
        floor_s: position from which windows are still to be made; the stream is never taken to be before it.
        longest_chunk_s: length of the longest of the last chunks: a channel may be ahead by as much.
        shifts_s: shifts of clocks so far, the last one last.
        positions_s: channel to its position, counted from the origin.
    """

    max_behind_s: float
    origin_s: float | None = None
    floor_s: float = 0.0
    longest_chunk_s: float = 0.0
    shifts_s: list[float] = field(default_factory=lambda: [0.0])
    positions_s: dict[str, float] = field(default_factory=dict)

    @property
    def newest_s(self) -> float:
        """Position of the furthest channel."""
        return max(self.floor_s, *self.positions_s.values()) if self.positions_s else self.floor_s

    def advance(self, name: str, position_s: float) -> None:
        """Take note of how far a channel is."""
        self.positions_s[name] = max(self.positions_s.get(name, 0.0), position_s)

    def hold_back(self, name: str, position_s: float) -> None:
        """A channel of a wrong rate brought more samples than its stamps have room for: it is no further than these, or than the others are."""
        others_s = max((other for key, other in self.positions_s.items() if key != name), default=position_s)
        if name in self.positions_s:
            self.positions_s[name] = min(self.positions_s[name], max(position_s, others_s))

    def is_near(self, position_s: float) -> bool:
        """Whether a channel may be at this position."""
        return self.newest_s - self.max_behind_s <= position_s <= self.newest_s + self.max_ahead_s

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
    channel with another rate than the model's is left out until it has the right one. A chunk with a stamp that is no time is dropped.

    Args:
        keep_every: one of so many samples is kept later: a break leaves as many places empty, so that it is seen there too.
    """

    def __init__(self, name: str, rate_hz: float, timeline: Timeline, notify: Notify, keep_every: int = 1) -> None:
        self.name, self.rate_hz, self.timeline, self._notify, self._keep_every = name, rate_hz, timeline, notify, keep_every
        self.tolerance = max(GAP_S * rate_hz, GAP_SAMPLES)
        self.next_index = -1  # of the next sample; -1 before the first
        self.shift_s = 0.0
        self.drift = 0.0  # samples
        self.n_dropped = 0  # samples before the last chunk that raylab dropped
        # samples that never came are "lost"; those that came and raylab did not take are "late" and "dropped"
        self.counts: dict[str, int] = dict.fromkeys(
            ("samples", "gaps", "lost", "late", "jumps", "slips", "dropped", "no_time"), 0
        )
        self._meter = RateMeter(rate_hz)
        self._previous: tuple[float, int] | None = None  # the last chunk's stamp, and the samples since the stamp before that
        self._last_samples: npt.NDArray[np.float64] = np.zeros((0, 0))
        self._late_samples = 0  # in a row
        self._late_noted_s = -np.inf
        self._after_gap = True
        self._n_captured = -1  # samples up to the last chunk, those that raylab dropped among them; -1: they are not counted
        self._without_time = 0  # chunks in a row
        self._own_drops: deque[tuple[int, int]] = deque(maxlen=MOST_OWN_DROPS)  # first index and the one after the last
        self._left_out = False  # whether something was left out since the last chunk
        self._returns = False  # whether the next chunk is the first of the right rate

    @property
    def wrong_rate(self) -> bool:
        """Whether the channel is left out because it brings another rate."""
        return self._meter.wrong

    @property
    def is_left_out(self) -> bool:
        """Whether the last chunk is not used: the rate is wrong, or the next chunks are still to tell."""
        return self._meter.wrong or self._meter.suspect

    def time_of(self, index: int) -> float:
        """The source's clock at an index."""
        return (self.timeline.origin_s or 0.0) + self.shift_s + index / self.rate_hz

    def align(self, chunk: Chunk) -> AlignedChunk | None:
        """The samples with their index; None if all are dropped."""
        return self.place(chunk) if self.observe(chunk) else None

    def observe(self, chunk: Chunk) -> bool:
        """Take note of a whole chunk before it is placed: its time, its rate, and what raylab dropped before it. False if it cannot be placed."""
        if not len(chunk.samples) or not self._has_time(chunk):
            return False
        self.n_dropped = self._skip_dropped(chunk)
        was_wrong = self.wrong_rate
        self._meter.add(chunk.time_s, chunk.samples, self.n_dropped)
        if self.wrong_rate != was_wrong:
            self._note_rate()
            self._returns = was_wrong
        if self.wrong_rate and not was_wrong and self.next_index >= 0:
            position_s = self._index_at(chunk.time_s) / self.rate_hz
            self.timeline.hold_back(self.name, position_s)
            self.next_index = max(0, min(self.next_index, round(self.timeline.positions_s.get(self.name, 0.0) * self.rate_hz)))
        if self.is_left_out:
            self._left_out = True
            self._follow(chunk.time_s)
        return True

    def place(self, chunk: Chunk) -> AlignedChunk | None:
        """The samples of a chunk, or of a piece of one, that was observed, with their index; None if all are dropped."""
        samples = np.asarray(chunk.samples, dtype=np.float64)
        self.counts["samples"] += len(samples)
        timeline = self.timeline
        if self.is_left_out:
            return None
        if timeline.origin_s is None:
            timeline.origin_s = chunk.time_s
        if self.next_index < 0:
            self._begin(chunk.time_s, max(0, chunk.n_before))
        elif self._is_jump(chunk.time_s):
            self._jump(chunk.time_s)
        elif self._is_late(chunk.time_s, samples):
            return None
        self._left_out, self._returns, self._last_samples = False, False, samples
        n = len(samples)
        if self._previous and chunk.time_s == self._previous[0]:
            n += self._previous[1]
        self._previous = chunk.time_s, n
        aligned = self._append(samples, self._offset(chunk.time_s))
        timeline.advance(self.name, self.next_index / self.rate_hz)
        return aligned

    def leave_out(self, chunk: Chunk) -> None:
        """Take note of a chunk that is left out before it is placed, so that what follows is no jump of the source's clock.

        The next one shows by its count of samples how many these were; where they are not counted, it is noted here.
        """
        if chunk.n_before < 0:
            self.counts["dropped"] += len(chunk.samples)
        self._left_out = True

    def has_own_drops(self, first: int, end: int) -> bool:
        """Whether raylab itself dropped samples at the indices from ``first`` to before ``end``."""
        return any(begin < end and first < stop for begin, stop in self._own_drops)

    def _has_time(self, chunk: Chunk) -> bool:
        """Whether a chunk's stamp is a time; said when that begins and when it ends."""
        if is_time(chunk.time_s):
            if self._without_time:
                self._note(f"has times again ({self._without_time} chunks had none)")
            self._without_time = 0
            return True
        if not self._without_time:
            self._note(
                f"a time stamp of {chunk.time_s:g} is no time in seconds, and its chunk is dropped (is it in milliseconds, or less?)"
            )
        self._without_time += 1
        self.counts["no_time"] += len(chunk.samples)
        self._left_out = True
        return False

    def _skip_dropped(self, chunk: Chunk) -> int:
        """Leave the places empty of samples that raylab dropped before this chunk, because a part was too slow; their number."""
        if chunk.n_before < 0:
            return 0
        n_dropped = max(0, chunk.n_before - self._n_captured) if self._n_captured >= 0 else 0
        self._n_captured = chunk.n_before + len(chunk.samples)
        if n_dropped and self.next_index >= 0:
            self.counts["dropped"] += n_dropped
            self._own_drops.append((self.next_index, self.next_index + n_dropped))
            self.next_index += n_dropped
            self._previous, self._late_samples, self._after_gap = None, 0, True
        return n_dropped

    def _follow(self, time_s: float) -> None:
        """Go on without samples, if the stamp can be of this stream."""
        self._previous, self._late_samples, self._after_gap = None, 0, True
        position_s = self._index_at(time_s) / self.rate_hz
        if self.next_index >= 0 and self.timeline.is_near(position_s):
            self.next_index = max(self.next_index, round(self._index_at(time_s)))
            self.timeline.advance(self.name, self.next_index / self.rate_hz)

    def _index_at(self, time_s: float) -> float:
        return (time_s - (self.timeline.origin_s or 0.0) - self.shift_s) * self.rate_hz

    def _offset(self, time_s: float) -> float:
        """Samples by which a stamp is later than the index after the last sample."""
        return self._index_at(time_s) - self.next_index

    def _begin(self, time_s: float, n_before: int) -> None:
        """Place the first chunk: by the other channels' clock or, if its clock has nothing to do with theirs, after their newest samples.

        The clock is the others' as well if what raylab dropped before this chunk (``n_before`` samples) began near them.
        """
        timeline = self.timeline
        self.shift_s, self.next_index = timeline.shifts_s[-1], 0
        position_s = self._index_at(time_s) / self.rate_hz
        if not timeline.is_near(position_s) and not timeline.is_near(position_s - n_before / self.rate_hz):
            self.shift_s = timeline.shared_shift(self.shift_s + position_s - timeline.newest_s)
            self._note("has a clock of its own: it is taken to begin with what has just come of the others")
        self.next_index = max(0, round(self._index_at(time_s)))

    def _is_jump(self, time_s: float) -> bool:
        """Whether a stamp is far ahead of all channels (a channel that was away while others went on has not jumped), far back, or back for long."""
        timeline, position_s, own_s = self.timeline, self._index_at(time_s) / self.rate_hz, self.next_index / self.rate_hz
        if self._returns and not timeline.is_near(position_s):
            return True
        ahead = position_s - max(timeline.newest_s, own_s) > timeline.max_ahead_s
        return ahead or own_s - position_s > timeline.max_behind_s or self._late_samples > LATE_S * self.rate_hz

    def _jump(self, time_s: float) -> None:
        """The clock was set, or all channels paused: the chunk is placed after the newest samples of all channels, after an empty place."""
        jump_s = self._index_at(time_s) / self.rate_hz - max(self.timeline.newest_s, self.next_index / self.rate_hz)
        self.counts["jumps"] += 1
        reason = "chunks before it were left out" if self._left_out else "the clock was set, or the source paused"
        self._note(f"time stamps jump by {jump_s:+.1f} s ({reason}); no window spans this")
        if self._returns:
            self.next_index = max(self.next_index, round(self.timeline.newest_s * self.rate_hz))
        self.next_index += self._keep_every
        self.shift_s = self.timeline.shared_shift(self.shift_s + jump_s)
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
            self._note("samples came late or twice: raylab drops them")
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
            self.counts["lost"] += round(offset)
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

    def _note_rate(self) -> None:
        rates = f"{self._meter.measured_hz:.3g} samples a second, the model needs {self.rate_hz:g}"
        self._note(
            f"brings {rates}{self._meter.hint}: it is left out until it does"
            if self.wrong_rate
            else f"has its rate of {self.rate_hz:g} Hz again"
        )

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
