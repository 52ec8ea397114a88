"""The worker: one trial in, its record and predictions out. It knows nothing of Ray."""

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from analysis.scores.metrics import auroc
from raylab.folds.fold import RowIds
from raylab.models.build import Model, build_model
from raylab.training.batches import Signals
from raylab.training.loop import Epoch, TrainingError, attention, predict, train
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import StageStore
from raylab.training.worker_group import ALONE, WorkerGroup
from raylab.trials.plan import stages_of
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex, Windows

Report = Callable[[dict[str, Any]], None]
StageWatch = Callable[[PlannedStage, RowIds], None]
StagePlanner = Callable[[Trial, WindowIndex], tuple[TrainingContext, tuple[PlannedStage, ...]]]
REPORT_EVERY_S = 2.0


@dataclass
class Outcome:
    """What a trial came to.

    Attributes:
        status: ``ok``; ``failed`` (an error, named); ``missing`` (the fold cannot be built: not an error).
        record: the row of trials.parquet.
        predictions: trial, participant, window, y_true, p, purged; None unless ok.
        attention: trial, window, channel, weight, one row for each channel of each predicted window; None unless the model's
            fusion weighs channels window by window.
        trained: hashes of the stages trained here, counted by the loop.
    """

    status: str
    record: dict[str, Any]
    predictions: pa.Table | None = None
    attention: pa.Table | None = None
    trained: list[str] = field(default_factory=list)

    def fail(self, error: Exception) -> None:
        """The trial ended with this error."""
        self.status, self.predictions, self.attention = "failed", None, None
        self.record |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in another order give other bits: one thread, and only algorithms that repeat themselves."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def run_trial(
    trial: Trial,
    windows: Windows,
    store: StageStore,
    device: str = "cpu",
    report: Report = lambda event: None,
    watch: StageWatch = lambda stage, rows: None,
    planned: StagePlanner = stages_of,
    group: WorkerGroup = ALONE,
) -> Outcome:
    """Train what the store lacks, predict every target window that was not trained on.

    Args:
        report: called with ``{"stage", "stage_done", "reused", "curve", "windows"}``: epochs since the last call, and the
            windows that went through them, every few seconds of training, and once with the stage's hash when it is done, trained
            here or found in the store (``reused``); by every worker of the group alike.
        watch: called with the stage and the rows of every batch that an optimizer receives.
        planned: gives the fold and the stages; a probe plans on other labels than those that the worker gets to see.
        group: who runs this trial together; the first worker stores and predicts, the others only train.

    Returns:
        the outcome; an error inside becomes ``failed`` with its message, and never leaves this function.
    """
    began = time.perf_counter()
    outcome = Outcome("missing", {**trial.labels, "trial": trial.key, "error": trial.problem, "device": device})
    outcome.record |= {"epochs": 0, "windows_trained": 0, "stages": list(trial.stages), "stages_reused": 0}
    outcome.record |= {"searched": trial.best_params_text} if trial.best_params else {}
    if not trial.problem:
        try:
            with one_thread():
                _Worker(trial, windows, store, torch.device(device), report, watch, planned, outcome, group).run()
            outcome.status = "ok"
        except Exception as error:  # the trial is the unit of failure: it is named and the others go on
            outcome.fail(error)
            outcome.record["traceback"] = traceback.format_exc()
    outcome.record |= {"status": outcome.status, "seconds": round(time.perf_counter() - began, 3), "ended": time.time()}
    return outcome


