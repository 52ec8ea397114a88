"""How far a stretch of a signal can be trusted: whether it moves, clips, was shaken, and whether a heart can be found in it (docs/features.md).

Like features, quality sees a stretch up to its end and nothing after it. These are shares and amounts, not verdicts: where good ends is the user's
to say, and no window is left out by them.
"""

import numpy as np

from raylab.features.beats import pulse_beats, qrs_beats, sound_intervals
from raylab.features.causal import Mask, Samples, Signal, Sums, count, total
from raylab.features.physiology import Describe, Feature

METHOD = "raylab quality 1"  # changes with every number below
FLAT_S = 1.0  # a signal that has not changed for so long is flat, until it changes

FLAT, CLIPPED = Feature("flat_share", "1"), Feature("clipped_share", "1")
MOTION, BEATS = Feature("motion", "{unit}/s"), Feature("beat_share", "1")
FINDERS = {"bvp": pulse_beats, "ecg": qrs_beats}
SLOW = ("eda", "temp")  # digitized, such a signal stands at its extreme for seconds without being clipped


def measures_of(kind: str) -> tuple[Feature, ...]:
    """What is measured of a signal of this kind (``raylab.features.physiology.KINDS``), in the order of ``analyse_quality``."""
    more = (BEATS,) if kind in FINDERS else (MOTION,) if kind == "acc" else ()
    return (FLAT, *(() if kind in SLOW else (CLIPPED,)), *more)


def flat(samples: Signal, rate_hz: float) -> Mask:
    """(n,) whether no column of the samples (n, n_columns) has changed for the last second."""
    places = np.arange(len(samples))
    changed = np.concatenate([[True], (np.diff(samples, axis=0) != 0).any(axis=1)])[: len(samples)]
    return np.asarray(places - np.maximum.accumulate(np.where(changed, places, 0)) >= FLAT_S * rate_hz)


def clipped(samples: Signal) -> Mask:
    """(n,) whether some column of the samples (n, n_columns) is at its highest or lowest value so far, as it was one sample before."""
    stands = np.concatenate([np.zeros((1, samples.shape[1]), dtype=bool), np.diff(samples, axis=0) == 0])[: len(samples)]
    extreme = (samples == np.maximum.accumulate(samples)) | (samples == np.minimum.accumulate(samples))
    return np.asarray((stands & extreme).any(axis=1))


def analyse_quality(kind: str, samples: Signal, rate_hz: float) -> Describe:
    """The quality of any stretch of a session.

    Args:
        samples: (n, n_columns) of one session, as recorded.

    Returns:
        begin and end of stretches (m,) to one array (m,) for each of ``measures_of``: the shares lie between 0 and 1; ``beat_share`` is how much of
        the stretch sound intervals between heart beats fill; ``motion`` is the mean change of the vector's length a second.
    """
    shares = [Sums(flat(samples, rate_hz).astype(np.float64))]
    if kind not in SLOW:
        shares.append(Sums(clipped(samples).astype(np.float64)))
    more = _beat_share(kind, samples, rate_hz) if kind in FINDERS else _motion(samples, rate_hz) if kind == "acc" else None

    def describe(begin: Samples, end: Samples) -> tuple[Signal, ...]:
        found = tuple(np.clip(share.mean(begin, end), 0.0, 1.0) for share in shares)
        return found + (more(begin, end) if more else ())

    return describe


def _motion(samples: Signal, rate_hz: float) -> Describe:
    changes = Sums(np.abs(np.diff(np.sqrt(np.square(samples).sum(axis=1)))) * rate_hz)
    return lambda begin, end: (changes.mean(begin, np.maximum(end - 1, begin)),)


def _beat_share(kind: str, samples: Signal, rate_hz: float) -> Describe:
    beats = FINDERS[kind](samples[:, 0], rate_hz)
    seconds = np.diff(beats.at, prepend=np.nan) / rate_hz  # interval i ends with beat i
    seconds = np.where(sound_intervals(seconds), seconds, 0.0)

    def describe(begin: Samples, end: Samples) -> tuple[Signal, ...]:
        first, last = beats.within(begin, end)
        filled = total(seconds, np.minimum(first + 1, last), last)
        return (np.minimum(filled * rate_hz / count(begin, end), 1.0),)

    return describe
