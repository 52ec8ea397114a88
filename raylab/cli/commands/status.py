"""`raylab status`."""

from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.runs.status import status_lines


def status(run: Annotated[str, typer.Argument(help="a run folder")]) -> None:
    """Show what is done, running and failed, the rate, the time left and averages so far, also during a run.

    Example: raylab status runs/wesad
    """
    for line in status_lines(run):
        say(line)
