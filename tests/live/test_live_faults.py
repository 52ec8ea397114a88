# ruff: noqa: T201 - what is printed is the record of the run
"""An hour of a stream at high speed with every fault: it stays up, notes what happened, and memory stays flat."""

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
from builders.live import chunks_of, events, exported, subscribe

from raylab.live.core.event_bus import EventBus, EventWriter
from raylab.live.core.messages import Chunk, Source
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.recordings.simulated import SIMULATED

HOUR_S, SPELL_S = 3660, 300.0


def _with_faults(signals: dict[str, tuple[float, Any]], began: list[tuple[float, str]]) -> Iterator[Chunk]:
    """The recording; in the middle of every five minutes a fault begins, for half a minute or for good."""
    kinds = ("nothing", "doubled", "numbers", "jump", "lost", "back", "twice", "stop")
    shift, before = 0.0, ""
    for chunk in chunks_of(signals):
        spell, second = divmod(chunk.time_s, SPELL_S)
        kind = kinds[int(spell) % len(kinds)] if 120 <= second < 150 else ""
        if kind and kind != before:
            began.append((chunk.time_s, kind))
            shift += {"jump": 7200.0, "back": -3600.0}.get(kind, 0.0)
            if kind == "stop":
                time.sleep(1.2)
        before = kind
        samples = chunk.samples
        if kind == "lost" and chunk.channel == "eda":
            continue
        if kind == "doubled" and chunk.channel == "ppg":
            samples = np.repeat(samples, 2, axis=0)
        if kind == "numbers" and chunk.channel == "ecg":
            samples = np.where(np.arange(len(samples))[:, None] % 7 == 0, np.nan, samples)
        moved = Chunk(chunk.channel, chunk.time_s + shift, samples)
        yield moved
        if kind == "twice":
            yield moved


def _resident_mb() -> float:
    """Memory of this process, as Linux counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
def test_an_hour_of_trouble(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN, doubled rate, clock jumps both ways, a lost channel, repeated packets, a source that stops, and two readers that never read."""
    monkeypatch.setattr("raylab.live.core.pipeline.SILENT_S", 0.8)
    recording = SIMULATED.read(Path(), "P01", {"participants": 4, "minutes": HOUR_S // 60 + 1, "seed": 5})
    signals = {c.name: (c.rate_hz, recording.segments[0].signals[c.name]) for c in recording.channels}
    bus = EventBus(waits=True)
    queue, received = subscribe(bus), list[dict[str, Any]]()
    reader = threading.Thread(target=lambda: received.extend(events(queue)))
    reader.start()
    unread = bus.subscribe()  # of the kind that loses events
    read, write = os.pipe()
    began: list[tuple[float, str]] = []
    memory: list[tuple[float, float]] = []

    def items(stop: Event) -> Iterator[Any]:
        last = -1.0
        for chunk in _with_faults(signals, began):
            if chunk.channel == "ecg" and (spell := chunk.time_s // 60) != last:
                last = spell
                memory.append((chunk.time_s, _resident_mb()))
            yield chunk

    with os.fdopen(write, "w") as pipe, os.fdopen(read) as out:
        quiet = EventBus()
        EventWriter(quiet, pipe, "a full pipe")
        for number in range(3000):
            quiet.emit({"number": number, "filling": "x" * 200})
        start = time.perf_counter()
        statistics = Stream(
            exported(live_run, model="fcn attention w0.0625"),
            Source("trouble", items, recorded=True),
            bus,
            StreamSettings(),
            True,
        ).run()
        took = time.perf_counter() - start
        reader.join(30)
        quiet.close()
        while '"number": 2999' not in (line := out.readline()):
            assert line
    decided = [event for event in received if event["event"] == "decision"]
    notes = [f"{event['about']}: {event['text']}" for event in received if event["event"] == "note"]
    print(
        f"{len(decided)} decisions in {took:.1f} s ({HOUR_S / took:.0f} times real time); {unread.dropped} events lost by the one that never read"
    )
    print("\n".join(f"{time_s:.0f} s: {kind}" for time_s, kind in began))
    print("\n".join(notes))
    print(json.dumps(statistics.as_dict()["channels"]))
    rss = np.array([value for _, value in memory])
    print(f"memory after 1, 15, 30, 45, 60 min: {', '.join(f'{rss[i]:.0f}' for i in (1, 15, 30, 45, len(rss) - 1))} MB")
    assert statistics.errors == 0 and statistics.windows == len(decided) > 600
    rate, numbers = ("ppg: brings 128", "ppg: has its rate"), ("ecg: samples are no numbers", "samples came late or twice")
    clocks, silence = ("+7200.0 s", "-3600.0 s"), ("source: nothing has come for 0.8 s", "source: data come again")
    for text in (*rate, *numbers, *clocks, *silence, "eda: nothing for 2 s", "eda: is back"):
        assert any(text in note for note in notes), text
    assert all(abs(sum(event["p"].values()) - 1) < 1e-3 for event in decided)
    missing = {name for event in decided for name in event["missing"]}
    assert {"ppg", "ecg", "eda"} == missing
    assert not decided[-1]["missing"]
    assert unread.dropped > 100
    assert rss[len(rss) // 2 :].max() - rss[10] < 40  # MB; the recording itself, which is in memory, does not grow
