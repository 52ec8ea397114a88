"""The command line: a handful of verbs, each a thin call into the package."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import analysis.report.write
from analysis.report.comparison_table import caption, headings, rows, title
from raylab.errors import RaylabError
from raylab.live.cli import LiveRequest as LiveOrder
from raylab.live.cli import follow
from raylab.live.core.inference import one_window_at_a_time
from raylab.live.core.pipeline import StreamSettings
from raylab.live.export import export as run_export
from raylab.live.sources import SOURCES
from raylab.live.sources.source import SourceOptions
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS
from raylab.recordings import DATASETS
from raylab.recordings.availability import availability
from raylab.runs.cluster import Executor, connect
from raylab.runs.cost import estimate
from raylab.runs.dataset_check import check_dataset as run_check
from raylab.runs.prepare import PrepareRequest
from raylab.runs.prepare import prepare as run_prepare
from raylab.runs.run import start
from raylab.runs.status import status_lines
from raylab.techniques.registry import TECHNIQUES
from raylab.trials.study import read_study
from raylab.validity.label_flip_probe import flipped_labels
from raylab.validity.probes import probe as run_probe
from raylab.validity.validate import jobs_of
from raylab.validity.validate import validate as run_validate
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
            _say(f"  {availability(dataset, Path(root))}")


def _normalization(
    dataset: str, name: str | None, step: float | None
) -> tuple[Preprocessing | None, Literal["none", "per_speaker"] | None]:
    """What an order says of signals, and of utterances."""
    allowed = ("none", "per_speaker") if DATASETS[dataset].kind == "utterances" else ("recording", "past")
    if name is not None and name not in allowed:
        raise RaylabError(f"--normalization {name!r} is unknown for {dataset}; use {' or '.join(allowed)}")
    if DATASETS[dataset].kind == "signals":
        return Preprocessing(step_s=step or 5.0, normalization=name or "recording"), None  # type: ignore[arg-type]  # one of the two, see above
    if step is not None:
        raise RaylabError(f"--stride is for running signals; a window of {dataset} is one utterance")
    return None, name  # type: ignore[return-value]  # one of the two, see above


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(help="a name of `raylab datasets`")],
    out: Annotated[str | None, typer.Option(help="folder for the windows: a path or a URI")] = None,
    root: Annotated[str, typer.Option(help="folder of the dataset in its published layout")] = ".",
    label: Annotated[list[str] | None, typer.Option(help="label to prepare; repeat for several")] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            help="signals: recording (the paper, and the default) or past (nothing after the window); utterances: none (the default) "
            "or per_speaker (over all of a speaker's utterances, the held-out speaker's unlabelled ones too)"
        ),
    ] = None,
    step: Annotated[
        float | None, typer.Option(help="signals: seconds from one window's start to the next (5 unless given)")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="name=value, as the dataset offers")] = None,
    without: Annotated[list[str] | None, typer.Option(help="participant to leave out; repeat for several")] = None,
    check: Annotated[bool, typer.Option("--check", help="read everything and report, write nothing")] = False,
    overwrite: Annotated[bool, typer.Option(help="replace windows that are there")] = False,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise")] = None,
) -> None:
    """Raw files to windows."""
    if dataset not in DATASETS:
        raise RaylabError(f"unknown dataset {dataset!r}; there are {', '.join(DATASETS)}")
    if step is not None and step <= 0:
        raise RaylabError(f"--stride {step:g} is not above 0")
    if out is None and not check:
        raise RaylabError("give a folder for the windows with --out (or --check, to read everything and write nothing)")
    how = _normalization(dataset, normalization, step)
    order = PrepareRequest(dataset, root, out or "", tuple(label or ()), *how, _options(option or []), tuple(without or ()))
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
    here: Annotated[bool, typer.Option("--local", help="in this process, without Ray")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="run nothing: what it would cost, timed on a few steps")] = False,
) -> None:
    """Run what is missing of a study; the same command resumes it."""
    where: Executor = "local" if here else "ray"
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
    metric: Annotated[str | None, typer.Option(help="a column of scores.csv; the study's primary metric unless given")] = None,
    best: Annotated[
        bool,
        typer.Option("--best", help="one column per technique: its best variant on the test windows, optimistic, without p"),
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(help="a published table (han2024) or another run folder to put beside; repeat for several"),
    ] = None,
) -> None:
    """Scores and the tested comparison, printed, and with figures and report.html written into the run's report folder."""
    if scoring not in ("paired", "published"):
        raise RaylabError(f"--scoring {scoring!r} is unknown; use paired or published")
    made = analysis.report.write.write_report(run, scoring, metric, best, tuple(against or ()))  # type: ignore[arg-type]  # see above
    for names, part in made.comparison.groupby(["dataset", "label", "model"], sort=True):
        table = Table(*headings(), box=SIMPLE_HEAD, title=title(names), title_justify="left")
        for row in rows(part):
            table.add_row(*row)
        console.print(table)
        _say(caption(part))
    for note in (*made.notes, *([made.incomplete] if made.incomplete else [])):
        _say(f"- {note}")
    for other in made.against:
        _say(f"beside {other.name}: {run}/report/against_{other.name}.md")
    _say(f"written to {run}/report; open {run}/report/report.html in a browser")


