"""From sound files to samples at one rate: 16 kHz, mono; silence at both ends is cut off."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.features.optional_packages import load
from raylab.features.wav_header import wav_sizes, with_true_sizes

RATE_HZ = 16_000
HIGHEST_HZ = 1_000_000
REMEDY = "download the file again, or leave the participant out with --exclude"
# Full scale is 1. What a mixer lets through above it is a few decibels; 12 are no sound any more but another unit, or a damaged number.
LOUDEST = 4.0
SILENCE = 1e-6  # -120 dB, far below the noise of any microphone
CANCELLED = 0.05  # a mean with less than this share of the power that independent channels would have
_SPARE_BYTES, _FACTOR = 200_000_000, 10

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """The sound of one utterance.

    Attributes:
        samples: (n,) at ``RATE_HZ``, mono, -1..1.
        start_s: time of the first sample, seconds on the file's clock.
        recorded_hz: rate of the file.
        recorded_channels: number of channels of the file; several were averaged, unless they cancel each other.
        shortened: whether the sound was longer than a window holds.
        one_channel: whether one channel of several was taken, because they cancel each other.
        note: a sentence on the file for the card; empty if there is nothing to report.
    """

    samples: Samples
    start_s: float
    recorded_hz: int
    recorded_channels: int
    shortened: bool = False
    one_channel: bool = False
    note: str = ""

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / RATE_HZ


def sound_files(folder: Path, pattern: str = "*") -> list[Path]:
    """The .wav files in a folder that match a pattern, sorted; the ending may be upper case, and hidden files are none.

    Raises:
        RecordingError: if two files differ in the case of their ending only: they would be one utterance, twice.
    """
    files = sorted(path for path in folder.glob(pattern) if path.suffix.lower() == ".wav" and not path.name.startswith("."))
    refuse_twice(files)
    return files


def refuse_twice(files: Iterable[Path]) -> None:
    """Refuse files that stand twice by name, whatever their folder and the case of their names.

    Raises:
        RecordingError: naming both places of each.
    """
    places: dict[str, list[Path]] = {}
    for path in files:
        places.setdefault(path.stem.lower(), []).append(path)
    repeated = [paths for paths in places.values() if len(paths) > 1]
    if repeated:
        listed = "; ".join(" and ".join(map(str, paths)) for paths in repeated[:5])
        raise RecordingError(
            f"{len(repeated)} files stand twice by name: {listed}{'; ...' if len(repeated) > 5 else ''}",
            file=repeated[0][0],
            remedy="keep one of each, and move the other out of --root",
        )


def read_wav(path: Path) -> Sound:
    """A sound file at 16 kHz, mono. Of a streamed file, whose header gives no size, all that is there is read.

    Raises:
        RecordingError: if it cannot be read, is truncated, holds silence only, is far too loud, or was recorded below 16 kHz.
    """
    soundfile = load("soundfile", "speech")
    sizes, note = wav_sizes(path), ""
    # A truncated wav is read by libraries without an error, as a shorter sound; only its header shows it.
    if sizes and sizes.missing:
        raise RecordingError(
            f"is cut short: {sizes.available} of {sizes.available + sizes.missing} bytes", file=path, remedy=REMEDY
        )
    source: Path | io.BytesIO = path
    if sizes and sizes.is_unknown:
        source = io.BytesIO(with_true_sizes(path, sizes))
        note = "its header gives no size, as that of a streamed file: all that is there was read"
    try:
        with soundfile.SoundFile(source) as file:
            _refuse_unfolding(path, file.frames * file.channels)
            expected, rate = int(file.frames), int(file.samplerate)
            samples: Samples = file.read(dtype="float64", always_2d=True)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise RecordingError(f"cannot be read as sound ({error})", file=path, remedy=REMEDY) from error
    if len(samples) < expected:
        raise RecordingError(f"is cut short: {len(samples)} of {expected} samples", file=path, remedy=REMEDY)
    sound = standard(samples, rate, 0.0, path)
    return replace(sound, note="; ".join(filter(None, (note, sound.note))))


def _refuse_unfolding(path: Path, n_samples: int) -> None:
    """Refuse a compressed file that unfolds to more than memory in proportion to it.

    Raises:
        RecordingError: naming the sizes.
    """
    size = path.stat().st_size
    if 8 * n_samples > _FACTOR * size + _SPARE_BYTES:
        raise RecordingError(f"holds {n_samples} samples in {size} bytes, which is no recording", file=path, remedy=REMEDY)


def standard(samples: Samples, rate_hz: int, start_s: float, path: Path) -> Sound:
    """Samples (n, n_channels) as one channel at 16 kHz.

    Raises:
        RecordingError: on silence, NaN, samples far beyond full scale, or a rate below 16 kHz, because the upper half of the spectrum would
            be invented.
    """
    problem, remedy = _problem(samples, rate_hz), REMEDY
    if problem:
        if "full scale" in problem and np.count_nonzero(np.abs(samples) > LOUDEST) > 1:
            remedy = "write it again with samples from -1 to 1 (integers of 16 bits: divide by 32768), or leave the participant out with --exclude"
        raise RecordingError(problem, file=path, remedy=remedy)
    mono, channel = _mixed(samples)
    if rate_hz != RATE_HZ:
        mono = load("librosa", "speech").resample(mono, orig_sr=rate_hz, target_sr=RATE_HZ)
    note = (
        f"its {samples.shape[1]} channels cancel each other when averaged: channel {channel + 1} was taken"
        if channel >= 0
        else ""
    )
    mono = np.asarray(mono, dtype=np.float64)
    return Sound(mono, start_s, rate_hz, samples.shape[1], one_channel=channel >= 0, note=note)


def _problem(samples: Samples, rate_hz: int) -> str:
    """Why the samples cannot be used; empty if they can."""
    if rate_hz < RATE_HZ:
        return f"was recorded at {rate_hz} Hz, at least {RATE_HZ} Hz are needed"
    if rate_hz > HIGHEST_HZ:
        return f"says that it was recorded at {rate_hz} Hz, which no sound is"
    if not np.isfinite(samples).all():
        row, channel = np.argwhere(~np.isfinite(samples))[0]
        return f"holds NaN or infinite samples, the first at {row / rate_hz:.3f} s in channel {channel + 1}"
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < SILENCE:
        return f"holds silence only ({len(samples)} samples)"
    if peak > LOUDEST:
        row = int(np.abs(samples).max(axis=1).argmax())
        count = int(np.count_nonzero(np.abs(samples) > LOUDEST))
        return (
            f"has a peak of {peak:.4g} at {row / rate_hz:.3f} s, full scale is 1; {count} of {samples.size} samples are beyond {LOUDEST:g}: "
            + ("they are in another unit" if count > 1 else "that one is damaged")
        )
    return ""


def _mixed(samples: Samples) -> tuple[Samples, int]:
    """The mean of the channels, and -1; or the loudest channel and its number, if the channels cancel each other (one is wired the other way
    round, as some recorders do with both pins of one microphone)."""
    mono: Samples = samples.mean(axis=1)
    if samples.shape[1] > 1:
        power = np.square(samples).mean(axis=0)
        if np.square(mono).mean() < CANCELLED * power.sum() / samples.shape[1] ** 2:
            channel = int(power.argmax())
            return np.ascontiguousarray(samples[:, channel]), channel
    return mono, -1


def trimmed(sound: Sound, below_db: float, longest_s: float, below_peak: float = 0.0) -> Sound:
    """The sound without the silence at both ends, and at most ``longest_s`` long.

    Args:
        below_db: silence is what lies this many dB under the loudest 128 ms; 0 keeps everything.
        below_peak: if not 0, silence is instead what stays below this share of the largest sample: what cuts closer, to the sample.
    """
    first, last = 0, len(sound.samples)
    if below_peak:
        level = np.abs(sound.samples)
        loud = np.flatnonzero(level >= below_peak * level.max())
        first, last = int(loud[0]), int(loud[-1]) + 1
    elif below_db:
        trim: Any = load("librosa", "speech").effects.trim
        first, last = (int(i) for i in trim(sound.samples, top_db=below_db)[1])
    end = min(last, first + round(longest_s * RATE_HZ))
    return replace(sound, samples=sound.samples[first:end], start_s=sound.start_s + first / RATE_HZ, shortened=end < last)
