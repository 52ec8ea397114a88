"""`python -m benchmarks.scale planning --people 60`: one row of a growth law, as JSON (docs/results/scale.md)."""

import json
from typing import Annotated

import typer

from benchmarks.scale.planning import measure

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


if __name__ == "__main__":
    app()
