"""One participant's recording to windows and their classes (PROTOCOL, Windows step 5 and Labels)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.recording import Label, LabelTrack, Recording, Segment
from raylab.windows.normalization import may_begin, scaling
from raylab.windows.preprocess import Preprocessing, check, clean

OnChannel = Callable[[str], None]
NO_LABEL = -1
EQUAL = 1e-9  # means that differ by no more than this share are equal: sums of floating-point numbers are off by less


@dataclass(frozen=True)
class ParticipantWindows:
    """The windows of one participant that carry at least one label, in time order.

    Attributes:
        start_s: (n,) seconds from the recording's start.
        segment: (n,) index of the recording's segment.
        sessions: (n,) the segment's session name.
        labels: label name to class index (n,), ``NO_LABEL`` if the window has none.
        signals: channel name to (n, length, n_features), float32.
        duration_s: of the whole recording.
        lengths: of each channel of variable length, (n,) valid steps of each window; the samples beyond are 0.
    """

    start_s: npt.NDArray[np.float64]
    segment: npt.NDArray[np.int32]
    sessions: list[str]
    labels: dict[str, npt.NDArray[np.int8]]
    signals: dict[str, npt.NDArray[np.float32]]
    duration_s: float
    lengths: dict[str, npt.NDArray[np.int32]] = field(default_factory=dict)


def starts(duration_s: float, settings: Preprocessing) -> npt.NDArray[np.float64]:
    """Window starts in a segment: 0, step, 2 step, ...; the last one is strictly before duration - window."""
    count = max(0, int(np.ceil((duration_s - settings.window_s) / settings.step_s - 1e-9)))
    return np.arange(count, dtype=np.float64) * settings.step_s


def decide(track: LabelTrack, begin: float, end: float, label: Label, own_mean: float) -> int:
    """Class index of the window [begin, end) in segment seconds, or ``NO_LABEL``.

    A window that the track does not cover to both ends carries no label, nor does one that decides for a number that is no code (1.9 is
    neither 1 nor 2). ``mode`` takes the smallest of tied codes, as scipy and the study's code do; ``majority`` drops ties.
    """
    times = track.times_s
    if not len(times) or times[0] > begin + 1e-9 or times[-1] + track.step_s < end - 1e-6:
        return NO_LABEL
    first = max(0, int(np.searchsorted(times, begin + 1e-9, side="right")) - 1)
    last = int(np.searchsorted(times, end - 1e-9))
    values = track.values[first:last]
    if not len(values) or not np.isfinite(values).all():
        return NO_LABEL
    if label.decide != "above_own_mean" and (values == values[0]).all():  # most windows, of thousands of samples
        return class_of_code(float(values[0]), label)
    # A value holds until the next one; rounded, so that equal shares stay equal.
    seconds = np.round(np.diff(np.append(np.maximum(times[first:last], begin), end)), 6)
    if label.decide == "above_own_mean":
        return int((values * seconds).sum() / seconds.sum() > own_mean + EQUAL * max(1.0, abs(own_mean)))
    codes, code_of = np.unique(values, return_inverse=True)
    share = np.round(np.bincount(code_of, weights=seconds), 4)
    if label.decide == "majority" and (share == share.max()).sum() > 1:
        return NO_LABEL
    return class_of_code(float(codes[share.argmax()]), label)


def class_of_code(code: float, label: Label) -> int:
    """Class index of a code as the track holds it; ``NO_LABEL`` if it is no code of the label, as every number between two codes."""
    return label.codes.get(int(code), NO_LABEL) if math.isfinite(code) and code == int(code) else NO_LABEL


def _mean_over_time(tracks: list[LabelTrack]) -> float:
    """Mean over the time that the label was given, as in a window: each value counts for as long as it holds; NaN if there is none."""
    values = np.concatenate([track.values for track in tracks])
    seconds = np.concatenate([np.append(np.diff(track.times_s), track.step_s) for track in tracks])
    valid = np.isfinite(values) & (seconds > 0)
    return float(np.average(values[valid], weights=seconds[valid])) if valid.any() else float("nan")


def own_mean_of(segments: Sequence[Segment], label: Label) -> float:
    """A participant's own mean of a label, as its ``own_mean`` says; NaN if no value was given.

    ``clip``: segments of one session, as the stretches between gaps, are one clip. A clip without a value does not count.
    """
    if label.own_mean == "time":
        return _mean_over_time([segment.tracks[label.track] for segment in segments])
    clips: dict[str, list[LabelTrack]] = {}
    for segment in segments:
        clips.setdefault(segment.session, []).append(segment.tracks[label.track])
    means = [mean for tracks in clips.values() if math.isfinite(mean := _mean_over_time(tracks))]
    return float(np.mean(means)) if means else float("nan")


def grid_of(recording: Recording, settings: Preprocessing) -> list[npt.NDArray[np.float64]]:
    """Window starts per segment, in segment seconds: of windows in which every channel has samples, and that the normalization leaves."""
    grid = []
    for segment in recording.segments:
        shortest = min(len(segment.signals[channel.name]) / channel.rate_hz for channel in recording.channels)
        grid.append(starts(shortest, settings))
    return may_begin(recording, grid, settings)


def classes_of(
    recording: Recording, grid: list[npt.NDArray[np.float64]], label: Label, window_s: float
) -> npt.NDArray[np.int8]:
    """(n,) class index of every window of the grid, ``NO_LABEL`` if it has none."""
    tracks = [segment.tracks[label.track] for segment in recording.segments]
    own_mean = own_mean_of(recording.segments, label) if label.decide == "above_own_mean" else 0.0
    decided = [
        decide(track, begin, begin + window_s, label, own_mean)
        for track, begins in zip(tracks, grid, strict=True)
        for begin in begins
    ]
    return np.array(decided, dtype=np.int8)


def _signals(
    recording: Recording,
    grid: list[npt.NDArray[np.float64]],
    keep: npt.NDArray[np.bool_],
    settings: Preprocessing,
    done: OnChannel,
) -> dict[str, npt.NDArray[np.float32]]:
    signals = {}
    for channel in recording.channels:
        parts = clean(recording, channel, settings)
        scale = scaling(recording, channel, parts, settings)
        joined, offsets = np.concatenate(parts), np.cumsum([0, *[len(part) for part in parts]])
        length = round(settings.window_s * channel.target_rate_hz)
        first = np.concatenate(
            [
                offset + np.round(begins * channel.target_rate_hz).astype(int)
                for offset, begins in zip(offsets, grid, strict=False)
            ]
        )[keep]
        rows = first[:, None] + np.arange(length)
        last = first + length - 1
        scaled = (joined[rows] - scale.offset[last][:, None]) / scale.divisor[last][:, None]
        signals[channel.name] = scaled.astype(np.float32)
        done(channel.name)
    return signals


def cut(
    recording: Recording, labels: list[Label], settings: Preprocessing, done: OnChannel = lambda name: None
) -> ParticipantWindows:
    """All windows of one participant that carry one of the labels.

    Args:
        done: called with each channel's name when its samples are not needed any longer.

    Raises:
        RecordingError: on NaN, a constant channel, or a recording without one labelled window.
    """
    check(recording)
    grid = grid_of(recording, settings)
    classes = {label.name: classes_of(recording, grid, label, settings.window_s) for label in labels}
    keep: npt.NDArray[np.bool_] = np.any([values != NO_LABEL for values in classes.values()], axis=0)
    duration = sum(
        min(len(segment.signals[channel.name]) / channel.rate_hz for channel in recording.channels)
        for segment in recording.segments
    )
    if not keep.any():
        raise RecordingError(
            f"{duration:.1f} s give {len(keep)} windows of {settings.window_s:g} s, none with a label ({', '.join(classes)})",
            file=recording.place,
            participant=recording.participant,
            remedy="check the label track, choose another label, or leave the participant out with --exclude",
        )
    segment_of = np.concatenate([np.full(len(begins), i, dtype=np.int32) for i, begins in enumerate(grid)])[keep]
    start_s = np.concatenate([segment.start_s + begins for segment, begins in zip(recording.segments, grid, strict=True)])[keep]
    return ParticipantWindows(
        start_s=start_s,
        segment=segment_of,
        sessions=[recording.segments[i].session for i in segment_of],
        labels={name: values[keep] for name, values in classes.items()},
        signals=_signals(recording, grid, keep, settings, done),
        duration_s=duration,
    )


def statistics(signals: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, length, n_features) to (n, 3 n_features): mean, standard deviation and mean absolute step of each window.

    A coarse description of a participant's signals, for similarity by data.
    """
    x = signals.astype(np.float64)
    steps = np.abs(np.diff(x, axis=1)).mean(axis=1) if x.shape[1] > 1 else np.zeros(x.shape[::2])
    return np.asarray(np.concatenate([x.mean(axis=1), x.std(axis=1), steps], axis=1), dtype=np.float32)


def valid_statistics(signals: npt.NDArray[np.float32], lengths: npt.NDArray[np.int32] | None) -> npt.NDArray[np.float32]:
    """``statistics`` of each window's valid steps; 0 if there are none. None: every window is full."""
    if lengths is None:
        return statistics(signals)
    described = np.zeros((len(signals), 3 * signals.shape[2]), dtype=np.float32)
    for row, length in enumerate(lengths):
        if length:
            described[row] = statistics(signals[row : row + 1, :length])[0]
    return described
