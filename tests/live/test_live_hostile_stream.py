"""A stream that brings anything: stamps, rates, lines, names and amounts that no device sends. It is said, and what is right after it is decided."""

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from builders.live import CollectedNotes, chunks_of, events, exported, signal, source_of, subscribe
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raylab.live.core.bounded_queue import GROWTH, BoundedQueue
from raylab.live.core.event_bus import NOTES_AT_ONCE, EventBus, NoteLimit, line_of
from raylab.live.core.messages import LONGEST_ABOUT, LONGEST_NOTE, Chunk, LabelMark, Note, SegmentStart, Source, Window
from raylab.live.core.model_card import ModelCard, ModelChannel
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.core.windows import MOST_UNKNOWN, WindowAssembler
from raylab.live.sources.lines import MAX_LINE, items
from raylab.recordings.simulated import SIMULATED
from raylab.windows.preprocess import Preprocessing

HZ = {"fast": 32.0, "slow": 4.0}
WRONG_TIMES = (1e18, -1e18, float("nan"), float("inf"), -5.0, 1.7e12, 1.7e9, 1e6, 1e10, -1e10)


def _card(*names: str) -> ModelCard:
    channels = [
        ModelChannel(name=name, modality=name, recorded_hz=HZ[name], rate_hz=4.0, unit="V", length=40, n_features=1)
        for name in names
    ]
    preprocessing = Preprocessing(normalization="past", skip_s=0.0).as_dict()
    return ModelCard.model_construct(channels=tuple(channels), preprocessing=preprocessing)


def _assembler(*names: str) -> tuple[WindowAssembler, CollectedNotes]:
    notes = CollectedNotes()
    return WindowAssembler(_card(*(names or tuple(HZ))), notes), notes


def _signals(seconds: float) -> dict[str, tuple[float, Any]]:
    return {name: (hz, signal(hz, seconds, seed)) for seed, (name, hz) in enumerate(HZ.items())}


def _windows(assembler: WindowAssembler, chunks: Any) -> list[tuple[float, Window]]:
    """The windows, each with the stamp of the chunk that completed it."""
    return [(chunk.time_s, window) for chunk in chunks for window in assembler.feed(chunk)]


@pytest.mark.parametrize("first_s", WRONG_TIMES)
@pytest.mark.parametrize("channel", ["fast", "slow"])
def test_a_wrong_first_stamp_does_not_silence_the_stream(first_s: float, channel: str) -> None:
    """Whatever it is: within two windows of the right stamps all channels are decided, at the right time."""
    assembler, notes = _assembler()
    hz = HZ[channel]
    assembler.feed(Chunk(channel, first_s, signal(hz, 0.25, 9)))
    windows = _windows(assembler, chunks_of(_signals(60.0), begin_s=100.0))
    complete = [(came_s, window) for came_s, window in windows if not window.missing]
    assert complete and complete[0][0] < 122 and len(complete) >= 7
    assert all(-0.5 < came_s - window.end_s < 2.5 for came_s, window in complete)
    assert len(notes) <= 6


@pytest.mark.parametrize("stamp", [1e18, float("nan"), float("-inf"), 1.7e12])
def test_a_stamp_that_is_no_time_costs_its_chunk_only(stamp: float) -> None:
    """In the middle of a stream: said once for a run of them, with its end; the windows over it lack the channel."""
    assembler, notes = _assembler()
    chunks = [
        Chunk(c.channel, stamp if c.channel == "fast" and 21 <= c.time_s < 21.5 else c.time_s, c.samples)
        for c in chunks_of(_signals(60.0))
    ]
    windows = _windows(assembler, chunks)
    assert [15.0, 20.0] == [window.start_s for _, window in windows if window.missing]
    assert 3 == len(notes) and "fast: 0.50 s are missing" == notes.texts[2]
    assert f"fast: a time stamp of {stamp:g} is no time in seconds" in notes.texts[0]
    assert "fast: has times again (2 chunks had none)" == notes.texts[1]
    assert 16 == assembler.counts()["fast"]["no_time"]


