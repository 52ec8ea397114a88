"""`raylab clean`."""

from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.runs.stage_lifetime import clean as clean_run
from raylab.trials.study import KEEP, Keep


def clean(
    run: Annotated[str, typer.Argument(help="a run folder")],
    keep: Annotated[
        Keep | None, typer.Option(help=f"which stages to keep, {', '.join(KEEP)}; the study's own unless given")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
) -> None:
    """Remove from a run folder the weights that nobody needs any more, and the state of Tune. Tables and predictions stay.

    Example: raylab clean runs/wesad --keep none --dry-run
    """
    for line in clean_run(run, keep, dry_run):
        say(line)
