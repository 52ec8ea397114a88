"""Sessions that a device exported, of any device, to a folder that ``csv_folder`` reads (docs/add-a-dataset.md).

Sensors start and end some seconds apart; all are cut to the span that every one of them has, and its first second is second 0. What a device says of
time is of three kinds: a start and an exact rate (E4), a start and a rate that was estimated (EmbracePlus), or a time for each sample (Lab Streaming
Layer). The last two are put on an even grid by linear interpolation, and a session ends where samples are missing (``stretches``, ``on_grid``).

Beats are no even samples, and csv_folder's channels are: ``ibi.csv`` and ``tags.csv`` are written beside the channels, on the same seconds, for the
user.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import yaml

from raylab.errors import RecordingError
from raylab.recordings.e4 import UNIX_S

GAP_S = 1.0  # samples that are further apart end a session; what is missing within it is interpolated
SHORTEST_S = 60.0  # a stretch between two gaps that is shorter is left out
IBI_S = (0.25, 3.0)  # a longer interval is a beat that the device did not find
By = Literal["file", "folder"]


@dataclass(frozen=True)
class SessionChannel:
    """One sensor's even samples in a session.

    Attributes:
        samples: (n, n_columns), ``columns`` their names; n is ``rate_hz`` times the session's seconds.
        target_rate_hz: of the windows that are cut of it.
    """

    columns: tuple[str, ...]
    modality: str
    rate_hz: float
    target_rate_hz: float
    unit: str
    samples: npt.NDArray[np.float64]


@dataclass(frozen=True)
class DeviceSession:
    """One session.

    Attributes:
        start: of its second 0, unix time in s; ``seconds``: that all sensors have.
        channels: name (and file) of each sensor.
        beats: (n, 2) seconds and interval in s of each beat; ``tags``: (n,) seconds of presses of the button.
        cut_s: the most that any sensor lost, in s, at the start and at the end.
    """

    file: Path
    participant: str
    start: float
    seconds: float
    channels: Mapping[str, SessionChannel]
    beats: npt.NDArray[np.float64]
    tags: npt.NDArray[np.float64]
    cut_s: tuple[float, float]


@dataclass(frozen=True)
class LabelTimes:
    """Rows of a file of labels: participant to (unix time in s, value of each label, empty for none), in order of time."""

    names: tuple[str, ...] = ()
    rows: Mapping[str, Sequence[tuple[float, tuple[str, ...]]]] = field(default_factory=dict)


@dataclass(frozen=True)
class TimedSamples:
    """A sensor's samples with a time for each.

    Attributes:
        times: (n,) s, rising; ``values``: (n, n_columns).
        rate_hz: of the even grid that they are put on.
    """

    times: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    rate_hz: float

    @property
    def step_s(self) -> float:
        """Seconds from one sample to the next, between gaps; the sensor's own rate need not be that of the grid."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1 / self.rate_hz


@dataclass(frozen=True)
class Stretch:
    """A span in which every sensor has samples: start in s, whole seconds, and what the sensors have before and after it, up to other stretches."""

    start: float
    seconds: float
    cut_s: tuple[float, float]

    @property
    def end(self) -> float:
        return self.start + self.seconds


def stretches(sensors: Mapping[str, TimedSamples]) -> list[Stretch]:
    """The spans of at least ``SHORTEST_S`` in which every sensor has samples no further apart than ``GAP_S`` (or three of its steps), in order."""
    common = [(-np.inf, np.inf)]
    for sensor in sensors.values():
        if not len(sensor.times):
            return []
        breaks = np.flatnonzero(np.diff(sensor.times) > max(GAP_S, 3 * sensor.step_s))
        first = sensor.times[np.r_[0, breaks + 1]]
        last = sensor.times[np.r_[breaks, len(sensor.times) - 1]] + sensor.step_s
        common = [
            (max(a, start), min(b, end))
            for a, b in common
            for start, end in zip(first.tolist(), last.tolist(), strict=True)
            if min(b, end) > max(a, start)
        ]
    # A clock in floats: 119.9999999 s are 120.
    whole = [(start, float(np.floor(end - start + 1e-6))) for start, end in common]
    long = [(start, start + seconds, seconds) for start, seconds in whole if seconds >= SHORTEST_S]
    before = [min(float(of.times[0]) for of in sensors.values()), *(end for _, end, _ in long)]
    after = [*(start for start, _, _ in long[1:]), max(float(of.times[-1]) + of.step_s for of in sensors.values())]
    return [
        Stretch(start, seconds, (start - left, right - end))
        for (start, end, seconds), left, right in zip(long, before, after, strict=False)
    ]