@pytest.mark.parametrize(("unit", "factor"), [("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)])
def test_stamps_in_another_unit_are_named_and_those_in_seconds_are_taken(unit: str, factor: float) -> None:
    """One channel in milliseconds: left out with the unit in the note, not a jump at each chunk; the other goes on; in seconds it is back."""
    assembler, notes = _assembler()
    chunks = [
        Chunk(c.channel, c.time_s * factor if c.channel == "fast" and c.time_s < 60 else c.time_s, c.samples)
        for c in chunks_of(_signals(120.0))
    ]
    windows = [window for _, window in _windows(assembler, chunks)]
    assert any(f"as if its time stamps were {unit}: send seconds" in text for text in notes.texts)
    assert "fast: has its rate of 32 Hz again" in notes.texts and len(notes) <= 12
    during = [window for window in windows if 20 <= window.start_s < 45]
    assert 5 == len(during) and all({"fast"} == set(window.missing) for window in during)
    assert len([window for window in windows if not window.missing and window.start_s >= 60]) >= 8


def test_all_stamps_in_milliseconds_are_said_once_for_each_channel() -> None:
    """Nothing is decided, the notes say why, and they are few."""
    assembler, notes = _assembler()
    assert [] == _windows(assembler, [Chunk(c.channel, 1000 * c.time_s, c.samples) for c in chunks_of(_signals(120.0))])
    assert {"fast", "slow"} == {note.about for note in notes if "milliseconds: send seconds" in note.text}
    assert len(notes) <= 14


@pytest.mark.parametrize("names", [("fast", "slow"), ("fast",)])
@pytest.mark.parametrize("seconds", [0.25, 0.0625])
def test_a_thousand_times_the_samples_is_left_out(names: tuple[str, ...], seconds: float) -> None:
    """The other channel is decided as if this one were not there; with the right rate it is back, and no window holds what it had brought."""
    assembler, notes = _assembler(*names)

    def too_many() -> Iterator[Chunk]:
        for chunk in chunks_of({name: _signals(120.0)[name] for name in names}, seconds):
            many = chunk.channel == "fast" and chunk.time_s < 40
            yield Chunk(chunk.channel, chunk.time_s, np.repeat(chunk.samples, 1000, axis=0) if many else chunk.samples)

    windows = _windows(assembler, too_many())
    back = [(came_s, window) for came_s, window in windows if not window.missing and came_s > 40]
    assert len(back) >= 10 and back[0][0] < 65
    if "slow" in names:
        assert [window.start_s for came_s, window in windows if came_s <= 40] == [0.0, 5, 10, 15, 20, 25, 30]
        assert all({"fast"} == set(window.missing) for came_s, window in windows if came_s <= 40)
    assert len(notes) <= 8, notes.texts


_times = st.one_of(st.sampled_from([*WRONG_TIMES, 0.0, 60.0, 250.0]), st.floats())
_sizes = st.sampled_from([0, 1, 2, 8, 80, 300, 8000])
_values = st.sampled_from([1.0, -3.0, 1e308, float("nan"), float("inf")])
_shapes = st.sampled_from([(-1, 1)] * 6 + [(-1,), (1, -1), (-1, 1, 1)])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*HZ, "smell"]), _times, _sizes, _values, _shapes), max_size=25), st.booleans())
@example([("fast", 1e18, 8, 1.0, (-1, 1)), ("slow", 0.0, 8000, 1.0, (-1, 1)), ("fast", 5e8, 0, 1.0, (-1,))], False)
def test_whatever_came_before_a_right_stream_is_decided(chunks: list[Any], with_scalar: bool) -> None:
    """Any chunks, then two minutes as they should be: nothing fails, every value is finite, and windows have all channels again."""
    assembler, _ = _assembler()
    for name, time_s, n, value, shape in chunks:
        wrong = np.full(n, value).reshape(shape) if n else np.zeros((0, 1))
        for window in assembler.feed(Chunk(name, time_s, np.array(value) if with_scalar and n == 1 else wrong)):
            assert all(np.isfinite(values).all() for values in window.values.values())
    windows = _windows(assembler, chunks_of(_signals(120.0), begin_s=3000.0))
    complete = [came_s for came_s, window in windows if not window.missing]
    assert complete and complete[0] < 3100 and not windows[-1][1].missing


