"""`raylab validate`."""

from enum import StrEnum
from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.runs.cluster import connect
from raylab.validity.cases import CASES
from raylab.validity.validate import jobs_of, validate_linear
from raylab.validity.validate import validate as run_cohorts

CaseName = StrEnum("CaseName", {name: name for name in CASES})  # type: ignore[misc]  # the members are the table's


def validate(
    out: Annotated[str, typer.Option(help="folder for the results of the cohorts: a path or a URI")],
    case: Annotated[
        list[CaseName] | None, typer.Option(help="a case of `raylab docs validity`; repeat for several, all unless given")
    ] = None,
    cohorts: Annotated[
        int | None, typer.Option(help="cohorts of each case with something to find; 20 unless given, 200 with --linear", min=1)
    ] = None,
    null_studies: Annotated[
        int, typer.Option(help="cohorts of each case with nothing to find; under 29 cannot pass", min=1)
    ] = 200,
    people: Annotated[int, typer.Option(help="people in a cohort", min=3)] = 20,
    linear: Annotated[
        bool,
        typer.Option(
            "--linear", help="linear models: gains of +0.03 and +0.05 in cohorts of 20, 40 and 60, in minutes, without Ray"
        ),
    ] = False,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise")] = None,
) -> None:
    """Count how often raylab finds a known truth in simulated cohorts. Takes hours; the same command resumes it.

    With --linear, how often gains of realistic size are found, by linear models in minutes.

    Example: raylab validate --out validity --case shifted --cohorts 5
    """
    if linear:
        say(validate_linear(cohorts or 200, null_studies, out))
        return
    jobs = jobs_of(tuple(name.value for name in case or ()), cohorts or 20, null_studies)
    connect(address)
    say(run_cohorts(jobs, people, out, say))