@dataclass(frozen=True)
class _Worker:
    """What the steps of one trial share."""

    trial: Trial
    windows: Windows
    store: StageStore
    device: torch.device
    report: Report
    watch: StageWatch
    planned: StagePlanner
    outcome: Outcome
    group: WorkerGroup

    @cached_property
    def signals(self) -> Signals:
        return Signals(self.windows.signals, self.windows.lengths).channels(self.trial.channels)

    def run(self) -> None:
        subject, stages = self.planned(self.trial, self.windows.index)
        if tuple(stage.hash for stage in stages) != self.trial.stages:
            raise TrainingError(
                "this worker's plan differs from the driver's: raylab versions or windows differ between machines"
            )
        network = build_model(subject.model, subject.shapes, subject.n_classes, subject.adapter, subject.fold.draws).to(
            self.device
        )
        for stage in stages:
            stored = self.group.broadcast_from_leader(partial(self.store.load, stage.hash))
            if stored is None:
                self.train(subject, stage, network)
                continue
            network.load_parts(stored)
            self.outcome.record["stages_reused"] += 1
            self.tell(stage, [], done=True, reused=True)
        if self.group.is_leader:
            self.predict(subject, stages, network)

    def train(self, subject: TrainingContext, stage: PlannedStage, network: Model) -> None:
        """Train one stage, store its weights, and keep the account of trainings; epochs are reported every few seconds."""
        unsent: list[Epoch] = []
        last = time.monotonic()

        def on_epoch(epoch: Epoch) -> None:
            nonlocal last
            unsent.append(epoch)
            if self.group.broadcast_from_leader(lambda: time.monotonic() - last > REPORT_EVERY_S):
                self.tell(stage, unsent.copy(), done=False)
                unsent.clear()
                last = time.monotonic()

        fold, record, lead = subject.fold, self.outcome.record, self.group.is_leader
        about = {"trial": self.trial.key, "name": stage.name, **self.trial.labels}
        attempt = self.store.begin(stage.hash, about) if lead else ""
        watch = partial(self.watch, stage)
        done = train(network, self.signals, fold.y, stage, fold.draws, self.device, watch, on_epoch, self.group)
        if lead:
            self.store.save(stage.hash, network.state_of(stage.trainable))
            came = {"epochs": len(done.curve), "best_epoch": done.best_epoch, "steps": done.steps, "windows": len(done.seen)}
            self.store.complete(attempt, {**came, "curve": done.curve})
        self.outcome.trained.append(stage.hash)
        record["epochs"] += len(done.curve)
        record["windows_trained"] += len(done.curve) * len(done.seen)
        self.tell(stage, unsent, done=True)

    def tell(self, stage: PlannedStage, curve: list[Epoch], done: bool, reused: bool = False) -> None:
        """Report these epochs of a stage."""
        about = {"stage": stage.name, "stage_done": stage.hash if done else "", "reused": reused}
        self.report({**about, "curve": curve, "windows": len(curve) * len(stage.train)})

    def weights(self, windows: npt.NDArray[np.int64], weights: npt.NDArray[np.float32] | None) -> pa.Table | None:
        """The weights of each window's channels (n, n_channels) as a table."""
        if weights is None:
            return None
        channels = self.trial.channels
        return pa.table(
            {
                "trial": pa.array([self.trial.key] * weights.size, pa.string()),
                "window": pa.array(np.repeat(windows, len(channels)), pa.int64()),
                "channel": pa.array(list(channels) * len(windows), pa.string()),
                "weight": pa.array(weights.ravel(), pa.float32()),
            }
        )

    def predict(self, subject: TrainingContext, stages: tuple[PlannedStage, ...], network: Model) -> None:
        """Every target window that no stage trained on; those that overlap a training window, or were looked
        at to find similar people, are marked purged."""
        fold = subject.fold
        trained = np.unique(np.concatenate([np.concatenate([stage.train, stage.validation]) for stage in stages]))
        rows = np.setdiff1d(fold.target_windows, trained)
        used = np.union1d(trained, np.concatenate([stage.signals_used for stage in stages]))
        p = predict(network, self.signals, rows, self.device)
        if not np.isfinite(p).all():
            raise TrainingError("the model predicts NaN: its weights or the windows are not finite")
        purged = np.isin(rows, fold.overlapping(rows, used)) if self.trial.purge else np.zeros(len(rows), dtype=bool)
        y = fold.y[rows]
        self.outcome.predictions = pa.table(
            {
                "trial": pa.array([self.trial.key] * len(rows), pa.string()),
                "participant": pa.array([self.trial.target] * len(rows), pa.string()),
                "window": pa.array(fold.index.window[rows], pa.int64()),
                "y_true": pa.array(y, pa.int8()),
                "p": pa.array(list(p), pa.list_(pa.float32())),
                "purged": pa.array(purged, pa.bool_()),
            }
        )
        self.outcome.attention = self.weights(fold.index.window[rows], attention(network, self.signals, rows, self.device))
        tested = auroc(y[~purged], p[~purged])
        last = np.concatenate([stages[-1].train, stages[-1].validation])
        self.outcome.record["people"] = len(np.unique(fold.index.participant_index[last]))
        self.outcome.record |= {"n_test": int((~purged).sum()), "auroc": None if np.isnan(tested) else float(tested)}