def test_channels_that_come_and_go_and_have_no_end_of_names() -> None:
    """Each is left out while it is away; of names that the model does not have only the first are named and kept."""
    assembler, notes = _assembler()
    away = [
        chunk
        for chunk in chunks_of(_signals(200.0))
        if not (chunk.channel == "fast" and chunk.time_s % 40 >= 25)
        and not (chunk.channel == "slow" and chunk.time_s % 60 >= 45)
    ]
    windows = _windows(assembler, away)
    assert {"fast", "slow"} == {name for _, window in windows for name in window.missing}
    assert sum(not window.missing for _, window in windows) > 5
    notes.clear()
    for number in range(1000):
        assembler.feed(Chunk(f"{number} {'x' * 1000}", 0.0, np.zeros((1, 1))))
    assert MOST_UNKNOWN + 1 == len(notes) and f"more than {MOST_UNKNOWN}" in notes.texts[-1]
    assert all(len(note.about) <= LONGEST_ABOUT for note in notes)
    assert len(assembler.unknown_channels) <= MOST_UNKNOWN + 1


def test_what_raylab_drops_is_no_jump_of_the_clock() -> None:
    """Chunks that are missing by count and by time: the places stay empty, and no note says that the source's clock was set."""
    assembler, notes = _assembler()
    recorded = _signals(90.0)
    counted = [Chunk(c.channel, c.time_s, c.samples, n_before=round(c.time_s * HZ[c.channel])) for c in chunks_of(recorded)]
    windows = _windows(assembler, [chunk for chunk in counted if not 30 <= chunk.time_s < 48])
    assert [] == notes.texts
    starts = [window.start_s for _, window in windows]
    assert [0.0, 5, 10, 15, 20, 50, 55, 60, 65, 70, 75, 80] == starts
    assert {"fast": 576, "slow": 72} == {name: count["dropped"] for name, count in assembler.counts().items()}


def test_a_slow_part_drops_chunks_and_the_clock_is_not_blamed(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue before the windows overflows: what was dropped is counted and said, by raylab's name."""
    monkeypatch.setattr("raylab.live.core.pipeline.CHUNK_QUEUE", 40)
    recording = SIMULATED.read(Path(), "P01", {"participants": 4, "minutes": 4, "seed": 5})
    chunks = list(chunks_of({c.name: (c.rate_hz, recording.segments[0].signals[c.name]) for c in recording.channels}))
    feed, slow = WindowAssembler.feed, Event()

    def slowly(self: WindowAssembler, chunk: Chunk) -> list[Window]:
        if chunk.time_s > 30 and not slow.is_set():
            slow.set()
            time.sleep(1.0)  # longer than the source needs for much more than the queue holds
        return feed(self, chunk)

    monkeypatch.setattr(WindowAssembler, "feed", slowly)

    def in_time(stop: Event) -> Iterator[Chunk]:
        for chunk in chunks:
            yield chunk
            if chunk.time_s > 150:
                slow.wait(10)
                time.sleep(0.02)  # so that the windows keep up again, on a busy machine too

    bus = EventBus()
    queue = subscribe(bus)
    received: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: received.extend(events(queue)))
    reader.start()
    statistics = Stream(exported(live_run), Source("quick", in_time, recorded=False), bus, StreamSettings()).run()
    reader.join(30)
    notes = [event["text"] for event in received if event["event"] == "note"]
    assert statistics.dropped["chunks"] > 100 and sum(count["dropped"] for count in statistics.channels.values()) > 1000
    assert not [text for text in notes if "jump" in text] and any("too slow" in text for text in notes)
    assert any(event["event"] == "decision" and not event["missing"] and event["start_s"] > 180 for event in received)


