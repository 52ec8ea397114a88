"""Heart beats in a blood volume pulse (BVP, PPG) or an electrocardiogram, each known as soon as a live signal could tell of it.

The methods are those of NeuroKit2 (Makowski et al. 2021), made causal: filters run forward only, and averages over the whole recording
became averages of the past. So a beat lies some hundredths of a second off NeuroKit2's, all by the same delay, which no interval notices.
"""

import numpy as np

from raylab.features.causal import Events, Mask, Samples, Signal, centred_mean, forward, stretches_of, trailing_mean

REFRACTORY_S = 0.3  # no second beat so soon after a beat
INTERVAL_S = (0.3, 2.0)  # 200 to 30 beats a minute
UNLIKE = 0.3  # an interval that is off the median of the last ones by more than this share is a beat too many or too few
COMPARED = 9
PULSE_S, BEAT_S, PULSE_OFFSET, OFFSET_S = 0.111, 0.667, 0.02, 10.0  # Elgendi et al. 2013, PLoS ONE 8(10), e76585
QRS_S, QRS_AVERAGE_S, QRS_WEIGHT, QRS_SHORTEST = 0.1, 0.75, 1.5, 0.4  # NeuroKit2's own method


def pulse_beats(samples: Signal, rate_hz: float) -> Events:
    """Beats of a blood volume pulse (n,): where the squared pulse, averaged over a pulse, exceeds its average over a beat."""
    x = forward(samples, rate_hz, "band", (0.5, min(8.0, 0.45 * rate_hz)), 3)
    squared = np.square(np.maximum(x, 0.0))
    pulse, beat = round(PULSE_S * rate_hz / 2), round(BEAT_S * rate_hz / 2)
    threshold = centred_mean(squared, beat) + PULSE_OFFSET * trailing_mean(squared, round(OFFSET_S * rate_hz))
    begin, end = stretches_of(centred_mean(squared, pulse) > threshold)
    long = end - begin >= PULSE_S * rate_hz
    return _beats(x, samples, begin[long], end[long], rate_hz, beat)


def qrs_beats(samples: Signal, rate_hz: float) -> Events:
    """Beats of an electrocardiogram (n,): where it is steeper than its average by half."""
    x = forward(samples, rate_hz, "band", (0.5, min(40.0, 0.45 * rate_hz)), 2)
    steep = np.abs(np.gradient(x)) if len(x) > 1 else np.zeros(len(x))
    near, far = round(QRS_S * rate_hz / 2), round(QRS_AVERAGE_S * rate_hz / 2)
    smooth = centred_mean(steep, near)
    begin, end = stretches_of(smooth > QRS_WEIGHT * centred_mean(smooth, far))
    lengths = (end - begin).astype(np.float64)
    long = lengths >= QRS_SHORTEST * np.cumsum(lengths) / np.arange(1, len(lengths) + 1)
    return _beats(x, samples, begin[long], end[long], rate_hz, near + far + 1)


def _beats(x: Signal, samples: Signal, begin: Samples, end: Samples, rate_hz: float, ahead: int) -> Events:
    """The highest sample of each stretch, unless it follows the last beat too soon or the recorded signal stood still around it."""
    still = ~_moves(samples, ahead)
    found: list[tuple[float, int, float]] = []
    last = -np.inf
    for first, past in zip(begin.tolist(), end.tolist(), strict=True):
        peak = first + int(np.argmax(x[first:past]))
        if peak - last < REFRACTORY_S * rate_hz or still[peak]:
            continue
        lowest = float(x[int(max(last, peak - rate_hz, 0)) : peak + 1].min())
        found.append((peak + _off(x, peak), past + ahead, float(x[peak]) - lowest))
        last = peak
    at, known, size = (np.array(column) for column in zip(*found, strict=True)) if found else (np.zeros(0),) * 3
    return Events(at.astype(np.float64), known.astype(np.int64), size.astype(np.float64))


def _moves(samples: Signal, near: int) -> Mask:
    """(n,) whether the recorded signal changes at all within ``near`` samples: behind a filter a flat signal rings for a while."""
    changes = np.concatenate([[0], np.cumsum(np.diff(samples) != 0)]) if len(samples) else np.zeros(0)
    places = np.arange(len(samples))
    return np.asarray(changes[np.minimum(places + near, len(samples) - 1)] > changes[np.maximum(places - near, 0)])


def _off(x: Signal, peak: int) -> float:
    """How far the top of the parabola through a peak and its neighbours lies from it, in samples: at 64 Hz a sample is 16 ms."""
    if not 0 < peak < len(x) - 1:
        return 0.0
    before, here, after = x[peak - 1 : peak + 2]
    bend = before - 2 * here + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def sound_intervals(seconds: Signal) -> Mask:
    """(n,) whether an interval between beats can be one: its length is possible, and like that of the possible ones before it."""
    possible = (seconds >= INTERVAL_S[0]) & (seconds <= INTERVAL_S[1])
    sound = np.zeros(len(seconds), dtype=np.bool_)
    kept = np.flatnonzero(possible)
    if not len(kept):
        return sound
    padded = np.concatenate([np.full(COMPARED - 1, np.nan), seconds[kept]])
    median = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, COMPARED), axis=1)
    sound[kept] = np.abs(seconds[kept] - median) <= UNLIKE * median
    return sound
