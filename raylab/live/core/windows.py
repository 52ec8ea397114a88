"""Windows of running signals, each as soon as its last sample is received."""

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from raylab.live.core.messages import LONGEST_ABOUT, Chunk, Note, Notify, SegmentStart, Window, shortened
from raylab.live.core.model_card import ModelCard
from raylab.live.core.online_preprocessing import KEPT_WINDOWS, ChannelWindow, RunningChannel
from raylab.live.core.timestamp_alignment import Timeline, TimestampAligner
from raylab.windows.preprocess import Preprocessing

LOST_S = 2.0  # a channel is lost if it is silent while others go on for so long: windows no longer wait for it
LONGEST_CHUNK_S = 3600.0
DROPPED, NOT_THERE = "dropped by raylab", "samples are missing"
MOST_UNKNOWN = 20  # channels that the model does not have, and that are named


class WindowAssembler:
    """Makes the windows of a stream of signals, on the grid of prepared windows: every ``step_s`` from the first sample.

    A window is complete when all channels have its last sample, lost channels excepted. A channel with a gap in the window is missing in it, and
    is not imputed. A window that lacks every channel is left out.
    """

    def __init__(self, card: ModelCard, notify: Notify) -> None:
        self.card, self._notify = card, notify
        self.settings: Preprocessing = card.signals
        self.max_behind_s = (KEPT_WINDOWS - 1) * self.settings.window_s
        self.channels = {channel.name: RunningChannel(channel, self.settings) for channel in card.channels}
        self.unknown_channels: set[str] = set()
        self._bad_chunks: dict[str, str] = {}  # channel to what is wrong with its last chunk; empty if nothing is
        # beyond what the others keep, a chunk of one channel would cost them their windows
        self.longest_chunk_s = self.max_behind_s if len(self.channels) > 1 else LONGEST_CHUNK_S
        self._invalid_run: dict[str, int] = {}  # channel to its invalid samples in the current run of chunks that have some
        self.undecided = {"device": 0, "raylab": 0}  # windows that lacked every channel, by whose reason it is
        self._number = 0  # of the next window
        self._earlier_counts: dict[str, dict[str, int]] = {name: {} for name in self.channels}
        self._begin_segment(0.0)

    def _begin_segment(self, start_s: float) -> None:
        """Begin a segment, which has its own timeline and grid of windows."""
        self._segment_s, self._first_number = start_s, self._number
        self.timeline = Timeline(self.max_behind_s)
        self.aligners = {
            name: TimestampAligner(name, channel.card.recorded_hz, self.timeline, self._notify, channel.factor)
            for name, channel in self.channels.items()
        }
        self.lost: set[str] = set()
        self._last_chunk_s: dict[str, float] = dict.fromkeys(
            self.channels, 0.0
        )  # position of the stream at a channel's last chunk
        self._grace_s = 0.0  # position up to which no channel is taken for lost, because raylab itself dropped chunks of all

    def start_segment(self, segment: SegmentStart) -> None:
        """Begin a new segment of a recording."""
        self._earlier_counts = self.counts()
        self._begin_segment(segment.start_s)
        for channel in self.channels.values():
            channel.restart()

    def feed(self, chunk: Chunk) -> list[Window]:
        """Add a chunk; the windows that it completes."""
        if chunk.channel not in self.channels:
            self._note_unknown(chunk.channel)
            return []
        usable = self._checked(chunk)
        channel, aligner = self.channels[chunk.channel], self.aligners[chunk.channel]
        was_wrong = aligner.wrong_rate
        if usable is None or not aligner.observe(usable):
            return []
        if aligner.wrong_rate and not was_wrong:
            channel.rewind(-(-max(0, aligner.next_index) // channel.factor))
        invalid_before = channel.n_invalid
        if not aligner.is_left_out:
            self.timeline.add_chunk(len(usable.samples) / channel.card.recorded_hz)
        if aligner.n_dropped:
            self._grace_s = max(self.timeline.newest_s, aligner.next_index / channel.card.recorded_hz) + LOST_S
        pieces = [usable] if aligner.is_left_out else _pieces(usable, channel)
        windows = [window for piece in pieces for window in self._feed_piece(piece, channel)]
        self._note_invalid(chunk.channel, channel.n_invalid - invalid_before)
        return windows

    def _note_unknown(self, name: str) -> None:
        """Send a note on a channel that the model does not have, once for each of the first ones."""
        if name in self.unknown_channels or len(self.unknown_channels) > MOST_UNKNOWN:
            return
        self.unknown_channels.add(name)
        if len(self.unknown_channels) > MOST_UNKNOWN:
            self._notify(
                Note("channels", f"there are more than {MOST_UNKNOWN} that the model does not have; no more are named")
            )
            return
        name = shortened(name, LONGEST_ABOUT)
        self._notify(Note(name, f"the model has no such channel (it has {', '.join(self.channels)}); it is left out"))

    def _checked(self, chunk: Chunk) -> Chunk | None:
        """The chunk, if it can be used. One of another width holds no measurements, but has its length; None: nothing of it can be used."""
        card = self.channels[chunk.channel].card
        problem = ""
        checked: Chunk | None = chunk
        n = len(chunk.samples) if chunk.samples.ndim else 0
        if n / card.recorded_hz > self.longest_chunk_s:
            problem, checked = (
                f"a chunk of {n} samples was dropped: at {card.recorded_hz:g} Hz these are {n / card.recorded_hz:.0f} s, "
                f"and a chunk may have {self.longest_chunk_s:g} s at most",
                None,
            )
            self.aligners[chunk.channel].leave_out(chunk)
        elif chunk.samples.ndim != 2 or chunk.samples.shape[1] != card.n_features:
            shape = " x ".join(map(str, chunk.samples.shape))
            problem = f"a chunk of {shape} was dropped: the model needs (samples, {card.n_features})"
            checked = replace(chunk, samples=np.full((n, card.n_features), np.nan))
        if problem and problem != self._bad_chunks.get(chunk.channel):
            self._notify(Note(chunk.channel, problem))
        self._bad_chunks[chunk.channel] = problem
        return checked

    def _note_invalid(self, name: str, n_invalid: int) -> None:
        """Send a note when invalid samples begin, and when they end."""
        if n_invalid and not self._invalid_run.get(name) and not self._bad_chunks.get(name):
            self._notify(Note(name, "samples are no numbers: windows with them do without the channel"))
        elif not n_invalid and (count := self._invalid_run.get(name)):
            self._notify(Note(name, f"has numbers again ({count} were none)"))
        self._invalid_run[name] = self._invalid_run.get(name, 0) + n_invalid if n_invalid else 0

    def _feed_piece(self, chunk: Chunk, channel: RunningChannel) -> list[Window]:
        aligner = self.aligners[chunk.channel]
        aligned = aligner.place(chunk)
        if aligned:
            channel.feed(aligned.index, aligned.samples, aligned.after_gap, chunk.arrived)
        self._update_lost(chunk.channel)
        return list(self._complete_windows())

    def _position_s(self, name: str) -> float:
        """Position of a channel, in seconds of the stream; the stamps decide, also if the channel comes at a wrong rate."""
        aligner = self.aligners[name]
        return max(aligner.next_index, 0) / aligner.rate_hz

    def _update_lost(self, current: str) -> None:
        """Find channels that are lost or back.

        A channel is lost if it is silent while others go on, or so far behind that others would lose samples that they keep.

        Args:
            current: channel of the last chunk.
        """
        newest_s = self.timeline.newest_s
        # a channel of a wrong rate may have been taken to be far ahead until that was known
        self._last_chunk_s = {name: min(last_s, newest_s) for name, last_s in self._last_chunk_s.items()}
        self._last_chunk_s[current] = newest_s
        if newest_s < self._grace_s:
            return
        patience_s = max(LOST_S, 1.5 * self.timeline.longest_chunk_s)
        for name in self.channels:
            behind_s = newest_s - self._position_s(name)
            silent = newest_s - self._last_chunk_s[name] > patience_s and behind_s > patience_s
            lost = silent or behind_s > self.max_behind_s
            if lost and name not in self.lost:
                self.lost.add(name)
                self._notify(
                    Note(name, f"nothing for {patience_s:.3g} s while other channels go on: it is left out until it is back")
                )
            elif not lost and name in self.lost:
                self.lost.discard(name)
                self._notify(Note(name, "is back"))

    def _first_samples(self) -> dict[str, int]:
        """Channel to the index of the next window's first sample, at the target rate."""
        begin_s = (self._number - self._first_number) * self.settings.step_s
        return {name: round(begin_s * channel.card.rate_hz) for name, channel in self.channels.items()}

    def _complete_windows(self) -> Iterator[Window]:
        while self._is_complete(first_samples := self._first_samples()):
            window = self._make_window(first_samples)
            self._number += 1
            begin_s = (self._number - 1 - self._first_number) * self.settings.step_s
            self.timeline.floor_s = begin_s + min(self.settings.step_s, self.settings.window_s)
            if window:
                yield window

    def _is_complete(self, first_samples: dict[str, int]) -> bool:
        """Whether every channel that is waited for has the window's last sample, and at least one channel has it."""
        complete = {name: channel.head >= first_samples[name] + channel.length for name, channel in self.channels.items()}
        waited_for = [name for name in self.channels if name not in self.lost and not self.aligners[name].wrong_rate]
        return any(complete.values()) and all(complete[name] for name in waited_for)

    def _make_window(self, first_samples: dict[str, int]) -> Window | None:
        """The window; None in the time that is skipped at the start, and if every channel is missing."""
        began = time.perf_counter()
        begin_s = (self._number - self._first_number) * self.settings.step_s
        if begin_s + self._segment_s < self.settings.skip_s:
            return None
        parts = {name: channel.window(first_samples[name]) for name, channel in self.channels.items()}
        present = {name: part for name, part in parts.items() if part.present_share == 1}
        missing = {name: self._why_missing(name, first_samples[name]) for name in parts if name not in present}
        if not present:
            self.undecided["raylab" if DROPPED in missing.values() else "device"] += 1
            return None
        shift_s = max(self.aligners[name].shift_s for name in present)
        start_s = (self.timeline.origin_s or 0.0) + shift_s + begin_s
        return Window(
            number=self._number,
            start_s=start_s,
            end_s=start_s + self.settings.window_s,
            values={name: part.values for name, part in parts.items()},
            lengths=dict.fromkeys(missing, 0),
            missing=missing,
            quality={name: _quality(part) for name, part in parts.items()},
            complete=max(part.arrived for part in present.values()),
            parts_ms={"window": 1000 * (time.perf_counter() - began)},
        )

    def _why_missing(self, name: str, first_sample: int) -> str:
        """Why a channel is not in the window that begins at this index, at the target rate."""
        channel, aligner = self.channels[name], self.aligners[name]
        if aligner.wrong_rate:
            return "wrong rate"
        if aligner.has_own_drops(first_sample * channel.factor, (first_sample + channel.length) * channel.factor):
            return DROPPED
        return "lost" if name in self.lost else NOT_THERE

    def counts(self) -> dict[str, dict[str, int]]:
        """Channel to counts of samples, gaps, jumps and so on, over all segments so far."""
        return {
            name: {
                **{kind: count + self._earlier_counts[name].get(kind, 0) for kind, count in aligner.counts.items()},
                "not_numbers": self.channels[name].n_invalid,
            }
            for name, aligner in self.aligners.items()
        }


def _pieces(chunk: Chunk, channel: RunningChannel) -> Iterator[Chunk]:
    """A chunk in pieces of at most half a window, so that no window is overwritten before it is made."""
    size = max(1, channel.length * channel.factor // 2)
    for start in range(0, len(chunk.samples), size):
        time_s = chunk.time_s + start / channel.card.recorded_hz
        yield (
            replace(chunk, time_s=time_s, samples=chunk.samples[start : start + size])
            if start or len(chunk.samples) > size
            else chunk
        )


def _quality(part: ChannelWindow) -> dict[str, float]:
    return {"there": round(part.present_share, 3), "moves": float(part.varies)}
