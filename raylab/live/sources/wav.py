"""A sound file, replayed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.features.sound import RATE_HZ
from raylab.live.core.messages import SOUND, Chunk
from raylab.live.core.model_file import ModelCard
from raylab.live.sources.source import CHUNK_S, Item, Source, SourceOptions, check_rate, paced


class Resampler:
    """Sound of any rate and number of channels to 16 kHz mono, piece by piece; time stamps are those of the samples that come out."""

    def __init__(self, rate_hz: int, start_s: float = 0.0) -> None:
        self._stream: Any = (
            load("soxr", "speech").ResampleStream(rate_hz, RATE_HZ, 1, "float64") if rate_hz != RATE_HZ else None
        )
        self._start_s, self._count = start_s, 0

    def chunk(self, samples: npt.NDArray[np.float64], last: bool = False) -> Chunk:
        """(n, n_channels) as they come; fewer or more may come out."""
        mono = np.ascontiguousarray(samples.mean(axis=1))
        if self._stream:
            mono = self._stream.resample_chunk(mono, last=last)
        made = Chunk(SOUND, self._start_s + self._count / RATE_HZ, mono[:, None])
        self._count += len(mono)
        return made


def wav(card: ModelCard, asked: SourceOptions) -> Source:
    """``wav:FILE``."""
    path = Path(asked.place)
    soundfile = load("soundfile", "speech")
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise RaylabError(f"{path} cannot be read as sound ({error})") from error
    check_rate(info.samplerate, str(path))

    def pieces() -> Iterator[tuple[float, Item]]:
        resampler, done = Resampler(info.samplerate), 0
        for block in soundfile.blocks(str(path), blocksize=round(CHUNK_S * info.samplerate), dtype="float64", always_2d=True):
            done += len(block)
            yield done / info.samplerate, resampler.chunk(block, last=done >= info.frames)

    return Source(f"{path}, {info.duration:.1f} s of sound", lambda stop: paced(pieces(), asked.speed, stop), recorded=True)
