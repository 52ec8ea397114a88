"""This machine's microphone and camera."""

import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import numpy as np

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.features.sound import RATE_HZ
from raylab.live.core.bounded_queue import BoundedQueue
from raylab.live.core.messages import PICTURE, SOUND, Chunk, Note
from raylab.live.core.model_file import ModelCard
from raylab.live.sources.source import CHUNK_S, Item, Source, SourceOptions

KEPT, PICTURES = 100, 4  # chunks and pictures that wait while others are worked on


def _module() -> Any:
    try:
        return load("sounddevice", "live")
    except OSError as error:  # the library for sound is a program of the system
        raise RaylabError(f"the microphone cannot be used ({error}); install PortAudio (Debian: libportaudio2)") from error


def _listen(into: BoundedQueue[Item], stop: Event) -> None:
    """The microphone at 16 kHz, until the end. A chunk's time is when it was given out: samples that the device lost are then a gap."""

    def heard(samples: Any, frames: int, clock: Any, status: Any) -> None:
        if status:
            into.put(Note(SOUND, str(status)))
        now = time.perf_counter()
        into.put(Chunk(SOUND, time.monotonic() - frames / RATE_HZ, np.array(samples, dtype=np.float64), now))

    try:
        with _module().InputStream(
            samplerate=RATE_HZ, channels=1, dtype="float32", blocksize=round(CHUNK_S * RATE_HZ), callback=heard
        ):
            stop.wait()
    except Exception as error:  # PortAudio's errors are its own; the picture may go on
        into.put(Note(SOUND, f"the microphone failed ({error})"))


def _look(into: BoundedQueue[Item], stop: Event, number: int) -> None:
    """The camera, until the end."""
    cv2 = load("cv2", "vision")
    camera_ = cv2.VideoCapture(number)
    try:
        while not stop.is_set():
            good, frame = camera_.read()
            if not good:
                into.put(Note(PICTURE, f"camera {number} brings no picture"))
                stop.wait(1.0)
                continue
            into.put(Chunk(PICTURE, time.monotonic(), cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)))
    finally:
        camera_.release()


def _captured(stop: Event, *captures: Any) -> Iterator[Item]:
    """What each of the captures brings, through a queue of its own: pictures do not push sound out."""
    queues: list[BoundedQueue[Item]] = []
    for capture, kept, *more in captures:
        queues.append(BoundedQueue(kept))
        Thread(target=capture, args=(queues[-1], stop, *more), daemon=True).start()
    lost = [0] * len(queues)
    while not stop.is_set():
        came = [item for queue in queues if (item := queue.get(0.01)) is not None]
        yield from came
        for i, queue in enumerate(queues):
            if queue.dropped > lost[i]:
                yield Note("source", f"{queue.dropped - lost[i]} chunks of the device were dropped")
                lost[i] = queue.dropped


def microphone(card: ModelCard, asked: SourceOptions) -> Source:
    """``microphone``. Untested: no machine that raylab was made on has one."""
    _module()
    return Source("this machine's microphone", lambda stop: _captured(stop, (_listen, KEPT)), recorded=False, captures=True)


def camera(card: ModelCard, asked: SourceOptions) -> Source:
    """``camera`` (or ``camera:1``, the second one), with the microphone. Untested: no machine that raylab was made on has one."""
    _module()
    number = int(asked.where.partition(":")[2] or 0)
    return Source(
        "this machine's camera and microphone",
        lambda stop: _captured(stop, (_listen, KEPT), (_look, PICTURES, number)),
        recorded=False,
        captures=True,
        picture=True,
    )
