"""Rules that every recording keeps, whichever reader it comes from: one place, so that what is refused in one dataset is refused in all.

Refused are sessions whose channels differ in length, labels beyond the recording, parts that are missing or do not fit each other, and numbers
that are none. ``raylab.windows.preprocess.check`` looks at the samples themselves, ``raylab.windows.copied_sessions`` for copies.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raylab.errors import RecordingError
from raylab.recordings.recording import UNEVEN_S, Channel, Label, Recording, Segment, column_problems
from raylab.windows.number_types import LARGEST
from raylab.windows.preprocess import Preprocessing
from raylab.windows.utterances import Utterances

SHOWN = 5  # problems of one participant that are told in full
LEAVE_OUT = "or leave the participant out with --exclude"


@dataclass(frozen=True)
class _Problem:
    """One problem of a participant: a sentence, the session's file if known, and the remedy."""

    text: str
    remedy: str
    channel: str = ""
    file: str = ""


def checked(recording: Recording, labels: Sequence[Label], settings: Preprocessing | Utterances) -> Recording:
    """The same recording, with notes on channels that end apart, and on an own mean by clip that has one clip.

    Raises:
        RecordingError: with the participant's problems, the first ``SHOWN`` of each kind.
    """
    for rules in (_missing_parts, _unfit_numbers, _unfit_times):
        if problems := list(rules(recording, labels, settings)):
            raise _error(recording, problems)
    return replace(recording, notes=(*recording.notes, *_uneven_notes(recording), *_clip_notes(recording, labels)))


def _error(recording: Recording, problems: list[_Problem]) -> RecordingError:
    """One error for all problems of a kind; its place is that of the first, or of the recording."""
    first, more = problems[0], len(problems) - SHOWN
    texts = [first.text, *(f"channel {p.channel}: {p.text}" if p.channel else p.text for p in problems[1:SHOWN])]
    text = "; ".join(texts) + (f"; and {more} more" if more > 0 else "")
    return RecordingError(
        text,
        file=first.file or recording.place,
        participant=recording.participant,
        channel=first.channel or None,
        remedy=first.remedy,
    )


def _missing_parts(recording: Recording, labels: Sequence[Label], settings: Preprocessing | Utterances) -> Iterator[_Problem]:
    """Names that clash, no session, a session without a channel or a label's track, and channels of another width than elsewhere."""
    names = [channel.name for channel in recording.channels]
    for text in column_problems(names, [label.name for label in labels]):
        yield _Problem(text, "rename it")
    if not recording.segments or not names:
        yield _Problem(f"has no {'session' if names else 'channel'}", f"check the participant's folder, {LEAVE_OUT}")
        return
    tracks = dict.fromkeys(label.track for label in labels)
    for segment in recording.segments:
        place = f"session {segment.session}"
        for channel in recording.channels:
            samples, first = segment.signals.get(channel.name), recording.segments[0].signals.get(channel.name)
            if samples is None or samples.ndim != 2:
                text = f"{place} does not have it" if samples is None else f"{place} has samples of shape {samples.shape}"
                yield _Problem(text, f"add it, {LEAVE_OUT}", channel.name, _file(segment, channel))
            elif first is not None and first.ndim == 2 and samples.shape[1] != first.shape[1]:
                text = f"{place} has {samples.shape[1]} column(s), session {recording.segments[0].session} has {first.shape[1]}"
                yield _Problem(text, f"give all sessions the same columns, {LEAVE_OUT}", channel.name, _file(segment, channel))
        for name in tracks:
            if name not in segment.tracks:
                yield _Problem(f"{place} has no labels {name}", f"add them, {LEAVE_OUT}", "", segment.source)


def _unfit_numbers(recording: Recording, labels: Sequence[Label], settings: Preprocessing | Utterances) -> Iterator[_Problem]:
    """Traits and labels that are no finite numbers, and channels of which a window would hold no sample."""
    for name, value in recording.traits.items():
        if not isinstance(value, str) and not math.isfinite(value):
            yield _Problem(f"trait {name} is {value:g}, expected a finite number or nothing", f"correct it, {LEAVE_OUT}")
    if settings.kind == "signals":
        for channel in recording.channels:
            if round(settings.window_s * channel.target_rate_hz) < 1:
                text = f"a window of {settings.window_s:g} s holds no sample at {channel.target_rate_hz:g} Hz"
                yield _Problem(text, "correct its rate, or drop the channel", channel.name, channel.file)
    for segment in recording.segments:
        for name in dict.fromkeys(label.track for label in labels):
            values, times = segment.tracks[name].values, segment.tracks[name].times_s
            if len(values) != len(times):
                yield _label_problem(segment, name, f"has {len(values)} values at {len(times)} times")
            elif (bad := np.abs(values) > LARGEST).any():  # NaN is a missing label, infinity is a damaged one
                row = int(bad.argmax())
                yield _label_problem(segment, name, f"has the value {values[row]:g} at {times[row]:g} s")
            elif not np.isfinite(times).all():
                yield _label_problem(segment, name, f"has the time {times[int(np.isfinite(times).argmin())]:g}")
            elif (steps := np.diff(times) <= 0).any():
                row = int(steps.argmax())
                yield _label_problem(segment, name, f"does not rise in time: {times[row + 1]:g} s after {times[row]:g} s")


