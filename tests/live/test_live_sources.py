"""Sources: they bring the recorded samples, and bad input is named."""

import io
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import numpy as np
import pytest
import soundfile
from builders.live import OPTIONS, exported, signal
from builders.speech import hum, write_wav

from raylab.errors import RaylabError
from raylab.features.sound import read_wav
from raylab.live.core.messages import Chunk, LabelMark, Note, SegmentStart
from raylab.live.core.model_card import ModelCard
from raylab.live.sources import SOURCES, open_source
from raylab.live.sources.folder import folder
from raylab.live.sources.lines import items, parse
from raylab.live.sources.lsl import lsl
from raylab.live.sources.source import SourceOptions, paced
from raylab.live.sources.wav import wav
from raylab.recordings.simulated import SIMULATED


@pytest.fixture(scope="module")
def card(live_run: Path) -> ModelCard:
    return exported(live_run).card


def _joined(chunks: list[Any], channel: str) -> Any:
    return np.concatenate([chunk.samples for chunk in chunks if isinstance(chunk, Chunk) and chunk.channel == channel])


def test_a_folder_brings_every_sample_and_its_labels(card: ModelCard) -> None:
    """All channels to the last sample, and the label track as marks."""
    items_ = list(folder(card, SourceOptions("folder:.", "P02", replay_labels=True, speed=0)).items(Event()))
    recording = SIMULATED.read(Path(), "P02", OPTIONS)
    (segment,) = recording.segments
    for channel in recording.channels:
        np.testing.assert_array_equal(segment.signals[channel.name], _joined(items_, channel.name))
    marks = [item for item in items_ if isinstance(item, LabelMark)]
    assert {"calm", "stress"} <= {mark.label for mark in marks}
    assert not [item for item in items_ if isinstance(item, SegmentStart)]


@pytest.mark.parametrize(
    ("spec", "participant", "message"),
    [
        ("folder:.", "P99", "has no participant P99; give one with --participant: P01"),
        ("folder:.", "", r"has no participant \(none given\)"),
        ("folder", "P01", "needs a place: folder:..."),
        ("smell:x", "", "unknown source 'smell'; there are folder:DIR"),
        ("wav:x.wav", "", "this model decides running signals, which wav does not bring; use folder, lsl, stdin"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(card: ModelCard, spec: str, participant: str, message: str) -> None:
    with pytest.raises(RaylabError, match=message):
        open_source(card, SourceOptions(spec, participant))


def test_a_recording_is_replayed_in_its_own_time() -> None:
    """Twice as fast at speed 2, and not faster than it was recorded at speed 1."""
    timed = [(number / 10, Chunk("a", number / 10, np.zeros((1, 1)))) for number in range(6)]
    for speed, seconds in ((1.0, 0.5), (2.0, 0.25), (0.0, 0.0)):
        began = time.perf_counter()
        assert 6 == len(list(paced(iter(timed), speed, Event())))
        assert seconds <= time.perf_counter() - began < seconds + 0.3
    stopped = Event()
    stopped.set()
    assert [] == list(paced(iter(timed), 1.0, stopped))


def test_lines_of_json_are_chunks_and_marks() -> None:
    """Numbers, lists of features, a missing sample, a mark and its end."""
    chunk = parse('{"channel": "acc", "time": 2.5, "samples": [[1, 2], [3, null]]}')
    assert isinstance(chunk, Chunk) and ("acc", 2.5) == (chunk.channel, chunk.time_s)
    np.testing.assert_array_equal([[1, 2], [3, np.nan]], chunk.samples)
    second = parse('{"channel": "eda", "time": 0, "samples": [1, 2, null]}')
    assert isinstance(second, Chunk) and (3, 1) == second.samples.shape
    assert [LabelMark("stress"), LabelMark("", 3.0)] == [parse('{"mark": "stress"}'), parse('{"mark": null, "time": 3}')]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"hello", "Expecting value"),
        (b"[1, 2]", "it is no object"),
        (b'{"channel": "a"}', "it has no time, samples"),
        (b'{"channel": "a", "time": NaN, "samples": [1]}', "time is nan"),
        (b'{"channel": "a", "time": 1, "samples": ["x"]}', "could not convert"),
        (b'{"channel": "a", "time": 1, "samples": 3}', "samples are no list"),
        (b'{"channel": "a", "time": 1, "samples": [[1], [1, 2]]}', "inhomogeneous"),
        (b'{"channel": "a", "time": ' + b"9" * 400 + b', "samples": [1]}', "too large"),
        (b"[" * 100_000, "recursion"),
        (b'{"channel": "\xff"}', "decode"),
    ],
)
def test_a_bad_line_is_named_and_the_next_is_read(line: bytes, message: str) -> None:
    good = b'{"channel": "a", "time": 1, "samples": [1]}'
    parsed = list(items(io.BytesIO(line + b"\n\n" + good + b"\n"), Event()))
    assert isinstance(parsed[0], Note) and parsed[0].text.startswith("line 1 is left out") and message in parsed[0].text
    assert isinstance(parsed[1], Chunk) and 2 == len(parsed)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (48_000, 2), (22_050, 1)])
