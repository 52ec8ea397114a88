"""Embeddings of speech: the log-mel, the packaged encoder, its frames and their statistics."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.speech import SOUND_ONLY, hum, write_emodb

from raylab.errors import RaylabError
from raylab.features import speech_encoder
from raylab.features.acoustic import ACOUSTIC
from raylab.features.onnx_graph import upto
from raylab.features.sound import RATE_HZ, read_wav
from raylab.features.speech_encoder import LONGEST, embedding, embedding_frames, encoder, log_mel, mel_filters
from raylab.files import Folder
from raylab.recordings.emodb import EMODB
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import read_windows

ENCODER = pytest.mark.skipif(
    not (find_spec("onnxruntime") and find_spec("pipecat")),
    reason="the packaged speech encoder is not installed: pip install 'raylab-affect[speech-embedding]' && pip install --no-deps pipecat-ai==1.14.0",
)
VOICE = hum(1.0, silence_s=0.0)
OPTIONS = {**EMODB.options, **SOUND_ONLY, "acoustic": "embedding+embedding_frames"}


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that is shorter than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def _node(inputs: str, output: str) -> bytes:
    return _field(1, b"".join(_field(1, name.encode()) for name in inputs) + _field(2, output.encode()))


def test_log_mel_is_whispers() -> None:
    """Against librosa's filters and spectrum of a rising tone: 80 bands of equal area, 25 ms every 10 ms, eight decades below the loudest."""
    librosa = pytest.importorskip("librosa", reason="librosa is not installed: pip install 'raylab-affect[speech]'")
    np.testing.assert_allclose(librosa.filters.mel(sr=RATE_HZ, n_fft=400, n_mels=80), mel_filters(), atol=1e-8)
    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = 0.2 * np.sin(2 * np.pi * (200 + 800 * seconds) * seconds) * (seconds > 0.3)
    spectrum = librosa.feature.melspectrogram(y=tone, sr=RATE_HZ, n_fft=400, hop_length=160, n_mels=80, pad_mode="reflect")
    expected = np.log10(np.maximum(spectrum, 1e-10))[:, :-1]
    expected = (np.maximum(expected, expected.max() - 8) + 4) / 4
    found = log_mel(tone)
    assert (80, 200) == found.shape
    np.testing.assert_allclose(expected, found, atol=1e-5)


@ENCODER
def test_the_embedding_is_that_of_every_processor() -> None:
    """Numbers of a voice. Where 8-bit sums overflow, as onnxruntime's do by default on processors without VNNI, they are off by up to 1.1."""
    expected = [-0.3198, 0.1202, -0.2343, 0.6183, -0.2082, 0.1317, 0.5851, 0.9132, 0.8210, 0.3827]
    np.testing.assert_allclose(embedding(VOICE)[0, [0, 1, 2, 100, 200, 300, 400, 500, 600, 700]], expected, atol=0.05)


def test_a_model_is_cut_at_a_tensor() -> None:
    """Nodes, weights and outputs that the tensor does not need are left out; everything else stays, in its order."""
    nodes = [_node("xw", "a"), _node("xv", "unused"), _node("a", "b"), _node("b", "out")]
    weights = [_field(5, _field(8, name) + _field(9, b"1234")) for name in (b"w", b"v")]
    entry, name = _field(11, _field(1, b"x")), _field(2, b"g")
    number = bytes([1 << 3, 8])  # the version of the format
    model = number + _field(7, b"".join([*nodes, name, *weights, entry, _field(12, _field(1, b"out"))]))
    expected = number + _field(7, b"".join([nodes[0], nodes[2], name, weights[0], entry, _field(12, _field(1, b"b"))]))
    assert expected == upto(model, "b")
    with pytest.raises(ValueError, match="no node of the model makes z"):
        upto(model, "z")
    with pytest.raises(ValueError, match="wire type 5 at byte 0"):
        upto(b"\x0d1234", "b")


def test_lengths_of_128_bytes_and_more_are_written() -> None:
    """In seven bits a byte; what was written is read again."""
    name = "t" * 300
    model = upto(bytes([0x3A, 0xBE, 0x02, 0x0A, 0xBB, 0x02, 0x12, 0xAC, 0x02]) + b"t" * 300 + b"\x0a\x0a" + b"i" * 10, name)
    assert upto(model, name) == model and name.encode() in model


@ENCODER
@pytest.mark.parametrize(
    ("samples", "frames"), [(100, 1), (RATE_HZ, 50), (12_345, 38), (LONGEST, 400), (LONGEST + RATE_HZ, 450), (2 * LONGEST, 800)]
)
def test_a_frame_every_20_ms(samples: int, frames: int) -> None:
    """Also of a sound of 6 ms and of one that is longer than the encoder takes at once; mean and SD are of exactly these frames; twice the same."""
    sound = np.resize(VOICE, samples)
    found = embedding_frames(sound)
    assert (frames, 384) == found.shape and np.isfinite(found).all()
    np.testing.assert_array_equal(embedding(sound), [np.concatenate([found.mean(axis=0), found.std(axis=0)])])
    for seconds in (0.5, 2.0, 10.0):
        n = round(seconds * RATE_HZ)
        assert len(embedding_frames(np.resize(VOICE, n))) <= ACOUSTIC["embedding_frames"].longest(seconds, 10)


