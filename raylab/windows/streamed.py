"""Signals that are on no disk of the node: read where the prepared windows lie, person by person, whenever a training goes through them.

For windows that are too large for a copy on each node (``raylab.windows.mapped``). A trial still asks for windows by row, and gets the same numbers;
what differs is where they come from. Who goes through many windows announces it (``WindowStream.expect``): people are then read in the order in
which their windows are asked for first, ahead of the trial if the reader works beside it (Ray Data's, ``raylab.runs.streamed_windows``), and a window
is held from when its person is read until it was handed out for the last time. With ``protocol.shuffle_buffer`` that is at most the buffer, a batch
and what is read at once (a person; of Ray Data's reader people of 16 MiB together). Windows that nobody announced are read as well, with the one
or two people that were read last held.

Files are checked against the card once for each start (``WindowSource.checked``), all bytes of them; a later reading compares their sizes and times.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.windows.card import ParticipantCard, WindowsCard
from raylab.windows.dataset import (
    OWN_TYPES,
    WINDOW,
    WindowIndex,
    Windows,
    has_rows,
    lengths_of,
    padded,
    read_participant,
    signals_of,
)
from raylab.windows.index_file import INDEX, remedy
from raylab.windows.stored_rows import VALUES, participant_files, read_rows

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.integer[Any]]
Stamps = Mapping[str, tuple[int, int]]
READ_LAST = 2  # people whose windows are held when they are asked for without notice


@dataclass(frozen=True)
class Corpus:
    """Prepared windows of one folder, and what they are called among those that a study joins.

    Attributes:
        index: theirs.
        first: position of their first participant in the joined index; ``first_row`` of their first window.
        names: the joined name of each channel that has another one there.
    """

    uri: str
    index: WindowIndex
    first: int = 0
    first_row: int = 0
    names: Mapping[str, str] = field(default_factory=dict)

    def entry(self, position: int) -> tuple[Folder, WindowsCard, ParticipantCard]:
        """The folder and the card, and the participant at this position of the joined index in it."""
        card = self.index.card
        return Folder(self.uri), card, card.participants[position - self.first]


@dataclass(frozen=True)
class WindowSource:
    """Where the windows of an index lie.

    Attributes:
        index: of all of them.
        corpora: one, or those that a study joins, in the order of the index.
        stamps: sizes and times of each participant's files, by position, when they were checked; None: they were not.
    """

    index: WindowIndex
    corpora: tuple[Corpus, ...]
    stamps: tuple[Stamps, ...] | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Channel to (length, n_features)."""
        return {channel.name: (channel.length, channel.n_features) for channel in self.index.card.channels}

    @property
    def begins(self) -> npt.NDArray[np.int64]:
        """(n_participants + 1,) row of each participant's first window, and the number of windows."""
        known: dict[str, npt.NDArray[np.int64]] = self.index.derived
        if "begins" not in known:
            people = np.arange(len(self.index.participants) + 1)
            known["begins"] = np.searchsorted(self.index.participant_index, people).astype(np.int64)
        return known["begins"]

    def corpus_of(self, position: int) -> Corpus:
        """The corpus that a participant is of."""
        return next(corpus for corpus in reversed(self.corpora) if position >= corpus.first)

    def checked(self, position: int) -> tuple[Stamps, dict[str, npt.NDArray[np.int32]]]:
        """Read all of a participant and compare it with the card and the index; stamps of the files, and the valid steps of its windows by channel.

        Raises:
            RaylabError: naming the participant, if its windows are others than those that were prepared.
        """
        corpus, begins = self.corpus_of(position), self.begins - self.corpus_of(position).first_row
        folder, card, entry = corpus.entry(position)
        stamps = participant_files(folder, entry.name)
        table = read_participant(folder, card, entry)
        if not has_rows(corpus.index, slice(int(begins[position]), int(begins[position + 1])), table):
            raise RaylabError(f"{folder.uri}/{INDEX} is not that of the windows of participant {entry.name}. {remedy(folder)}")
        named = {corpus.names.get(name, name): steps for name, steps in lengths_of(table, card).items()}
        return stamps, {name: named[name] for name in self.index.card.variable_channels}

    def read(self, position: int, channels: Sequence[str]) -> dict[str, Array]:
        """Channel to (n, length, n_features) of all windows of a participant.

        Raises:
            RaylabError: naming the participant, if its files have changed since they were checked, or cannot be read.
        """
        corpus, shapes = self.corpus_of(position), self.shapes
        folder, card, entry = corpus.entry(position)
        if self.stamps is not None and participant_files(folder, entry.name) != self.stamps[position]:
            raise RaylabError(
                f"{folder.uri}: the windows of participant {entry.name} were written again, or are gone, since this run has begun; start the run "
                "again"
            )
        named = {corpus.names.get(channel.name, channel.name): channel for channel in card.channels}
        theirs = tuple(named[name] for name in channels)
        table = read_rows(folder, entry.name, {WINDOW: OWN_TYPES[WINDOW], **{channel.name: VALUES for channel in theirs}})
        signals = signals_of(folder, table, card.changed(channels=theirs))
        return {name: padded(signals[channel.name], shapes[name][0]) for name, channel in zip(channels, theirs, strict=True)}


