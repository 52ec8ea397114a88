"""`python -m benchmarks.scale planning --people 60`: one row of a growth law, as JSON (docs/results/scale.md)."""

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.scale import cutting as of_cutting
from benchmarks.scale import driver as of_driver
from benchmarks.scale import laws
from benchmarks.scale import memory as of_memory
from benchmarks.scale import streaming as of_streaming
from benchmarks.scale.figures import write as draw_laws
from benchmarks.scale.planning import measure
from benchmarks.scale.records import gather, resume
from benchmarks.scale.requests import count
from benchmarks.scale.requests import law as law_of_requests
from raylab.runs.cluster import Executor

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Growth laws, one row a call."""


@app.command()
def planning(
    people: Annotated[int, typer.Option(help="participants")] = 60,
    windows: Annotated[int, typer.Option(help="windows of each")] = 60,
    techniques: Annotated[str, typer.Option(help="paper, or plain: without those that cluster people")] = "paper",
    models: Annotated[int, typer.Option(help="models")] = 1,
    seeds: Annotated[int, typer.Option(help="seeds")] = 1,
    groups: Annotated[int, typer.Option(help="group_k_fold; 0: leave one participant out")] = 0,
) -> None:
    """Processor time and memory of a plan."""
    typer.echo(json.dumps(measure(people, windows, techniques, models, seeds, groups)))


@app.command()
def gathering(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    records: Annotated[int, typer.Option(help="ended trials")] = 1000,
    whole: Annotated[bool, typer.Option(help="all records after every 500, as it was")] = False,
) -> None:
    """Processor time of gathering records while a run goes on."""
    typer.echo(json.dumps(gather(out, records, whole)))


@app.command()
def resuming(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    records: Annotated[int, typer.Option(help="ended trials")] = 1000,
    where: Annotated[str, typer.Option(help="disk, or s3: moto's server on loopback")] = "disk",
    ungathered: Annotated[int, typer.Option(help="of these, records that no table has yet")] = 0,
) -> None:
    """Time in which a start learns what is done."""
    typer.echo(json.dumps(resume(out, records, where, ungathered)))


@app.command()
def requests(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    executor: Annotated[str, typer.Option(help="local, or ray: Tune's own files too")] = "local",
    doublings: Annotated[int, typer.Option(help="instead: runs of bases and calibrations, each of twice as many trials")] = 0,
) -> None:
    """Requests a trial to an S3 server on loopback."""
    where: Executor = "ray" if executor == "ray" else "local"
    for row in law_of_requests(out, where, doublings) if doublings else count(out, where):
        typer.echo(json.dumps(row))


@app.command()
def memory(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    allowed: Annotated[int, typer.Option(help="MiB beyond the baseline")] = 256,
    times: Annotated[float, typer.Option(help="size of the windows in units of that")] = 3.0,
) -> None:
    """A study over windows larger than the memory it is allowed, mapped and streamed, against the same study with room."""
    typer.echo(json.dumps(of_memory.measure(out, allowed, times)))


@app.command()
def streaming(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    mib: Annotated[float, typer.Option(help="of signals")] = 288.0,
    passes: Annotated[int, typer.Option(help="of which the median is told")] = 5,
) -> None:
    """One pass over all windows: mapped, read in this process, and by Ray Data."""
    typer.echo(json.dumps(of_streaming.measure(out, mib, passes)))


@app.command()
def cutting(
    windows: Annotated[Path, typer.Argument(help="folder of prepared windows")],
    passes: Annotated[int, typer.Option(help="of which the median is told")] = 9,
) -> None:
    """Room of windows that overlap, and time to gather them: each whole, and cut from their samples."""
    typer.echo(json.dumps(of_cutting.measure(windows, passes)))


@app.command()
def index(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    people: Annotated[int, typer.Option(help="participants")] = 100,
) -> None:
    """Processor time to open the windows of a cohort."""
    typer.echo(json.dumps(laws.index(out, people)))


@app.command()
def trials(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    seeds: Annotated[int, typer.Option(help="8 trials each")] = 4,
    keep: Annotated[str, typer.Option(help="all, bases or none")] = "bases",
    executor: Annotated[
        str, typer.Option(help="local: driver and worker in one; ray: the driver alone, workers beside it")
    ] = "local",
    doublings: Annotated[int, typer.Option(help="more runs, each of twice as many trials")] = 0,
) -> None:
    """Processor time, memory and bytes a trial of a study of trivial trainings."""
    for row in laws.trials(out, seeds, keep, "ray" if executor == "ray" else "local", doublings):
        typer.echo(json.dumps(row))


@app.command()
def driver(
    out: Annotated[Path, typer.Option(help="an empty folder")],
    trials: Annotated[int, typer.Option(help="trials that end one after the other")] = 1000,
    traced: Annotated[bool, typer.Option("--traced", help="memory of living objects alone; no times")] = False,
) -> None:
    """Processor time and memory that raylab's own code costs the driver a trial, without Ray."""
    typer.echo(json.dumps(of_driver.measure(out, trials, traced)))


@app.command()
def figures(
    numbers: Annotated[Path, typer.Option(help="the measured numbers")] = Path("docs/results/scale.json"),
    picture: Annotated[Path, typer.Option(help="the picture to write")] = Path("docs/images/scale.svg"),
) -> None:
    """Draw the laws of the page of results."""
    draw_laws(numbers, picture)


@app.command(hidden=True)
def memory_alone(
    out: Annotated[Path, typer.Option()],
    windows: Annotated[Path, typer.Option()],
    allowed: Annotated[int, typer.Option()],
    kept: Annotated[str, typer.Option()],
) -> None:
    """One of the runs."""
    typer.echo(json.dumps(of_memory.run_alone(windows, out, allowed, kept)))


if __name__ == "__main__":
    app()