def test_a_queue_is_bounded_by_bytes_and_keeps_what_must_stay() -> None:
    """Of any size of items; borders of segments are never dropped; nor does one of the waiting kind grow without end."""
    queue: BoundedQueue[Any] = BoundedQueue(
        3, most_bytes=100, bytes_of=lambda item: len(str(item)), is_kept=lambda item: item == 0
    )
    assert [True, True, False] == [queue.put(0), queue.put("x" * 90), queue.put("y" * 90)]
    assert queue.put("z" * 500) is False and [0, "z" * 500] == [queue.get(0), queue.get(0)] and 2 == queue.dropped
    assert queue.put("z" * 500) and ["z" * 500] == [queue.get(0)]
    waiting: BoundedQueue[int] = BoundedQueue(2, waits=True)
    for number in range(100):
        waiting.put(number, wait=False)
    assert 2 * GROWTH == len(waiting) and 100 - 2 * GROWTH == waiting.dropped


def test_a_border_of_segments_survives_a_full_queue(live_run: Path) -> None:
    """It is kept among the chunks that are dropped."""
    stream = Stream(exported(live_run), source_of([]), EventBus(), StreamSettings())
    for number in range(2000):
        stream._chunks.put(SegmentStart(1.0) if number == 100 else Chunk("eda", float(number), np.zeros((1, 1))))
    stream._chunks.close()
    assert [SegmentStart(1.0)] == [item for item in iter(lambda: stream._chunks.get(0), None) if isinstance(item, SegmentStart)]


def test_notes_without_end_leave_room_for_decisions() -> None:
    """The first ones, then one in a while with the number of those left out; each of bounded length; others are not counted with them."""
    bus = EventBus()
    queue = bus.subscribe()
    for number in range(5000):
        bus.note(Note("stdin" + "x" * 500, f"line {number} " + "y" * 10_000))
    bus.note(Note("eda", "is back"))
    bus.note_rest()
    bus.close()
    notes = events(queue)
    assert NOTES_AT_ONCE + 2 <= len(notes) <= NOTES_AT_ONCE + 20 and ("eda", "is back") in [
        (n["about"], n["text"]) for n in notes
    ]
    assert all(len(note["text"]) <= LONGEST_NOTE and len(note["about"]) <= LONGEST_ABOUT for note in notes)
    shown = sum("left out" not in note["text"] for note in notes) - 1
    withheld = sum(int(note["text"].split()[0]) for note in notes if "more notes were left out" in note["text"])
    assert 5000 == shown + withheld
    limit = NoteLimit()
    assert [0] * NOTES_AT_ONCE + [-1] * 3 == [limit.admit("a", 0.0) for _ in range(NOTES_AT_ONCE + 3)]
    assert 3 == limit.admit("a", 10.0) and 0 == limit.admit("b", 10.0)


