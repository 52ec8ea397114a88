"""Messages between the parts of a stream: a source with its samples and marks, windows, and notes for the subscribers."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

SOUND, PICTURE = "sound", "picture"  # the channels of a source of speech
# Seconds: no clock shows more (it is the year 5138, and less than this year in milliseconds), and a sample's place is still exact to 20 us.
LATEST_S = 1e11
LONGEST_LABEL, LONGEST_ABOUT, LONGEST_NOTE = 200, 80, 500  # characters


def is_time(time_s: float) -> bool:
    """Whether a time stamp can be one, in seconds: it is finite, and no clock's in another unit."""
    return math.isfinite(time_s) and abs(time_s) <= LATEST_S


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters; what a source sends can have any length."""
    return text if len(text) <= most else text[: most - 3] + "..."


@dataclass(frozen=True)
class Chunk:
    """Some samples of one channel.

    Attributes:
        channel: a channel of the model; of a source of speech ``SOUND`` (at 16 kHz, mono) or ``PICTURE`` (one grey frame).
        time_s: of the first sample, on the source's clock.
        samples: (n, n_features); a picture is (height, width) of uint8.
        arrived: when it was received, by ``time.perf_counter``.
        n_before: samples of this channel that were captured before it, so that what raylab itself drops is known; -1: they were not counted.
    """

    channel: str
    time_s: float
    samples: npt.NDArray[Any]
    arrived: float = 0.0
    n_before: int = -1


@dataclass(frozen=True)
class LabelMark:
    """The wearer's class from now on; an empty label ends the mark.

    Attributes:
        time_s: on the source's clock; None: at the newest sample.
    """

    label: str
    time_s: float | None = None


@dataclass(frozen=True)
class SegmentStart:
    """A new segment of a recording begins, ``start_s`` after the recording's start; its windows are counted from there."""

    start_s: float


@dataclass(frozen=True)
class Window:
    """A complete window.

    Attributes:
        start_s, end_s: on the source's clock.
        values: channel to (length, n_features) float32; 0 if the channel is missing, and beyond the valid steps.
        lengths: valid steps of channels of variable length, and of missing channels (0); all other channels are full.
        missing: channel to the reason why this window lacks it.
        quality: channel to measures of its signal's quality.
        complete: when its last sample was received, by ``time.perf_counter``; of an utterance, when its end was known.
        parts_ms: duration of each step that made the window.
        heard: the sentence that was recognized.
    """

    number: int
    start_s: float
    end_s: float
    values: dict[str, npt.NDArray[np.float32]]
    lengths: dict[str, int]
    missing: dict[str, str]
    quality: dict[str, dict[str, float]]
    complete: float
    parts_ms: dict[str, float] = field(default_factory=dict)
    heard: str = ""


@dataclass(frozen=True)
class Note:
    """A sentence on an event in the stream.

    Attributes:
        about: the channel, or the part of raylab.
    """

    about: str
    text: str


Notify = Callable[[Note], None]
Item = Chunk | SegmentStart | LabelMark | Note


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        description: for the user.
        items: gives the items in order until the event is set; called once.
        recorded: whether it replays a recording, which has an end and may wait.
        captures: whether it hears or sees people now, who must have agreed.
        picture: whether it brings pictures.
    """

    description: str
    items: Callable[[Event], Iterator[Item]]
    recorded: bool
    captures: bool = False
    picture: bool = False
