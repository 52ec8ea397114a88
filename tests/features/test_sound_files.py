"""Sound files as programs write them: streamed headers, other units, damaged numbers, channels that cancel, small files that unfold."""

import io
import struct
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from builders.speech import hum, write_wav

from raylab.errors import RecordingError
from raylab.features.sound import read_wav, sound_files

RIFF, DATA = 4, 40  # places of the two sizes in a plain header


def _sized(path: Path, riff: int | None, data: int | None, more: bytes = b"") -> Path:
    """The file with other sizes in its header."""
    raw = bytearray(path.read_bytes())
    for place, size in ((RIFF, riff), (DATA, data)):
        if size is not None:
            raw[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(bytes(raw) + more)
    return path


@pytest.mark.parametrize("data", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF - 36, 2_000_000_000, 1 << 30])
@pytest.mark.parametrize("riff", [None, 0, 36, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 2_000_000_036])
def test_a_streamed_header_gives_all_that_is_there(tmp_path: Path, riff: int | None, data: int) -> None:
    """Sizes that a program wrote before it knew them: the whole sound is read, and a note says so."""
    expected = read_wav(write_wav(tmp_path / "a.wav", hum()))
    found = read_wav(_sized(tmp_path / "a.wav", riff, data, more=b"\x00"))  # half a sample more
    np.testing.assert_array_equal(expected.samples, found.samples)
    assert (expected.note, found.note) == (
        "",
        "its header gives no size, as that of a streamed file: all that is there was read",
    )


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF, 0x7FFFF024, 2_000_000_036])
def test_the_size_of_the_sound_is_enough(tmp_path: Path, riff: int) -> None:
    """A placeholder for the file's size alone changes nothing and needs no note."""
    expected = read_wav(write_wav(tmp_path / "a.wav", hum()))
    found = read_wav(_sized(tmp_path / "a.wav", riff, None))
    np.testing.assert_array_equal(expected.samples, found.samples)
    assert found.note == ""


@pytest.mark.parametrize(
    ("riff", "data"), [(None, 32_400), (32_436, 32_400), (64_000, None), (500_000_036, 500_000_000), (None, 999_999_998)]
)
def test_a_size_that_a_file_can_have_is_believed(tmp_path: Path, riff: int | None, data: int | None) -> None:
    """A file that is shorter than its header says was cut, whichever of the two sizes says so."""
    with pytest.raises(RecordingError, match=r"a\.wav: is cut short: \d+ of \d+ bytes"):
        read_wav(_sized(write_wav(tmp_path / "a.wav", hum()), riff, data))


def test_a_file_that_is_cut_in_its_header_is_refused(tmp_path: Path) -> None:
    """At every byte before the first sample."""
    raw = write_wav(tmp_path / "a.wav", hum()).read_bytes()
    for length in range(44):
        (tmp_path / "a.wav").write_bytes(raw[:length])
        with pytest.raises(RecordingError, match=r"cut short|cannot be read as sound|silence only"):
            read_wav(tmp_path / "a.wav")


def test_parts_after_the_sound_are_no_sound(tmp_path: Path) -> None:
    """An empty sound before a part of text stays empty; a sound before one is read without it."""
    text = b"LIST" + struct.pack("<I", 100) + b"x" * 100
    path = write_wav(tmp_path / "a.wav", hum())
    expected = read_wav(path).samples
    np.testing.assert_array_equal(expected, read_wav(_sized(path, 36 + 32_000 + 108, None, text)).samples)
    path.write_bytes(path.read_bytes()[:44] + text)
    with pytest.raises(RecordingError, match="silence only"):
        read_wav(_sized(path, 36 + 108, 0))


def test_a_missing_last_byte_that_fills_up_a_pair_is_no_cut(tmp_path: Path) -> None:
    """A sound of an odd number of bytes (8 bits) whose writer counted the byte after it and did not write it."""
    soundfile.write(tmp_path / "a.wav", hum()[:-1], 16_000, subtype="PCM_U8")
    raw = (tmp_path / "a.wav").read_bytes()
    assert len(raw) == 44 + 15_999 + 1
    (tmp_path / "a.wav").write_bytes(raw[:-1])
    assert len(read_wav(tmp_path / "a.wav").samples) == 15_999


def _write_float(path: Path, samples: Any, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, 16_000, subtype=subtype)
    return path


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_in_another_unit_are_refused(tmp_path: Path, subtype: str) -> None:
    """Integers of 16 bits in a file of real numbers: the peak and its time are named, and how to write it right."""
    path = _write_float(tmp_path / "a.wav", hum() * 32768, subtype)
    message = r"a\.wav: has a peak of \d+ at 0\.\d+ s, full scale is 1; \d+ of 16000 samples are beyond 4: they are in another unit.*divide by 32768"
    with pytest.raises(RecordingError, match=message):
        read_wav(path)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("value", [1e30, -3e38, 6.0])