def test_sound_of_any_rate_becomes_16_khz_mono(tmp_path: Path, rate: int, channels: int) -> None:
    """Piece by piece as at once, within the resampler's error at the edges, and stamps without a gap."""
    sound = hum(1.5, rate=rate)
    path = write_wav(tmp_path / "a.wav", np.stack([sound] * channels, axis=1) if channels > 1 else sound, rate)
    source = wav(ModelCard.model_construct(), SourceOptions(f"wav:{path}", speed=0))
    chunks = [chunk for chunk in source.items(Event()) if isinstance(chunk, Chunk)]
    streamed, at_once = _joined(chunks, "sound")[:, 0], read_wav(path).samples
    assert abs(len(streamed) - len(at_once)) <= 1
    n = min(len(streamed), len(at_once))
    assert np.abs(streamed[:n] - at_once[:n]).max() < 0.01
    ends = [chunk.time_s + len(chunk.samples) / 16_000 for chunk in chunks]
    assert np.allclose(ends[:-1], [chunk.time_s for chunk in chunks[1:]])


def test_sound_that_cancels_streams_or_is_another_unit(tmp_path: Path) -> None:
    """Opposite channels: one is taken, and it is said. A streamed header: all that is there. Integers as floats: refused with the peak."""
    sound = hum(1.0, rate=16_000)
    opposite = write_wav(tmp_path / "opposite.wav", np.stack([sound, -sound], axis=1), 16_000)
    source = wav(ModelCard.model_construct(), SourceOptions(f"wav:{opposite}", speed=0))
    assert "channel 1 of it: its channels cancel each other" in source.description
    np.testing.assert_allclose(sound, _joined(list(source.items(Event())), "sound")[:, 0], atol=1e-3)
    whole = write_wav(tmp_path / "whole.wav", sound, 16_000).read_bytes()
    place = whole.index(b"data") + 4
    for size in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x24\xf0\xff\x7f"):
        (tmp_path / "streamed.wav").write_bytes(whole[:4] + size + whole[8:place] + size + whole[place + 4 :])
        streamed = wav(ModelCard.model_construct(), SourceOptions(f"wav:{tmp_path / 'streamed.wav'}", speed=0))
        assert len(sound) == len(_joined(list(streamed.items(Event())), "sound"))
    soundfile.write(tmp_path / "loud.wav", sound / np.abs(sound).max() * 20_000, 16_000, subtype="FLOAT")
    with pytest.raises(RaylabError, match=r"loud\.wav has a peak of 2e\+04, full scale is 1"):
        wav(ModelCard.model_construct(), SourceOptions(f"wav:{tmp_path / 'loud.wav'}"))


def test_sound_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    write_wav(tmp_path / "slow.wav", hum(rate=8000), 8000)
    for name, message in (
        ("a.wav", "cannot be read as sound"),
        ("slow.wav", "8000 Hz, at least 16000 Hz"),
        ("none.wav", "cannot be read"),
    ):
        with pytest.raises(RaylabError, match=message):
            wav(ModelCard.model_construct(), SourceOptions(f"wav:{tmp_path / name}"))