def test_every_event_is_json() -> None:
    """Numbers that JSON does not have are null: a browser reads no NaN."""
    line = line_of({"quality": {"sound": {"level_db": float("nan")}}, "p": [1.0, float("-inf")], "n": 3})
    assert {"quality": {"sound": {"level_db": None}}, "p": [1.0, None], "n": 3} == json.loads(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"channel": 3, "time": 1, "samples": [1]}', "channel is 3, expected a text"),
        (b'{"channel": {"a": [1]}, "time": 1, "samples": [1]}', "channel is an object, expected a text"),
        (b'{"channel": "a", "time": "1", "samples": [1]}', 'time is "1", expected seconds'),
        (b'{"channel": "a", "time": true, "samples": [1]}', "time is true, expected seconds"),
        (b'{"channel": "a", "time": [1], "samples": [1]}', "time is a list, expected seconds"),
        (b'{"channel": "a", "time": 1e18, "samples": [1]}', "time is 1e+18, expected seconds from"),
        (b'{"channel": "a", "time": 1.7e12, "samples": [1]}', "is it in milliseconds, or less?"),
        (b'{"channel": "a", "time": 1e999, "samples": [1]}', "time is inf"),
        (b'{"channel": "a", "time": 1, "samples": ["1"]}', 'could not convert "1" to a number'),
        (b'{"channel": "a", "time": 1, "samples": [true]}', "could not convert true"),
        (b'{"channel": "a", "time": 1, "samples": [{"b": 1}]}', "could not convert an object"),
        (b'{"channel": "a", "time": 1, "samples": {"0": 1}}', "samples are no list"),
        (b'{"channel": "a", "time": 1, "samples": [' + b"9" * 400 + b"]}", "too large"),
        (b'{"channel": "a", "time": 1, "samples": [' + b"9" * 5000 + b"]}", "limit"),
        (b'{"channel": "a", "time": 1, "samples": ' + b"[" * 200 + b"1" + b"]" * 200 + b"}", "dimension"),
        (b'{"channel": "a", "time": 1, "samples": ' + b"[" * 5000 + b"]" * 5000 + b"}", "recursion"),
        (b'{"mark": 3}', "mark is 3, expected a class as text, or null"),
        (b'{"mark": false}', "mark is false"),
        (b'{"mark": ["stress"]}', "mark is a list"),
        (b'{"mark": "' + b"x" * 5000 + b'"}', "mark has 5000 characters, at most 200"),
        (b'{"mark": "stress", "time": 1e18}', "time is 1e+18"),
        (b'{"mark": "a", "channel": "a", "time": 1, "samples": [1]}', "give them in two lines"),
        (bytes(range(256)).replace(b"\n", b""), "left out"),
        (b"\x00" * 5000, "left out"),
        (b"\xff\xfe{\x00}\x00", "left out"),
        (b"[" + b"0," * 1_000_000 + b"0]", "it is no object"),
    ],
)
def test_a_hostile_line_is_named_in_a_few_words_and_the_next_is_read(line: bytes, message: str) -> None:
    good = b'{"channel": "a", "time": 1, "samples": [1]}'
    parsed = list(items(io.BytesIO(line + b"\n" + good + b"\n"), Event()))
    assert isinstance(parsed[0], Note) and parsed[0].text.startswith("line 1 is left out") and message in parsed[0].text
    assert isinstance(parsed[1], Chunk) and 2 == len(parsed) and len(parsed[0].text) < 400


def test_a_line_that_is_too_long_is_skipped_as_one() -> None:
    """However long it is, and also without an end; lines keep their numbers."""

    class Long(io.RawIOBase):
        """Ten times the longest line, then others."""

        def __init__(self, rest: bytes) -> None:
            self.left, self.rest = 10 * MAX_LINE + 5, io.BytesIO(rest)

        def readline(self, size: int | None = -1) -> bytes:
            if self.left:
                assert size is not None and 0 < size <= MAX_LINE
                n = min(size, self.left)
                self.left -= n
                return b"7" * n if self.left else b"7" * (n - 1) + b"\n"
            return self.rest.readline()

    good = b'{"channel": "a", "time": 1, "samples": [1]}\nno json\n'
    parsed: list[Any] = list(items(Long(good), Event()))  # type: ignore[arg-type]  # of a stream, it needs lines only
    assert [Note, Chunk, Note] == [type(item) for item in parsed]
    assert (
        f"line 1 is left out (it is longer than {MAX_LINE} bytes)" in parsed[0].text and "line 3 is left out" in parsed[2].text
    )
    endless = list(items(io.BytesIO(b"7" * (2 * MAX_LINE + 1)), Event()))
    assert 1 == len(endless) and isinstance(endless[0], Note)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["channel", "time", "samples", "mark"]), inner)
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_line_is_an_item_or_a_note(line: bytes) -> None:
    parsed = list(items(io.BytesIO(line.replace(b"\n", b" ") + b"\n"), Event()))
    assert len(parsed) <= 1 and all(isinstance(item, Chunk | LabelMark | Note) for item in parsed)


def test_marks_of_any_kind_leave_the_stream_as_it_is(live_run: Path) -> None:
    """A text of a megabyte is shortened in the event that carries it."""
    bus = EventBus()
    queue = bus.subscribe()
    stream = Stream(exported(live_run), source_of([]), bus, StreamSettings())
    stream.mark(LabelMark("x" * 1_000_000))
    bus.close()
    assert all(len(line_of(event)) < 2000 for event in events(queue))