@dataclass(frozen=True)
class Part:
    """All windows of a participant, or of some, one after the other.

    Attributes:
        rows: (n,) of the index.
        signals: channel to (n, length, n_features).
    """

    rows: Rows
    signals: Mapping[str, Array]


class Reader(Protocol):
    """Reads people one after the other."""

    def __call__(self, source: WindowSource, positions: Sequence[int], channels: Sequence[str]) -> Iterator[Part]:
        """All windows of these participants, in this order; a part may hold several of them, and one may come in several parts."""


def read_here(source: WindowSource, positions: Sequence[int], channels: Sequence[str]) -> Iterator[Part]:
    """Reads in this process, each participant when its first window is asked for."""
    begins = source.begins
    for position in positions:
        yield Part(np.arange(begins[position], begins[position + 1]), source.read(position, channels))


class WindowStream:
    """The windows of a source, by row, for one trial at a time.

    Attributes:
        most_held: the largest number of windows that were held at once for those who announced what they would ask for.
    """

    def __init__(self, source: WindowSource, reader: Reader = read_here) -> None:
        self.source, self.reader, self.begins, self.shapes = source, reader, source.begins, source.shapes
        self.expected: _Pass | None = None
        self.read_last: OrderedDict[int, dict[str, Array]] = OrderedDict()  # participant to channel to all windows
        self.most_held = 0

    def expect(self, rows: Rows, channels: Sequence[str]) -> None:
        """These rows of these channels will be asked for next, in this order, each as often as it stands there; ends what was expected before."""
        self.close()
        people = self.source.index.participant_index[rows]
        positions, first = np.unique(people, return_index=True)
        in_order = positions[np.argsort(first)].tolist()
        if len(in_order) > 1:  # one person is read as well without notice
            shapes = {name: self.shapes[name] for name in channels}
            self.expected = _Pass(rows, self.reader(self.source, in_order, list(channels)), shapes)

    def close(self) -> None:
        """Nothing is expected any longer."""
        if self.expected is not None:
            self.most_held = max(self.most_held, self.expected.most_held)
            self.expected.close()
        self.expected = None

    def take(self, channel: str, rows: Rows) -> Array:
        """(n, length, n_features) of these rows, which the caller may change.

        Raises:
            RaylabError: if they cannot be read.
        """
        if self.expected is not None and self.expected.covers(channel, rows):
            try:
                found = self.expected.take(channel, rows)
            except BaseException:  # who asked will not go on with this pass: nothing of it is held, and nothing reads for it
                self.close()
                raise
            if self.expected.is_done:
                self.close()
            return found
        found = np.empty((len(rows), *self.shapes[channel]), np.float32)
        people = self.source.index.participant_index[rows]
        for position in np.unique(people).tolist():
            mine = people == position
            found[mine] = self._person(position, channel)[rows[mine] - self.begins[position]]
        return found

    def _person(self, position: int, channel: str) -> Array:
        """A channel of one person, read, or of those who were read last."""
        channels = self.read_last.setdefault(position, {})
        self.read_last.move_to_end(position)
        while len(self.read_last) > READ_LAST:
            self.read_last.popitem(last=False)
        if channel not in channels:
            channels[channel] = self.source.read(position, [channel])[channel]
        return channels[channel]


