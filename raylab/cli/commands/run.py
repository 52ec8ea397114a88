"""`raylab run`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import live_progress, say
from raylab.cli.named_study import read_named_study
from raylab.cli.plugin_option import PluginFiles
from raylab.errors import RaylabError
from raylab.runs.cluster import Executor
from raylab.runs.cost import estimate
from raylab.runs.run import start
from raylab.runs.shard import Shard
from raylab.runs.trackers import tracker


def run(
    study: Annotated[Path, typer.Argument(help="a study file, or studies/NAME.yaml of the package")],
    out: Annotated[str | None, typer.Option(help="run folder: a path or a URI")] = None,
    windows: Annotated[
        str | None, typer.Option(help="folder that the study's windows are in (the study file's own unless given)")
    ] = None,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise")] = None,
    local: Annotated[bool, typer.Option("--local", help="in this process, without Ray")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="run nothing: what it would cost, timed on a few steps")] = False,
    shard: Annotated[
        str, typer.Option(help="the part of the study for this driver, such as 3/8: several drivers share one run folder")
    ] = "1/1",
    track: Annotated[
        list[str] | None,
        typer.Option(
            help="also give each variant's parameters and mean to mlflow:URI or wandb:offline; TensorBoard has them always"
        ),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Run what is missing of a study; the same command resumes it.

    Example: raylab run studies/wesad_wrist.yaml --windows windows --out runs/wesad
    """
    executor: Executor = "local" if local else "ray"
    root = windows or str(study.absolute().parent)
    if plan:
        for line in estimate(read_named_study(study), root, out, executor, address, say).lines():
            say(line)
        return
    if out is None:
        raise RaylabError("give a run folder with --out (or --plan, to learn what the study would cost)")
    trackers = [tracker(text) for text in track or ()]
    with live_progress() as log:
        summary = start(read_named_study(study), root, out, executor, address, log, shard=Shard.parse(shard), trackers=trackers)
    for line in summary.lines():
        say(line)
    if not summary.complete:
        say(f"not complete: see `raylab status {out}`; the same command tries again what failed")
        raise typer.Exit(1)
