"""``python -m benchmarks step``: one optimizer step of a fold, alone and in a stack and in several precisions, in turns in one process.

Windows are noise of the shapes of WESAD's wrist (10 s; acceleration 32 Hz, blood volume pulse 64 Hz, skin conductance and temperature 4 Hz): the time
of a step does not depend on what is in them.
"""

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import torch
import typer

from benchmarks.results import append, paired
from raylab.folds.fold import NO_ROWS
from raylab.folds.seeding import FoldSeeds
from raylab.models.network import ModelSpec, Network, build
from raylab.models.precision import FLOAT32, Precision
from raylab.training.batches import Signals
from raylab.training.job import CPU, Job
from raylab.training.loop import known_classes, train
from raylab.training.protocol import Hyperparameters
from raylab.training.stacked import train_stack
from raylab.training.stage_hash import PlannedStage
from raylab.trials.run_trial import one_thread

WRIST = {"ACC x": 320, "ACC y": 320, "ACC z": 320, "BVP": 640, "EDA": 40, "TEMP": 40}
WINDOWS = 400


def jobs_of(
    spec: ModelSpec,
    members: int,
    batch: int,
    steps: int,
    frees: tuple[str, ...],
    channels: Mapping[str, int] = WRIST,
    precision: Precision = FLOAT32,
) -> list[Job]:
    """Trainings of two epochs of so many steps, without validation.

    Args:
        channels: name to samples of a window.
    """
    rng = np.random.default_rng(0)
    signals = Signals({name: rng.standard_normal((WINDOWS, n, 1), dtype=np.float32) for name, n in channels.items()})
    classes = rng.integers(0, 2, WINDOWS).astype(np.int8)
    shapes = {name: (n, 1) for name, n in channels.items()}
    hyper = Hyperparameters(epochs=2, batch_size=batch, batch_share=1.0)
    jobs = []
    for member in range(members):
        draws = FoldSeeds(member, "made", "stress", "P")
        rows = np.sort(rng.permutation(WINDOWS)[: batch * steps])
        stage = PlannedStage("everyone_else", rows, NO_ROWS, NO_ROWS, frees, hyper, "", "")
        network = build(spec, shapes, 2, False, draws, precision)
        jobs.append(Job(network, signals, known_classes(classes, stage), stage, draws, CPU))
    return jobs


def _epoch_of_one(job: Job, network: Network) -> float:
    """CPU seconds of the second epoch: the first one warms up, and what comes before it is done once a stage."""
    ends: list[float] = []
    classes = job.classes.astype(np.int8)
    train(network, job.signals, classes, job.stage, job.draws, CPU, on_epoch=lambda epoch: ends.append(time.process_time()))
    return ends[1] - ends[0]


def _epoch_of_all(jobs: list[Job]) -> float:
    """The same of a stack."""
    ends: list[float] = []
    first = replace(jobs[0], on_epoch=lambda epoch: ends.append(time.process_time()))
    train_stack([first, *jobs[1:]])
    return ends[1] - ends[0]


@dataclass
class _Times:
    """CPU milliseconds of a fold's step in one precision, one entry a repeat; and the largest distance of a weight alone and stacked."""

    alone: list[float] = field(default_factory=list)
    stacked: list[float] = field(default_factory=list)
    difference: float = 0.0


def measure(
    spec: ModelSpec,
    members: int,
    batch: int,
    steps: int,
    repeats: int,
    frees: tuple[str, ...] = ("trunk", "head"),
    precisions: Sequence[Precision] = (FLOAT32,),
) -> dict[Precision, dict[str, float]]:
    """CPU milliseconds of a fold's step, alone (``plain``) and stacked (``ours``), and how far their weights are apart, by precision.

    Returns:
        See ``paired``; ``difference``, the largest of any weight, convolutions' biases apart (they are before batch norm and change nothing); and
        ``alone_ratio`` and ``stacked_ratio`` with their smallest and largest: the time in the first precision over the time in this one.
    """
    times = {precision: _Times() for precision in precisions}
    with one_thread():
        for repeat in range(repeats + (repeats > 1)):  # the first is not counted: it warms up
            for precision, own in times.items():
                jobs = jobs_of(spec, members, batch, steps, frees, precision=precision)
                networks = [deepcopy(job.network) for job in jobs]
                one_by_one = sum(_epoch_of_one(job, network) for job, network in zip(jobs, networks, strict=True))
                at_once = _epoch_of_all(jobs)
                if repeat or repeats == 1:
                    own.alone.append(one_by_one * 1e3 / members / steps)
                    own.stacked.append(at_once * 1e3 / members / steps)
                own.difference = max(own.difference, *(_difference(j.network, n) for j, n in zip(jobs, networks, strict=True)))
    first = times[precisions[0]]
    return {
        precision: {
            **paired(own.alone, own.stacked),
            "difference": own.difference,
            **_against("alone", first.alone, own.alone),
            **_against("stacked", first.stacked, own.stacked),
        }
        for precision, own in times.items()
    }


def _against(name: str, first: list[float], own: list[float]) -> dict[str, float]:
    """The ratios of ``paired`` under this name."""
    return {f"{name}_{key}": value for key, value in paired(first, own).items() if key.startswith("ratio")}


def precisions_of(text: str) -> list[Precision]:
    """The precisions of a list separated by commas.

    Raises:
        typer.BadParameter: naming those that there are.
    """
    names = text.split(",")
    if unknown := [name for name in names if name not in get_args(Precision)]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(get_args(Precision))}")
    return [known for name in names for known in get_args(Precision) if known == name]


def _difference(one: Network, other: Network) -> float:
    state = other.state_dict()
    names = [name for name in state if not name.endswith(("conv.bias", "running_mean", "num_batches_tracked"))]
    return max(float((one.state_dict()[name] - state[name]).abs().max()) for name in names)


def step(
    encoder: Annotated[str, typer.Option(help="several, separated by commas")] = "fcn",
    width: Annotated[str, typer.Option(help="several, separated by commas")] = "0.125",
    fusion: str = "late",
    members: int = 8,
    batch: int = 4,
    steps: int = 12,
    repeats: int = 3,
    precision: Annotated[
        str, typer.Option(help="several, separated by commas; the others' times are set against the first's")
    ] = FLOAT32,
    head: Annotated[bool, typer.Option(help="free the head alone, as `layers: last` does")] = False,
    results: Annotated[Path, typer.Option(help="a line is added for each case")] = Path("build/benchmarks.jsonl"),
) -> None:
    """A fold's optimizer step, alone and in a stack: CPU milliseconds, in turns, and how far the weights are apart."""
    precisions = precisions_of(precision)
    torch.set_num_threads(1)
    for name in encoder.split(","):
        for factor in width.split(","):
            settings: dict[str, Any] = {
                "encoder": name,
                "fusion": fusion,
                "width": float(factor),
                "members": members,
                "batch": batch,
                "steps": steps,
            }
            frees = ("head",) if head else ("trunk", "head")
            settings |= {"repeats": repeats, "frees": "+".join(frees)}
            measured = measure(ModelSpec(name, fusion, float(factor)), members, batch, steps, repeats, frees, precisions)
            for one, values in measured.items():
                append(results, "step", {**settings, "precision": one}, values)