@app.command()
def validate(
    out: Annotated[str, typer.Option(help="folder for the results of the cohorts: a path or a URI")],
    case: Annotated[
        list[str] | None, typer.Option(help="a case of docs/validity.md; repeat for several, all unless given")
    ] = None,
    cohorts: Annotated[int, typer.Option(help="cohorts of each case with something to find", min=1)] = 20,
    null_studies: Annotated[int, typer.Option(help="cohorts of each case with nothing to find", min=1)] = 60,
    people: Annotated[int, typer.Option(help="people in a cohort", min=3)] = 20,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise")] = None,
) -> None:
    """Cohorts with a known truth: how often raylab finds it. Takes hours; the same command goes on where it stopped."""
    jobs = jobs_of(tuple(case or ()), cohorts, null_studies)
    connect(address)
    _say(run_validate(jobs, people, out, _say))


@app.command()
def probe(
    kind: Annotated[
        str, typer.Argument(help="shuffled_labels, shuffled_traits, shuffled_transcripts, duplicated_person or flipped_labels")
    ],
    source: Annotated[str, typer.Argument(help="prepared windows; for flipped_labels a study file")],
    out: Annotated[str | None, typer.Option(help="folder for the changed windows: a path or a URI")] = None,
    seed: Annotated[int, typer.Option(help="of the permutation or the noise")] = 0,
    person: Annotated[str | None, typer.Option(help="who is duplicated")] = None,
    noise: Annotated[float, typer.Option(help="SD of noise on the duplicate's signals, which go from 0 to 1")] = 0.0,
    windows: Annotated[str | None, typer.Option(help="flipped_labels: folder that the study's windows are in")] = None,
    limit: Annotated[int | None, typer.Option(help="flipped_labels: so many trials, of every variant in turn")] = None,
) -> None:
    """Put a dataset through a leak probe: windows of which the right result is known, or a study with its test labels flipped."""
    if kind == "flipped_labels":
        if out is not None or person is not None or noise or seed:
            raise RaylabError("flipped_labels takes --windows and --limit only: it writes nothing, and draws nothing")
        flips = flipped_labels(read_study(Path(source)), windows or str(Path(source).absolute().parent), limit, _say)
        _say(flips.summary())
        if not flips.clean:
            raise typer.Exit(1)
        return
    if windows is not None or limit is not None:
        raise RaylabError(f"--windows and --limit belong to flipped_labels, not to {kind}")
    if out is None:
        raise RaylabError("give a folder for the changed windows with --out")
    card = run_probe(kind, source, out, seed, person, noise)
    _say(card.caution)
    _say(f"{out}: {len(card.participants)} people, fingerprint {card.fingerprint}")


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="a run folder")],
    trial: Annotated[str, typer.Option(help="key of a finished trial (trials.parquet), or its beginning")],
    out: Annotated[Path, typer.Option(help="the model file to write")],
    windows: Annotated[str | None, typer.Option(help="folder that the study's windows are in, if it has moved")] = None,
) -> None:
    """A trial's model as one file: weights, preprocessing, labels, and a card that says where it comes from."""
    for line in run_export(run, trial, out, windows).card.lines():
        _say(line)
    _say(f"written to {out} ({out.stat().st_size / 1e6:.1f} MB); follow a stream with: raylab live {out} --source ...")


