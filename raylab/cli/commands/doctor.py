"""`raylab doctor`."""

from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.runs.doctor import MachineCheck, examine


def doctor(
    out: Annotated[str, typer.Option(help="where runs are to be written: a path or a URI")] = ".",
    local: Annotated[bool, typer.Option("--local", help="for runs without Ray: Ray is not started")] = False,
) -> None:
    """Check that this machine can run raylab: one line for each thing that is needed, with the remedy.

    Example: raylab doctor --out runs
    """
    findings: list[MachineCheck] = []
    for finding in examine(out, with_ray=not local):
        say(finding.line)
        findings.append(finding)
    broken = [finding.name for finding in findings if finding.state == "broken"]
    if broken:
        say(f"not ready: {', '.join(broken)}")
        raise typer.Exit(1)
    notes = sum(finding.state == "note" for finding in findings)
    say("ready" + (f", with {notes} {'note' if notes == 1 else 'notes'}" if notes else ""))
