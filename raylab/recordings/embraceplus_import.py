"""Empatica EmbracePlus recordings (Avro files of its cloud) as device sessions (``raylab.recordings.device_session``).

The cloud writes a file of 15 to 30 minutes at a time, ``PARTICIPANT_UNIXTIME.avro``; those of a participant are joined by time. A file holds, under
``rawData``, a start in microseconds (UTC), a rate that was estimated, and the values of each sensor: ``accelerometer`` (counts, with the physical and
digital range that make them g), ``bvp``, ``eda`` (uS), ``temperature`` (degC, about 1 Hz); ``systolicPeaks`` (times of beats in ns) and ``tags``
(presses, in microseconds). ``gyroscope`` and ``steps`` are not taken. Source: Empatica's support pages on raw data, and the schema in each file.

Channels have the names, columns and rates of the E4's (``raylab.recordings.e4_import``), so that both can be in one study, but for the unit of
acceleration (g) and its 64 Hz: temperature is put on 4 Hz.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.features.optional_packages import load
from raylab.recordings.device_session import (
    By,
    DeviceSession,
    SessionChannel,
    TimedSamples,
    intervals,
    on_grid,
    stretches,
)

FILE = re.compile(r"(?P<participant>.+)_\d{9,11}")
EMPTY: npt.NDArray[np.float64] = np.empty(0)
AGAIN = "download it again"


@dataclass(frozen=True)
class _Sensor:
    """A sensor: its name in the file, the E4's name for it, columns, the device's rate, the even rate, that of windows (Hz), and the unit."""

    source: str
    name: str
    columns: tuple[str, ...]
    device_hz: float
    rate_hz: float
    target_hz: float
    unit: str


SENSORS = (
    _Sensor("accelerometer", "acc", ("x", "y", "z"), 64.0, 64.0, 8.0, "g"),
    _Sensor("bvp", "bvp", ("bvp",), 64.0, 64.0, 64.0, "a.u."),
    _Sensor("eda", "eda", ("eda",), 4.0, 4.0, 4.0, "uS"),
    _Sensor("temperature", "temp", ("temp",), 1.0, 4.0, 4.0, "degC"),
)


def participant_of(file: Path, by: By) -> str:
    """Whom a file is of: its name up to the unix time, or the name of its folder.

    Raises:
        RecordingError: if its name is another.
    """
    if by == "folder":
        return file.absolute().parent.name
    if (match := FILE.fullmatch(file.stem)) is None:
        raise RecordingError(
            "is not called PARTICIPANT_UNIXTIME.avro, as the cloud calls it",
            file=file,
            remedy="give it that name; or put the files of each participant into a folder of its name, and give --by folder",
        )
    return match["participant"]


def read_sessions(files: Sequence[Path], participant: str) -> Iterator[DeviceSession]:
    """The sessions of a participant: stretches without a gap (``stretches``), over file borders.

    Raises:
        RecordingError: if a file is damaged, lacks a sensor or overlaps another; if no stretch is long enough.
    """
    parts = sorted(((file, _raw(file, participant)) for file in files), key=lambda part: _start(part[1]))
    sensors = {sensor.name: _joined(sensor, parts, participant) for sensor in SENSORS}
    peaks = np.concatenate([_times(raw, "systolicPeaks", "peaksTimeNanos", 1e-9, file, participant) for file, raw in parts])
    tags = np.concatenate([_times(raw, "tags", "tagsTimeMicros", 1e-6, file, participant) for file, raw in parts])
    spans = stretches(sensors)
    if not spans:
        raise RecordingError(
            "its sensors have no minute in common", file=files[0], participant=participant, remedy="give its other files too"
        )
    for span in spans:
        channels = {
            sensor.name: SessionChannel(
                sensor.columns,
                sensor.name,
                sensor.rate_hz,
                sensor.target_hz,
                sensor.unit,
                on_grid(sensors[sensor.name], span),
            )
            for sensor in SENSORS
        }
        beats = intervals(peaks[(peaks >= span.start) & (peaks < span.end)] - span.start)
        pressed = tags[(tags >= span.start) & (tags < span.end)] - span.start
        yield DeviceSession(files[0].parent, participant, span.start, span.seconds, channels, beats, pressed, span.cut_s)


def _raw(file: Path, participant: str) -> Mapping[str, Any]:
    """``rawData`` of the one record of a file."""
    fastavro = load("fastavro", "devices")
    try:
        with file.open("rb") as content:
            records = list(fastavro.reader(content))
    except (OSError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise RecordingError(
            f"is no Avro file that can be read ({error or type(error).__name__})",
            file=file,
            participant=participant,
            remedy=AGAIN,
        ) from error
    raw = records[0].get("rawData") if len(records) == 1 and isinstance(records[0], dict) else None
    if not isinstance(raw, dict):
        raise RecordingError(
            f"has {len(records)} records, expected one with rawData", file=file, participant=participant, remedy=AGAIN
        )
    if missing := [sensor.source for sensor in SENSORS if not isinstance(raw.get(sensor.source), dict)]:
        raise RecordingError(f"holds no {', '.join(missing)}", file=file, participant=participant, remedy=AGAIN)
    return raw


def _start(raw: Mapping[str, Any]) -> float:
    return min(float(raw[sensor.source].get("timestampStart") or np.inf) for sensor in SENSORS)


def _joined(sensor: _Sensor, parts: Sequence[tuple[Path, Mapping[str, Any]]], participant: str) -> TimedSamples:
    """A sensor's samples in all files, in order of time."""
    times, values, ended = [EMPTY], [np.empty((0, len(sensor.columns)))], -np.inf
    for file, raw in parts:
        own_times, own = _samples(sensor, raw[sensor.source], file, participant)
        if not len(own):  # not worn, or not delivered
            continue
        # Rates are estimates: the last sample of a file may lie a little after the first one of the next.
        if own_times[0] < ended - 0.5:
            raise RecordingError(
                f"begins {ended - own_times[0]:.1f} s before the file before it ends",
                file=file,
                participant=participant,
                channel=sensor.source,
                remedy="leave one of them out",
            )
        after = own_times > ended
        times.append(own_times[after])
        values.append(own[after])
        ended = own_times[-1]
    return TimedSamples(np.concatenate(times), np.concatenate(values), sensor.rate_hz)


