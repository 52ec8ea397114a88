"""From sound files to samples at one rate: 16 kHz, mono; silence at both ends is cut off."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.features.optional_packages import load

RATE_HZ = 16_000
REMEDY = "download the file again, or leave the participant out with --exclude"
_ENDLESS = 0xFFFFFFFF  # written by programs that stream the file and do not know its size
_HEAD = 12

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """The sound of one utterance.

    Attributes:
        samples: (n,) at ``RATE_HZ``, mono, -1..1.
        start_s: time of the first sample, seconds on the file's clock.
        recorded_hz: rate of the file.
        recorded_channels: number of channels of the file; several were averaged.
        shortened: whether the sound was longer than a window holds.
    """

    samples: Samples
    start_s: float
    recorded_hz: int
    recorded_channels: int
    shortened: bool = False

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / RATE_HZ


def _refuse_truncated(path: Path) -> None:
    """Refuse a truncated wav: libraries read it without an error, as a shorter sound; only its header shows it.

    Raises:
        RecordingError: if the header declares more bytes than the file has.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    declared = int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and declared != _ENDLESS and declared + 8 > path.stat().st_size:
        raise RecordingError(f"is cut short: {path.stat().st_size} of {declared + 8} bytes", file=path, remedy=REMEDY)


def read_wav(path: Path) -> Sound:
    """A sound file at 16 kHz, mono.

    Raises:
        RecordingError: if it cannot be read, is truncated, holds silence only, or was recorded below 16 kHz.
    """
    soundfile = load("soundfile", "speech")
    _refuse_truncated(path)
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"cannot be read as sound ({error})", file=path, remedy=REMEDY) from error
    return standard(samples, int(rate), 0.0, path)


def standard(samples: Samples, rate_hz: int, start_s: float, path: Path) -> Sound:
    """Samples (n, n_channels) as one channel at 16 kHz.

    Raises:
        RecordingError: on silence, NaN, or a rate below 16 kHz, because the upper half of the spectrum would be invented.
    """
    problem = ""
    if rate_hz < RATE_HZ:
        problem = f"was recorded at {rate_hz} Hz, at least {RATE_HZ} Hz are needed"
    elif not np.isfinite(samples).all():
        problem = "holds NaN or infinite samples"
    elif not samples.any():
        problem = f"holds silence only ({len(samples)} samples)"
    if problem:
        raise RecordingError(problem, file=path, remedy=REMEDY)
    mono: Samples = samples.mean(axis=1)
    if rate_hz != RATE_HZ:
        mono = load("librosa", "speech").resample(mono, orig_sr=rate_hz, target_sr=RATE_HZ)
    return Sound(np.asarray(mono, dtype=np.float64), start_s, rate_hz, samples.shape[1])


def trimmed(sound: Sound, below_db: float, longest_s: float) -> Sound:
    """The sound without the silence at both ends, and at most ``longest_s`` long.

    Args:
        below_db: silence is what lies this many dB under the loudest 128 ms; 0 keeps everything.
    """
    first, last = 0, len(sound.samples)
    if below_db:
        trim: Any = load("librosa", "speech").effects.trim
        first, last = (int(i) for i in trim(sound.samples, top_db=below_db)[1])
    end = min(last, first + round(longest_s * RATE_HZ))
    return replace(sound, samples=sound.samples[first:end], start_s=sound.start_s + first / RATE_HZ, shortened=end < last)
