"""Replay of a sound file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.features.sound import RATE_HZ
from raylab.live.core.messages import SOUND, Chunk, Item, Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import CHUNK_S, SourceOptions, check_rate, paced


class Resampler:
    """Converts sound of any rate and number of channels to 16 kHz mono, block by block; time stamps are those of the converted samples."""

    def __init__(self, rate_hz: int, start_s: float = 0.0) -> None:
        self._stream: Any = (
            load("soxr", "speech").ResampleStream(rate_hz, RATE_HZ, 1, "float64") if rate_hz != RATE_HZ else None
        )
        self._start_s, self._count = start_s, 0

    def chunk(self, samples: npt.NDArray[np.float64], last: bool = False) -> Chunk:
        """Convert samples (n, n_channels); the chunk may hold fewer or more than n.

        Args:
            last: whether no samples follow.
        """
        mono = np.ascontiguousarray(samples.mean(axis=1))
        if self._stream:
            mono = self._stream.resample_chunk(mono, last=last)
        chunk = Chunk(SOUND, self._start_s + self._count / RATE_HZ, mono[:, None])
        self._count += len(mono)
        return chunk


def wav(card: ModelCard, options: SourceOptions) -> Source:
    """``wav:FILE``.

    Raises:
        RaylabError: if it cannot be read, or has less than 16 kHz.
    """
    path = Path(options.place)
    soundfile = load("soundfile", "speech")
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise RaylabError(f"{path} cannot be read as sound ({error})") from error
    check_rate(info.samplerate, str(path))

    def pieces() -> Iterator[tuple[float, Item]]:
        resampler, n_read = Resampler(info.samplerate), 0
        for block in soundfile.blocks(str(path), blocksize=round(CHUNK_S * info.samplerate), dtype="float64", always_2d=True):
            n_read += len(block)
            yield n_read / info.samplerate, resampler.chunk(block, last=n_read >= info.frames)

    return Source(f"{path}, {info.duration:.1f} s of sound", lambda stop: paced(pieces(), options.speed, stop), recorded=True)