@ENCODER
def test_a_long_sound_is_cut_into_pieces_from_its_end() -> None:
    """The last 8 s have the frames that they have alone, and so has what stands before them."""
    sound = np.concatenate([0.5 * VOICE[:8000], np.resize(VOICE, LONGEST)])
    parts = [embedding_frames(sound[:8000]), embedding_frames(sound[8000:])]
    np.testing.assert_array_equal(np.concatenate(parts), embedding_frames(sound))


@ENCODER
def test_the_level_of_a_sound_does_not_matter_and_silence_is_finite() -> None:
    """Sounds are scaled before the log-mel; 0 has no level."""
    near = embedding_frames(0.5 * VOICE)
    assert np.abs(near - embedding_frames(VOICE)).mean() < 0.01 * np.abs(near).mean()
    assert np.isfinite(embedding(np.zeros(RATE_HZ))).all()


@ENCODER
def test_the_encoder_gives_the_layer_alone() -> None:
    """One output, the input of the third block; the file's own output is the same as before the cut, which onnxruntime would say otherwise."""
    assert [speech_encoder.LAYER] == [output.name for output in encoder().get_outputs()]
    frames = embedding_frames(VOICE)
    assert 0.5 < frames.std() < 4


def _without_network(monkeypatch: pytest.MonkeyPatch, place: tuple[str, str, str]) -> None:
    encoder.cache_clear()
    monkeypatch.setattr(speech_encoder, "NETWORK", place)
    monkeypatch.setattr(speech_encoder, "load", lambda module, extra: None)


def test_a_missing_package_is_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it, before a file is looked for; without the option nothing is said."""
    _without_network(monkeypatch, ("no_such_package", "a.onnx", "0" * 64))
    message = r"no_such_package is not installed; run: pip install 'raylab-affect\[speech-embedding\]' && pip install --no-deps pipecat-ai==1"
    with pytest.raises(RaylabError, match=message):
        EMODB.participants(tmp_path / "absent", OPTIONS)
    assert EMODB.participants(write_emodb(tmp_path), {**OPTIONS, "acoustic": "mfcc"})


def test_other_weights_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file in the place of the network's is not loaded."""
    _without_network(monkeypatch, ("raylab", "py.typed", speech_encoder.NETWORK[2]))
    with pytest.raises(RaylabError, match=r"raylab/py\.typed has the SHA-256 e3b0c44298fc\.\.\., expected 2bb026316b14"):
        EMODB.participants(tmp_path, OPTIONS)


@ENCODER
def test_embeddings_are_channels_and_modalities_of_their_own(tmp_path: Path) -> None:
    """Frames at 50 Hz and their statistics as one step, normalized per speaker on their own; the step of other features does not change them."""
    root, how = write_emodb(tmp_path / "in", ("03",)), {"none": 10, "per_speaker": 25}
    for name, step_ms in how.items():
        order = PrepareRequest(
            "emodb", str(root), str(tmp_path / name), options={**OPTIONS, "step_ms": step_ms}, normalization=name
        )  # type: ignore[arg-type]
        card = prepare(order, say=lambda line: None, where="local")
        expected = [("embedding", "embedding", 1.0), ("embedding_frames", "embedding_frames", 50.0)]
        assert expected == [(channel.name, channel.modality, channel.rate_hz) for channel in card.channels]
        assert "frames every" not in card.channels[0].unit
    plain, scaled = (read_windows(Folder(tmp_path / name)) for name in how)
    frames, lengths = plain.signals["embedding_frames"], plain.lengths["embedding_frames"]
    assert (len(frames), 1, 768) == plain.signals["embedding"].shape and (200, 384) == frames.shape[1:]
    for row, length in enumerate(lengths):
        mean = frames[row, :length].mean(axis=0)
        np.testing.assert_allclose(mean, plain.signals["embedding"][row, 0, :384], atol=1e-4)
    mine: Any = scaled.signals["embedding"][:, 0]
    np.testing.assert_allclose(mine.mean(axis=0), 0, atol=1e-4)


@ENCODER
@pytest.mark.real
def test_embeddings_of_real_voices_tell_emotions(real_data: Path) -> None:
    """Anger and sadness of a speaker lie apart: most utterances are nearer to their own emotion's mean, which is of the others."""
    files = [path for letter in "WT" for path in sorted((real_data / "emodb" / "wav").glob(f"08*{letter}?.wav"))[:8]]
    angry = np.array([path.stem[5] == "W" for path in files])
    assert len(files) >= 12 and 0 < angry.sum() < len(files)
    vectors = np.concatenate([embedding(read_wav(path).samples) for path in files])
    scaled, others = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0), ~np.eye(len(files), dtype=bool)
    right = []
    for row, vector in enumerate(scaled):
        to_angry, to_sad = (np.linalg.norm(vector - scaled[kind & others[row]].mean(axis=0)) for kind in (angry, ~angry))
        right.append((to_angry < to_sad) == angry[row])
    assert np.mean(right) > 0.8