def on_grid(sensor: TimedSamples, stretch: Stretch) -> npt.NDArray[np.float64]:
    """The sensor's values at the stretch's start, 1 / rate later and so on, linear between its samples; (n, n_columns)."""
    grid = stretch.start + np.arange(round(stretch.seconds * sensor.rate_hz)) / sensor.rate_hz
    return np.stack([np.interp(grid, sensor.times, column) for column in sensor.values.T], axis=1)


def intervals(beats: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 2) time and interval in s of beats from their times (n + 1,); intervals outside ``IBI_S`` are left out."""
    between = np.diff(beats)
    kept = (between >= IBI_S[0]) & (between <= IBI_S[1])
    return np.stack([beats[1:][kept], between[kept]], axis=1)


def cells(path: Path) -> list[list[str]]:
    """The rows of a csv that are not empty; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [row for row in csv.reader(lines) if row]


def single_participants(sessions: Sequence[DeviceSession]) -> None:
    """Refuse two files of one name, where the file names the participant.

    Raises:
        RecordingError: naming both.
    """
    files: dict[str, Path] = {}
    for session in sessions:
        other = files.setdefault(session.participant, session.file)
        if other != session.file:
            raise RecordingError(
                f"and {other} are of one name",
                file=session.file,
                participant=session.participant,
                remedy="put the files of each participant into a folder of its name, and give --by folder",
            )


def read_labels(file: Path, timezone: str | None) -> LabelTimes:
    """A csv with the columns participant, time and one for each label; a value holds until the participant's next row, an empty one is no label.

    Args:
        timezone: of times without an offset, a name such as Europe/Berlin; ``time`` may be unix seconds instead, or ISO 8601 with an offset.

    Raises:
        RecordingError: naming row and value; a local time that there was twice, or not at all, when clocks were put back or forward is refused.
    """
    rows = cells(file)
    head = [cell.strip() for cell in rows[0]] if rows else []
    if head[:2] != ["participant", "time"] or len(head) < 3:
        raise RecordingError(
            f"has the columns {', '.join(head) or 'none'}",
            file=file,
            remedy="expected participant, time and a column for each label",
        )
    read: dict[str, list[tuple[float, tuple[str, ...]]]] = {}
    for place, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise RecordingError(
                f"has {len(row)} cells in row {place}", file=file, remedy=f"expected {len(head)}: {', '.join(head)}"
            )
        time = _unix_time(row[1].strip(), timezone, file, place)
        read.setdefault(row[0].strip(), []).append((time, tuple(cell.strip() for cell in row[2:])))
    for name, times in read.items():
        if len({time for time, _ in times}) < len(times):
            raise RecordingError("has a time twice", file=file, participant=name, remedy="keep one row for each time")
    return LabelTimes(tuple(head[2:]), {name: sorted(times) for name, times in read.items()})


