"""Replay of one participant of a dataset on disk."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from raylab.errors import RaylabError
from raylab.live.core.messages import Chunk, Item, LabelMark, SegmentStart, Source
from raylab.live.core.model_card import ModelCard
from raylab.live.sources.source import SourceOptions, paced
from raylab.names import nfc
from raylab.recordings import DATASETS
from raylab.recordings.recording import Label, Recording, Segment

CHUNK_S = 0.25


def folder(card: ModelCard, options: SourceOptions) -> Source:
    """``folder:DIR`` with ``--participant``.

    Raises:
        RaylabError: if the folder has no such participant, or the recording lacks a channel of the model.
    """
    dataset = DATASETS[card.reader].at(Path(options.place))
    root = Path(options.place)
    participants = [nfc(name) for name in dataset.participants(root, card.options)]
    options = replace(options, participant=nfc(options.participant or ""))
    if not options.participant or options.participant not in participants:
        raise RaylabError(
            f"{root} has no participant {options.participant or '(none given)'}; give one with --participant: {', '.join(participants)}"
        )
    recording = dataset.read(root, options.participant, card.options)
    channels = {channel.name: channel for channel in recording.channels}
    for channel in card.channels:
        if channel.name not in channels or channels[channel.name].rate_hz != channel.recorded_hz:
            raise RaylabError(f"{options.participant} has no channel {channel.name} of {channel.recorded_hz:g} Hz")
    label = dataset.label(card.label)
    pieces = _pieces(recording, tuple(channels), label if options.replay_labels else None)
    seconds = sum(_seconds(recording, segment) for segment in recording.segments)
    description = f"{dataset.name} {options.participant}, {seconds / 60:.1f} min"
    return Source(description, lambda stop: paced(pieces, options.speed, stop), recorded=True)


def _seconds(recording: Recording, segment: Segment) -> float:
    """Duration that all channels have."""
    return min(len(segment.signals[channel.name]) / channel.rate_hz for channel in recording.channels)


def _pieces(recording: Recording, names: tuple[str, ...], label: Label | None) -> Iterator[tuple[float, Item]]:
    """Chunks of a quarter of a second of each channel in turn, each with the time when it is complete; marks and segments among them."""
    for number, segment in enumerate(recording.segments):
        if number:
            yield segment.start_s, SegmentStart(segment.start_s)
        seconds = _seconds(recording, segment)
        marks = _marks(segment, label) if label else []
        for piece in range(int(np.ceil(seconds / CHUNK_S))):
            begin, end = piece * CHUNK_S, min((piece + 1) * CHUNK_S, seconds)
            while marks and (marks[0].time_s or 0.0) < segment.start_s + end:
                yield segment.start_s + end, marks.pop(0)
            for channel in recording.channels:
                if channel.name in names:
                    first, last = round(begin * channel.rate_hz), round(end * channel.rate_hz)
                    samples = segment.signals[channel.name][first:last]
                    if len(samples):
                        time_s = segment.start_s + first / channel.rate_hz
                        yield segment.start_s + end, Chunk(channel.name, time_s, samples)


def _marks(segment: Segment, label: Label) -> list[LabelMark]:
    """A mark at each change of the label's class; codes without a class end a mark."""
    track, marks, previous = segment.tracks[label.track], [], ""
    for time_s, value in zip(track.times_s, track.values, strict=True):
        number = label.codes.get(int(value)) if float(value).is_integer() else None
        name = "" if number is None else label.classes[number]
        if name != previous:
            marks.append(LabelMark(name, segment.start_s + float(time_s)))
            previous = name
    return marks
