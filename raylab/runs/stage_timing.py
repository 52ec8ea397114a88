"""Time of a training step: a few real steps of every shape of stage, on the study's own windows."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch

from raylab.models.build import build_model
from raylab.models.estimators import Estimator
from raylab.models.registry import CLASSICAL_MODELS
from raylab.plugins import Plugin, enter_same, entered
from raylab.runs.cluster import check_resources, connect, slots, worker_resources
from raylab.runs.gpu_memory import resolve_gpu_share
from raylab.runs.progress import Log
from raylab.runs.ray_errors import remote_result
from raylab.runs.shared_windows import shared_windows, windows_of
from raylab.training.batches import Signals
from raylab.training.job import Job
from raylab.training.loop import known_classes, predict, reader_of, train
from raylab.training.stacked import train_copies
from raylab.training.stage_hash import PlannedStage
from raylab.trials.plan import stages_of
from raylab.trials.resources import Resources
from raylab.trials.run_trial import one_thread
from raylab.trials.stacks import composition_sizes
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex, Windows

TIMED_STEPS = 16  # of an epoch
TIMED_EPOCHS = 3  # the first one warms up
PREDICTED_WINDOWS = 128  # at most, to time the prediction


@dataclass(frozen=True)
class StageShape:
    """Stages that cost the same per step.

    Attributes:
        members: trainings that stand side by side in their stack; 1: alone.
        at_once: whether everything is computed in one go, as a classical model's fit; then there are no steps and nothing is freed.
    """

    dataset: str
    model: str
    stage: str
    trainable: tuple[str, ...]
    batch: int
    members: int = 1
    at_once: bool = False

    def __str__(self) -> str:
        if self.at_once:
            return f"{self.dataset} / {self.model} / {self.stage} (in one go)"
        stack = f", {self.members} side by side" if self.members > 1 else ""
        return f"{self.dataset} / {self.model} / {self.stage} (frees {' + '.join(self.trainable)}, batch {self.batch}{stack})"


@dataclass(frozen=True)
class DistinctStage:
    """A stage of the study, counted once however many trials share it, and the first trial that needs it."""

    shape: StageShape
    stage: PlannedStage
    trial: Trial

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return _steps(self.stage)

    @property
    def epochs(self) -> int:
        """Epochs if nothing stops the training early; what is computed in one go, as a classical model's fit, counts as one epoch."""
        return 1 if self.shape.at_once else self.stage.hyper.epochs

    @property
    def earliest(self) -> int:
        """Epochs if the first one stays the best; all epochs if the stage has no validation windows."""
        return min(self.epochs, self.stage.hyper.patience + 1) if len(self.stage.validation) else self.epochs


@dataclass(frozen=True)
class Timing:
    """Seconds of one optimizer step of one training, with its share of the validation, and of predicting one window; in a stack a member's share."""

    step_s: float
    window_s: float


def _steps(stage: PlannedStage) -> int:
    """Optimizer steps in an epoch, at least one."""
    count = len(stage.stepped)
    return max(1, math.ceil(count / stage.hyper.batch(count)))


def survey(trials: list[Trial], indexes: Mapping[str, WindowIndex]) -> tuple[dict[str, DistinctStage], dict[str, int]]:
    """Every distinct stage by its hash, and by the key of each trial the number of target windows that it predicts."""
    distinct: dict[str, DistinctStage] = {}
    predicted: dict[str, int] = {}
    sizes = composition_sizes(trials)
    for trial in trials:
        if trial.problem:
            continue
        context, stages = stages_of(trial, indexes[trial.windows])
        predicted[trial.key] = len(context.fold.target_windows)
        for stage, composition in zip(stages, trial.stacks or [""] * len(stages), strict=True):
            batch, members = stage.hyper.batch(len(stage.stepped)), sizes.get(composition, 1)
            at_once = trial.model.encoder in CLASSICAL_MODELS or not stage.method.loops
            shape = StageShape(trial.dataset, trial.model.name, stage.name, stage.trainable, batch, members, at_once)
            distinct.setdefault(stage.hash, DistinctStage(shape, stage, trial))
    return distinct, predicted


