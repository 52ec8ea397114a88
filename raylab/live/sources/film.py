"""Replay of a film: its sound and its pictures, each on the file's clock."""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.live.core.messages import PICTURE, Chunk, Item, Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import SourceOptions, check_rate, paced
from raylab.live.sources.wav import Resampler


def _sound(path: Path) -> Iterator[tuple[float, Item]]:
    av = load("av", "vision")
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        to_float, resampler = av.AudioResampler(format="dblp", rate=stream.rate), None
        for frame in container.decode(stream):
            for converted in to_float.resample(frame):
                resampler = resampler or Resampler(stream.rate, float(frame.time))
                yield float(frame.time) + frame.samples / stream.rate, resampler.chunk(converted.to_ndarray().T)


def _pictures(path: Path) -> Iterator[tuple[float, Item]]:
    with load("av", "vision").open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            yield float(frame.time), Chunk(PICTURE, float(frame.time), frame.to_ndarray(format="gray8"))


def film(card: ModelCard, options: SourceOptions) -> Source:
    """``film:FILE``. The file is read twice at once, because its sound and its pictures may be far apart in it.

    Raises:
        RaylabError: if it cannot be read, or has no sound of at least 16 kHz.
    """
    path = Path(options.place)
    try:
        with load("av", "vision").open(str(path)) as container:
            if not container.streams.audio:
                raise RaylabError(f"{path} has no sound")
            check_rate(container.streams.audio[0].rate, str(path))
            seconds, picture = (container.duration or 0) / 1e6, bool(container.streams.video)
    except load("av", "vision").error.FFmpegError as error:
        raise RaylabError(f"{path} cannot be read as a film ({error})") from error

    def pieces() -> Iterator[tuple[float, Item]]:
        streams: list[Any] = [_sound(path), _pictures(path)] if picture else [_sound(path)]
        yield from heapq.merge(*streams, key=lambda pair: pair[0])

    return Source(
        f"{path}, {seconds:.1f} s of {'film' if picture else 'sound'}",
        lambda stop: paced(pieces(), options.speed, stop),
        True,
        picture=picture,
    )
