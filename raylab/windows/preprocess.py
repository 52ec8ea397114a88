"""From recorded samples to normalized, downsampled signals (PROTOCOL, Windows, steps 1-4)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from raylab.errors import InvalidValueError, RecordingError
from raylab.recordings.recording import Baseline, Channel, Recording
from raylab.windows.detrending import DETREND_S, Detrend, detrended
from raylab.windows.number_types import LARGEST, NotNegative, Positive

Signal = npt.NDArray[np.float64]
Normalization = Literal["recording", "past", "first_minutes", "baseline_condition", "none"]
Scale = Literal["minmax", "zscore"]

FIRST_S = 300.0
AT_ONCE = 2**16  # samples that are filtered at once, which bounds the memory
# Settings that came later, with the normalization or the detrending that they belong to: a card without them means the default, and they are
# written only if used.
LATER = {
    "scale": (),
    "first_s": ("first_minutes",),
    "baseline": ("baseline_condition",),
    "detrend": (),
    "detrend_s": ("high_pass", "running_median"),
}


def required_settings(settings: Mapping[str, Any]) -> list[str]:
    """Names of the settings of running signals that a card has to state, given those that it states."""
    used = [settings.get("normalization"), settings.get("detrend")]
    return [
        field.name
        for field in fields(Preprocessing)
        if field.name not in LATER or any(value in used for value in LATER[field.name])
    ]


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
        normalization: which samples of the participant decide how the signals are scaled (``raylab.windows.normalization``). ``recording``: the whole
            recording, test part included (the paper's way); ``past``: nothing after the window; ``first_minutes``: the first ``first_s`` seconds;
            ``baseline_condition``: those of the dataset's baseline condition; ``none``: signals stay in their units. Only ``recording`` winsorizes,
            and only there filters start from zero, as the paper's.
        skip_s: seconds from the recording's start that give no windows under ``past``.
        scale: ``minmax``: minimum and maximum of these samples become 0 and 1; ``zscore``: their mean and standard deviation become 0 and 1.
        first_s: of ``first_minutes``: seconds from the recording's start that scale all the rest, and give no windows.
        baseline: of ``baseline_condition``: the condition whose samples scale all the rest, and give no windows.

        detrend: what is taken off each channel before it is scaled (``raylab.windows.detrending``): ``high_pass``, a running mean of the past;
            ``running_median``, a median of the past; ``none``.
        detrend_s: time constant of the mean, or seconds that the median is of.

    Raises:
        InvalidValueError: if a setting is for another normalization, or for a detrending without one.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)
    kind: ClassVar[Literal["signals"]] = "signals"
    causal: ClassVar[Literal["past"]] = "past"

    window_s: Positive = 10.0
    step_s: Positive = 5.0
    winsor_share: NotNegative = 0.03
    lowpass_hz: Positive = 10.0
    lowpass_order: Annotated[int, Field(ge=1)] = 3
    normalization: Normalization = "recording"
    skip_s: NotNegative = 60.0
    scale: Scale = "minmax"
    first_s: Positive = FIRST_S
    baseline: Baseline | None = None
    detrend: Detrend = "none"
    detrend_s: Positive = DETREND_S

    def __post_init__(self) -> None:
        if self.normalization == "none" and self.scale != "minmax":
            raise InvalidValueError(f"normalization none leaves signals in their units: there is no scale {self.scale}")
        if self.normalization != "first_minutes" and self.first_s != FIRST_S:
            raise InvalidValueError(f"first_s is for normalization first_minutes, not for {self.normalization}")
        if self.normalization != "baseline_condition" and self.baseline:
            raise InvalidValueError(f"a baseline is for normalization baseline_condition, not for {self.normalization}")
        if self.detrend == "none" and self.detrend_s != DETREND_S:
            raise InvalidValueError("detrend_s is for detrend high_pass or running_median, not for none")

    @property
    def can_stream(self) -> bool:
        """Whether a stream has windows of the same values (``raylab.live.core.online_preprocessing``)."""
        return self.normalization == self.causal and self.scale == "minmax" and self.detrend != "running_median"

    @property
    def caution(self) -> str:
        """The sentence that every table of this data must carry about the normalization, if it takes more than the signals."""
        if self.normalization != "baseline_condition":
            return ""
        return "Normalized by the baseline condition: a result needs to know when the held-out person was at rest, which only a protocol tells."

    @property
    def suffix(self) -> str:
        """The mark behind a dataset's name in every table; nothing for the paper's way."""
        names = {"recording": "", "first_minutes": f"first {self.first_s:g} s", "none": "not normalized"}
        name = names.get(self.normalization, self.normalization.replace("_", " "))
        detrended = "" if self.detrend == "none" else f"{self.detrend.replace('_', ' ')} {self.detrend_s:g} s"
        return ", ".join(filter(None, [name, "z-score" if self.scale == "zscore" else "", detrended]))

    @property
    def description(self) -> str:
        """The windows and what their normalization looked at of a participant, the held-out one too, for the notes of a run."""
        verb, what = (
            ("normalized", "minimum and maximum") if self.scale == "minmax" else ("z-scored", "mean and standard deviation")
        )
        condition = self.baseline.description if self.baseline else ""
        how = {
            "recording": f"{verb} over each participant's whole recording, test part included"
            + (" (the paper's way)" if self.scale == "minmax" else ""),
            "past": f"{verb} by the running {what} of the past only",
            "first_minutes": f"{verb} by the {what} of the first {self.first_s:g} s of each participant's recording, the held-out one's too, "
            "which give no windows",
            "baseline_condition": f"{verb} by the {what} of each participant's baseline condition ({condition}), the held-out one's too, which "
            "gives no windows",
            "none": "not normalized: nothing of a participant's other samples is looked at, signals are in their units",
        }
        less = {
            "none": "",
            "high_pass": f", each channel less its running mean of the past (time constant {self.detrend_s:g} s) before that",
            "running_median": f", each channel less the median of its last {self.detrend_s:g} s before that",
        }
        return f"windows of {self.window_s:g} s every {self.step_s:g} s, {how[self.normalization]}{less[self.detrend]}"

    def as_dict(self) -> dict[str, Any]:
        """As the card holds it, and as a stage's hash reads it: what came later is left out unless it is used, so that hashes stay."""
        unused = {name for name, ways in LATER.items() if ways and not {self.normalization, self.detrend} & set(ways)}
        unused |= {"scale"} if self.scale == "minmax" else set()
        unused |= {"detrend"} if self.detrend == "none" else set()
        return {name: value for name, value in asdict(self).items() if name not in unused}


