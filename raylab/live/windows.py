"""Running signals to windows, each as soon as its last sample is there."""

import time

from raylab.live.causal import RunningChannel
from raylab.live.chunk import Chunk, Note, Tell, Window
from raylab.live.clock import Placer, Timeline
from raylab.live.model import Card
from raylab.windows.preprocess import Preprocessing

LOST_S = 2.0  # a channel that is so far behind the newest sample is lost: windows do not wait for it


class Assembler:
    """The windows of a stream of signals, on the grid of prepared windows: every ``step_s`` from the first sample.

    A window is complete when all channels have its last sample, lost ones excepted. A channel with a hole in the window is missing in it, and
    nothing is put in its place. A window that lacks every channel is none.
    """

    def __init__(self, card: Card, tell: Tell) -> None:
        self.settings: Preprocessing = card.signals
        self._tell = tell
        self.timeline = Timeline(self.settings.window_s)
        self.channels = {channel.name: RunningChannel(channel, self.settings) for channel in card.channels}
        self.placers = {c.name: Placer(c.name, c.recorded_hz, self.timeline, tell) for c in card.channels}
        self.lost: set[str] = set()
        self._number = 0
        self.unknown: set[str] = set()
        self.unusable = 0  # windows without any channel

    def feed(self, chunk: Chunk) -> list[Window]:
        """Take a chunk in; the windows that it completes."""
        if chunk.channel not in self.channels:
            if chunk.channel not in self.unknown:
                self.unknown.add(chunk.channel)
                self._tell(
                    Note(chunk.channel, f"the model has no such channel (it has {', '.join(self.channels)}); it is left out")
                )
            return []
        channel, placer = self.channels[chunk.channel], self.placers[chunk.channel]
        if chunk.samples.ndim != 2 or chunk.samples.shape[1] != channel.card.n_features:
            shape = " x ".join(map(str, chunk.samples.shape))
            self._tell(
                Note(chunk.channel, f"a chunk of {shape} was dropped: the model needs (samples, {channel.card.n_features})")
            )
            return []
        was_wrong, bad = placer.wrong_rate, channel.not_numbers
        placed = placer.place(chunk)
        if placer.wrong_rate and not was_wrong:
            channel.forget()
        if placed:
            channel.feed(placed.index, placed.samples, placed.fresh)
        if channel.not_numbers > bad:
            self._tell(
                Note(
                    chunk.channel,
                    f"{channel.not_numbers - bad} samples are no numbers: windows with them do without the channel",
                )
            )
        self._look_for_lost()
        return self._complete(chunk.arrived or time.perf_counter())

    def _seconds(self, name: str) -> float:
        """How far a channel is, in seconds of the stream; one that comes at a wrong rate is as far as its stamps."""
        placer = self.placers[name]
        return max(placer.next, 0) / placer.rate_hz

    def _look_for_lost(self) -> None:
        newest = max(self._seconds(name) for name in self.channels)
        for name in self.channels:
            behind = newest - self._seconds(name) > LOST_S
            if behind and name not in self.lost:
                self.lost.add(name)
                self._tell(Note(name, f"nothing for {LOST_S:g} s while other channels go on: it is left out until it is back"))
            elif not behind and name in self.lost:
                self.lost.discard(name)
                self._tell(Note(name, "is back"))

    def _places(self, number: int) -> dict[str, int]:
        """First sample of a window in each channel, at the target rate."""
        begin = number * self.settings.step_s
        return {name: round(begin * channel.card.rate_hz) for name, channel in self.channels.items()}

    def _complete(self, arrived: float) -> list[Window]:
        made = []
        while self._is_complete(self._places(self._number)):
            window = self._take(self._number, arrived)
            self._number += 1
            if window:
                made.append(window)
        return made

    def _is_complete(self, places: dict[str, int]) -> bool:
        """Every channel that is not lost has the last sample; where all are, nothing is."""
        waiting = [name for name in self.channels if name not in self.lost]
        return (
            bool(waiting)
            and all(
                self.channels[name].head >= places[name] + self.channels[name].length or self.placers[name].wrong_rate
                for name in waiting
            )
            and any(self.channels[name].head >= places[name] + self.channels[name].length for name in waiting)
        )

    def _take(self, number: int, arrived: float) -> Window | None:
        began = time.perf_counter()
        places, begin = self._places(number), number * self.settings.step_s
        if begin < self.settings.skip_s:
            return None
        taken = {name: channel.take(places[name]) for name, channel in self.channels.items()}
        missing = {name: self._why(name) for name, one in taken.items() if one.share < 1}
        if len(missing) == len(taken):
            self.unusable += 1
            return None
        shift = max((self.placers[name].shift_s for name in taken if name not in missing), default=0.0)
        start = (self.timeline.origin_s or 0.0) + shift + begin
        return Window(
            number=number,
            start_s=start,
            end_s=start + self.settings.window_s,
            values={name: one.values for name, one in taken.items()},
            lengths=dict.fromkeys(missing, 0),
            missing=missing,
            quality={name: {"there": round(one.share, 3), "moves": float(one.moves)} for name, one in taken.items()},
            complete=arrived,
            parts_ms={"window": 1000 * (time.perf_counter() - began)},
        )

    def _why(self, name: str) -> str:
        if self.placers[name].wrong_rate:
            return "wrong rate"
        return "lost" if name in self.lost else "samples are missing"

    def counts(self) -> dict[str, dict[str, int]]:
        """What happened to each channel so far."""
        return {
            name: {**placer.counts, "not_numbers": self.channels[name].not_numbers} for name, placer in self.placers.items()
        }

    @property
    def newest_s(self) -> float:
        """The source's clock at the newest sample."""
        return max((placer.time_of(max(placer.next, 0)) for placer in self.placers.values()), default=0.0)