def _outlet(name: str, labels: list[str], rate: float) -> Any:
    import pylsl  # noqa: PLC0415 (an optional package)

    info = pylsl.StreamInfo(name, "Test", len(labels), rate, "float32", f"raylab-test-{name}")
    described = info.desc().append_child("channels")
    for label in labels:
        described.append_child("channel").append_child_value("label", label)
    return pylsl.StreamOutlet(info)


@pytest.mark.skipif(find_spec("pylsl") is None, reason="pylsl is not installed: pip install 'raylab-affect[live]'")
def test_streams_of_the_lab_streaming_layer(card: ModelCard) -> None:
    """Real outlets on this machine: a stream called like a channel, and one that labels several; every sample arrives, in order."""
    import pylsl  # noqa: PLC0415 (an optional package)

    rates = {channel.name: channel.recorded_hz for channel in card.channels}
    assert {"ecg": 128.0, "ppg": 64.0, "eda": 32.0, "rsp": 32.0} == rates
    outlets = {
        "ecg": _outlet("ecg", [""], 128.0),
        "ppg": _outlet("ppg", [""], 64.0),
        "both": _outlet("both", ["rsp", "else", "eda"], 32.0),
    }
    source = lsl(card, SourceOptions("lsl"))
    sent = {
        "ecg": signal(128, 3, 1),
        "ppg": signal(64, 3, 2),
        "both": np.concatenate([signal(32, 3, seed) for seed in (3, 4, 5)], axis=1),
    }
    stop, chunks = Event(), list[Any]()
    reader = Thread(target=lambda: chunks.extend(source.items(stop)))
    reader.start()
    time.sleep(1.0)  # the subscription is made by the first pull
    begin = pylsl.local_clock()
    for name, outlet in outlets.items():
        rate = len(sent[name]) / 3
        for number, row in enumerate(sent[name]):
            outlet.push_sample(row.tolist(), begin + number / rate)
    until = time.monotonic() + 10
    while time.monotonic() < until and len(chunks) < 4 * 12:
        time.sleep(0.05)
    stop.set()
    reader.join(5)
    assert not [item for item in chunks if isinstance(item, Note)]
    for channel, expected in (
        ("ecg", sent["ecg"]),
        ("ppg", sent["ppg"]),
        ("rsp", sent["both"][:, :1]),
        ("eda", sent["both"][:, 2:]),
    ):
        np.testing.assert_allclose(expected, _joined(chunks, channel), rtol=1e-6)


@pytest.mark.skipif(find_spec("pylsl") is None, reason="pylsl is not installed: pip install 'raylab-affect[live]'")
def test_streams_that_come_one_after_the_other_are_opened_once(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is there while another one is waited for would bring every sample twice."""
    monkeypatch.setattr(sys.modules[lsl.__module__], "FIND_S", 20.0)
    outlets = [_outlet("ecg", [""], 128.0), _outlet("ppg", [""], 64.0)]
    later = Timer(2.0, lambda: outlets.append(_outlet("both", ["rsp", "else", "eda"], 32.0)))
    later.start()
    names = lsl(card, SourceOptions("lsl")).description.removeprefix("lab streaming layer: ").split(", ")
    later.join()
    assert ["both", "ecg", "ppg"] == sorted(names)


@pytest.mark.skipif(find_spec("pylsl") is None, reason="pylsl is not installed: pip install 'raylab-affect[live]'")
def test_streams_that_are_not_the_model_s_are_refused(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong rate, and channels that no stream brings, all at once."""
    monkeypatch.setattr(sys.modules[lsl.__module__], "FIND_S", 1.5)
    outlet = _outlet("odd", ["ecg"], 250.0)
    with pytest.raises(
        RaylabError,
        match="no stream brings ppg; no stream brings eda; no stream brings rsp; ecg comes at 250 Hz, the model needs 128",
    ):
        lsl(card, SourceOptions("lsl:odd"))
    del outlet


def test_every_source_says_what_it_is() -> None:
    """The table is the help of the command."""
    assert all(kind.description.startswith(name) for name, kind in SOURCES.items())
