"""What sources give, and what a stream tells those who listen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.floating[Any]]
SOUND, PICTURE = "sound", "picture"  # names of the streams of speech


@dataclass(frozen=True)
class Chunk:
    """Some samples of one channel.

    Attributes:
        channel: a channel of the model; of speech ``SOUND`` (at 16 kHz, mono) or ``PICTURE`` (one grey frame).
        time_s: of the first sample, on the source's clock.
        samples: (n, n_features); a picture is (height, width) of uint8.
        arrived: when it came in, by ``time.perf_counter``.
    """

    channel: str
    time_s: float
    samples: npt.NDArray[Any]
    arrived: float = 0.0


@dataclass(frozen=True)
class LabelMark:
    """The wearer says how it is from now on; an empty class ends the mark.

    Attributes:
        time_s: on the source's clock; None: at the newest sample.
    """

    label: str
    time_s: float | None = None


@dataclass(frozen=True)
class SegmentStart:
    """Here a recording has a border: what follows is a segment of its own, with its own windows, ``start_s`` after the recording's start."""

    start_s: float


@dataclass(frozen=True)
class Window:
    """A complete window.

    Attributes:
        start_s, end_s: on the source's clock.
        values: channel to (length, n_features) float32; 0 where it is missing, and beyond the valid steps.
        lengths: valid steps of channels of variable length and of those that are missing (0); full where not named.
        missing: channel to why this window does not have it.
        quality: channel to what was seen of its signal, in numbers.
        complete: when its last sample came in, by ``time.perf_counter``; of an utterance, when its end was known.
        parts_ms: what its making cost.
        heard: what a recognizer understood.
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
    """A sentence on what happened to the stream.

    Attributes:
        about: the channel, or the part of raylab.
    """

    about: str
    text: str


Notify = Callable[[Note], None]