@app.command()
def live(
    model: Annotated[Path, typer.Argument(help="a model file of `raylab export`")],
    source: Annotated[str, typer.Option(help="; ".join(kind.description for kind in SOURCES.values()))],
    participant: Annotated[str, typer.Option(help="folder: whose recording")] = "",
    marks: Annotated[
        bool, typer.Option("--replay-labels", help="folder: its own labels are replayed as the wearer's marks")
    ] = False,
    speed: Annotated[
        float, typer.Option(help="recordings: 1 is real time, 0 as fast as possible, dropping nothing", min=0)
    ] = 1.0,
    calibrate: Annotated[int, typer.Option(help="calibrate on so many windows of each class that the wearer marks", min=0)] = 0,
    layers: Annotated[str, typer.Option(help="what a calibration trains: all or last")] = "all",
    sentences: Annotated[Path | None, typer.Option(help="speech: what may be said, a sentence a line")] = None,
    page: Annotated[int | None, typer.Option(help="show it on a page at this port of this machine; 0: any")] = None,
    record: Annotated[Path | None, typer.Option(help="add the decisions to this file; nothing is stored otherwise")] = None,
    consent: Annotated[bool, typer.Option("--consent", help="microphone, camera: those who are captured have agreed")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no decisions on standard output")] = False,
) -> None:
    """Follow a stream: decisions as lines of JSON on standard output, and on a page."""
    heard = [line.strip() for line in sentences.read_text(encoding="utf-8").splitlines()] if sentences else []
    settings = StreamSettings(calibrate, layers, [line for line in heard if line])
    asked = SourceOptions(source, participant, marks, speed)
    aside = Console(stderr=True, soft_wrap=True, highlight=False)
    one_window_at_a_time()
    follow(LiveOrder(model, asked, settings, page, record, consent, quiet), lambda line: aside.print(line, markup=False))


@app.command()
def techniques() -> None:
    """What each technique trains on, what it needs, and how many trainings it costs."""
    for technique in TECHNIQUES.values():
        variants = technique.variants({})
        needs = sorted(technique.needs(variants[0]))
        shared = {stage.name for variant in variants for stage in technique.stages(variant)[:-1]}
        trainings = f"{len(variants)} variants cost {len(variants)} trainings" if len(variants) > 1 else "costs 1 training"
        trainings += f" and 1 of {', '.join(sorted(shared))} that they share" if shared else ""
        _say(f"{technique.name}: {technique.description}")
        _say(f"  needs {', '.join(needs) or 'nothing of the target, no traits'}; per target and seed, its {trainings}")
        for axis in technique.axes:
            _say(f"  {axis.name}: {', '.join(str(value) for value in axis.default)} (allowed: {axis.description})")
        for stage in technique.stages(variants[0]):
            overrides = ", ".join(f"{name} {value:g}" for name, value in stage.overrides.items())
            _say(
                f"  stage {stage.name}: {stage.windows}, frees {' + '.join(stage.trainable)}{f'; {overrides}' if overrides else ''}"
            )


@app.command()
def models() -> None:
    """What there is for `encoder:` and `fusion:` in a study."""
    _say("encoder:")
    for encoder in ENCODERS.values():
        short = "" if encoder.variable else "; not for channels of variable length"
        _say(f"  {encoder.name}: {encoder.description}; batch {encoder.batch_size} unless a study says otherwise{short}")
    for baseline in CLASSICAL_MODELS.values():
        _say(f"  {baseline.name}: {baseline.description}; no network" + (f" ({baseline.missing})" if baseline.missing else ""))
    _say("fusion:")
    for name, fusion in FUSIONS.items():
        _say(f"  {name}: {fusion.description}")


def main() -> None:
    """Run a command; what is wrong with the input is a sentence, not a traceback."""
    try:
        app()
    except (RaylabError, FileNotFoundError, ValueError) as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"raylab: {error}", markup=False)
        sys.exit(2)
