"""Time stamps to places: where on a channel's even grid of samples a chunk belongs, whatever happened on its way."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.live.core.messages import Chunk, Note, Notify

GAP_S, GAP_SAMPLES = (
    0.1,
    0.75,
)  # stamps that are off by less are jitter: a tenth of a second, or, of a slow channel, less than a sample
FOLLOW, SLIP = (
    0.02,
    0.5,
)  # share of each chunk's deviation that is taken for drift; samples of drift at which one is repeated or dropped
RATE_OVER_S, RATE_OVER, RATE_OFF = (
    2.0,
    4,
    0.2,
)  # a rate is measured over so many seconds and steps, and refused where it is off by this share
AHEAD_S = 2.0  # stamps ahead of all channels by more than this are a clock that was set, or a pause of all
LATE_S = 2.0  # what comes late for longer than this is a clock that was set back
SAY_AGAIN_S = 60.0  # that something comes late is said once a minute
SAME_JUMP_S = 3.0  # clocks of channels that jump by amounts this close jumped together
LARGEST = 1e30  # a sample beyond this is no measurement: its square is no 32-bit number


@dataclass
class Timeline:
    """What the channels of a stream have in common.

    Attributes:
        behind_s: how far a channel may be behind the furthest one when it first comes.
        origin_s: the first time stamp, from which windows are counted.
        newest_s: how far the furthest channel is, from there.
        longest_s: of the last chunks: a channel may be ahead by as much.
        jumps: shifts of clocks so far, in seconds, the last one last.
    """

    behind_s: float
    origin_s: float | None = None
    newest_s: float = 0.0
    longest_s: float = 0.0
    jumps: list[float] = field(default_factory=lambda: [0.0])

    def came(self, seconds: float) -> None:
        """A chunk of this length came."""
        self.longest_s = max(0.99 * self.longest_s, seconds)

    @property
    def ahead_s(self) -> float:
        return max(AHEAD_S, 1.5 * self.longest_s)

    def shift_near(self, wanted: float) -> float:
        """A clock's new shift: another channel's, where that is about the same."""
        near = next((known for known in reversed(self.jumps) if abs(known - wanted) <= SAME_JUMP_S), wanted)
        self.jumps = [*[known for known in self.jumps if known != near][-7:], near]
        return near


@dataclass(frozen=True)
class AlignedChunk:
    """Samples (n, n_features) with their place.

    Attributes:
        index: of the first sample, counted from the stream's origin at the channel's recorded rate.
        fresh: whether something is missing before them.
    """

    index: int
    samples: npt.NDArray[np.float64]
    fresh: bool


class TimestampAligner:
    """Places the chunks of one channel.

    A chunk that continues the one before, within jitter, does so to the sample; clocks that run a little fast or slow are followed by repeating
    or dropping single samples. A gap leaves places empty. What comes late is dropped and counted. Stamps that cannot be of this stream (a clock that
    was set, a pause of everything) are shifted, together with those of other channels that do the same, and go on behind an empty place. A channel
    with another rate than the model's is left out until it has the right one.

    Args:
        every: one of so many samples is kept later: a break leaves as many places empty, so that it is seen there too.
    """

    def __init__(self, name: str, rate_hz: float, timeline: Timeline, tell: Notify, every: int = 1) -> None:
        self.name, self.rate_hz, self.timeline, self._tell, self._every = name, rate_hz, timeline, tell, every
        self.tolerance = max(GAP_S * rate_hz, GAP_SAMPLES)
        self.next = -1  # place of the next sample; -1 before the first
        self.shift_s = 0.0
        self.drift = 0.0
        self.wrong_rate = False
        self.counts: dict[str, int] = dict.fromkeys(("samples", "gaps", "late", "jumps", "slips"), 0)
        self._steps: deque[tuple[float, float]] = deque()  # stamp, and the rate since the one before
        self._before: tuple[float, int] | None = None  # the last chunk's stamp, and the samples since the one before that
        self._last: npt.NDArray[np.float64] = np.zeros((0, 0))
        self._late = 0  # samples in a row
        self._said_late_s = -np.inf
        self._fresh = True

    def time_of(self, index: int) -> float:
        """The source's clock at a place."""
        return (self.timeline.origin_s or 0.0) + self.shift_s + index / self.rate_hz

    def place(self, chunk: Chunk) -> AlignedChunk | None:
        """Where the samples go; None where they are all dropped."""
        samples = np.asarray(chunk.samples, dtype=np.float64)
        self.counts["samples"] += len(samples)
        line = self.timeline
        if line.origin_s is None:
            line.origin_s = chunk.time_s
        if self.next < 0:
            self._begin(chunk.time_s)
        elif self._is_jump(chunk.time_s):
            self._jump(chunk.time_s)
        elif self._is_late(chunk.time_s, samples):
            return None
        self._last = samples
        if self._rate_is_right(chunk.time_s, len(samples)):
            placed = self._put(samples, self._off(chunk.time_s))
        else:
            self.next, self._fresh, placed = max(self.next, round(self._place(chunk.time_s))), True, None
        line.newest_s = max(line.newest_s, self.next / self.rate_hz)
        return placed

    def _place(self, time_s: float) -> float:
        return (time_s - (self.timeline.origin_s or 0.0) - self.shift_s) * self.rate_hz

    def _off(self, time_s: float) -> float:
        """Samples by which a chunk is later than the place behind the last one."""
        return self._place(time_s) - self.next

    def _begin(self, time_s: float) -> None:
        """The first chunk: by the clock of the others, or, where it has one of its own, beside what came last of them."""
        line = self.timeline
        self.shift_s, self.next = line.jumps[-1], 0
        at = self._place(time_s) / self.rate_hz
        if not line.newest_s - line.behind_s <= at <= line.newest_s + line.ahead_s:
            self.shift_s = line.shift_near(self.shift_s + at - line.newest_s)
            self._note("has a clock of its own: it is taken to begin with what has just come of the others")
        self.next = max(0, round(self._place(time_s)))

    def _is_jump(self, time_s: float) -> bool:
        """Far ahead of all channels (one that was away while others went on has not jumped), far back, or back for long."""
        line, at, mine = self.timeline, self._place(time_s) / self.rate_hz, self.next / self.rate_hz
        ahead = at - max(line.newest_s, mine) > line.ahead_s
        return ahead or mine - at > line.behind_s or self._late > LATE_S * self.rate_hz

    def _jump(self, time_s: float) -> None:
        """The clock was set, or everything paused: what comes is taken to follow what came last of all channels, behind an empty place."""
        jump = self._place(time_s) / self.rate_hz - max(self.timeline.newest_s, self.next / self.rate_hz)
        self.counts["jumps"] += 1
        self._note(f"time stamps jump by {jump:+.1f} s (the clock was set, or the source paused); no window spans this")
        self.next += self._every
        self.shift_s = self.timeline.shift_near(self.shift_s + jump)
        self._steps.clear()
        self._before, self._late, self._fresh = None, 0, True

    def _is_late(self, time_s: float, samples: npt.NDArray[np.float64]) -> bool:
        """Sent again, or overtaken by what came later. Two chunks of one stamp are of a coarse clock, unless they are equal."""
        since = self._before[0] if self._before else -np.inf
        again = time_s == since and np.array_equal(samples, self._last, equal_nan=True)
        if not again and time_s >= since:
            self._late = 0
            return False
        if self.timeline.newest_s - self._said_late_s > SAY_AGAIN_S:
            self._said_late_s = self.timeline.newest_s
            self._note("samples came late or twice, and are dropped")
        self._late += len(samples)
        self.counts["late"] += len(samples)
        return True

    def _put(self, samples: npt.NDArray[np.float64], off: float) -> AlignedChunk | None:
        if self._before and self._before[1] > len(samples) and not self._fresh:
            off = 0.0  # a stamp like the one before says nothing of the place
        if off > self.tolerance or (self._fresh and off > 0):
            self._gap(off)
        elif off < -self.tolerance or (self._fresh and off < 0):
            late = min(len(samples), round(-off))
            self.counts["late"] += late
            samples = samples[late:]
        elif not self._fresh:
            samples = self._followed(samples, off)
        if not len(samples):
            return None
        placed = AlignedChunk(self.next, samples, self._fresh)
        self.next, self._fresh = self.next + len(samples), False
        return placed

    def _gap(self, off: float) -> None:
        """Leave the missing places empty."""
        if off > self.tolerance:
            self.counts["gaps"] += 1
            self._note(f"{off / self.rate_hz:.2f} s are missing")
        self.next += round(off)
        self._fresh, self.drift = True, 0.0

    def _followed(self, samples: npt.NDArray[np.float64], off: float) -> npt.NDArray[np.float64]:
        """One sample more or less where the deviation has grown to that: clocks differ a little."""
        self.drift += FOLLOW * (off - self.drift)
        if abs(self.drift) < SLIP:
            return samples
        self.counts["slips"] += 1
        more, self.drift = self.drift > 0, 0.0
        return np.concatenate([samples[:1], samples]) if more else samples[1:]

    def _rate_is_right(self, time_s: float, n: int) -> bool:
        """By the middle one of the rates from stamp to stamp, which a gap does not move."""
        if self._before and time_s == self._before[0]:
            self._before = time_s, self._before[1] + n
            return not self.wrong_rate
        if self._before:
            since, count = self._before
            self._steps.append((time_s, count / (time_s - since)))
        self._before = time_s, n
        while len(self._steps) > RATE_OVER and time_s - self._steps[0][0] > RATE_OVER_S:
            self._steps.popleft()
        if len(self._steps) < RATE_OVER or time_s - self._steps[0][0] < RATE_OVER_S / 2:
            return not self.wrong_rate
        found = float(np.median([rate for _, rate in self._steps]))
        wrong = abs(found / self.rate_hz - 1) > RATE_OFF
        if wrong != self.wrong_rate:
            rates = f"{found:.3g} samples a second, the model needs {self.rate_hz:g}"
            self._note(
                f"brings {rates}: it is left out until it does" if wrong else f"has its rate of {self.rate_hz:g} Hz again"
            )
        self.wrong_rate = wrong
        return not wrong

    def _note(self, text: str) -> None:
        self._tell(Note(self.name, text))


def measured(samples: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of the samples (n, n_features) are measurements in every feature: no NaN, no infinity, nothing absurd."""
    return np.asarray((np.abs(samples) < LARGEST).all(axis=1))


def finite_runs(samples: npt.NDArray[Any]) -> Iterator[slice]:
    """Stretches of (n, n_features) that are all measurements."""
    good = np.concatenate([[False], measured(samples), [False]])
    edges = np.flatnonzero(good[1:] != good[:-1])
    yield from (slice(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True))
