"""Features of physiological signals, by kind of signal (docs/features.md).

A session is analysed once; then any stretch of it has its features at once. A stretch sees the signal up to its end and nothing after it,
because filters run forward only and events count once they are known (``raylab.features.causal``). The signals are as recorded, in their units.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raylab.features.beats import pulse_beats, qrs_beats, sound_intervals
from raylab.features.causal import Events, Samples, Signal, Sums, count, forward, swings, total, trailing_mean

# Begin and end of stretches, in samples, each (m,), to their features, each (m,), NaN where one is missing.
Describe = Callable[[Samples, Samples], tuple[Signal, ...]]
METHOD = "raylab physiology 1"  # changes with every number below, and with it the card: what is joined was computed alike

MINUTE_S = 60.0
MICROSIEMENS = ("us", "µs", "μs", "microsiemens")
SLOW_HZ = 0.05  # between tonic and phasic, as NeuroKit2's eda_phasic(method="highpass")
SMOOTH_HZ = 3.0  # above it there is no skin conductance, as NeuroKit2's eda_clean
SCR_US = 0.01  # the least rise of a skin conductance response
COVERED = 0.5  # share of a stretch that the intervals between its beats must fill
NN50_S = 0.05
BREATH_HZ = (0.05, 3.0)  # Khodadad et al. 2018, as NeuroKit2's rsp_clean
BREATH_SHARE = 0.5  # of the standard deviation of the last 30 s: the least swing that is a breath
BREATH_MEMORY_S = 30.0
BREATH_S = (1.0, 20.0)
MUSCLE_HZ = 20.0

FEW_BEATS = "the heart beats found fill less than half of it"
FEW_INTERVALS = f"{FEW_BEATS}, or there are too few of them"
NO_SCR = "no skin conductance response was found"
NO_BREATHS = "fewer than two breaths were found"
NO_BREATH = "no breath was found"


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        unit: ``{unit}`` stands for that of the signal.
        missing: when a window does not have it; empty: it always has.
    """

    name: str
    unit: str
    missing: str = ""


@dataclass(frozen=True)
class SignalKind:
    """A kind of signal and its features.

    Attributes:
        words: modalities, or words in a channel's name, by which a channel is of this kind.
        slowest_hz: below this rate there are no features.
        features: in the order of ``analyse``.
        analyse: samples of one session (n, n_columns) and their rate -> the features of its stretches.
        microsiemens: features that only a signal in microsiemens has, the last ones.
    """

    name: str
    words: tuple[str, ...]
    slowest_hz: float
    features: tuple[Feature, ...]
    analyse: Callable[[Signal, float], Describe]
    microsiemens: int = 0

    def features_in(self, unit: str) -> tuple[Feature, ...]:
        """The features of a signal in this unit: what has a threshold in microsiemens is left out of a signal in another unit."""
        if self.microsiemens and unit.strip().casefold() not in MICROSIEMENS:
            return self.features[: -self.microsiemens]
        return self.features


def _eda(samples: Signal, rate_hz: float) -> Describe:
    raw = samples[:, 0]
    smooth = forward(raw, rate_hz, "low", SMOOTH_HZ, 4) if rate_hz > 2 * SMOOTH_HZ else raw
    # What the high-pass takes is the tonic part: the two add up to the signal.
    phasic = forward(smooth, rate_hz, "high", SLOW_HZ, 2)
    responses = swings(phasic, np.full(len(phasic), SCR_US))
    level, tonic, fast = Sums(smooth), Sums(smooth - phasic), Sums(phasic)
    per_minute = MINUTE_S * rate_hz

    def describe(begin: Samples, end: Samples) -> tuple[Signal, ...]:
        first, last = responses.within(begin, end)
        return (
            level.mean(begin, end),
            level.sd(begin, end),
            level.slope(begin, end) * per_minute,
            tonic.mean(begin, end),
            tonic.slope(begin, end) * per_minute,
            fast.sd(begin, end),
            (last - first) / count(begin, end) * per_minute,
            total(responses.size, first, last) / count(first, last),
        )

    return describe


def _heart(samples: Signal, rate_hz: float, find: Callable[[Signal, float], Events]) -> Describe:
    beats = find(samples[:, 0], rate_hz)
    # Interval i ends with beat i, change i with it too; beat 0 has none of either, beat 1 no change.
    seconds = np.diff(beats.at, prepend=np.nan) / rate_hz
    sound = sound_intervals(seconds)
    changes = np.diff(seconds, prepend=np.nan)
    both = sound & np.concatenate([[False], sound[:-1]])[: len(sound)]
    seconds, changes = np.where(sound, seconds, 0.0), np.where(both, changes, 0.0)

    def describe(begin: Samples, end: Samples) -> tuple[Signal, ...]:
        first, last = beats.within(begin, end)
        second, third = np.minimum(first + 1, last), np.minimum(first + 2, last)
        n, lasts = total(sound.astype(np.float64), second, last), total(seconds, second, last)
        n_changes = total(both.astype(np.float64), third, last)
        covered = lasts >= COVERED * count(begin, end) / rate_hz
        n, n_changes = np.where(covered & (n > 1), n, np.nan), np.where(covered & (n_changes > 1), n_changes, np.nan)
        mean = lasts / n
        spread = np.maximum(total(np.square(seconds), second, last) / n - np.square(mean), 0.0) * n / (n - 1)
        return (
            MINUTE_S / mean,
            1000 * np.sqrt(total(np.square(changes), third, last) / n_changes),
            1000 * np.sqrt(spread),
            100 * total((np.abs(changes) > NN50_S).astype(np.float64), third, last) / n_changes,
            np.where(covered, total(beats.size, first, last) / count(first, last), np.nan),
        )

    return describe


