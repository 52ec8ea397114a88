"""``python -m benchmarks sums STUDY.yaml``: how far apart AUROC are that differ in the order of summation alone, and those of a stack.

Every fold's first stage is trained four times from the same weights, on the same batches: alone, alone with the rows of every batch in reverse (sums
in another order, and nothing else), in a stack with other folds, and alone in bfloat16. What the stack changes is to be no more than what the
reversal does.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from analysis.scores.metrics import auroc
from benchmarks.results import append
from raylab.files import Folder
from raylab.folds.fold import Fold, RowIds
from raylab.models.network import Network, build
from raylab.models.precision import Precision
from raylab.training.batches import Signals
from raylab.training.gradient import Loop, Objective
from raylab.training.job import CPU, Job
from raylab.training.loop import known_classes, predict
from raylab.training.stacked import train_stack
from raylab.trials.plan import plan, stages_of
from raylab.trials.run_trial import one_thread
from raylab.trials.study import read_study
from raylab.windows.dataset import read_windows

BF16: Precision = "bf16"
WAYS = ("alone", "reversed", "stacked", BF16)


class Reversed(Objective):
    """The same batches with their rows in reverse."""

    def order(self, rows: RowIds, shuffle: np.random.Generator) -> RowIds:
        order = super().order(rows, shuffle)
        size = self.job.stage.hyper.batch(len(order))
        return np.concatenate([order[start : start + size][::-1] for start in range(0, len(order), size)])


@dataclass(frozen=True)
class _Training:
    """The first stage of a trial: networks of equal weights, and the job of the first."""

    name: str
    fold: Fold
    networks: dict[str, Network]
    job: Job

    def of(self, way: str) -> Job:
        return replace(self.job, model=self.networks[way])

    def auroc(self, way: str) -> float:
        """Of the fold's target, on all windows."""
        rows, y = self.fold.target_windows, self.fold.y
        return auroc(y[rows].astype(np.int64), predict(self.networks[way], self.job.signals, rows, CPU))


def _trainings(file: Path, windows: Path) -> Iterator[_Training]:
    study = read_study(file)
    (entry,) = study.datasets
    data = read_windows(Folder(str(windows / entry.windows)))
    for trial in plan(study, {study.source(entry): data.index}):
        context, stages = stages_of(trial, data.index)
        network = build(
            context.model, context.shapes, context.n_classes, context.adapter, context.fold.draws, context.precision
        )
        signals = Signals(data.signals, data.lengths).channels(trial.channels)
        stage = stages[0]
        job = Job(network, signals, known_classes(context.fold.y, stage), stage, context.fold.draws, CPU)
        name = f"{trial.labels['participant']} {trial.labels['seed']}"
        networks = {way: deepcopy(network) for way in WAYS}
        networks[BF16].precision = BF16
        yield _Training(name, context.fold, networks, job)


def sums(
    file: Annotated[Path, typer.Argument(help="a study of one dataset, one network and no technique but non_personalized")],
    windows: Annotated[Path, typer.Option(help="folder that its windows are in")] = Path("windows"),
    members: Annotated[int, typer.Option(help="folds in a stack")] = 8,
    results: Annotated[Path, typer.Option(help="a line is added")] = Path("build/benchmarks.jsonl"),
) -> None:
    """AUROC of each fold alone, with batches reversed, stacked, and in bf16; mean, largest and SD of the differences from alone."""
    rows, trainings = [], list(_trainings(file, windows))
    with one_thread():
        for start in range(0, len(trainings), members):
            group = trainings[start : start + members]
            for training in group:
                Loop(alone := training.of("alone"), Objective(alone)).run(alone.on_epoch)
                Loop(other := training.of("reversed"), Reversed(other)).run(other.on_epoch)
                Loop(rounded := training.of(BF16), Objective(rounded)).run(rounded.on_epoch)
            train_stack([training.of("stacked") for training in group])
            for training in group:
                rows.append([training.auroc(way) for way in WAYS])
                typer.echo("  ".join([f"{training.name:12}", *(f"{value:.4f}" for value in rows[-1])]))
    scores = np.array(rows)
    apart = {way: scores[:, i] - scores[:, 0] for i, way in enumerate(WAYS) if i}
    measured = {f"mean_{way}": float(np.nanmean(scores[:, i])) for i, way in enumerate(WAYS)}
    for way, gaps in apart.items():
        measured |= {f"{way}_mean": float(np.nanmean(gaps)), f"{way}_sd": float(np.nanstd(gaps, ddof=1))}
        measured |= {f"{way}_largest": float(np.nanmax(np.abs(gaps)))}
    append(results, "sums", {"study": file.name, "members": members, "folds": len(rows)}, measured)
