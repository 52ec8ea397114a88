"""Encoders of speech beside the packaged one: Resemblyzer's LSTM, and weights of a folder that the user downloaded."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.speech import SOUND_ONLY, hum, write_emodb

from raylab.errors import RaylabError
from raylab.features.acoustic import ACOUSTIC
from raylab.features.pretrained_speech import PretrainedEncoder
from raylab.features.sound import RATE_HZ
from raylab.features.voice_encoder import voice, voice_frames
from raylab.files import Folder
from raylab.recordings.emodb import EMODB
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import read_windows

VOICE_WEIGHTS = pytest.mark.skipif(
    not (find_spec("resemblyzer") and find_spec("librosa")),
    reason="the voice encoder is not installed: pip install 'raylab-affect[speech]' && pip install --no-deps Resemblyzer==0.1.4",
)
VOICE = hum(1.0, silence_s=0.0)
SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "conv_dim": (8, 8, 8, 8, 8, 8, 8),
}


@VOICE_WEIGHTS
def test_a_voice_has_a_vector_every_10_ms() -> None:
    """Of any length; mean and SD are of exactly these; a quiet sound counts as a louder one, and silence is finite."""
    for samples, frames in ((100, 1), (RATE_HZ, 101), (12_345, 78)):
        sound = np.resize(VOICE, samples)
        found = voice_frames(sound)
        assert found.shape == (frames, 256)
        np.testing.assert_array_equal(voice(sound), [np.concatenate([found.mean(axis=0), found.std(axis=0)])])
        assert len(found) <= ACOUSTIC["voice_frames"].longest(samples / RATE_HZ, 10) + 1
    quiet = 0.001 * VOICE
    np.testing.assert_allclose(voice_frames(quiet), voice_frames(0.5 * quiet), atol=1e-4)
    assert np.isfinite(voice(np.zeros(RATE_HZ))).all()


@VOICE_WEIGHTS
def test_a_frame_knows_the_past_alone() -> None:
    """Frames of the first half are what they are without the second, but for the last 25 ms, whose spectrum reaches over."""
    loud = 0.5 * VOICE / np.abs(VOICE).max()
    half = len(loud) // 2
    changed = np.concatenate([loud[:half], loud[half:] * np.linspace(1, 0.2, len(loud) - half)])
    np.testing.assert_allclose(voice_frames(changed)[: half // 160 - 2], voice_frames(loud)[: half // 160 - 2], atol=1e-4)


@VOICE_WEIGHTS
def test_voices_are_channels(tmp_path: Path) -> None:
    options = {**EMODB.options, **SOUND_ONLY, "acoustic": "voice+voice_frames"}
    order = PrepareRequest("emodb", str(write_emodb(tmp_path / "in", ("03",))), str(tmp_path / "out"), options=options)
    card = prepare(order, say=lambda line: None, where="local")
    assert [("voice", 1.0), ("voice_frames", 100.0)] == [(channel.name, channel.rate_hz) for channel in card.channels]
    assert read_windows(Folder(order.out)).signals["voice"].shape[1:] == (1, 512)


def folder(path: Path, **config: object) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "wavlm", "hidden_size": 24, "num_hidden_layers": 3, **config}))
    return path


def test_a_folder_that_holds_no_encoder_is_refused(tmp_path: Path) -> None:
    """By what it lacks: settings, the kind, the layer, weights without pickles; and an option without the other."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/config.json").write_text("[]")
    with pytest.raises(RaylabError, match=r"config\.json cannot be read"):
        PretrainedEncoder(str(tmp_path / "empty"), 1)
    with pytest.raises(RaylabError, match="holds no settings"):
        PretrainedEncoder(str(tmp_path / "text"), 1)
    with pytest.raises(RaylabError, match="'bert'; there are wav2vec2, hubert, wavlm"):
        PretrainedEncoder(str(folder(tmp_path / "bert", model_type="bert")), 1)
    with pytest.raises(RaylabError, match="encoder_layer=4: the encoder has the layers 0 to 3"):
        PretrainedEncoder(str(folder(tmp_path / "layer")), 4)
    (folder(tmp_path / "pickled") / "pytorch_model.bin").write_bytes(b"no")
    with pytest.raises(RaylabError, match=r"holds no model\.safetensors"):
        PretrainedEncoder(str(tmp_path / "pickled"), 2)
    for options in (
        {"acoustic": "pretrained"},
        {"encoder_weights": str(tmp_path)},
        {"encoder_weights": 3, "acoustic": "pretrained"},
    ):
        with pytest.raises(RaylabError, match="encoder_weights"):
            EMODB.participants(tmp_path, {**EMODB.options, **SOUND_ONLY, **options})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
def test_frames_are_the_hidden_states_of_transformers(tmp_path: Path, kind: str) -> None:
    """A small encoder with random weights, saved as published ones are: its layers, every 20 ms, as a channel of a prepared corpus."""
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: pip install 'raylab-affect[speech-pretrained]' (make slow does)"
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**SMALL)).eval()
    model.save_pretrained(tmp_path / "weights")
    found = PretrainedEncoder(str(tmp_path / "weights"), 2)
    scaled = (VOICE - VOICE.mean()) / np.sqrt(VOICE.var() + 1e-7)
    with torch.no_grad():
        expected = (
            model(torch.from_numpy(scaled.astype(np.float32))[None], output_hidden_states=True).hidden_states[2][0].numpy()
        )
    np.testing.assert_allclose(found.frames(VOICE), expected, atol=1e-5)
    assert (found.step, found.width, len(expected)) == (320, 24, (len(VOICE) - 400) // 320 + 1)
    assert np.isfinite(found.statistics(np.zeros(10))).all()

    options = {
        **EMODB.options,
        **SOUND_ONLY,
        "acoustic": "pretrained+pretrained_frames",
        "encoder_weights": str(tmp_path / "weights"),
        "encoder_layer": 2,
    }
    order = PrepareRequest("emodb", str(write_emodb(tmp_path / "in", ("03",))), str(tmp_path / "out"), options=options)
    card = prepare(order, say=lambda line: None, where="local")
    assert all("layer 2, weights" in channel.unit for channel in card.channels)
    assert read_windows(Folder(order.out)).signals["pretrained"].shape[1:] == (1, 48)
