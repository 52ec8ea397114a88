"""Clips with one self-reported arousal and one valence each: the parts that the readers of AMIGOS and ASCERTAIN share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raylab.recordings.matlab import Array
from raylab.recordings.recording import Channel, Label, LabelTrack, Segment

RATINGS = ("arousal", "valence")
LABELS = tuple(Label(name, name, "above_own_mean", ("low", "high")) for name in RATINGS)


@dataclass(frozen=True)
class RatedClip:
    """A clip that one participant watched.

    Attributes:
        name: the clip's id.
        signals: channel name to samples (n, 1).
        arousal: the participant's rating of the whole clip.
        valence: likewise.
    """

    name: str
    signals: Mapping[str, Array]
    arousal: float
    valence: float


def _channel_durations(clip: RatedClip, channels: Sequence[Channel]) -> list[float]:
    """Duration of each channel of the clip, in seconds."""
    return [len(clip.signals[channel.name]) / channel.rate_hz for channel in channels]


def segments(clips: Sequence[RatedClip], channels: Sequence[Channel]) -> tuple[tuple[Segment, ...], list[str]]:
    """One segment per clip, one after the other, with ratings that hold for the whole clip; and a note on clips of uneven channels.

    A clip lasts as long as its shortest channel, because windows need all of them. Differences over 2 s are noted.
    """
    clip_segments, uneven, start = [], [], 0.0
    for clip in clips:
        seconds = _channel_durations(clip, channels)
        times = np.array([0.0, max(seconds)])
        ratings = zip(RATINGS, (clip.arousal, clip.valence), strict=True)
        tracks = {name: LabelTrack(times, np.full(2, value)) for name, value in ratings}
        clip_segments.append(Segment(clip.name, start, clip.signals, tracks))
        start += min(seconds)
        if max(seconds) - min(seconds) > 2.0:
            uneven.append(f"{clip.name} ({min(seconds):.1f} to {max(seconds):.1f} s)")
    note = f"channels of one clip last differently, the shortest counts: {', '.join(uneven)}"
    return tuple(clip_segments), [note] if uneven else []


def mostly_nan(signals: Mapping[str, Array]) -> bool:
    """Whether more than half of any channel is NaN: such a clip is left out. Fewer NaN are refused when windows are made."""
    return any(np.isnan(samples).mean() > 0.5 for samples in signals.values())


def left_out(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    """One sentence per reason, with the names of what was left out."""
    return [f"left out, {reason}: {', '.join(names)}" for reason, names in reasons.items()]
