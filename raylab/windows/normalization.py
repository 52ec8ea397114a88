"""How a participant's signals are scaled: which of their samples decide, and by what (PROTOCOL, Windows step 4).

A normalization by a person's own samples is personalization without labels: it looks at the held-out person before a model does. Which of
that person's samples it looks at is therefore a setting (``Preprocessing.normalization``) that every table names. Samples that decide for others
(the first minutes, the baseline condition) give no windows: a window of them would be scaled by itself, and the others not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.recording import Baseline, Channel, Recording
from raylab.windows.preprocess import Preprocessing, Signal

EARLIER = 1e-9  # seconds: times of samples are sums, which are off by less
SMALLEST_SD = 1e-9  # of the range: a spread below is rounding

Runs = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """What is subtracted from a channel's samples, and what they are then divided by.

    Attributes:
        offset, divisor: per sample of the joined segments, (n, n_features), in the unit of the channel; a window takes those of its last sample.
    """

    offset: Signal
    divisor: Signal


def baseline_runs(recording: Recording, baseline: Baseline) -> list[Runs]:
    """Of each segment the stretches of the baseline condition, (n_runs, 2) begin and end in segment seconds.

    A value of the track holds until the next one, the last one for as long as the track's usual step.

    Raises:
        RecordingError: if the recording does not have the track.
    """
    runs = []
    for segment in recording.segments:
        track = segment.tracks.get(baseline.track)
        if track is None:
            raise RecordingError(
                f"session {segment.session} has no track {baseline.track}, which tells the baseline condition",
                participant=recording.participant,
                remedy="use another --normalization, or leave the participant out (--exclude)",
            )
        inside = np.concatenate([[False], track.values == baseline.code, [False]])
        begins, ends = np.flatnonzero(inside[1:] & ~inside[:-1]), np.flatnonzero(~inside[1:] & inside[:-1])
        border = np.append(track.times_s, track.times_s[-1:] + track.step_s)
        runs.append(np.stack([border[begins], border[ends]], axis=1))
    if baseline.first_run:
        first = next((number for number, found in enumerate(runs) if len(found)), 0)
        runs = [found[:1] if number == first else found[:0] for number, found in enumerate(runs)]
    return runs


def deciding_samples(
    recording: Recording, channel: Channel, lengths: Sequence[int], settings: Preprocessing
) -> npt.NDArray[np.bool_]:
    """Which samples of a channel decide the scale of all others, (n,) over the joined segments: all of them but for ``first_minutes`` and
    ``baseline_condition``.

    Args:
        lengths: samples of each segment, at the target rate.
    """
    seconds = [np.arange(length) / channel.target_rate_hz for length in lengths]
    if settings.normalization == "first_minutes":
        starts = [segment.start_s for segment in recording.segments]
        parts = [start + times < settings.first_s - EARLIER for start, times in zip(starts, seconds, strict=True)]
    elif settings.normalization == "baseline_condition" and settings.baseline:
        parts = [_inside(times, runs) for times, runs in zip(seconds, baseline_runs(recording, settings.baseline), strict=True)]
    else:
        parts = [np.ones(length, dtype=bool) for length in lengths]
    return np.concatenate(parts)


def _inside(times: npt.NDArray[np.float64], runs: Runs) -> npt.NDArray[np.bool_]:
    """Which times lie in one of the runs, (n,); a run's end is not in it."""
    inside = np.zeros(len(times), dtype=bool)
    for begin, end in runs:
        inside |= (times >= begin - EARLIER) & (times < end - EARLIER)
    return inside


def may_begin(
    recording: Recording, grid: list[npt.NDArray[np.float64]], settings: Preprocessing
) -> list[npt.NDArray[np.float64]]:
    """The window starts, per segment in segment seconds, that the normalization leaves: none within the samples that decide for the others."""
    starts = [segment.start_s for segment in recording.segments]
    if settings.normalization == "past":
        return [begins[begins + start >= settings.skip_s] for start, begins in zip(starts, grid, strict=True)]
    if settings.normalization == "first_minutes":
        return [begins[begins + start >= settings.first_s] for start, begins in zip(starts, grid, strict=True)]
    if settings.normalization == "baseline_condition" and settings.baseline:
        runs = baseline_runs(recording, settings.baseline)
        return [begins[~_overlap(begins, settings.window_s, found)] for begins, found in zip(grid, runs, strict=True)]
    return grid


