"""``python -m benchmarks step``: one optimizer step of a fold, alone and in a stack, in turns in one process.

Windows are noise of the shapes of WESAD's wrist (10 s; acceleration 32 Hz, blood volume pulse 64 Hz, skin conductance and temperature 4 Hz): the time
of a step does not depend on what is in them.
"""

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.results import append, paired
from raylab.folds.fold import NO_ROWS
from raylab.folds.seeding import FoldSeeds
from raylab.models.network import ModelSpec, Network, build
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
    spec: ModelSpec, members: int, batch: int, steps: int, frees: tuple[str, ...], channels: Mapping[str, int] = WRIST
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
        network = build(spec, shapes, 2, False, draws)
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


def measure(
    spec: ModelSpec, members: int, batch: int, steps: int, repeats: int, frees: tuple[str, ...] = ("trunk", "head")
) -> dict[str, float]:
    """CPU milliseconds of a fold's step, alone (``plain``) and stacked (``ours``), and how far their weights are apart.

    Returns:
        See ``paired``; and ``difference``, the largest of any weight, convolutions' biases apart (they are before batch norm and change nothing).
    """
    alone, stacked, difference = [], [], 0.0
    with one_thread():
        for repeat in range(repeats + (repeats > 1)):  # the first is not counted: it warms up
            jobs = jobs_of(spec, members, batch, steps, frees)
            networks = [deepcopy(job.network) for job in jobs]
            one_by_one = sum(_epoch_of_one(job, network) for job, network in zip(jobs, networks, strict=True))
            at_once = _epoch_of_all(jobs)
            if repeat or repeats == 1:
                alone.append(one_by_one * 1e3 / members / steps)
                stacked.append(at_once * 1e3 / members / steps)
            difference = max(
                difference, *(_difference(job.network, network) for job, network in zip(jobs, networks, strict=True))
            )
    return {**paired(alone, stacked), "difference": difference}


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
    head: Annotated[bool, typer.Option(help="free the head alone, as `layers: last` does")] = False,
    results: Annotated[Path, typer.Option(help="a line is added for each case")] = Path("build/benchmarks.jsonl"),
) -> None:
    """A fold's optimizer step, alone and in a stack: CPU milliseconds, in turns, and how far the weights are apart."""
    torch.set_num_threads(1)
    for name in encoder.split(","):
        for factor in width.split(","):
            settings = {
                "encoder": name,
                "fusion": fusion,
                "width": float(factor),
                "members": members,
                "batch": batch,
                "steps": steps,
            }
            frees = ("head",) if head else ("trunk", "head")
            measured = measure(ModelSpec(name, fusion, float(factor)), members, batch, steps, repeats, frees)
            append(results, "step", {**settings, "repeats": repeats, "frees": "+".join(frees)}, measured)