def _unix_time(text: str, timezone: str | None, file: Path, row: int) -> float:
    def refuse(problem: str, remedy: str) -> RecordingError:
        return RecordingError(f"has the time {text!r} in row {row}: {problem}", file=file, remedy=remedy)

    if re.fullmatch(r"\d+(\.\d+)?", text):
        if not UNIX_S[0] < float(text) < UNIX_S[1]:
            raise refuse("no unix time in s", "give seconds since 1970, or a date with a time")
        return float(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise refuse("no time that is known", "write 2024-05-13T14:05:00+02:00, or seconds since 1970") from None
    if time.tzinfo is not None:
        return time.timestamp()
    if timezone is None:
        raise refuse("without an offset from UTC", "give --timezone, for example Europe/Berlin (the devices write UTC)")
    local = time.replace(tzinfo=ZoneInfo(timezone))
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise refuse(
            f"not one moment in {timezone}, where the clocks were changed", "write it with its offset, as 02:30:00+01:00"
        )
    return local.timestamp()


def write_folder(sessions: Sequence[DeviceSession], labels: LabelTimes, out: Path, name: str) -> Iterator[str]:
    """Write the folder and tell, a line each, what was cut and which labels each session has.

    Raises:
        RecordingError: if the folder is not empty, sessions have other channels or overlap in a participant, or a participant of the labels has no
            session.
    """
    if out.exists() and any(out.iterdir()):
        raise RecordingError("is there already and not empty", file=out, remedy="give another folder with --out")
    people: dict[str, list[DeviceSession]] = {}
    for session in sorted(sessions, key=lambda each: each.start):
        people.setdefault(session.participant, []).append(session)
    if not sessions:
        raise RecordingError("no session to write", file=out, remedy="give the files of at least one")
    if unknown := sorted(set(labels.rows) - set(people)):
        raise RecordingError(
            "has labels, and no session that was given",
            participant=", ".join(unknown),
            remedy=f"the sessions are of {', '.join(sorted(people))}",
        )
    for participant, own in people.items():
        for before, after in pairwise(own):
            if after.start < before.start + before.seconds:
                raise RecordingError(
                    f"overlaps in time with {before.file}",
                    file=after.file,
                    participant=participant,
                    remedy="leave one of them out",
                )
    channels = sessions[0].channels
    for session in sessions:
        if _kinds(session.channels) != _kinds(channels):
            raise RecordingError(
                f"has the channels {_kinds(session.channels)}, {sessions[0].file} has {_kinds(channels)}",
                file=session.file,
                participant=session.participant,
                remedy="import files of the same sensors and rates together",
            )
    out.mkdir(parents=True, exist_ok=True)
    (out / "dataset.yaml").write_text(_description(name, labels, channels), encoding="utf-8")
    for participant, own in people.items():
        for place, session in enumerate(own, 1):
            folder = out / participant / (f"{place}_session" if len(own) > 1 else "")
            yield _write_session(session, labels, folder)


def _kinds(channels: Mapping[str, SessionChannel]) -> str:
    return ", ".join(f"{name} ({'/'.join(of.columns)}; {of.rate_hz:g} Hz)" for name, of in channels.items())


def _description(name: str, labels: LabelTimes, channels: Mapping[str, SessionChannel]) -> str:
    described = {
        channel: {
            "modality": of.modality,
            "rate_hz": of.rate_hz,
            "target_rate_hz": of.target_rate_hz,
            "unit": of.unit,
        }
        for channel, of in channels.items()
    }
    declared: dict[str, dict[str, Any]] = {}
    for place, label in enumerate(labels.names):
        values = sorted({row[place] for rows in labels.rows.values() for _, row in rows} - {""})
        declared[label] = {
            "decide": "majority",
            "classes": [f"{label} {value}" if value.isdigit() else value for value in values],
        }
        declared[label]["codes"] = {int(value) if value.isdigit() else value: index for index, value in enumerate(values)}
    text = yaml.safe_dump({"name": name, "channels": described} | ({"labels": declared} if declared else {}), sort_keys=False)
    return text if declared else f"{text}# labels: none were given; see `raylab docs add-a-dataset`\n"


def _write_session(session: DeviceSession, labels: LabelTimes, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name: (channel.columns, channel.samples) for name, channel in session.channels.items()}
    tables |= {"ibi": (("time_s", "ibi_s"), session.beats), "tags": (("time_s",), session.tags[:, None])}
    for name, (head, values) in tables.items():
        _write(folder / f"{name}.csv", head, values.tolist())
    rows = _label_rows(session, labels)
    if rows:
        _write(folder / "labels.csv", ("time_s", *labels.names), rows)
    start, end = session.cut_s
    told = f"{len(rows)} label rows" if rows else "no labels"
    return (
        f"{session.file} -> {folder}: {session.seconds:.0f} s from {session.start:.0f} (unix); sensors were cut by up to {start:.1f} s at the start "
        f"and {end:.1f} s at the end; {len(session.beats)} beats, {len(session.tags)} tags, {told}"
    )


def _label_rows(session: DeviceSession, labels: LabelTimes) -> list[list[float | str]]:
    """Rows of labels.csv: the value that holds at second 0, then each change within the session."""
    own = labels.rows.get(session.participant, ())
    before = [values for time, values in own if time <= session.start]
    rows: list[list[float | str]] = [[0.0, *(before[-1] if before else ("",) * len(labels.names))]] if own else []
    rows += [[time - session.start, *values] for time, values in own if session.start < time < session.start + session.seconds]
    return rows if any(any(row[1:]) for row in rows) else []


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[float | str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(
            [
                [
                    f"{value:g}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else value
                    for value in row
                ]
                for row in rows
            ]
        )