def _overlap(begins: npt.NDArray[np.float64], window_s: float, runs: Runs) -> npt.NDArray[np.bool_]:
    """Which windows share samples with one of the runs, (n,)."""
    overlap = np.zeros(len(begins), dtype=bool)
    for begin, end in runs:
        overlap |= (begins < end - EARLIER) & (begins + window_s > begin + EARLIER)
    return overlap


def limits(
    parts: list[Signal], settings: Preprocessing, deciding: npt.NDArray[np.bool_] | None = None
) -> tuple[Signal, Signal]:
    """Minimum and maximum per sample of the joined segments (n, n_features): of the deciding samples (all if None), or under ``past`` so far."""
    joined = np.concatenate(parts)
    if settings.normalization == "past":
        return np.minimum.accumulate(joined), np.maximum.accumulate(joined)
    looked_at = joined if deciding is None else joined[deciding]
    return np.broadcast_to(looked_at.min(axis=0), joined.shape), np.broadcast_to(looked_at.max(axis=0), joined.shape)


def moments(parts: list[Signal], settings: Preprocessing, deciding: npt.NDArray[np.bool_]) -> tuple[Signal, Signal]:
    """Mean and standard deviation (of the population) per sample of the joined segments, (n, n_features), as ``limits``."""
    joined = np.concatenate(parts)
    if settings.normalization != "past":
        looked_at = joined[deciding]
        return np.broadcast_to(looked_at.mean(axis=0), joined.shape), np.broadcast_to(looked_at.std(axis=0), joined.shape)
    moved = joined - joined[0]  # sums of squares far from 0 would lose the spread in rounding
    count = np.arange(1, len(joined) + 1)[:, None]
    mean = np.cumsum(moved, axis=0) / count
    variance = np.cumsum(moved**2, axis=0) / count - mean**2
    return joined[0] + mean, np.sqrt(np.maximum(variance, 0.0))


def min_max(samples: Signal, low: Signal, high: Signal) -> Signal:
    """(samples - low) / (high - low); 0 as long as nothing has moved."""
    span = high - low
    return np.asarray((samples - low) / np.where(span > 0, span, 1.0))


def scaling(recording: Recording, channel: Channel, parts: list[Signal], settings: Preprocessing) -> Scaling:
    """How a channel is scaled.

    Args:
        parts: of ``raylab.windows.preprocess.clean``: a signal per segment, (n_samples, n_features).

    Raises:
        RecordingError: if there are no samples to decide it, or they do not move.
    """
    shape = (sum(map(len, parts)), parts[0].shape[1])
    if settings.normalization == "none":
        return Scaling(np.broadcast_to(0.0, shape), np.broadcast_to(1.0, shape))
    deciding = deciding_samples(recording, channel, [len(part) for part in parts], settings)
    if problem := _problem(parts, deciding, settings):
        raise RecordingError(
            problem,
            file=channel.file,
            participant=recording.participant,
            channel=channel.name,
            remedy="leave the participant out (--exclude), or drop the channel",
        )
    low, high = limits(parts, settings, deciding)
    span = high - low
    if settings.scale == "minmax":
        return Scaling(low, np.where(span > 0, span, 1.0))
    mean, sd = moments(parts, settings, deciding)
    return Scaling(mean, np.where(sd > SMALLEST_SD * span, sd, 1.0))


def _problem(parts: list[Signal], deciding: npt.NDArray[np.bool_], settings: Preprocessing) -> str:
    """Why a channel cannot be scaled by the samples that decide; empty if it can."""
    where = {
        "recording": f"once the {settings.winsor_share:.0%} lowest and highest samples are cut",
        "first_minutes": f"in the first {settings.first_s:g} s, which scale the rest (--normalization first_minutes)",
        "baseline_condition": f"in the baseline condition ({settings.baseline.description if settings.baseline else 'undeclared'})",
    }.get(settings.normalization, "from beginning to end")
    looked_at = np.concatenate(parts)[deciding]
    if not len(looked_at):
        return f"has no sample {where}"
    flat = looked_at.min(axis=0) == looked_at.max(axis=0)
    return f"is flat at {looked_at.min(axis=0)[flat].min():g} {where}" if flat.any() else ""
