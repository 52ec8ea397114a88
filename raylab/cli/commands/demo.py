"""`raylab demo`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.commands.report import report
from raylab.cli.commands.run import run
from raylab.cli.console import say
from raylab.cli.named_study import STUDIES
from raylab.runs.cluster import connect
from raylab.runs.prepare import PrepareRequest, prepare

STUDY = STUDIES / "demo.yaml"
COHORT = {"participants": 8, "minutes": 8}


def demo(
    out: Annotated[Path, typer.Option(help="folder for the windows, the run and its report")] = Path("raylab_demo"),
    local: Annotated[bool, typer.Option("--local", help="in this process, without Ray")] = False,
) -> None:
    """Run a small study on the built-in simulated cohort: windows, a run and its report, in one folder.

    Takes some minutes, and needs no data; the same command goes on where it was interrupted.

    Example: raylab demo --out raylab_demo
    """
    windows = out / "windows"
    if not (windows / "simulated" / "card.json").is_file():
        if not local:
            connect(None)
        prepare(
            PrepareRequest("simulated", ".", str(windows / "simulated"), options=COHORT), True, say, "local" if local else "ray"
        )
    run(STUDY, out=str(out / "run"), windows=str(windows), local=local)
    report(str(out / "run"))
    say("These people are simulated. Next, your own: raylab init my_study")
