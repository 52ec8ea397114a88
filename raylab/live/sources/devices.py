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
from raylab.live.core.messages import PICTURE, SOUND, Chunk, Item, Note, Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import CHUNK_S, SourceOptions

CHUNK_QUEUE, PICTURE_QUEUE = 100, 4  # chunks and pictures that can wait for the stream


def _sounddevice() -> Any:
    """The module for sound devices.

    Raises:
        RaylabError: if PortAudio is missing.
    """
    try:
        return load("sounddevice", "live")
    except OSError as error:  # PortAudio is a library of the system
        raise RaylabError(f"the microphone cannot be used ({error}); install PortAudio (Debian: libportaudio2)") from error


def _capture_sound(queue: BoundedQueue[Item], stop: Event) -> None:
    """The microphone at 16 kHz, until ``stop``. A chunk's time is when the device delivered it, so that samples that the device lost are a gap."""

    n_before = 0

    def on_samples(samples: Any, frames: int, clock: Any, status: Any) -> None:
        nonlocal n_before
        if status:
            queue.put(Note(SOUND, str(status)))
        time_s, arrived = time.monotonic() - frames / RATE_HZ, time.perf_counter()
        queue.put(Chunk(SOUND, time_s, np.array(samples, dtype=np.float64), arrived, n_before))
        n_before += frames  # also of a chunk that the queue drops

    try:
        with _sounddevice().InputStream(
            samplerate=RATE_HZ, channels=1, dtype="float32", blocksize=round(CHUNK_S * RATE_HZ), callback=on_samples
        ):
            stop.wait()
    except Exception as error:  # PortAudio's errors have no common class; the camera may go on
        queue.put(Note(SOUND, f"the microphone failed ({error})"))


def _capture_pictures(queue: BoundedQueue[Item], stop: Event, number: int) -> None:
    """The camera, until ``stop``."""
    cv2 = load("cv2", "vision")
    device = cv2.VideoCapture(number)
    try:
        while not stop.is_set():
            success, frame = device.read()
            if not success:
                queue.put(Note(PICTURE, f"camera {number} brings no picture"))
                stop.wait(1.0)
                continue
            queue.put(Chunk(PICTURE, time.monotonic(), cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)))
    finally:
        device.release()


def _items(stop: Event, *captures: Any) -> Iterator[Item]:
    """The items of all captures, each with a queue of its own: pictures do not push sound out.

    Args:
        captures: (function, size of its queue, its further arguments).
    """
    queues: list[BoundedQueue[Item]] = []
    for capture, size, *arguments in captures:
        queues.append(BoundedQueue(size))
        Thread(target=capture, args=(queues[-1], stop, *arguments), daemon=True).start()
    noted = [0] * len(queues)
    while not stop.is_set():
        items = [item for queue in queues if (item := queue.get(0.01)) is not None]
        yield from items
        for i, queue in enumerate(queues):
            if queue.dropped > noted[i]:
                yield Note(
                    "source", f"raylab dropped {queue.dropped - noted[i]} chunks of the device: what comes behind is too slow"
                )
                noted[i] = queue.dropped


def microphone(card: ModelCard, options: SourceOptions) -> Source:
    """``microphone``. Untested: no machine that raylab was made on has one."""
    _sounddevice()
    return Source(
        "this machine's microphone", lambda stop: _items(stop, (_capture_sound, CHUNK_QUEUE)), recorded=False, captures=True
    )


def camera(card: ModelCard, options: SourceOptions) -> Source:
    """``camera`` (or ``camera:1``, the second one), with the microphone. Untested: no machine that raylab was made on has one."""
    _sounddevice()
    place = options.spec.partition(":")[2] or "0"
    if not (place.isascii() and place.isdigit() and len(place) < 4):
        raise RaylabError(f"--source {options.spec}: {place!r} is no camera; give its number, 0 for the first one")
    number = int(place)
    return Source(
        "this machine's camera and microphone",
        lambda stop: _items(stop, (_capture_sound, CHUNK_QUEUE), (_capture_pictures, PICTURE_QUEUE, number)),
        recorded=False,
        captures=True,
        picture=True,
    )
