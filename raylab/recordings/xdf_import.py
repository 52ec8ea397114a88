"""Lab Streaming Layer recordings (XDF files of LabRecorder) as device sessions (``raylab.recordings.device_session``).

``pyxdf`` reads the file, maps the clocks of its streams onto the recorder's and evens out times of samples that are regular; here each chosen
stream is a channel on an even grid. The layer's clock counts from the start of a computer; the date in the file's header, when the recorder began,
gives it a place in the day, to about a second. A stream of markers can be the labels: it is on the clock of the signals, so its changes are placed
as exactly as samples are. Source: the XDF specification (sccn/xdf), and pyxdf.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from raylab.errors import RecordingError
from raylab.features.optional_packages import load
from raylab.recordings.device_session import (
    By,
    DeviceSession,
    SessionChannel,
    TimedSamples,
    cells,
    on_grid,
    stretches,
)

AGAIN = "record it again, or open it with another reader to see what it holds"
Refuse = Callable[..., RecordingError]  # problem, remedy and channel to the error that names file and participant
FILE_NAMES = set("abcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True)
class MarkerLabels:
    """What markers mean: names of labels, and marker to the value of each label from then on (empty: none)."""

    names: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class XdfRecording:
    """Sessions of a file, and rows of labels (unix time in s, a value for each label) from its markers."""

    sessions: Sequence[DeviceSession]
    rows: Sequence[tuple[float, tuple[str, ...]]]


def participant_of(file: Path, by: By) -> str:
    """Whom a file is of: its name, or that of its folder."""
    return file.absolute().parent.name if by == "folder" else file.stem


def read_markers(file: Path) -> MarkerLabels:
    """A csv with the columns marker and one for each label; an empty cell ends the label.

    Raises:
        RecordingError: naming the row.
    """
    rows = cells(file)
    head = [cell.strip() for cell in rows[0]] if rows else []
    if head[:1] != ["marker"] or len(head) < 2:
        raise RecordingError(
            f"has the columns {', '.join(head) or 'none'}", file=file, remedy="expected marker and a column for each label"
        )
    values: dict[str, tuple[str, ...]] = {}
    for place, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise RecordingError(
                f"has {len(row)} cells in row {place}", file=file, remedy=f"expected {len(head)}: {', '.join(head)}"
            )
        if row[0].strip() in values:
            raise RecordingError(f"has the marker {row[0].strip()!r} twice", file=file, remedy="keep one row for each")
        values[row[0].strip()] = tuple(cell.strip() for cell in row[1:])
    return MarkerLabels(tuple(head[1:]), values)


def read_recording(file: Path, participant: str, streams: Mapping[str, str], markers: MarkerLabels) -> XdfRecording:
    """The sessions of a file: stretches in which all chosen streams have samples.

    Args:
        streams: channel to the name or type of its stream; empty: every stream of even numbers, called by its type.
        markers: what markers mean; those that it does not name change nothing.

    Raises:
        RecordingError: if it is damaged or without a date, a stream is missing or not the only one of its name, no stretch is long enough, or
            no marker is one that has a meaning.
    """

    def refuse(problem: str, remedy: str = AGAIN, channel: str | None = None) -> RecordingError:
        return RecordingError(problem, file=file, participant=participant, channel=channel, remedy=remedy)

    pyxdf = load("pyxdf", "devices")
    # A damaged file is told here; pyxdf's log would tell it before, in other words.
    logging.getLogger("pyxdf").setLevel(logging.CRITICAL)
    try:
        with file.open("rb") as content:
            stored, header = pyxdf.load_xdf(content)
    except Exception as error:  # pyxdf checks little, so damage can raise anything; whatever it is, the file cannot be read
        raise refuse(f"is no XDF file that can be read ({error or type(error).__name__})") from error
    try:
        began = datetime.fromisoformat(header["info"]["datetime"][0])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise refuse(f"is without the date of its recording ({type(error).__name__}: {error})") from error
    if began.tzinfo is None:
        raise refuse(f"its date {began} is without an offset from UTC", "record it with a LabRecorder that writes one")
    numbers = [stream for stream in stored if _rate(stream) > 0 and isinstance(stream["time_series"], np.ndarray)]
    chosen = _chosen(numbers, streams, refuse)
    sensors = {name: _timed(stream, name, refuse) for name, stream in chosen.items()}
    first = min((float(stream["time_stamps"][0]) for stream in stored if len(stream["time_stamps"])), default=0.0)
    unix = began.timestamp() - first
    spans = stretches(sensors)
    if not spans:
        raise refuse("its streams have no minute in common", "give --stream for those that you need")
    sessions = []
    for span in spans:
        channels = {
            name: SessionChannel(
                _columns(stream),
                name,
                sensors[name].rate_hz,
                sensors[name].rate_hz,
                _unit(stream),
                on_grid(sensors[name], span),
            )
            for name, stream in chosen.items()
        }
        sessions.append(
            DeviceSession(
                file, participant, unix + span.start, span.seconds, channels, np.empty((0, 2)), np.empty(0), span.cut_s
            )
        )
    rows = _label_rows(stored, markers, unix, spans[-1].end, refuse) if markers.names else []
    return XdfRecording(sessions, rows)


def _info(stream: Mapping[str, Any], key: str) -> str:
    return str((stream["info"].get(key) or [""])[0] or "")


def _rate(stream: Mapping[str, Any]) -> float:
    return float(_info(stream, "nominal_srate") or 0)


def _told(streams: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{_info(s, 'name')} (type {_info(s, 'type') or 'none'}, {_rate(s):g} Hz)" for s in streams) or "none"


def _channel_name(text: str) -> str:
    return "".join(c if c in FILE_NAMES else "_" for c in text.lower()).strip("_")


def _chosen(numbers: Sequence[Mapping[str, Any]], streams: Mapping[str, str], refuse: Refuse) -> dict[str, Mapping[str, Any]]:
    """Channel to its stream."""
    wanted = streams or {_channel_name(_info(stream, "type") or _info(stream, "name")): "" for stream in numbers}
    if not streams and len(wanted) < len(numbers):
        raise refuse(f"has several streams of one type: {_told(numbers)}", "give --stream CHANNEL=NAME for each that you need")
    chosen = {}
    for channel, asked in wanted.items():
        if not channel or set(channel) - FILE_NAMES:
            raise refuse(f"cannot call a channel {channel!r}", "use lower-case letters, digits and _: --stream ecg=NAME")
        found = [
            stream
            for stream in numbers
            if (
                asked in (_info(stream, "name"), _info(stream, "type"))
                if asked
                else _channel_name(_info(stream, "type") or _info(stream, "name")) == channel
            )
        ]
        if len(found) != 1:
            raise refuse(
                f"has {len(found)} streams of the name or type {asked or channel!r}; its streams of even numbers: {_told(numbers)}",
                "give the name of one: --stream CHANNEL=NAME",
                channel,
            )
        chosen[channel] = found[0]
    if not chosen:
        raise refuse("has no stream of even numbers")
    return chosen


def _timed(stream: Mapping[str, Any], channel: str, refuse: Refuse) -> TimedSamples:
    """Its samples, on a grid of the nominal rate."""
    times, values = np.asarray(stream["time_stamps"], np.float64), np.asarray(stream["time_series"], np.float64)
    if len(times) > 1 and not (np.diff(times) > 0).all():
        raise refuse("has times that do not rise", AGAIN, channel)
    if not np.isfinite(values).all():
        raise refuse(f"has {int((~np.isfinite(values)).sum())} values that are no finite numbers", AGAIN, channel)
    nominal = _rate(stream)
    sensor = TimedSamples(times, values, nominal)
    if not abs(1 / (sensor.step_s * nominal) - 1) < 0.05:
        raise refuse(f"has {1 / sensor.step_s:.2f} samples a second, declared are {nominal:g}", AGAIN, channel)
    return sensor


def _described(stream: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the stream's header says of its columns; empty if it says nothing, or of another number of them."""
    try:
        columns = list(stream["info"]["desc"][0]["channels"][0]["channel"])
    except (KeyError, IndexError, TypeError):
        return []
    return columns if len(columns) == np.asarray(stream["time_series"]).shape[1] else []


