"""`raylab import`."""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from raylab.cli.console import say
from raylab.errors import RaylabError
from raylab.recordings.e4_import import By, LabelTimes, participant_of, read_labels, read_session, write_folder


def import_recordings(
    device: Annotated[Literal["e4"], typer.Argument(help="e4: zip files that an Empatica E4's sessions are exported as")],
    files: Annotated[list[Path], typer.Argument(help="the files, one a session")],
    out: Annotated[Path, typer.Option(help="folder to write, for `raylab prepare csv_folder --root`")] = Path("my_data"),
    by: Annotated[By, typer.Option(help="what names the participant: the file, or the folder that it is in")] = "file",
    labels: Annotated[
        Path | None, typer.Option(help="csv: participant, time, and a column for each label; a value holds until the next row")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="of times in --labels that have no offset from UTC, as Europe/Berlin; the devices write UTC"),
    ] = None,
    name: Annotated[str, typer.Option(help="the dataset's name in tables")] = "my_data",
) -> None:
    """Make a folder for `raylab prepare csv_folder` of what a wristband exports: one span for all sensors, labels by the clock.

    Example: raylab import e4 anna.zip ben.zip --labels labels.csv --timezone Europe/Berlin --out my_study/data
    """
    try:
        ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RaylabError(f"--timezone {timezone}: expected a name such as Europe/Berlin") from None
    times = read_labels(labels, timezone) if labels else LabelTimes()
    sessions = [read_session(file, participant_of(file, by)) for file in files]
    if by == "file" and (
        twice := {each.participant for each in sessions if [s.participant for s in sessions].count(each.participant) > 1}
    ):
        raise RaylabError(
            f"two files are called {', '.join(sorted(twice))}: put those of each participant in a folder, and give --by folder"
        )
    for line in write_folder(sessions, times, out, name):
        say(line)
    say(f"next: raylab prepare csv_folder --root {out} --check")
