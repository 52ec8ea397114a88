"""TensorBoard's event files, written a report at a time.

torch's ``SummaryWriter`` holds an open file, a queue and a thread for each folder of curves until it is closed. A driver has one for each running
fold, a hundred with two stacks of 50, and what their threads allocate the process keeps. Here nothing lives between two reports.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

NAME = "events.out.tfevents.raylab"  # TensorBoard looks for "tfevents" in a name
VERSION = "brain.Event:2"  # the first record of every event file


class Points(NamedTuple):
    """Points of several curves at one step: value by the curve's name."""

    values: Mapping[str, float]
    step: int = 0


def append_points(folder: Path, points: Iterable[Points]) -> None:
    """Add points to the event file of a folder, which is made if it is not there.

    Raises:
        OSError: if the file cannot be written.
        TypeError, ValueError: if TensorBoard takes no such name, value or step; then nothing is written.
    """
    now = time.time()
    events = [
        Event(
            wall_time=now,
            step=step,
            summary=Summary(value=[Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]),
        )
        for values, step in points
    ]
    with _opened(folder) as file:
        records = RecordWriter(file)
        if not file.tell():
            events.insert(0, Event(wall_time=now, file_version=VERSION))
        for event in events:
            records.write(event.SerializeToString())


def _opened(folder: Path) -> BinaryIO:
    try:
        return (folder / NAME).open("ab")
    except FileNotFoundError:
        folder.mkdir(parents=True)
        return (folder / NAME).open("ab")
