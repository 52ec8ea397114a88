"""Running signals to windows, each as soon as its last sample is there."""

import time
from collections.abc import Iterator
from dataclasses import replace

from raylab.live.core.messages import Chunk, Note, Notify, SegmentStart, Window
from raylab.live.core.model_file import ModelCard
from raylab.live.core.online_preprocessing import KEPT_WINDOWS, ChannelWindow, RunningChannel
from raylab.live.core.timestamp_alignment import Timeline, TimestampAligner
from raylab.windows.preprocess import Preprocessing

LOST_S = 2.0  # a channel of which nothing came while others went on by so much is lost: windows do not wait for it


class WindowAssembler:
    """The windows of a stream of signals, on the grid of prepared windows: every ``step_s`` from the first sample.

    A window is complete when all channels have its last sample, lost ones excepted. A channel with a hole in the window is missing in it, and
    nothing is put in its place. A window that lacks every channel is none.
    """

    def __init__(self, card: ModelCard, tell: Notify) -> None:
        self.card, self._tell = card, tell
        self.settings: Preprocessing = card.signals
        self.most_behind_s = (KEPT_WINDOWS - 1) * self.settings.window_s
        self.channels = {channel.name: RunningChannel(channel, self.settings) for channel in card.channels}
        self.unknown: set[str] = set()
        self._bad: dict[str, int] = {}  # channel to samples in a row of chunks that were no numbers
        self.unusable = 0  # windows without any channel
        self._number = 0
        self._counts: dict[str, dict[str, int]] = {name: {} for name in self.channels}
        self._begin(0.0)

    def _begin(self, start_s: float) -> None:
        """A segment: its own timeline and grid."""
        self._segment_s, self._first = start_s, self._number
        self.timeline = Timeline(self.most_behind_s)
        self.placers = {
            name: TimestampAligner(name, channel.card.recorded_hz, self.timeline, self._tell, channel.factor)
            for name, channel in self.channels.items()
        }
        self.lost: set[str] = set()
        self._heard_s: dict[str, float] = dict.fromkeys(self.channels, 0.0)  # how far the stream was when a channel last came

    def border(self, border: SegmentStart) -> None:
        """A new segment of a recording begins."""
        self._counts = self.counts()
        self._begin(border.start_s)
        for channel in self.channels.values():
            channel.restart()

    def feed(self, chunk: Chunk) -> list[Window]:
        """Take a chunk in; the windows that it completes."""
        if chunk.channel not in self.channels:
            if chunk.channel not in self.unknown:
                self.unknown.add(chunk.channel)
                self._tell(
                    Note(chunk.channel, f"the model has no such channel (it has {', '.join(self.channels)}); it is left out")
                )
            return []
        channel = self.channels[chunk.channel]
        if chunk.samples.ndim != 2 or chunk.samples.shape[1] != channel.card.n_features:
            shape = " x ".join(map(str, chunk.samples.shape))
            self._tell(
                Note(chunk.channel, f"a chunk of {shape} was dropped: the model needs (samples, {channel.card.n_features})")
            )
            return []
        bad = channel.not_numbers
        self.timeline.came(len(chunk.samples) / channel.card.recorded_hz)
        windows = [window for piece in _pieces(chunk, channel) for window in self._piece(piece, channel)]
        self._look_at_numbers(chunk.channel, channel.not_numbers - bad)
        return windows

    def _look_at_numbers(self, name: str, bad: int) -> None:
        """Samples that are no numbers are said when they begin, and when they end."""
        if bad and not self._bad.get(name):
            self._tell(Note(name, "samples are no numbers: windows with them do without the channel"))
        elif not bad and (count := self._bad.get(name)):
            self._tell(Note(name, f"has numbers again ({count} were none)"))
        self._bad[name] = self._bad.get(name, 0) + bad if bad else 0

    def _piece(self, chunk: Chunk, channel: RunningChannel) -> list[Window]:
        placer = self.placers[chunk.channel]
        placed = placer.place(chunk)
        if placed:
            channel.feed(placed.index, placed.samples, placed.fresh, chunk.arrived)
        self._look_for_lost(chunk.channel)
        return list(self._complete())

    def _seconds(self, name: str) -> float:
        """How far a channel is, in seconds of the stream; one that comes at a wrong rate is as far as its stamps."""
        placer = self.placers[name]
        return max(placer.next, 0) / placer.rate_hz

    def _look_for_lost(self, came: str) -> None:
        """Of a lost channel nothing came while others went on, or it is so far behind that others would lose what they keep."""
        newest = self.timeline.newest_s
        self._heard_s[came] = newest
        patience = max(LOST_S, 1.5 * self.timeline.longest_s)
        for name in self.channels:
            behind = newest - self._seconds(name)
            gone = (newest - self._heard_s[name] > patience and behind > patience) or behind > self.most_behind_s
            if gone and name not in self.lost:
                self.lost.add(name)
                self._tell(
                    Note(name, f"nothing for {patience:.3g} s while other channels go on: it is left out until it is back")
                )
            elif not gone and name in self.lost:
                self.lost.discard(name)
                self._tell(Note(name, "is back"))

    def _places(self) -> dict[str, int]:
        """First sample of the next window in each channel, at the target rate."""
        begin = (self._number - self._first) * self.settings.step_s
        return {name: round(begin * channel.card.rate_hz) for name, channel in self.channels.items()}

    def _complete(self) -> Iterator[Window]:
        while self._is_complete(places := self._places()):
            window = self._take(places)
            self._number += 1
            if window:
                yield window

    def _is_complete(self, places: dict[str, int]) -> bool:
        """Every channel that is waited for has the last sample, and there is one that has it."""
        has = {name: channel.head >= places[name] + channel.length for name, channel in self.channels.items()}
        waited_for = [name for name in self.channels if name not in self.lost and not self.placers[name].wrong_rate]
        return any(has.values()) and all(has[name] for name in waited_for)

    def _take(self, places: dict[str, int]) -> Window | None:
        began = time.perf_counter()
        begin = (self._number - self._first) * self.settings.step_s
        if begin + self._segment_s < self.settings.skip_s:
            return None
        taken = {name: channel.take(places[name]) for name, channel in self.channels.items()}
        there = {name: one for name, one in taken.items() if one.share == 1}
        if not there:
            self.unusable += 1
            return None
        shift = max(self.placers[name].shift_s for name in there)
        start = (self.timeline.origin_s or 0.0) + shift + begin
        missing = {name: self._why(name) for name in taken if name not in there}
        return Window(
            number=self._number,
            start_s=start,
            end_s=start + self.settings.window_s,
            values={name: one.values for name, one in taken.items()},
            lengths=dict.fromkeys(missing, 0),
            missing=missing,
            quality={name: _quality(one) for name, one in taken.items()},
            complete=max(one.arrived for one in there.values()),
            parts_ms={"window": 1000 * (time.perf_counter() - began)},
        )

    def _why(self, name: str) -> str:
        if self.placers[name].wrong_rate:
            return "wrong rate"
        return "lost" if name in self.lost else "samples are missing"

    def counts(self) -> dict[str, dict[str, int]]:
        """What happened to each channel so far, over all segments."""
        return {
            name: {
                **{what: count + self._counts[name].get(what, 0) for what, count in placer.counts.items()},
                "not_numbers": self.channels[name].not_numbers,
            }
            for name, placer in self.placers.items()
        }


def _pieces(chunk: Chunk, channel: RunningChannel) -> Iterator[Chunk]:
    """A chunk in pieces of at most half a window, so that no window is overwritten before it is taken."""
    most = max(1, channel.length * channel.factor // 2)
    for start in range(0, len(chunk.samples), most):
        at = chunk.time_s + start / channel.card.recorded_hz
        yield (
            replace(chunk, time_s=at, samples=chunk.samples[start : start + most])
            if start or len(chunk.samples) > most
            else chunk
        )


def _quality(taken: ChannelWindow) -> dict[str, float]:
    return {"there": round(taken.share, 3), "moves": float(taken.moves)}
