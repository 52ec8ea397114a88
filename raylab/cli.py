"""The command line: a handful of verbs, each a thin call into the package."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import analysis.report
from analysis.tables import HEAD, caption, cells
from raylab.errors import RaylabError
from raylab.models.encoders import ENCODERS
from raylab.recordings import DATASETS
from raylab.recordings.state import state
from raylab.runs.check import check as run_check
from raylab.runs.cluster import connect
from raylab.runs.estimate import estimate
from raylab.runs.prepare import Order
from raylab.runs.prepare import prepare as run_prepare
from raylab.runs.run import Where, start
from raylab.runs.status import status_lines
from raylab.techniques.table import TECHNIQUES
from raylab.trials.study import read_study
from raylab.windows.preprocess import Preprocessing

app = typer.Typer(
    help="Which personalization of affect recognition works on new people.", no_args_is_help=True, add_completion=False
)
# a table in a log or a pipe is not cut to the 80 columns that rich assumes there
console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 150)


def _say(line: str) -> None:
    console.print(line, markup=False)


def _options(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs; a value is read as YAML reads it."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise RaylabError(f"--option {wrong[0]!r} is not name=value")
    return {name: yaml.safe_load(value) for name, value in (pair.split("=", 1) for pair in pairs)}


@app.command()
def datasets(
    root: Annotated[
        str | None, typer.Option(help="a folder that holds datasets (in sub-folders of their names) or one of them")
    ] = None,
) -> None:
    """What there is, what each needs, how to obtain it, and what of it is in a folder."""
    for dataset in DATASETS.values():
        people = f"{len(dataset.published)} participants; " if dataset.published else ""
        _say(f"{dataset.name}: {people}{dataset.signals}")
        _say(
            f"  labels: {', '.join(label.name for label in dataset.labels) or 'yours'}; traits: {', '.join(dataset.traits) or 'yours, if any'}"
        )
        _say(f"  licence: {dataset.licence}; obtain: {dataset.obtain}")
        if dataset.options:
            _say("  options: " + ", ".join(f"{name}={value}" for name, value in dataset.options.items()))
        if root and dataset.needs_root:
            _say(f"  {state(dataset, Path(root))}")


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(help="a name of `raylab datasets`")],
    out: Annotated[str | None, typer.Option(help="folder for the windows: a path or a URI")] = None,
    root: Annotated[str, typer.Option(help="folder of the dataset in its published layout")] = ".",
    label: Annotated[list[str] | None, typer.Option(help="label to prepare; repeat for several")] = None,
    normalization: Annotated[str, typer.Option(help="recording (the paper) or past (nothing after the window)")] = "recording",
    step: Annotated[float, typer.Option(help="seconds from one window's start to the next")] = 5.0,
    option: Annotated[list[str] | None, typer.Option(help="name=value, as the dataset offers")] = None,
    without: Annotated[list[str] | None, typer.Option(help="participant to leave out; repeat for several")] = None,
    check: Annotated[bool, typer.Option("--check", help="read everything and report, write nothing")] = False,
    overwrite: Annotated[bool, typer.Option(help="replace windows that are there")] = False,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise")] = None,
) -> None:
    """Raw files to windows."""
    if dataset not in DATASETS:
        raise RaylabError(f"unknown dataset {dataset!r}; there are {', '.join(DATASETS)}")
    if normalization not in ("recording", "past"):
        raise RaylabError(f"--normalization {normalization!r} is unknown; use recording or past")
    if step <= 0:
        raise RaylabError(f"--step {step:g} is not above 0")
    settings = Preprocessing(step_s=step, normalization=normalization)  # type: ignore[arg-type]
    if out is None and not check:
        raise RaylabError("give a folder for the windows with --out (or --check, to read everything and write nothing)")
    order = Order(dataset, root, out or "", tuple(label or ()), settings, _options(option or []), tuple(without or ()))
    connect(address)
    if not check:
        run_prepare(order, overwrite, _say)
    elif run_check(order, _say):
        raise typer.Exit(1)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="a study file")],
    out: Annotated[str | None, typer.Option(help="run folder: a path or a URI")] = None,
    windows: Annotated[
        str | None, typer.Option(help="folder that the study's windows are in (the study file's own unless given)")
    ] = None,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise")] = None,
    here: Annotated[bool, typer.Option("--here", help="in this process, without Ray")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="run nothing: what it would cost, timed on a few steps")] = False,
) -> None:
    """Run what is missing of a study; the same command resumes it."""
    where: Where = "here" if here else "ray"
    root = windows or str(study.absolute().parent)
    if plan:
        for line in estimate(read_study(study), root, out, where, address, _say).lines():
            _say(line)
        return
    if out is None:
        raise RaylabError("give a run folder with --out (or --plan, to learn what the study would cost)")
    summary = start(read_study(study), root, out, where, address, _say)
    for line in summary.lines():
        _say(line)
    if not summary.complete:
        _say(f"not complete: see `raylab status {out}`; the same command tries again what failed")
        raise typer.Exit(1)


@app.command()
def status(run: Annotated[str, typer.Argument(help="a run folder")]) -> None:
    """Done, running, failed, rate, time left and running averages, also during the run."""
    for line in status_lines(run):
        _say(line)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="a run folder")],
    scoring: Annotated[
        str, typer.Option(help="paired (both sides on the same windows) or published (as the study's code)")
    ] = "paired",
    metric: Annotated[str, typer.Option(help="a column of scores.csv")] = "auroc",
) -> None:
    """Scores and the tested comparison, printed and written into the run's report folder."""
    if scoring not in ("paired", "published"):
        raise RaylabError(f"--scoring {scoring!r} is unknown; use paired or published")
    made = analysis.report.report(run, scoring, metric)  # type: ignore[arg-type]
    for names, part in made.comparison.groupby(["dataset", "label", "model"], sort=True):
        table = Table(*HEAD, box=SIMPLE_HEAD, title=" / ".join(str(name) for name in names), title_justify="left")
        for _, row in part.iterrows():
            table.add_row(*cells(row))
        console.print(table)
        _say(caption(part))
    for note in made.notes:
        _say(f"- {note}")
    _say(f"written to {run}/report")


