"""From a film to its sound and the face in its pictures, both on the file's clock.

Sound and picture have time stamps of their own. They are cut to the span that both cover, so a stream that starts late stays at its
time, and the difference is reported.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.features.faces import FACE_WIDTH, Box, Grey, box_of, face_features
from raylab.features.optional_packages import load
from raylab.features.sound import REMEDY, Sound, standard

EXTRA = "vision"
FACE_HZ = 10.0
APART_S = 0.05  # streams whose starts differ by more than about one picture are reported
SHORTEST_S = 0.2
MOST_PIXELS = 4096 * 2304
_SPARE_BYTES, _FACTOR = 200_000_000, 10

Frames = list[tuple[float, Grey]]


@dataclass(frozen=True)
class FilmContent:
    """The part of a film that both streams cover.

    Attributes:
        sound: from the first moment that both streams cover.
        faces: (n, 135) at ``FACE_HZ`` from the same moment; None if no face was found.
        note: streams that start at different times, pictures without a face; empty if there is nothing to report.
    """

    sound: Sound
    faces: npt.NDArray[np.float64] | None
    note: str


def _first_stream(container: Any, kind: str, path: Path) -> Any:
    """The first stream of a kind (``audio`` or ``video``).

    Raises:
        RecordingError: if the film has none.
    """
    streams = getattr(container.streams, kind)
    if not streams:
        raise RecordingError(f"has no {kind}", file=path, remedy="use the files with sound and picture (01-*.mp4)")
    return streams[0]


class _Memory:
    """Counts what a film unfolds to: seconds of black take a few bytes."""

    def __init__(self, path: Path) -> None:
        self.path, self.left = path, _FACTOR * path.stat().st_size + _SPARE_BYTES

    def add(self, n_bytes: int) -> None:
        """Count so many bytes more.

        Raises:
            RecordingError: if they are more than memory in proportion to the file.
        """
        self.left -= n_bytes
        if self.left < 0:
            raise RecordingError(
                f"is {self.path.stat().st_size} bytes and unfolds to more than {_FACTOR} times that and {_SPARE_BYTES // 10**6} MB",
                file=self.path,
                remedy="cut it into utterances of seconds, or leave the participant out with --exclude",
            )


def _read_sound(path: Path) -> Sound:
    """The sound, from its own first time stamp.

    Raises:
        RecordingError: if the time stamps of the sound leave out more than 50 ms.
    """
    av = load("av", EXTRA)
    with av.open(str(path)) as container:
        stream = _first_stream(container, "audio", path)
        planes = av.AudioResampler(format="dblp", rate=stream.rate)
        frames, memory = [], _Memory(path)
        for frame in container.decode(stream):
            for resampled in planes.resample(frame):
                memory.add(8 * resampled.samples * len(resampled.layout.channels))
                frames.append(resampled)
    samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T
    rate, start = int(frames[0].sample_rate), float(frames[0].time)
    jumps = float(frames[-1].time) + frames[-1].samples / rate - start - len(samples) / rate
    if abs(jumps) > APART_S:
        raise RecordingError(f"the time stamps of its sound leave out {jumps * 1000:.0f} ms", file=path, remedy=REMEDY)
    return standard(samples, rate, start, path)


def _read_pictures(path: Path, begin_s: float) -> tuple[float, float, Frames]:
    """First and last moment (s) of the picture, and a grey picture with its time for every tick of ``FACE_HZ`` from ``begin_s`` on."""
    with load("av", EXTRA).open(str(path)) as container:
        stream = _first_stream(container, "video", path)
        frame_s = 1 / float(stream.average_rate)
        if not 0 < stream.codec_context.width * stream.codec_context.height <= MOST_PIXELS:
            size = f"{stream.codec_context.width} x {stream.codec_context.height}"
            raise RecordingError(f"has pictures of {size} pixels, at most {MOST_PIXELS} are read", file=path, remedy=REMEDY)
        first, time_s, pictures, memory = float("nan"), float("nan"), Frames(), _Memory(path)
        for frame in container.decode(stream):
            time_s = float(frame.time)
            first = time_s if np.isnan(first) else first
            tick = max(begin_s, first) + len(pictures) / FACE_HZ
            if time_s >= tick - frame_s / 2:
                memory.add(frame.width * frame.height)
                pictures.append((time_s, frame.to_ndarray(format="gray8")))
    return first, time_s + frame_s, pictures


def _face_features(frames: Frames) -> tuple[npt.NDArray[np.float64] | None, int]:
    """Features of the face in each picture (n, 135), None without any face; and the number of pictures without a face.

    In those the box of the nearest picture with a face is used.
    """
    boxes = [box_of(frame) for _, frame in frames]
    with_face = np.array([i for i, box in enumerate(boxes) if box is not None])
    if not len(with_face):
        return None, len(frames)
    nearest: list[Box | None] = [boxes[with_face[np.abs(with_face - i).argmin()]] for i in range(len(frames))]
    rows = [face_features(frame, box) for (_, frame), box in zip(frames, nearest, strict=True) if box is not None]
    return np.stack(rows), len(frames) - len(with_face)


def read_film(path: Path) -> FilmContent:
    """Sound and faces of a film, cut to the span that both streams cover.

    Raises:
        RecordingError: if it cannot be read, has no sound or picture, or the two overlap for less than 0.2 s.
    """
    errors = load("av", EXTRA).error.FFmpegError
    try:
        sound = _read_sound(path)
        first, last, frames = _read_pictures(path, sound.start_s)
    except (errors, IndexError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        raise RecordingError(f"cannot be read as a film ({error})", file=path, remedy=REMEDY) from error
    begin, end = max(sound.start_s, first), min(sound.start_s + sound.seconds, last)
    if not end - begin >= SHORTEST_S:
        raise RecordingError("its sound and picture do not overlap", file=path, remedy=REMEDY)
    rate = len(sound.samples) / sound.seconds
    rows = slice(round((begin - sound.start_s) * rate), round((end - sound.start_s) * rate))
    common = replace(sound, samples=sound.samples[rows], start_s=begin)
    faces, missed = _face_features([(time_s, frame) for time_s, frame in frames if time_s < end])
    return FilmContent(common, faces, "; ".join(_note_sentences(sound.start_s - first, missed, len(frames), faces is None)))


def _note_sentences(apart: float, missed: int, count: int, none: bool) -> list[str]:
    """Sentences for the card.

    Args:
        apart: seconds by which the sound starts after the picture.
        missed: number of pictures without a face, of ``count``; ``none``: whether no picture has one.
    """
    lines = []
    if abs(apart) > APART_S:
        order = "after" if apart > 0 else "before"
        lines.append(f"the sound starts {abs(apart) * 1000:.0f} ms {order} the picture; what both cover is kept")
    if none:
        lines.append(f"no face in {count} frames looked at: the picture counts as missing")
    elif missed:
        lines.append(f"no face in {missed} of {count} frames looked at: the nearest frame's place was taken")
    return lines


__all__ = ["FACE_HZ", "FACE_WIDTH", "FilmContent", "read_film"]