def _shortened(stage: PlannedStage) -> PlannedStage:
    """The stage with few epochs of few batches, and validation windows in proportion."""
    batch = stage.hyper.batch(len(stage.train))
    rows = stage.train[: TIMED_STEPS * batch]
    validation = stage.validation[: math.ceil(len(stage.validation) * len(rows) / len(stage.train))]
    hyper = replace(stage.hyper, epochs=TIMED_EPOCHS, patience=TIMED_EPOCHS, batch_size=batch, batch_share=1.0)
    return replace(stage, train=rows, validation=validation, hyper=hyper, weights=None)


def time_stage(trial: Trial, name: str, windows: Windows, device: str, members: int = 1) -> Timing:
    """Time one stage of a trial.

    Processor time is taken, so that other programs on the machine count little; on a GPU it is wall time. What is computed in one go, as a classical
    model's fit, is timed as a whole, and its time divided by the number of steps. Of a stack as many copies of the stage are timed side by side.
    """
    now: Callable[[], float] = time.perf_counter if device == "cuda" else time.process_time
    context, stages = stages_of(trial, windows.index)
    stage = next(stage for stage in stages if stage.name == name)
    fold, torch_device = context.fold, torch.device(device)
    signals = Signals(windows.signals, windows.lengths).channels(trial.channels)
    model = build_model(context.model, context.shapes, context.n_classes, context.adapter, fold.draws, context.precision).to(
        torch_device
    )
    is_classical, people = isinstance(model, Estimator), fold.index.participant_index
    at_once = is_classical or not stage.method.loops
    stage = stage if at_once or not len(stage.train) else _shortened(stage)
    with one_thread():
        if is_classical and stage.method.loops is False:  # it continues from a fitted model
            train(model, signals, fold.y, stages[0], fold.draws, torch_device, people=people)
        ends = [now()] if at_once or stage.hyper.epochs == 1 else []
        if members > 1:
            job = Job(model, signals, known_classes(fold.y, stage), stage, fold.draws, torch_device)
            train_copies(job, members, lambda epoch: ends.append(now()))
        else:
            train(
                model,
                signals,
                fold.y,
                stage,
                fold.draws,
                torch_device,
                on_epoch=lambda epoch: ends.append(now()),
                people=people,
            )
        rows = fold.target_windows[:PREDICTED_WINDOWS]
        began = now()
        predict(model, signals, rows, torch_device, reader_of((stage,), people))
        window_s = (now() - began) / len(rows)
    return Timing((ends[-1] - ends[0]) / (len(ends) - 1) / _steps(stage) / members, window_s)


def _time_on_worker(stage: DistinctStage, windows: Mapping[str, Any], gpu: float, plugins: tuple[Plugin, ...]) -> Timing:
    enter_same(plugins)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    return _time(stage, windows_of(windows[stage.trial.windows]), device)


def _time(stage: DistinctStage, windows: Windows, device: str = "cpu") -> Timing:
    return time_stage(stage.trial, stage.shape.stage, windows, device, stage.shape.members)


def timings_in_process(stages: list[DistinctStage], windows: Mapping[str, Windows]) -> dict[StageShape, Timing]:
    """Timing of each stage's shape, in this process."""
    return {stage.shape: _time(stage, windows[stage.trial.windows]) for stage in stages}


def timings_on_ray(
    stages: list[DistinctStage], root: str, resources: Resources, address: str | None, log: Log
) -> tuple[dict[StageShape, Timing], int]:
    """Timing of each stage's shape on the cluster, with as many at the same time as trials would run, and the number of these slots.

    Args:
        root: folder that the paths of the windows are in.
    """
    connect(address)
    if waiting := check_resources(resources):
        log(waiting)
    refs = shared_windows(root, {stage.trial.windows for stage in stages}, resources.windows)
    per_worker = worker_resources(resolve_gpu_share(resources, [stage.trial for stage in stages], refs, log))
    task = ray.remote(num_cpus=per_worker["cpu"], num_gpus=per_worker["gpu"], max_retries=0)(_time_on_worker)
    references = [task.remote(stage, refs, per_worker["gpu"], entered()) for stage in stages]
    timings = remote_result(references, "timing the steps of the trainings")
    n_slots = slots({name: amount * resources.workers for name, amount in per_worker.items()})
    return dict(zip([stage.shape for stage in stages], timings, strict=True)), n_slots
