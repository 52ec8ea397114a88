"""What got lost, and by whom: the device, or raylab itself; and the words for signals and scores."""

import threading
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from builders.live import CollectedNotes, chunks_of, events, exported, source_of, subscribe

from raylab.live.core.event_bus import EventBus
from raylab.live.core.losses import losses
from raylab.live.core.messages import Chunk, Source
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.core.windows import WindowAssembler
from raylab.live.dashboard.words import channel_words, kinds, quality
from raylab.recordings.simulated import SIMULATED

RATES = {"ecg": 128.0, "ppg": 64.0, "eda": 32.0, "rsp": 32.0}


def _counted(without: Any = lambda chunk: False) -> Iterator[Chunk]:
    """The chunks of a recording with the number of samples before each, but for those that raylab is to have dropped."""
    recording = SIMULATED.read(Path(), "P01", {"participants": 4, "minutes": 4, "seed": 5})
    signals = {c.name: (c.rate_hz, recording.segments[0].signals[c.name]) for c in recording.channels}
    for chunk in chunks_of(signals):
        if not without(chunk):
            yield Chunk(chunk.channel, chunk.time_s, chunk.samples, n_before=round(chunk.time_s * RATES[chunk.channel]))


def _told(live_run: Path, items: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The last event of losses, and the decisions."""
    bus = EventBus(waits=True)
    queue = subscribe(bus)
    received: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: received.extend(events(queue)))
    reader.start()
    Stream(exported(live_run), source_of(items), bus, StreamSettings(), waits=True).run()
    reader.join(30)
    told = [event for event in received if event["event"] == "losses"]
    return (told[-1] if told else {}), [event for event in received if event["event"] == "decision"]


def test_a_whole_stream_tells_no_loss(live_run: Path) -> None:
    """Nothing is told unless something is lost."""
    told, decisions = _told(live_run, list(_counted()))
    assert {} == told and len(decisions) > 20


def test_what_the_device_lost_and_what_raylab_dropped_are_told_apart(live_run: Path) -> None:
    """Two seconds of ppg that the count of samples knows were dropped by raylab; two of eda that were never captured by the device."""
    chunks = list(_counted(lambda c: c.channel == "ppg" and 100 <= c.time_s < 102))
    n_lost = 2 * int(RATES["eda"])
    kept = []
    for chunk in chunks:
        if chunk.channel == "eda" and 150 <= chunk.time_s < 152:
            continue
        later = chunk.channel == "eda" and chunk.time_s >= 152
        kept.append(Chunk(chunk.channel, chunk.time_s, chunk.samples, n_before=chunk.n_before - n_lost * later))
    told, decisions = _told(live_run, kept)
    assert {"ppg": 2.0} == told["too_slow"] and {"eda": 2.0} == told["device"]
    assert {} == told["late"] == told["windows"]
    reasons = {(name, why) for event in decisions for name, why in event["missing"].items()}
    assert {("ppg", "dropped by raylab"), ("eda", "samples are missing")} == reasons
    first = min(event["start_s"] for event in decisions if "ppg" in event["missing"])
    assert 90 < first <= 100 and not any("ppg" in event["missing"] for event in decisions if event["start_s"] >= 102)


def test_what_comes_late_is_not_what_the_device_lost(live_run: Path) -> None:
    """A packet that comes again after the next ones is left out by raylab, which counts its seconds."""
    chunks = list(_counted())
    again = [chunk for chunk in chunks if chunk.channel == "rsp" and chunk.time_s == 90.0]
    place = next(i for i, chunk in enumerate(chunks) if chunk.time_s == 92.0)
    told, _ = _told(live_run, [*chunks[:place], *[Chunk(c.channel, c.time_s, c.samples) for c in again], *chunks[place:]])
    assert {"rsp": 0.25} == told["late"] and {} == told["device"] == told["too_slow"]


def test_windows_without_any_channel_have_a_reason(live_run: Path) -> None:
    """All channels were dropped by raylab for so long that windows could not be decided: they are raylab's."""
    told, _ = _told(live_run, list(_counted(lambda c: 120 <= c.time_s < 138)))
    assert {"raylab": 5} == told["windows"] and set(RATES) == set(told["too_slow"])
    assert all(18.0 == seconds for seconds in told["too_slow"].values())


def test_a_chunk_that_is_too_long_is_counted_once(live_run: Path) -> None:
    """Whether the samples before the next chunk are counted or not."""
    card = exported(live_run).card
    for counted in (True, False):
        assembler = WindowAssembler(card, CollectedNotes())
        long_s = assembler.longest_chunk_s + 1
        n = round(64 * long_s)
        for start, length in ((0, 64), (64, n), (64 + n, 64)):
            before = start if counted else -1
            assembler.feed(Chunk("ppg", start / 64, np.ones((length, 1)), n_before=before))
        assert n == assembler.counts()["ppg"]["dropped"]


def test_losses_are_seconds_of_each_channel() -> None:
    """By their rates; what is 0 is left out; items that wait twice are counted once."""
    counts = {"a": {"lost": 10, "not_numbers": 5, "no_time": 5, "late": 0, "dropped": 40}, "b": {"late": 3, "samples": 100}}
    told = losses(counts, {"a": 10.0, "b": 4.0}, {"chunks": 9, "windows": 2, "pictures": 1}, {"device": 1, "raylab": 3})
    assert {
        "event": "losses",
        "device": {"a": 2.0},
        "late": {"b": 0.75},
        "too_slow": {"a": 4.0},
        "windows": {"device": 1, "raylab": 5},
        "pictures": 1,
    } == told


def test_losses_are_told_seldom(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that loses something all the time does not push decisions out of what a late page sees."""
    monkeypatch.setattr("raylab.live.core.pipeline.LOSSES_EVERY_S", 1e9)
    bus = EventBus()
    queue = subscribe(bus)
    holes = [chunk for chunk in _counted() if not (chunk.channel == "eda" and chunk.time_s % 10 >= 9)]
    holes = [Chunk(chunk.channel, chunk.time_s, chunk.samples) for chunk in holes]

    def slowly(stop: Event) -> Iterator[Any]:
        for number, chunk in enumerate(holes):
            if number % 400 == 0:
                stop.wait(0.1)
            yield chunk

    Stream(exported(live_run), Source("x", slowly, recorded=False), bus, StreamSettings()).run()
    assert 1 == sum(event["event"] == "losses" for event in events(queue))


def test_signals_have_words(live_run: Path) -> None:
    """Kinds once, with a unit that is named in full; two of a kind by their names, an unknown kind by its own in the greeting alone."""
    card = exported(live_run).card
    ecg, ppg, eda, rsp = card.channels
    odd = rsp.model_copy(update={"name": "ring_of_anna", "modality": "magic"})
    more = eda.model_copy(update={"name": "ankle_eda"})
    changed = card.model_copy(update={"channels": (ppg, eda, more, odd)})
    assert ["pulse", "skin conductance (in microsiemens)", "another signal"] == kinds(changed)
    assert {
        "ppg": "pulse",
        "eda": "skin conductance (eda)",
        "ankle_eda": "skin conductance (ankle eda)",
        "ring_of_anna": "ring of anna",
    } == channel_words(changed)
    assert "electrical activity of the heart" == channel_words(card)[ecg.name]


def test_a_score_is_said_in_pairs_of_a_hundred(live_run: Path) -> None:
    """With what guessing reaches; a model that was not tested says so."""
    card = exported(live_run).card
    assert "in 78 of 100 pairs; guessing tells 50 of 100 apart" in quality(card.model_copy(update={"auroc": 0.78}))
    assert "was not measured" in quality(card.model_copy(update={"auroc": None}))