def _bvp(samples: Signal, rate_hz: float) -> Describe:
    return _heart(samples, rate_hz, pulse_beats)


def _ecg(samples: Signal, rate_hz: float) -> Describe:
    return _heart(samples, rate_hz, qrs_beats)


def _resp(samples: Signal, rate_hz: float) -> Describe:
    x = forward(samples[:, 0], rate_hz, "band", (BREATH_HZ[0], min(BREATH_HZ[1], 0.45 * rate_hz)), 2)
    spread = np.sqrt(trailing_mean(np.square(x), round(BREATH_MEMORY_S * rate_hz)))
    breaths = swings(x, np.maximum(BREATH_SHARE * spread, np.finfo(np.float64).tiny))
    seconds = np.diff(breaths.at, prepend=np.nan) / rate_hz
    sound = (seconds >= BREATH_S[0]) & (seconds <= BREATH_S[1])
    seconds = np.where(sound, seconds, 0.0)

    def describe(begin: Samples, end: Samples) -> tuple[Signal, ...]:
        first, last = breaths.within(begin, end)
        second = np.minimum(first + 1, last)
        n, lasts = total(sound.astype(np.float64), second, last), total(seconds, second, last)
        return (MINUTE_S * n / np.where(n > 0, lasts, np.nan), total(breaths.size, first, last) / count(first, last))

    return describe


def _emg(samples: Signal, rate_hz: float) -> Describe:
    x = forward(samples[:, 0], rate_hz, "high", MUSCLE_HZ, 4)
    power, size = Sums(x), Sums(np.abs(x))
    return lambda begin, end: (power.rms(begin, end), size.mean(begin, end))


def _temp(samples: Signal, rate_hz: float) -> Describe:
    level = Sums(samples[:, 0])
    return lambda begin, end: (level.mean(begin, end), level.slope(begin, end) * MINUTE_S * rate_hz)


def _acc(samples: Signal, rate_hz: float) -> Describe:
    size = np.sqrt(np.square(samples).sum(axis=1))
    level, steps = Sums(size), Sums(np.abs(np.diff(size)))

    def describe(begin: Samples, end: Samples) -> tuple[Signal, ...]:
        return level.mean(begin, end), level.sd(begin, end), steps.mean(begin, np.maximum(end - 1, begin))

    return describe


_HEART = (
    Feature("heart_rate", "1/min", FEW_INTERVALS),
    Feature("rmssd", "ms", FEW_INTERVALS),
    Feature("sdnn", "ms", FEW_INTERVALS),
    Feature("pnn50", "%", FEW_INTERVALS),
    Feature("beat_amplitude", "{unit}", FEW_BEATS),
)
_EDA = (
    Feature("mean", "{unit}"),
    Feature("sd", "{unit}"),
    Feature("slope", "{unit}/min"),
    Feature("tonic_mean", "{unit}"),
    Feature("tonic_slope", "{unit}/min"),
    Feature("phasic_sd", "{unit}"),
    Feature("scr_rate", "1/min"),
    Feature("scr_amplitude", "{unit}", NO_SCR),
)
KINDS: dict[str, SignalKind] = {
    kind.name: kind
    for kind in (
        SignalKind("eda", ("eda", "gsr"), 2.0, _EDA, _eda, microsiemens=2),
        SignalKind("bvp", ("bvp", "ppg"), 16.0, _HEART, _bvp),
        SignalKind("ecg", ("ecg",), 64.0, _HEART, _ecg),
        SignalKind(
            "resp",
            ("resp", "rsp"),
            4.0,
            (Feature("breath_rate", "1/min", NO_BREATHS), Feature("breath_depth", "{unit}", NO_BREATH)),
            _resp,
        ),
        SignalKind("emg", ("emg",), 50.0, (Feature("rms", "{unit}"), Feature("mean_absolute", "{unit}")), _emg),
        SignalKind("temp", ("temp", "skt"), 0.5, (Feature("mean", "{unit}"), Feature("slope", "{unit}/min")), _temp),
        SignalKind(
            "acc",
            ("acc",),
            2.0,
            (Feature("magnitude_mean", "{unit}"), Feature("magnitude_sd", "{unit}"), Feature("step", "{unit}")),
            _acc,
        ),
    )
}
