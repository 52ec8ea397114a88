"""What every source offers."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

from raylab.errors import RaylabError
from raylab.features.sound import RATE_HZ
from raylab.live.core.messages import Chunk, LabelMark, Note, SegmentStart

Item = Chunk | SegmentStart | LabelMark | Note
CHUNK_S = 0.1


@dataclass(frozen=True)
class SourceOptions:
    """What the user said of the source.

    Attributes:
        where: ``NAME`` or ``NAME:PLACE``.
        participant: of a folder.
        replay_labels: whether a folder's own labels are replayed as the wearer's marks.
        speed: of a recording: 1 is real time; 0: as fast as it is decided.
    """

    where: str
    participant: str = ""
    replay_labels: bool = False
    speed: float = 1.0

    @property
    def place(self) -> str:
        """What stands behind the colon.

        Raises:
            RaylabError: where nothing does.
        """
        name, _, place = self.where.partition(":")
        if not place:
            raise RaylabError(f"--source {name} needs a place: {name}:...")
        return place


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        items: called once with an event that ends it: what comes, in order.
        recorded: a recording, replayed: it has an end, and may wait.
        captures: whether it hears or sees people now, who must have agreed.
        picture: whether it brings pictures.
    """

    description: str
    items: Callable[[Event], Iterator[Item]]
    recorded: bool
    captures: bool = False
    picture: bool = False


def paced(items: Iterator[tuple[float, Item]], speed: float, stop: Event) -> Iterator[Item]:
    """Items with the time when they are complete, each given out at that time; as fast as they are taken where the speed is 0."""
    began, first = time.perf_counter(), None
    for at_s, item in items:
        first = at_s if first is None else first
        if speed:
            wait = began + (at_s - first) / speed - time.perf_counter()
            if wait > 0 and stop.wait(wait):
                return
        if stop.is_set():
            return
        yield item


def check_rate(rate_hz: float, where: str) -> None:
    """Refuse sound whose upper half would be made up."""
    if rate_hz < RATE_HZ:
        raise RaylabError(f"{where} has {rate_hz:g} Hz, at least {RATE_HZ} Hz are needed")
