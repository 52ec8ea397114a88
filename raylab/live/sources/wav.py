"""Replay of a sound file."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.features.sound import CANCELLED, LOUDEST, RATE_HZ
from raylab.features.wav_header import wav_sizes, with_true_sizes
from raylab.live.core.messages import SOUND, Chunk, Item, Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import CHUNK_S, SourceOptions, check_rate, paced


class Resampler:
    """Converts sound of any rate and number of channels to 16 kHz mono, block by block; time stamps are those of the converted samples.

    Args:
        channel: that is taken; the mean of all if it is negative.
    """

    def __init__(self, rate_hz: int, start_s: float = 0.0, channel: int = -1) -> None:
        self._stream: Any = (
            load("soxr", "speech").ResampleStream(rate_hz, RATE_HZ, 1, "float64") if rate_hz != RATE_HZ else None
        )
        self._start_s, self._count, self._channel = start_s, 0, channel

    def chunk(self, samples: npt.NDArray[np.float64], last: bool = False) -> Chunk:
        """Convert samples (n, n_channels); the chunk may hold fewer or more than n.

        Args:
            last: whether no samples follow.
        """
        mono = np.ascontiguousarray(samples.mean(axis=1) if self._channel < 0 else samples[:, self._channel])
        if self._stream:
            mono = self._stream.resample_chunk(mono, last=last)
        chunk = Chunk(SOUND, self._start_s + self._count / RATE_HZ, mono[:, None])
        self._count += len(mono)
        return chunk


def _file_of(path: Path) -> Path | io.BytesIO:
    """The file for the library; with its true sizes, if the program that streamed it did not know them."""
    try:
        sizes = wav_sizes(path)
    except OSError as error:
        raise RaylabError(f"{path} cannot be read ({error.strerror or error})") from error
    return io.BytesIO(with_true_sizes(path, sizes)) if sizes and sizes.is_unknown else path


def _blocks(soundfile: Any, path: Path, rate_hz: int) -> Iterator[npt.NDArray[np.float64]]:
    yield from soundfile.blocks(_file_of(path), blocksize=round(CHUNK_S * rate_hz), dtype="float64", always_2d=True)


def _channel(blocks: Iterator[npt.NDArray[np.float64]], path: Path) -> int:
    """The channel that is taken: the loudest, if the mean of all is as good as silent because they cancel each other; else -1, their mean.

    Raises:
        RaylabError: if the sound is far beyond full scale.
    """
    power: npt.NDArray[np.float64] = np.zeros(1)
    power_of_mean = 0.0
    for block in blocks:
        finite = block[np.isfinite(block).all(axis=1)]
        if (peak := float(np.abs(finite).max(initial=0.0))) > LOUDEST:
            raise RaylabError(
                f"{path} has a peak of {peak:.4g}, full scale is 1; write it again with samples from -1 to 1 (integers of 16 bits: divide by 32768)"
            )
        power = power + np.square(finite).sum(axis=0)
        power_of_mean += float(np.square(finite.mean(axis=1)).sum())
    cancelled = len(power) > 1 and power_of_mean < CANCELLED * power.sum() / len(power) ** 2
    return int(power.argmax()) if cancelled else -1


def wav(card: ModelCard, options: SourceOptions) -> Source:
    """``wav:FILE``.

    Raises:
        RaylabError: if it cannot be read, is far too loud, or has less than 16 kHz.
    """
    path = Path(options.place)
    soundfile = load("soundfile", "speech")
    try:
        info = soundfile.info(_file_of(path))
        check_rate(info.samplerate, str(path))
        channel = _channel(_blocks(soundfile, path, info.samplerate), path)
    except soundfile.SoundFileError as error:
        raise RaylabError(f"{path} cannot be read as sound ({error})") from error
    taken = f", channel {channel + 1} of it: its channels cancel each other" if channel >= 0 else ""

    def pieces() -> Iterator[tuple[float, Item]]:
        resampler, n_read = Resampler(info.samplerate, channel=channel), 0
        for block in _blocks(soundfile, path, info.samplerate):
            n_read += len(block)
            yield n_read / info.samplerate, resampler.chunk(block, last=n_read >= info.frames)

    return Source(
        f"{path}, {info.duration:.1f} s of sound{taken}", lambda stop: paced(pieces(), options.speed, stop), recorded=True
    )