@app.command()
def techniques() -> None:
    """What each technique trains on, what it needs, and how many trainings it costs."""
    for technique in TECHNIQUES.values():
        variants = technique.variants({})
        needs = sorted(technique.needs(variants[0]))
        shared = {stage.name for variant in variants for stage in technique.stages(variant)[:-1]}
        trainings = f"{len(variants)} variants cost {len(variants)} trainings" if len(variants) > 1 else "costs 1 training"
        trainings += f" and 1 of {', '.join(sorted(shared))} that they share" if shared else ""
        _say(f"{technique.name}: {technique.about}")
        _say(f"  needs {', '.join(needs) or 'nothing of the target, no traits'}; per target and seed, its {trainings}")
        for axis in technique.axes:
            _say(f"  {axis.name}: {', '.join(str(value) for value in axis.default)} (allowed: {axis.says})")
        for stage in technique.stages(variants[0]):
            overrides = ", ".join(f"{name} {value:g}" for name, value in stage.overrides.items())
            _say(
                f"  stage {stage.name}: {stage.windows}, frees {' + '.join(stage.frees)}{f'; {overrides}' if overrides else ''}"
            )


@app.command()
def models() -> None:
    """What there is for `encoder:` in a study."""
    for encoder in ENCODERS.values():
        _say(f"{encoder.name}: {encoder.about}; batch {encoder.batch_size} in the paper")


def main() -> None:
    """Run a command; what is wrong with the input is a sentence, not a traceback."""
    try:
        app()
    except (RaylabError, FileNotFoundError, ValueError) as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"raylab: {error}", markup=False)
        sys.exit(2)