class _Pass:
    """One way through many rows: what has been read and not yet been handed out for the last time."""

    def __init__(self, rows: Rows, parts: Iterator[Part], shapes: Mapping[str, tuple[int, int]]) -> None:
        self.rows, times = np.unique(rows, return_counts=True)
        self.parts = parts
        self.left = {name: times.copy() for name in shapes}  # how often each row will still be asked for
        self.open = len(rows) * len(shapes)  # the sum of these: adding them up for each batch would go through all windows
        self.slot = np.full(len(self.rows), -1)  # where a row is held
        self.held: dict[str, Array] = {name: np.empty((0, *shape), np.float32) for name, shape in shapes.items()}
        self.free: list[int] = []
        self.most_held = 0

    def covers(self, channel: str, rows: Rows) -> bool:
        """Whether these rows were announced and are still to be handed out."""
        if channel not in self.left or not len(rows):
            return False
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return bool((self.rows[places] == rows).all() and (self.left[channel][places] > 0).all())

    @property
    def is_done(self) -> bool:
        """Whether everything was handed out."""
        return self.open <= 0

    def take(self, channel: str, rows: Rows) -> Array:
        """(n, length, n_features) of these rows."""
        places = np.searchsorted(self.rows, rows)
        while (self.slot[places] < 0).any():
            self._receive()
        found: Array = self.held[channel][self.slot[places]]
        np.subtract.at(self.left[channel], places, 1)
        self.open -= len(rows)
        done = np.unique(places[np.max([left[places] for left in self.left.values()], axis=0) <= 0])
        self.free += self.slot[done].tolist()
        self.slot[done] = -1
        return found

    def _receive(self) -> None:
        """Hold the next part that the reader has."""
        part = next(self.parts, None)
        if part is None:
            raise RaylabError("a reader of windows ended before it gave all that was asked for")
        places = np.minimum(np.searchsorted(self.rows, part.rows), len(self.rows) - 1)
        wanted = np.flatnonzero(self.rows[places] == part.rows)
        self._make_room(len(wanted))
        slots = np.array([self.free.pop() for _ in range(len(wanted))], dtype=np.int64)
        self.slot[places[wanted]] = slots
        for name, values in self.held.items():
            values[slots] = part.signals[name][wanted]
        self.most_held = max(self.most_held, self._size - len(self.free))

    @property
    def _size(self) -> int:
        return len(next(iter(self.held.values())))

    def _make_room(self, count: int) -> None:
        lacking = count - len(self.free)
        if lacking > 0:
            size, grown = self._size, self._size + max(lacking, self._size // 4)
            for name, x in self.held.items():  # one after the other, so that but one channel is there twice
                self.held[name] = np.concatenate([x, np.empty((grown - size, *x.shape[1:]), x.dtype)])
            self.free += range(size, grown)

    def close(self) -> None:
        """End the reader."""
        if (end := getattr(self.parts, "close", None)) is not None:
            end()


class StreamedArray:
    """Stands for one channel's (n_windows, length, n_features) wherever rows of it are asked for: ``array[rows]`` and ``array[rows, :steps]``."""

    def __init__(self, stream: WindowStream, channel: str) -> None:
        self.stream, self.channel = stream, channel
        self.shape, self.dtype = (len(stream.source.index.window), *stream.shapes[channel]), np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, *arguments: Any, **options: Any) -> Array:
        raise RaylabError(
            f"the windows of channel {self.channel} are streamed: none of them is in memory until its row is asked for"
        )

    def __iter__(self) -> Iterator[Array]:
        raise RaylabError(f"the windows of channel {self.channel} are streamed: ask for some of their rows")

    def __getitem__(self, key: Any) -> Array:
        rows, steps = key if isinstance(key, tuple) else (key, slice(None))
        return np.ascontiguousarray(self.stream.take(self.channel, rows)[:, steps])  # as numpy gives rows of an array


def streamed(source: WindowSource, lengths: Mapping[str, npt.NDArray[np.int32]], reader: Reader = read_here) -> Windows:
    """The windows of a source, none of them in memory.

    Args:
        lengths: valid steps of every window by channel of variable length, (n_windows,), as ``checked`` gives them.
    """
    stream = WindowStream(source, reader)
    signals = {name: StreamedArray(stream, name) for name in stream.shapes}
    # a trial asks arrays of signals for rows, and for nothing else (tests/windows/test_streamed.py runs all that asks)
    return Windows(source.index, cast(dict[str, npt.NDArray[np.float32]], signals), dict(lengths))


def with_checks(
    source: WindowSource, found: Sequence[tuple[Stamps, Mapping[str, npt.NDArray[np.int32]]]]
) -> tuple[WindowSource, dict[str, npt.NDArray[np.int32]]]:
    """The source with the stamps of all participants, and the valid steps of all windows; ``found`` has what ``checked`` gave of each."""
    lengths = {name: np.concatenate([steps[name] for _, steps in found]) for name in source.index.card.variable_channels}
    return replace(source, stamps=tuple(stamps for stamps, _ in found)), lengths


def stream_of(signals: Mapping[str, object]) -> WindowStream | None:
    """The stream that signals come from; None if they are at hand."""
    return next((array.stream for array in signals.values() if isinstance(array, StreamedArray)), None)
