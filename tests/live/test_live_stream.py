"""A stream from source to decisions: equal to offline, and running on whatever happens."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from builders.live import OPTIONS, chunks_of, events, exported, key_of, labelled, source_of, subscribe

from raylab.files import Folder
from raylab.live.core.bounded_queue import BoundedQueue
from raylab.live.core.event_bus import EventBus, EventWriter
from raylab.live.core.inference import WindowClassifier
from raylab.live.core.messages import Source, Window
from raylab.live.core.model_file import LiveModel
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.sources import open_source
from raylab.live.sources.source import SourceOptions
from raylab.recordings.simulated import SIMULATED
from raylab.runs.folder import RunFolder
from raylab.windows.dataset import read_windows

PLAIN = StreamSettings()


def _recorded(participant: str = "P01") -> dict[str, tuple[float, Any]]:
    """A participant's signals: channel to rate and samples."""
    recording = SIMULATED.read(Path(), participant, OPTIONS)
    (segment,) = recording.segments
    return {channel.name: (channel.rate_hz, segment.signals[channel.name]) for channel in recording.channels}


def _starts() -> list[float]:
    """Start of each window of a stream of this recording: those of prepared windows, and the one that ends with the recording."""
    seconds = min(len(samples) / rate for rate, samples in _recorded().values())
    return [float(start) for start in np.arange(60, seconds - 10 + 1e-9, 5)]


def _follow(model: LiveModel, source: Source, settings: StreamSettings = PLAIN, waits: bool = True) -> list[dict[str, Any]]:
    bus = EventBus(waits)
    received: list[dict[str, Any]] = []
    queue = subscribe(bus)
    stream = Stream(model, source, bus, settings, waits)
    reader = threading.Thread(target=lambda: received.extend(events(queue)))
    reader.start()
    stream.run()
    reader.join(30)
    return received


def _decisions(received: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in received if event["event"] == "decision"]


def _notes(received: list[dict[str, Any]]) -> list[str]:
    return [f"{event['about']}: {event['text']}" for event in received if event["event"] == "note"]


@pytest.mark.parametrize("model", ["fcn w0.0625", "fcn attention w0.0625", "mlp_lstm w0.0625", "svm"])
def test_live_equals_offline(live_run: Path, model: str) -> None:
    """The folder replayed: every window of the trial's test gets the trial's probabilities, and its attention."""
    exported_ = exported(live_run, model=model)
    source = open_source(exported_.card, SourceOptions("folder:.", "P01", speed=0))
    live = {decision["start_s"]: decision for decision in _decisions(_follow(exported_, source))}
    run = RunFolder(str(live_run / "run")).folder
    key = key_of(live_run / "run", model=model, technique="non_personalized")
    stored = run.read_table(f"predictions/{key}.parquet").to_pandas()
    index = read_windows(Folder(live_run / "windows/simulated")).index
    start = dict(zip(index.window, index.start_s, strict=True))
    assert len(stored) > 20
    for window, p in zip(stored["window"], stored["p"], strict=True):
        np.testing.assert_allclose(list(live[round(start[window], 3)]["p"].values()), p, atol=6e-5)  # events have 4 digits
    if "attention" in model:
        weights = run.read_table(f"attention/{key}.parquet").to_pandas()
        for window, channel, weight in weights[["window", "channel", "weight"]].itertuples(index=False):
            assert abs(live[round(start[window], 3)]["weights"][channel] - weight) < 6e-5


@pytest.mark.parametrize("model", ["fcn w0.0625", "fcn attention w0.0625", "mlp_lstm w0.0625", "svm"])
def test_a_missing_channel_has_no_say(live_run: Path, model: str) -> None:
    """Whatever its values are: probabilities stay the same, and attention gives it no weight."""
    exported_ = exported(live_run, model=model)
    classifier = WindowClassifier(exported_)
    window = next(labelled(read_windows(Folder(live_run / "windows/simulated")), 0, "stress"))[0]
    decisions = []
    for filling in (0.0, 0.7):
        values = {**window.values, "ppg": np.full_like(window.values["ppg"], filling)}
        decisions.append(classifier.decide(Window(0, 0.0, 10.0, values, {"ppg": 0}, {"ppg": "lost"}, {}, 0.0)))
    assert decisions[0].p == decisions[1].p != classifier.decide(window).p
    assert decisions[0].weights is None or 0.0 == decisions[0].weights["ppg"]


