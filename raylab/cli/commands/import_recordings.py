"""`raylab import`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from raylab.cli.console import say
from raylab.errors import RaylabError
from raylab.recordings import e4_import, embraceplus_import, xdf_import
from raylab.recordings.device_session import By, DeviceSession, LabelTimes, read_labels, single_participants, write_folder

Imported = tuple[Sequence[DeviceSession], LabelTimes]


def import_recordings(
    device: Annotated[
        Literal["e4", "embraceplus", "xdf"],
        typer.Argument(
            help="e4: zips of an Empatica E4's sessions; embraceplus: Avro files of an EmbracePlus; "
            "xdf: recordings of the Lab Streaming Layer (Polar, Shimmer and other sensors)"
        ),
    ],
    files: Annotated[list[Path], typer.Argument(help="the files")],
    out: Annotated[Path, typer.Option(help="folder to write, for `raylab prepare csv_folder --root`")] = Path("my_data"),
    by: Annotated[By, typer.Option(help="what names the participant: the file, or the folder that it is in")] = "file",
    labels: Annotated[
        Path | None, typer.Option(help="csv: participant, time, and a column for each label; a value holds until the next row")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="of times in --labels that have no offset from UTC, as Europe/Berlin; the devices write UTC"),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(help="xdf: CHANNEL=NAME or CHANNEL=TYPE of a stream; repeat; all of even numbers if not given"),
    ] = None,
    markers: Annotated[
        Path | None, typer.Option(help="xdf: csv: marker, and a column for each label; its value holds from the marker on")
    ] = None,
    name: Annotated[str, typer.Option(help="the dataset's name in tables")] = "my_data",
) -> None:
    """Make a folder for `raylab prepare csv_folder` of what a device exports: one span for all sensors, labels by the clock.

    Example: raylab import e4 anna.zip ben.zip --labels labels.csv --timezone Europe/Berlin --out my_study/data
    """
    try:
        ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RaylabError(f"--timezone {timezone}: expected a name such as Europe/Berlin") from None
    if device != "xdf" and (stream or markers):
        raise RaylabError(f"--stream and --markers are of xdf, not of {device}")
    if markers and labels:
        raise RaylabError("--labels and --markers: give one of them")
    times = read_labels(labels, timezone) if labels else LabelTimes()
    if device == "e4":
        sessions: Sequence[DeviceSession] = [e4_import.read_session(file, e4_import.participant_of(file, by)) for file in files]
    elif device == "embraceplus":
        sessions = _embraceplus(files, by)
    else:
        sessions, times = _xdf(files, by, _streams(stream or []), markers, times)
    if by == "file" and device != "embraceplus":
        single_participants(sessions)
    for line in write_folder(sessions, times, out, name):
        say(line)
    say(f"next: raylab prepare csv_folder --root {out} --check")


def _embraceplus(files: Sequence[Path], by: By) -> list[DeviceSession]:
    of: dict[str, list[Path]] = {}
    for file in files:
        of.setdefault(embraceplus_import.participant_of(file, by), []).append(file)
    return [session for name, own in of.items() for session in embraceplus_import.read_sessions(own, name)]


def _streams(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if wrong := [each for each, (channel, _, asked) in zip(given, pairs, strict=True) if not (channel and asked)]:
        raise RaylabError(f"--stream {wrong[0]}: expected CHANNEL=NAME, as ecg=PolarBand")
    return {channel: asked for channel, _, asked in pairs}


def _xdf(files: Sequence[Path], by: By, streams: dict[str, str], markers: Path | None, times: LabelTimes) -> Imported:
    meaning = xdf_import.read_markers(markers) if markers else xdf_import.MarkerLabels()
    sessions: list[DeviceSession] = []
    rows: dict[str, list[tuple[float, tuple[str, ...]]]] = {}
    for file in files:
        participant = xdf_import.participant_of(file, by)
        recording = xdf_import.read_recording(file, participant, streams, meaning)
        sessions += recording.sessions
        rows.setdefault(participant, []).extend(recording.rows)
    return sessions, LabelTimes(meaning.names, {who: sorted(own) for who, own in rows.items()}) if markers else times
