"""Tools that the sources share: the user's options, replay at a given speed, a check of the sampling rate."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event

from raylab.errors import RaylabError
from raylab.features.sound import RATE_HZ
from raylab.live.core.messages import Item

CHUNK_S = 0.1


@dataclass(frozen=True)
class SourceOptions:
    """The user's options for a source.

    Attributes:
        spec: ``NAME`` or ``NAME:PLACE``.
        participant: of a folder: the participant who is replayed.
        replay_labels: of a folder: whether its labels are replayed as the wearer's marks.
        speed: of a recording: 1 is real time; 0: as fast as windows are decided.

    Raises:
        RaylabError: if the speed is no number, or infinite.
    """

    spec: str
    participant: str = ""
    replay_labels: bool = False
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.speed) and self.speed >= 0):
            raise RaylabError(f"--speed {self.speed} is none; give 1 for real time, 0 for as fast as windows are decided")

    @property
    def place(self) -> str:
        """The part after the colon.

        Raises:
            RaylabError: if there is none.
        """
        name, _, place = self.spec.partition(":")
        if not place:
            raise RaylabError(f"--source {name} needs a place: {name}:...")
        return place


def paced(items: Iterator[tuple[float, Item]], speed: float, stop: Event) -> Iterator[Item]:
    """Items, each at the time when it is complete; if the speed is 0, as fast as they are taken.

    Args:
        items: with the time when each is complete, in seconds.
    """
    began, first_s = time.perf_counter(), None
    for time_s, item in items:
        first_s = time_s if first_s is None else first_s
        if speed:
            wait_s = began + (time_s - first_s) / speed - time.perf_counter()
            if wait_s > 0 and stop.wait(wait_s):
                return
        if stop.is_set():
            return
        yield item


def check_rate(rate_hz: float, name: str) -> None:
    """Refuse sound of less than 16 kHz, whose upper frequencies would have to be made up.

    Raises:
        RaylabError: naming the sound.
    """
    if rate_hz < RATE_HZ:
        raise RaylabError(f"{name} has {rate_hz:g} Hz, at least {RATE_HZ} Hz are needed")
