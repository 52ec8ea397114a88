"""Examines a recording before it is windowed, for `raylab prepare --check`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.recordings.recording import Channel, Label, Recording
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import NO_LABEL
from raylab.windows.utterances import Utterances
from raylab.windows.windowing import possible_classes

FLAT_S = 10.0  # a stretch without any change of at least this long is flat


@dataclass(frozen=True)
class Finding:
    """One channel of one participant.

    Attributes:
        seconds: samples / promised rate.
        rate_hz: promised; ``found_hz``: samples over the median duration of the participant's channels.
        nan: share of samples that are NaN or infinite.
        flat: share of the time in stretches of 10 s and more without any change.
    """

    channel: str
    seconds: float
    rate_hz: float
    found_hz: float
    nan: float
    flat: float

    @property
    def odd(self) -> bool:
        """Whether a reader of the report should look: NaN, a fifth flat, or a rate 2% off."""
        return self.nan > 0 or self.flat > 0.2 or abs(self.found_hz / self.rate_hz - 1) > 0.02


def _flat(samples: npt.NDArray[np.float64], rate_hz: float) -> float:
    """Samples (n, n_features) in flat stretches, as a count."""
    still = np.concatenate([[False], (np.diff(samples, axis=0) == 0).all(axis=1), [False]])
    edges = np.flatnonzero(np.diff(still.astype(np.int8)))
    lengths = edges[1::2] - edges[::2] + 1
    return float(lengths[lengths >= FLAT_S * rate_hz].sum())


def examine(recording: Recording) -> list[Finding]:
    """Every channel of one participant, over all its segments."""
    counts = {c.name: sum(len(segment.signals[c.name]) for segment in recording.segments) for c in recording.channels}
    middle = float(np.median([counts[c.name] / c.rate_hz for c in recording.channels]))
    return [_finding(recording, channel, counts[channel.name], middle) for channel in recording.channels]


def _finding(recording: Recording, channel: Channel, count: int, middle: float) -> Finding:
    parts = [segment.signals[channel.name] for segment in recording.segments]
    bad = sum(int((~np.isfinite(part)).any(axis=1).sum()) for part in parts)
    flat = sum(_flat(part, channel.rate_hz) for part in parts if len(part))
    # The number of steps of a channel of variable length is its own, so it has no rate to be checked.
    measured_hz = channel.rate_hz if channel.variable else count / middle if middle else 0.0
    return Finding(
        channel.name, count / channel.rate_hz, channel.rate_hz, measured_hz, bad / max(count, 1), flat / max(count, 1)
    )


def coverage(recording: Recording, labels: list[Label], settings: Preprocessing | Utterances) -> dict[str, float]:
    """Label name to the share of the participant's possible windows that would carry it."""
    classes = possible_classes(recording, labels, settings)
    return {name: float((values != NO_LABEL).sum()) / max(len(values), 1) for name, values in classes.items()}
