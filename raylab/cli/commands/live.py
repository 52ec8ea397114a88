"""`raylab live`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say_aside
from raylab.errors import RaylabError
from raylab.live.cli import LiveRequest, follow
from raylab.live.core.inference import one_window_at_a_time
from raylab.live.core.pipeline import StreamSettings
from raylab.live.sources import SOURCES
from raylab.live.sources.source import SourceOptions
from raylab.techniques.registry import LAYERS, STOP

Layers = StrEnum("Layers", {str(name): str(name) for name in LAYERS.default})  # type: ignore[misc]  # the members are the technique's
Until = StrEnum("Until", {str(name): str(name) for name in STOP.default})  # type: ignore[misc]  # likewise
RECORDING, CALIBRATION, OUTPUT = "A recording", "Calibration", "Output"


def live(
    model: Annotated[Path, typer.Argument(help="a model file of `raylab export` or `raylab train`")],
    source: Annotated[str, typer.Option(help="; ".join(kind.description for kind in SOURCES.values()))],
    participant: Annotated[str, typer.Option(help="folder: whose recording", rich_help_panel=RECORDING)] = "",
    replay_labels: Annotated[
        bool,
        typer.Option(
            "--replay-labels", help="folder: its own labels are replayed as the wearer's marks", rich_help_panel=RECORDING
        ),
    ] = False,
    speed: Annotated[
        float,
        typer.Option(help="1 is real time, 0 as fast as possible, dropping nothing", min=0, rich_help_panel=RECORDING),
    ] = 1.0,
    calibrate: Annotated[
        int,
        typer.Option(
            help="calibrate on so many windows of each class that the wearer marks", min=0, rich_help_panel=CALIBRATION
        ),
    ] = 0,
    layers: Annotated[
        Layers | None,
        typer.Option(help="what a calibration trains; what the model has unless given", rich_help_panel=CALIBRATION),
    ] = None,
    until: Annotated[
        Until | None,
        typer.Option(
            help="end the calibration's marking earlier, by a rule of the technique adaptive (`raylab docs protocol`)",
            rich_help_panel=CALIBRATION,
        ),
    ] = None,
    sentences: Annotated[Path | None, typer.Option(help="speech: what may be said, a sentence a line")] = None,
    page: Annotated[
        int | None,
        typer.Option(help="show it on a page at this port of this machine; 0: any", min=0, max=65535, rich_help_panel=OUTPUT),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="add the decisions to this file; nothing is stored otherwise", rich_help_panel=OUTPUT)
    ] = None,
    consent: Annotated[
        bool, typer.Option("--consent", help="everyone concerned has agreed: the page does not wait for it")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no decisions on standard output", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Follow a stream: decisions as lines of JSON on standard output, and on a page.

    Example: raylab live s2.raylab --source lsl --calibrate 20 --page 8800
    """
    if until and not calibrate:
        raise RaylabError(
            f"--until {until.value} ends a calibration earlier; say at most how many windows of each class with --calibrate"
        )
    heard = _sentences(sentences) if sentences else []
    settings = StreamSettings(calibrate, layers.value if layers else "", heard, stop=until.value if until else "")
    options = SourceOptions(source, participant, replay_labels, speed)
    one_window_at_a_time()
    follow(LiveRequest(model, options, settings, page, record, consent, quiet), say_aside)


def _sentences(file: Path) -> list[str]:
    """The lines of a file that are not blank.

    Raises:
        RaylabError: if it is no text.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RaylabError(f"--sentences {file} is no text in UTF-8 ({error})") from error
    return [line.strip() for line in lines if line.strip()]