def _columns(stream: Mapping[str, Any]) -> tuple[str, ...]:
    names = [_channel_name(str((column.get("label") or [""])[0] or "")) for column in _described(stream)]
    if len(set(names)) == len(names) and all(names):
        return tuple(names)
    return tuple(f"x{place}" for place in range(1, np.asarray(stream["time_series"]).shape[1] + 1))


def _unit(stream: Mapping[str, Any]) -> str:
    units = {str((column.get("unit") or [""])[0] or "") for column in _described(stream)}
    return units.pop() or "a.u." if len(units) == 1 else "a.u."


def _label_rows(
    stored: Sequence[Mapping[str, Any]], markers: MarkerLabels, unix: float, end: float, refuse: Refuse
) -> list[tuple[float, tuple[str, ...]]]:
    """A row for each marker that has a meaning, and one without labels at the end of the file: no label holds until another file."""
    seen = [
        (float(time), str(values[0]).strip())
        for stream in stored
        if _rate(stream) == 0
        for time, values in zip(stream["time_stamps"], stream["time_series"], strict=True)
    ]
    known = [(unix + time, markers.values[text]) for time, text in seen if text in markers.values]
    if not known:
        found = ", ".join(sorted({text for _, text in seen})[:10]) or "none"
        raise refuse(f"has no marker of those that were given a meaning; its markers: {found}", "name its markers in --markers")
    rows = dict(known)  # of two markers at one moment the last holds
    rows.setdefault(unix + end, ("",) * len(markers.names))
    return sorted(rows.items())
