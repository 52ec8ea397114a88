"""`raylab validate`."""

from enum import StrEnum
from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.runs.cluster import connect
from raylab.validity.cases import CASES
from raylab.validity.validate import jobs_of
from raylab.validity.validate import validate as run_cohorts

CaseName = StrEnum("CaseName", {name: name for name in CASES})  # type: ignore[misc]  # the members are the table's


def validate(
    out: Annotated[str, typer.Option(help="folder for the results of the cohorts: a path or a URI")],
    case: Annotated[
        list[CaseName] | None, typer.Option(help="a case of docs/validity.md; repeat for several, all unless given")
    ] = None,
    cohorts: Annotated[int, typer.Option(help="cohorts of each case with something to find", min=1)] = 20,
    null_studies: Annotated[
        int, typer.Option(help="cohorts of each case with nothing to find; under 29 cannot pass", min=1)
    ] = 200,
    people: Annotated[int, typer.Option(help="people in a cohort", min=3)] = 20,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise")] = None,
) -> None:
    """Count how often raylab finds a known truth in simulated cohorts. Takes hours; the same command resumes it.

    Example: raylab validate --out validity --case shifted --cohorts 5
    """
    jobs = jobs_of(tuple(name.value for name in case or ()), cohorts, null_studies)
    connect(address)
    say(run_cohorts(jobs, people, out, say))
