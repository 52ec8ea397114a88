"""`raylab export`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.cli.plugin_option import PluginFiles
from raylab.live.export import export as export_trial


def export(
    run: Annotated[str, typer.Argument(help="a run folder")],
    trial: Annotated[str, typer.Option(help="key of a finished trial (trials.parquet), or its beginning")],
    out: Annotated[Path, typer.Option(help="the model file to write")],
    windows: Annotated[str | None, typer.Option(help="folder that the study's windows are in, if it has moved")] = None,
    plugin: PluginFiles = None,
) -> None:
    """Write a trial's model as one file: weights, preprocessing, labels, and a card that says where it comes from.

    Example: raylab export runs/wesad --trial 3f2a --out s2.raylab
    """
    for line in export_trial(run, trial, out, windows).card.lines():
        say(line)
    say(f"written to {out} ({out.stat().st_size / 1e6:.1f} MB); follow a stream with: raylab live {out} --source ...")