def _samples(
    sensor: _Sensor, stored: Mapping[str, Any], file: Path, participant: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Times (n,) in s and values (n, n_columns) of a sensor in one file."""

    def refuse(problem: str) -> RecordingError:
        return RecordingError(problem, file=file, participant=participant, channel=sensor.source, remedy=AGAIN)

    names = ("x", "y", "z") if sensor.source == "accelerometer" else ("values",)
    try:
        columns = [np.asarray(stored[name], dtype=np.float64) for name in names]
        rate, start = float(stored["samplingFrequency"]), float(stored["timestampStart"]) * 1e-6
        if sensor.source == "accelerometer":
            ranges = {key: float(value) for key, value in stored["imuParams"].items()}
            digital = ranges["digitalMax"] - ranges["digitalMin"]
            factor = (ranges["physicalMax"] - ranges["physicalMin"]) / digital if digital else np.nan
            columns = [column * factor for column in columns]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refuse(f"is not as the cloud writes it ({type(error).__name__}: {error})") from error
    if len({len(column) for column in columns}) > 1:
        raise refuse(f"has axes of {', '.join(str(len(column)) for column in columns)} samples")
    if not len(columns[0]):
        return EMPTY, np.empty((0, len(names)))
    if not abs(rate / sensor.device_hz - 1) < 0.05:
        raise refuse(f"has a rate of {rate:g} Hz, expected about {sensor.device_hz:g}")
    if not np.isfinite(columns).all():
        raise refuse("has values that are no finite numbers")
    return start + np.arange(len(columns[0])) / rate, np.stack(columns, axis=1)


def _times(raw: Mapping[str, Any], part: str, key: str, unit_s: float, file: Path, participant: str) -> npt.NDArray[np.float64]:
    """Moments that a file lists, in s; none if it has no such part."""
    try:
        return np.sort(np.asarray((raw.get(part) or {}).get(key) or [], dtype=np.float64)) * unit_s
    except (TypeError, ValueError, AttributeError) as error:
        raise RecordingError(f"its {part} are no times ({error})", file=file, participant=participant, remedy=AGAIN) from error