def test_a_flipped_exponent_is_refused(tmp_path: Path, value: float, channels: int) -> None:
    """One sample far beyond all others is damage: its time is named."""
    samples = np.stack([hum()] * channels, axis=1)
    samples[8000, -1] = value
    with pytest.raises(
        RecordingError, match=r"peak of [\d.e+]+ at 0\.500 s.* 1 of \d+ samples are beyond 4: that one is damaged.*download"
    ):
        read_wav(_write_float(tmp_path / "a.wav", samples))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_refused_by_its_time(tmp_path: Path, value: float) -> None:
    """NaN and infinite samples, in the second channel too."""
    samples = np.stack([hum(), hum()], axis=1)
    samples[4000, 1] = value
    with pytest.raises(RecordingError, match=r"NaN or infinite samples, the first at 0\.250 s in channel 2"):
        read_wav(_write_float(tmp_path / "a.wav", samples))


def test_a_sound_a_little_beyond_full_scale_is_read(tmp_path: Path) -> None:
    """A mixer's overshoot of 6 dB."""
    samples = hum() / np.abs(hum()).max() * 2
    np.testing.assert_allclose(samples, read_wav(_write_float(tmp_path / "a.wav", samples)).samples, atol=1e-6)


def test_a_sound_far_below_any_microphone_is_silence(tmp_path: Path) -> None:
    """Numbers of 1e-30 are not zero and no sound."""
    with pytest.raises(RecordingError, match="holds silence only"):
        read_wav(_write_float(tmp_path / "a.wav", hum() * 1e-30))


@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_of_channels_that_cancel_each_other_one_is_taken(tmp_path: Path, gain: float) -> None:
    """A channel that is wired the other way round would leave nothing of the voice: the louder one is read, and a note says so."""
    expected = read_wav(write_wav(tmp_path / "mono.wav", hum()))
    found = read_wav(write_wav(tmp_path / "a.wav", np.stack([gain * hum(), hum()], axis=1)))
    taken = 1 if gain == -1.0 else 2
    np.testing.assert_allclose(expected.samples, found.samples * (gain if taken == 1 else 1), atol=1e-4)
    assert found.note == f"its 2 channels cancel each other when averaged: channel {taken} was taken"
    assert found.one_channel and found.recorded_channels == 2


@pytest.mark.parametrize("other", ["silent", "independent", "quiet"])
def test_channels_that_do_not_cancel_are_averaged(tmp_path: Path, other: str) -> None:
    """A silent second channel, another signal and a quieter copy: the mean, as before."""
    rng = np.random.default_rng(3)
    second = {"silent": 0 * hum(), "independent": 0.2 * rng.normal(size=len(hum())).clip(-3, 3), "quiet": hum() / 4}[other]
    both = np.stack([hum(), second], axis=1)
    found = read_wav(write_wav(tmp_path / "a.wav", both))
    np.testing.assert_allclose(both.mean(axis=1), found.samples, atol=1e-4)
    assert (found.note, found.one_channel) == ("", False)


def test_a_compressed_file_that_unfolds_is_refused(tmp_path: Path) -> None:
    """FLAC in a file named .wav: minutes of one value in a few kB."""
    data = io.BytesIO()
    with soundfile.SoundFile(data, "w", 16_000, 8, format="FLAC", subtype="PCM_16") as file:
        for _ in range(25):
            file.write(np.full((160_000, 8), 0.25))
    (tmp_path / "a.wav").write_bytes(data.getvalue())
    with pytest.raises(RecordingError, match=r"holds 32000000 samples in \d+ bytes"):
        read_wav(tmp_path / "a.wav")


def test_an_impossible_rate_is_refused(tmp_path: Path) -> None:
    """4 GHz in the header."""
    path = write_wav(tmp_path / "a.wav", hum())
    path.write_bytes(path.read_bytes()[:24] + struct.pack("<I", 2_000_000_000) + path.read_bytes()[28:])
    with pytest.raises(RecordingError, match=r"2000000000 Hz, which no sound is|cannot be read as sound"):
        read_wav(path)


def test_no_damage_of_a_header_does_more_than_be_refused(tmp_path: Path) -> None:
    """Every byte of the header at 0, 127, 128 or 255: a sound or a sentence."""
    raw = write_wav(tmp_path / "a.wav", hum()[:4000]).read_bytes()
    for place, value in zip(range(44), cycle((0, 0x7F, 0x80, 0xFF)), strict=False):
        (tmp_path / "a.wav").write_bytes(raw[:place] + bytes([value]) + raw[place + 1 :])
        try:
            assert read_wav(tmp_path / "a.wav").recorded_hz >= 16_000
        except RecordingError as refusal:
            assert "a.wav: " in str(refusal), refusal  # noqa: PT017 (either is right)


def test_sound_files_are_those_of_either_case(tmp_path: Path) -> None:
    """Sorted, without hidden files and others."""
    for name in ("b.WAV", "a.wav", "c.Wav", ".d.wav", "e.mp3"):
        (tmp_path / name).touch()
    assert [path.name for path in sound_files(tmp_path)] == ["a.wav", "b.WAV", "c.Wav"]