def test_a_slow_decision_drops_windows_and_delays_nothing_else(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model slower than the stream: capture ends in time, the newest windows are decided, dropped ones are counted and noted."""
    model = exported(live_run)
    decide = WindowClassifier.decide
    monkeypatch.setattr(
        WindowClassifier, "decide", lambda self, window, began=None: (time.sleep(0.3), decide(self, window, began))[1]
    )
    captured: list[float] = []

    def quickly(stop: Event) -> Iterator[Any]:
        for number, chunk in enumerate(chunks_of(_recorded(), each_s=1.0)):
            if number % 40 == 0:
                time.sleep(0.02)  # 240 s of signals in half a second
            yield chunk
        captured.append(time.perf_counter())

    began = time.perf_counter()
    received = _follow(model, Source("quick", quickly, recorded=False), waits=False)
    assert captured[0] - began < 3
    end = received[-1]
    assert end["dropped"].get("windows", 0) > 5
    assert any("windows: raylab dropped" in note and "what comes behind is too slow" in note for note in _notes(received))
    assert _starts()[-1] == _decisions(received)[-1]["start_s"]  # the newest one is there
    assert len(_starts()) == len(_decisions(received)) + end["dropped"]["windows"]


def test_a_slow_subscriber_loses_events_and_delays_nothing_else(live_run: Path) -> None:
    """A full pipe: the stream ends, another subscriber has every event, and the slow one is told how many it lost."""
    model = exported(live_run)
    read, write = os.pipe()
    bus = EventBus()
    all_events = bus.subscribe()
    with os.fdopen(write, "w") as pipe, os.fdopen(read) as out:
        writer = EventWriter(bus, pipe, "the pipe")
        n_received = 0
        for number in range(5000):
            bus.emit({"event": "decision", "number": number, "filling": "x" * 100})
            n_received += all_events.get(0) is not None
        assert 5000 == n_received
        source = source_of(chunks_of(_recorded()))
        assert Stream(model, source, bus, PLAIN, waits=True).run().windows > 20
        lines = []
        while not lines or lines[-1]["event"] != "end":
            lines.append(json.loads(out.readline()))
        writer.finish()
    lost = [line["text"] for line in lines if line.get("about") == "the pipe"]
    assert lost and "events were left out" in lost[0]
    assert len(lines) < 4000


def test_a_closed_pipe_ends_the_writing_only(live_run: Path) -> None:
    """The reader goes away: a note says so, and the stream goes on."""
    read, write = os.pipe()
    os.close(read)
    bus = EventBus()
    queue = bus.subscribe()
    pipe = os.fdopen(write, "w")
    writer = EventWriter(bus, pipe, "the pipe")
    bus.emit({"event": "decision"})
    writer.finish(5)
    received = [queue.get(1) for _ in range(2)]
    with pytest.raises(BrokenPipeError):
        pipe.close()
    assert any(event and "cannot be written to any more" in event.get("text", "") for event in received)


def test_a_source_that_stops_is_noted_and_waited_for(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence, then data again: both are noted, and windows come again."""
    monkeypatch.setattr("raylab.live.core.pipeline.SILENT_S", 0.6)
    chunks = list(chunks_of(_recorded()))

    def stopping(stop: Event) -> Iterator[Any]:
        yield from chunks[: len(chunks) // 2]
        time.sleep(1.5)
        yield from chunks[len(chunks) // 2 :]

    received = _follow(exported(live_run), Source("stops", stopping, True))
    assert ["source: nothing has come for 0.6 s; waiting", "source: data come again"] == _notes(received)
    assert _starts() == [decision["start_s"] for decision in _decisions(received)]


def test_a_source_that_fails_is_named_and_what_came_is_decided(live_run: Path) -> None:
    """A device that is pulled out: the decisions so far are there, with the reason."""

    def failing(stop: Event) -> Iterator[Any]:
        yield from list(chunks_of(_recorded()))[:2000]
        raise OSError("the device is gone")

    received = _follow(exported(live_run), Source("fails", failing, recorded=False))
    assert "source: failed (OSError: the device is gone)" in _notes(received)
    assert _decisions(received) and "end" == received[-1]["event"] and 1 == received[-1]["errors"]


def test_one_bad_window_does_not_end_the_stream(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error inside one decision: noted, counted, and the next window is decided."""
    decide = WindowClassifier.decide

    def failing(self: WindowClassifier, window: Window, began: float | None = None) -> Any:
        if window.number == 20:
            raise ValueError("something odd")
        return decide(self, window, began)

    monkeypatch.setattr(WindowClassifier, "decide", failing)
    received = _follow(exported(live_run), source_of(chunks_of(_recorded())))
    numbers = [decision["window"] for decision in _decisions(received)]
    assert 20 not in numbers and {19, 21} <= set(numbers)
    assert "decision: failed on one item, which is left out (ValueError: something odd)" in _notes(received)


def test_stop_ends_a_stream_that_has_no_end(live_run: Path) -> None:
    """As Ctrl-C does."""

    def endless(stop: Event) -> Iterator[Any]:
        yield from list(chunks_of(_recorded()))[:1500]
        while not stop.wait(0.05):
            pass

    bus = EventBus()
    stream = Stream(exported(live_run), Source("endless", endless, recorded=False), bus, PLAIN, waits=True)
    timer = threading.Timer(2.0, stream.stop)
    timer.start()
    began = time.monotonic()
    assert stream.run().windows >= 5
    assert time.monotonic() - began < 10


def test_latency_counts_from_the_last_sample(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that takes 50 ms makes the latency at least that, and its parts add up to it."""
    decide = WindowClassifier.decide
    monkeypatch.setattr(
        WindowClassifier, "decide", lambda self, window, began=None: (time.sleep(0.05), decide(self, window, began))[1]
    )
    received = _follow(exported(live_run), source_of(chunks_of(_recorded())))
    for decision in _decisions(received):
        assert decision["latency_ms"] >= 50 and set(decision["parts_ms"]) == {"waiting", "window", "network"}
        assert sum(decision["parts_ms"].values()) <= decision["latency_ms"] + 0.05


def test_a_bounded_queue_keeps_the_newest() -> None:
    """Full, it drops the oldest and counts; one that waits drops nothing."""
    queue: BoundedQueue[int] = BoundedQueue(3)
    assert [True, True, True, False, False] == [queue.put(number) for number in range(5)]
    queue.close()
    assert ([2, 3, 4], 2) == ([queue.get(0) for _ in range(3)], queue.dropped)
    assert queue.done and queue.get(0) is None
    patient: BoundedQueue[int] = BoundedQueue(2, waits=True)
    items: list[int | None] = []
    taker = threading.Thread(target=lambda: items.extend(patient.get(5) for _ in range(50)))
    taker.start()
    for number in range(50):
        patient.put(number)
    taker.join(10)
    assert list(range(50)) == items and not patient.dropped