def _label_problem(segment: Segment, label: str, text: str) -> _Problem:
    return _Problem(f"session {segment.session}, label {label} {text}", f"correct the labels, {LEAVE_OUT}", "", segment.source)


def _unfit_times(recording: Recording, labels: Sequence[Label], settings: Preprocessing | Utterances) -> Iterator[_Problem]:
    """Channels of a session that differ in length by more than the recording allows, and labels that begin after its end."""
    if settings.kind == "utterances":
        return  # each modality of an utterance has a length of its own, and its label has no time
    for segment in recording.segments:
        shortest, longest = _ends(recording, segment)
        slack = max(recording.uneven_s, _step_s(shortest, longest))
        long_s, short_s = _lasts_s(segment, longest), _lasts_s(segment, shortest)
        if long_s - short_s > slack + 1e-6:
            text = (
                f"session {segment.session} lasts {short_s:.2f} s at {shortest.rate_hz:g} Hz ({len(segment.signals[shortest.name])} samples), "
                f"channel {longest.name} lasts {long_s:.2f} s at {longest.rate_hz:g} Hz; channels of a session may differ by {slack:g} s"
            )
            remedy = f"correct the rates ({shortest.name} would fit at {shortest.rate_hz * short_s / long_s:g} Hz), or complete the file, {LEAVE_OUT}"
            yield _Problem(text, remedy, shortest.name, _file(segment, shortest))
        for name in dict.fromkeys(label.track for label in labels):
            times = segment.tracks[name].times_s
            if len(times) and times[-1] > long_s + max(UNEVEN_S, 1 / longest.rate_hz):
                row = int(np.searchsorted(times, long_s, side="right"))
                text = (
                    f"has {len(times) - row} of {len(times)} values after the end of the recording, which lasts {long_s:.2f} s: "
                    f"the last at {times[-1]:g} s"
                )
                remedy = f"check the times (seconds from the session's start) and the channels' rates, {LEAVE_OUT}"
                yield replace(_label_problem(segment, name, text), remedy=remedy)


def _lasts_s(segment: Segment, channel: Channel) -> float:
    return len(segment.signals[channel.name]) / channel.rate_hz


def _ends(recording: Recording, segment: Segment) -> tuple[Channel, Channel]:
    """The channels that end first and last."""
    ordered = sorted(recording.channels, key=lambda channel: _lasts_s(segment, channel))
    return ordered[0], ordered[-1]


def _step_s(*channels: Channel) -> float:
    """Seconds between two samples of the slowest of the channels: by less their lengths cannot be told apart."""
    return max(1 / channel.rate_hz for channel in channels)


def _file(segment: Segment, channel: Channel) -> str:
    """The file to look at."""
    return (
        f"{segment.source}/{channel.name}.csv"
        if segment.source and channel.file.endswith(f"/{channel.name}.csv")
        else channel.file
    )


def _uneven_notes(recording: Recording) -> list[str]:
    """Sessions whose channels end apart by more than ``UNEVEN_S``, as far as the recording allows and the reader does not note it itself."""
    if recording.uneven_s <= UNEVEN_S or math.isinf(recording.uneven_s):
        return []
    uneven = []
    for segment in recording.segments:
        shortest, longest = _ends(recording, segment)
        if _lasts_s(segment, longest) - _lasts_s(segment, shortest) > max(UNEVEN_S, _step_s(shortest, longest)) + 1e-6:
            ends = " to ".join(f"{_lasts_s(segment, channel):.1f} s ({channel.name})" for channel in (shortest, longest))
            uneven.append(f"{segment.session}: {ends}")
    return [f"channels of one session end apart, the shortest counts: {'; '.join(uneven)}"] if uneven else []


def _clip_notes(recording: Recording, labels: Sequence[Label]) -> list[str]:
    """An own mean by clip, if there is one clip: it is the mean over time."""
    by_clip = [label.name for label in labels if label.own_mean == "clip"]
    if not by_clip or len({segment.session for segment in recording.segments}) > 1:
        return []
    return [f"own mean by clip of {', '.join(by_clip)}: there is one session, so it is the mean over time"]
