"""From recorded samples to normalized, downsampled signals (PROTOCOL, Windows, steps 1-4)."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from raylab.errors import RecordingError
from raylab.recordings.recording import Channel, Recording
from raylab.windows.number_types import LARGEST, NotNegative, Positive

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Preprocessing:
    """The paper's preprocessing of running signals, to the number. The card keeps it, and checks it when it is read.

    Attributes:
        kind: the kind of data it is for.
        causal: the normalization that uses nothing that a stream has not brought yet.
        window_s: seconds that a window holds.
        step_s: seconds from one window's start to the next.
        winsor_share: of the lowest and of the highest samples, replaced by their neighbours in rank.
        lowpass_hz, lowpass_order: of the Butterworth low-pass.
        normalization: ``recording`` looks at the participant's whole recording, test part included (the paper's way);
            ``past`` uses nothing after the window: no winsorizing, running minimum and maximum; filters begin at rest.
        skip_s: seconds from the recording's start that give no windows under ``past``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    kind: ClassVar[Literal["signals"]] = "signals"
    causal: ClassVar[Literal["past"]] = "past"

    window_s: Positive = 10.0
    step_s: Positive = 5.0
    winsor_share: NotNegative = 0.03
    lowpass_hz: Positive = 10.0
    lowpass_order: Annotated[int, Field(ge=1)] = 3
    normalization: Literal["recording", "past"] = "recording"
    skip_s: NotNegative = 60.0

    @property
    def caution(self) -> str:
        """The sentence that every table of this data must carry: none; the notes of a run name the normalization."""
        return ""

    @property
    def suffix(self) -> str:
        """The mark behind a dataset's name in every table; nothing for the paper's way."""
        return "" if self.normalization == "recording" else "past"

    @property
    def description(self) -> str:
        """The windows and their normalization, for the notes of a run."""
        how = (
            "normalized over each participant's whole recording, test part included (the paper's way)"
            if self.normalization == "recording"
            else "normalized by the running minimum and maximum of the past only"
        )
        return f"windows of {self.window_s:g} s every {self.step_s:g} s, {how}"

    def as_dict(self) -> dict[str, Any]:
        """As the card holds it, and as a stage's hash reads it."""
        return asdict(self)


def winsorize(samples: Signal, share: float) -> Signal:
    """Replace the lowest and highest share of ranks of each column (n, n_features); by rank, not by percentile."""
    from scipy.stats import mstats

    return np.stack([np.asarray(mstats.winsorize(column, limits=(share, share))) for column in samples.T], axis=1)


def lowpass(samples: Signal, rate_hz: float, settings: Preprocessing) -> Signal:
    """Butterworth, applied forward only (it delays, but sees no future); nothing happens if rate/2 is not above the cut-off.

    Under ``past`` it begins at rest on the first sample. From zero, as the paper's (``recording``), it would climb to the signal, and the running
    minimum and maximum would hold that zero for good: of an axis at 45 to 60 they would make 0 to 60.
    """
    from scipy.signal import butter, lfilter, lfilter_zi

    if rate_hz / 2 <= settings.lowpass_hz or not len(samples):
        return samples
    b, a = butter(settings.lowpass_order, settings.lowpass_hz / (rate_hz / 2))
    begin = lfilter_zi(b, a)[:, None] * (samples[0] if settings.normalization == "past" else 0.0 * samples[0])
    return np.asarray(lfilter(b, a, samples, axis=0, zi=begin)[0], dtype=np.float64)


def downsample(samples: Signal, channel: Channel) -> Signal:
    """Every k-th sample, k = rate / target rate."""
    return samples[:: round(channel.rate_hz / channel.target_rate_hz)]


def min_max(samples: Signal, low: Signal, high: Signal) -> Signal:
    """(samples - low) / (high - low); 0 as long as nothing has moved."""
    span = high - low
    return np.asarray((samples - low) / np.where(span > 0, span, 1.0))


def check(recording: Recording) -> None:
    """Refuse samples that would silently become other numbers: NaN, values beyond single precision, in which windows are stored, a channel that
    never moves, a rate that cannot be reached.

    Raises:
        RecordingError: naming participant, channel, file, the problem and the remedy.
    """
    for channel in recording.channels:
        samples = np.concatenate([segment.signals[channel.name] for segment in recording.segments])
        factor = channel.rate_hz / channel.target_rate_hz
        problem = ""
        if bad := int((~np.isfinite(samples)).sum()):
            first = int(np.argmin(np.isfinite(samples).all(axis=1)))
            problem = (
                f"has {bad} of {samples.size} samples that are NaN or infinite, the first at {first / channel.rate_hz:.2f} s"
            )
        elif len(samples) and max(samples.max(), -samples.min()) > LARGEST:
            beyond = np.abs(samples) > LARGEST
            first = int(beyond.any(axis=1).argmax())
            problem = (
                f"has {beyond.sum()} of {samples.size} samples beyond {LARGEST:g}, which windows cannot hold: the first is "
                f"{samples[first][beyond[first]][0]:g}, sample {first + 1} at {first / channel.rate_hz:.2f} s"
            )
        elif len(samples) and (samples.min(axis=0) == samples.max(axis=0)).any():
            problem = f"never moves: every sample is {samples.flat[0]:g}"
        elif factor < 1 or abs(factor - round(factor)) > 1e-9:
            problem = f"cannot go from {channel.rate_hz:g} Hz to {channel.target_rate_hz:g} Hz by keeping every k-th sample"
        if problem:
            raise RecordingError(
                problem,
                file=channel.file,
                participant=recording.participant,
                channel=channel.name,
                remedy="leave the participant out (--exclude), drop the channel, or repair the file",
            )


def clean(recording: Recording, channel: Channel, settings: Preprocessing) -> list[Signal]:
    """One channel, a signal per segment (n_samples at the target rate, n_features), not yet normalized.

    Winsorizing looks at all segments together, filtering at each alone: a filter must not ring across a gap.
    """
    parts = [segment.signals[channel.name] for segment in recording.segments]
    if settings.normalization == "recording":
        borders = np.cumsum([len(part) for part in parts])[:-1]
        parts = np.split(winsorize(np.concatenate(parts), settings.winsor_share), borders)
    return [downsample(lowpass(part, channel.rate_hz, settings), channel) for part in parts]


def limits(parts: list[Signal], settings: Preprocessing) -> tuple[Signal, Signal]:
    """Minimum and maximum to normalize with, per sample of the joined segments (n, n_features): of all, or so far."""
    joined = np.concatenate(parts)
    if settings.normalization == "past":
        return np.minimum.accumulate(joined), np.maximum.accumulate(joined)
    shape = joined.shape
    return np.broadcast_to(joined.min(axis=0), shape), np.broadcast_to(joined.max(axis=0), shape)
