"""Time stamps to places: where on a channel's even grid of samples a chunk belongs, whatever happened on its way."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.live.chunk import Chunk, Note, Tell

GAP_S, GAP_SAMPLES = 0.1, 2  # stamps that are off by less are jitter
FOLLOW = 0.02  # share of each chunk's deviation that is taken for drift
RATE_OVER_S, RATE_OFF = 2.0, 0.2  # a rate is measured over so many seconds, and refused where it is off by this share
SAME_JUMP_S = 3.0  # clocks of channels that jump by amounts this close jumped together


@dataclass
class Timeline:
    """What the channels of a stream have in common.

    Attributes:
        jump_s: time stamps that move by more than this are a clock that was set, or a pause: the stream goes on behind a break.
        origin_s: the first time stamp, from which windows are counted.
        jumps: shifts of clocks so far, in seconds.
    """

    jump_s: float
    origin_s: float | None = None
    jumps: list[float] = field(default_factory=list)

    def shift_near(self, wanted: float) -> float:
        """A clock's new shift: another channel's, where that is about the same."""
        for known in reversed(self.jumps):
            if abs(known - wanted) <= SAME_JUMP_S:
                return known
        self.jumps = [*self.jumps[-7:], wanted]
        return wanted


@dataclass(frozen=True)
class Placed:
    """Samples (n, n_features) with their place.

    Attributes:
        index: of the first sample, counted from the stream's origin at the channel's recorded rate.
        fresh: whether something is missing before them.
    """

    index: int
    samples: npt.NDArray[np.float64]
    fresh: bool


class Placer:
    """Places the chunks of one channel.

    A chunk that continues the one before, within jitter, does so to the sample; clocks that run a little fast or slow are followed by repeating
    or dropping single samples. A gap leaves places empty. What comes late is dropped and counted. A channel with another rate than the model's is
    dropped until it has the right one.
    """

    def __init__(self, name: str, rate_hz: float, timeline: Timeline, tell: Tell) -> None:
        self.name, self.rate_hz, self.timeline, self._tell = name, rate_hz, timeline, tell
        self.tolerance = max(GAP_S * rate_hz, GAP_SAMPLES)
        self.next = -1  # place of the next sample; -1 before the first
        self.shift_s = 0.0
        self.drift = 0.0
        self.wrong_rate = False
        self.counts: dict[str, int] = dict.fromkeys(("samples", "gaps", "late", "jumps", "slips"), 0)
        self._seen: deque[tuple[float, int]] = deque()
        self._fresh = True

    def time_of(self, index: int) -> float:
        """The source's clock at a place."""
        return (self.timeline.origin_s or 0.0) + self.shift_s + index / self.rate_hz

    def place(self, chunk: Chunk) -> Placed | None:
        """Where the samples go; None where they are all dropped."""
        samples = np.asarray(chunk.samples, dtype=np.float64)
        self.counts["samples"] += len(samples)
        if self.timeline.origin_s is None:
            self.timeline.origin_s = chunk.time_s
        off = self._off(chunk.time_s)
        if self.next >= 0 and abs(off) > self.timeline.jump_s * self.rate_hz:
            off = self._jumped(chunk.time_s, off)
        if not self._rate_is_right(chunk.time_s, len(samples)):
            self.next = max(self.next, round(self._place(chunk.time_s)))
            self._fresh = True
            return None
        return self._put(samples, off)

    def _place(self, time_s: float) -> float:
        return (time_s - (self.timeline.origin_s or 0.0) - self.shift_s) * self.rate_hz

    def _off(self, time_s: float) -> float:
        """Samples by which a chunk is later than its place behind the last one; its place itself for the first."""
        return self._place(time_s) - max(self.next, 0)

    def _jumped(self, time_s: float, off: float) -> float:
        """The clock was set, or everything paused: the stream goes on one empty sample further."""
        jump = off / self.rate_hz
        self.counts["jumps"] += 1
        self._note(f"time stamps jump by {jump:+.1f} s (the clock was set, or the source paused); no window spans this")
        self.shift_s = self.timeline.shift_near(self.shift_s + jump)
        self._seen.clear()
        self.next += 1
        self._fresh = True
        return self._off(time_s)

    def _put(self, samples: npt.NDArray[np.float64], off: float) -> Placed | None:
        if self.next < 0 or off > self.tolerance:
            self._gap(off)
        elif off < -self.tolerance or (self._fresh and off < 0):
            late = min(len(samples), round(-off))
            self.counts["late"] += late
            samples = samples[late:]
        elif not self._fresh:
            samples = self._followed(samples, off)
        if not len(samples):
            return None
        placed = Placed(self.next, samples, self._fresh)
        self.next, self._fresh = self.next + len(samples), False
        return placed

    def _gap(self, off: float) -> None:
        """Leave the missing places empty; before the first sample that is how much later than others a channel starts."""
        if self.next >= 0:
            self.counts["gaps"] += 1
            self._seen.clear()
            self._note(f"{off / self.rate_hz:.2f} s are missing")
        self.next = max(self.next, 0) + max(0, round(off))
        self._fresh, self.drift = True, 0.0

    def _followed(self, samples: npt.NDArray[np.float64], off: float) -> npt.NDArray[np.float64]:
        """One sample more or less where the deviation has grown to that: clocks differ a little."""
        self.drift += FOLLOW * (off - self.drift)
        if abs(self.drift) < 1:
            return samples
        self.counts["slips"] += 1
        more, self.drift = self.drift > 0, 0.0
        return np.concatenate([samples[:1], samples]) if more else samples[1:]

    def _rate_is_right(self, time_s: float, n: int) -> bool:
        """By the samples between the stamps of the last seconds."""
        self._seen.append((time_s, n))
        while len(self._seen) > 2 and time_s - self._seen[1][0] >= RATE_OVER_S:
            self._seen.popleft()
        span = time_s - self._seen[0][0]
        if span < RATE_OVER_S:
            return not self.wrong_rate
        found = sum(count for _, count in list(self._seen)[:-1]) / span
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


def finite_runs(samples: npt.NDArray[Any]) -> Iterator[slice]:
    """Stretches of (n, n_features) without a value that is no number."""
    good = np.concatenate([[False], np.isfinite(samples).all(axis=1), [False]])
    edges = np.flatnonzero(good[1:] != good[:-1])
    yield from (slice(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True))