def winsor_limits(samples: Signal, share: float) -> tuple[Signal, Signal] | None:
    """The lowest and the highest sample of each column (n_features,) that stay, if the lowest and highest share of ranks take the value of their
    neighbour in rank (by rank, not by percentile); None if all stay.

    As ``scipy.stats.mstats.winsorize``, whose import and sorting took a third of the time of preparing a dataset.
    """
    n, cut = len(samples), int(share * len(samples))
    if not cut:
        return None
    ranked = np.partition(samples, (cut, n - cut - 1), axis=0)
    return ranked[cut].copy(), ranked[n - cut - 1].copy()  # views would keep all of it


def lowpass(
    samples: Signal, rate_hz: float, settings: Preprocessing, before: Signal | None = None
) -> tuple[Signal, Signal | None]:
    """Butterworth, applied forward only (it delays, but sees no future); nothing happens if rate/2 is not above the cut-off.

    Args:
        before: the filter's state behind the samples before these; None: these are the first.

    Returns:
        the filtered samples (n, n_features), and the state behind them.

    But for ``recording`` it begins at rest on the first sample. From zero, as the paper's, it would climb to the signal, and the
    minimum and maximum of the first samples would hold that zero for good: of an axis at 45 to 60 they would make 0 to 60.
    """
    from scipy.signal import butter, lfilter, lfilter_zi

    if rate_hz / 2 <= settings.lowpass_hz or not len(samples):
        return samples, None
    b, a = butter(settings.lowpass_order, settings.lowpass_hz / (rate_hz / 2))
    if before is None:
        before = lfilter_zi(b, a)[:, None] * (0.0 * samples[0] if settings.normalization == "recording" else samples[0])
    filtered, behind = lfilter(b, a, samples, axis=0, zi=before)
    return np.asarray(filtered, dtype=np.float64), behind


def downsample(samples: Signal, channel: Channel) -> Signal:
    """Every k-th sample, k = rate / target rate."""
    return samples[:: round(channel.rate_hz / channel.target_rate_hz)]


def _reduced(samples: Signal, limits: tuple[Signal, Signal] | None, channel: Channel, settings: Preprocessing) -> Signal:
    """Samples winsorized to the limits, filtered and downsampled.

    Some at a time, since the filter's state carries over to the bit: beside a long recording nothing of its length is made.
    """
    every, kept, state = round(channel.rate_hz / channel.target_rate_hz), list[Signal](), None
    at_once = every * max(1, AT_ONCE // every)
    for first in range(0, len(samples), at_once):
        part = samples[first : first + at_once]
        part, state = lowpass(part if limits is None else np.clip(part, *limits), channel.rate_hz, settings, state)
        kept.append(downsample(part, channel).copy())
    return np.concatenate(kept) if kept else samples


def check(recording: Recording) -> None:
    """Refuse samples that would silently become other numbers: NaN, values beyond single precision, in which windows are stored, a channel that
    never moves, a rate that cannot be reached.

    Raises:
        RecordingError: naming participant, channel, file, the problem and the remedy.
    """
    for channel in recording.channels:
        samples = _joined([segment.signals[channel.name] for segment in recording.segments])
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


def _joined(parts: list[Signal]) -> Signal:
    """The samples of all segments; of one segment those themselves."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def clean(recording: Recording, channel: Channel, settings: Preprocessing) -> list[Signal]:
    """One channel, a signal per segment (n_samples at the target rate, n_features), not yet normalized.

    Winsorizing and detrending look at all segments together, filtering at each alone: a filter must not ring across a gap.
    """
    parts = [segment.signals[channel.name] for segment in recording.segments]
    limits = winsor_limits(_joined(parts), settings.winsor_share) if settings.normalization == "recording" else None
    parts = [_reduced(part, limits, channel, settings) for part in parts]
    return detrended(parts, settings.detrend, settings.detrend_s, channel.target_rate_hz)
