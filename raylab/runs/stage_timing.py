"""How long a training step takes here: a few real ones of every kind of stage, on the study's own windows."""

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
from raylab.runs.cluster import connect, per_trial, slots
from raylab.runs.gpu_memory import resolve_gpu_share
from raylab.training.batches import Signals
from raylab.training.loop import predict, train
from raylab.training.stage_hash import PlannedStage
from raylab.trials.plan import stages_of
from raylab.trials.run_trial import one_thread
from raylab.trials.study import Resources
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex, Windows

STEPS = 16  # an epoch that is timed has so many
EPOCHS = 3  # timed; the first one warms up
PREDICTED = 128  # windows


@dataclass(frozen=True)
class StageShape:
    """Stages that cost the same per step."""

    dataset: str
    model: str
    stage: str
    trainable: tuple[str, ...]
    batch: int

    def __str__(self) -> str:
        return f"{self.dataset} / {self.model} / {self.stage} (frees {' + '.join(self.trainable)}, batch {self.batch})"


@dataclass(frozen=True)
class Item:
    """A stage of the study, and the first trial that needs it."""

    kind: StageShape
    stage: PlannedStage
    trial: Trial

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return math.ceil(len(self.stage.train) / self.kind.batch)

    @property
    def epochs(self) -> int:
        """Epochs if nothing stops it; a baseline is fitted at once."""
        return 1 if self.trial.model.encoder in CLASSICAL_MODELS else self.stage.hyper.epochs

    @property
    def earliest(self) -> int:
        """Epochs if the first one stays the best; all of them where nothing validates."""
        return min(self.epochs, self.stage.hyper.patience + 1) if len(self.stage.validation) else self.epochs


@dataclass(frozen=True)
class Timing:
    """Seconds of one optimizer step, with its share of the validation, and of predicting one window."""

    step_s: float
    window_s: float


def survey(trials: list[Trial], indexes: Mapping[str, WindowIndex]) -> tuple[dict[str, Item], dict[str, int]]:
    """Every distinct stage by its hash, and the number of target windows of every trial by its key."""
    items: dict[str, Item] = {}
    predicted: dict[str, int] = {}
    for trial in trials:
        if trial.problem:
            continue
        subject, stages = stages_of(trial, indexes[trial.windows])
        predicted[trial.key] = len(subject.fold.target_windows)
        for stage in stages:
            kind = StageShape(trial.dataset, trial.model.name, stage.name, stage.trainable, stage.hyper.batch(len(stage.train)))
            items.setdefault(stage.hash, Item(kind, stage, trial))
    return items, predicted


def _shortened(stage: PlannedStage) -> PlannedStage:
    """A few epochs of a few batches, with validation windows in proportion."""
    batch = stage.hyper.batch(len(stage.train))
    rows = stage.train[: STEPS * batch]
    validation = stage.validation[: math.ceil(len(stage.validation) * len(rows) / len(stage.train))]
    hyper = replace(stage.hyper, epochs=EPOCHS, patience=EPOCHS, batch_size=batch, batch_share=1.0)
    return replace(stage, train=rows, validation=validation, hyper=hyper)


def time_stage(trial: Trial, name: str, windows: Windows, device: str) -> Timing:
    """Time one stage of a trial: in processor time, so that what else runs on the machine counts little; in wall time on a GPU. A baseline is
    fitted whole, and its time divided into steps."""
    now: Callable[[], float] = time.perf_counter if device == "cuda" else time.process_time
    subject, stages = stages_of(trial, windows.index)
    stage = next(stage for stage in stages if stage.name == name)
    fold, there = subject.fold, torch.device(device)
    signals = Signals(windows.signals, windows.lengths).channels(trial.channels)
    network = build_model(subject.model, subject.shapes, subject.n_classes, subject.adapter, fold.draws).to(there)
    whole = isinstance(network, Estimator)
    stage = stage if whole else _shortened(stage)
    ends = [now()] if whole else []
    with one_thread():
        train(network, signals, fold.y, stage, fold.draws, there, on_epoch=lambda epoch: ends.append(now()))
        rows = fold.target_windows[:PREDICTED]
        began = now()
        predict(network, signals, rows, there)
        window_s = (now() - began) / len(rows)
    steps = math.ceil(len(stage.train) / stage.hyper.batch(len(stage.train)))
    return Timing((ends[-1] - ends[0]) / (len(ends) - 1) / steps, window_s)


def _time_there(trial: Trial, name: str, windows: Mapping[str, Any], gpu: float) -> Timing:
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    return time_stage(trial, name, ray.get(windows[trial.windows]), device)


def timings_here(items: list[Item], windows: Mapping[str, Windows]) -> dict[StageShape, Timing]:
    """Each kind's timing, in this process."""
    return {item.kind: time_stage(item.trial, item.kind.stage, windows[item.trial.windows], "cpu") for item in items}


def timings_on_ray(
    items: list[Item], windows: Mapping[str, Windows], resources: Resources, address: str | None, say: Callable[[str], None]
) -> tuple[dict[StageShape, Timing], int]:
    """Each kind's timing on the cluster, as many at once as trials would run, and how many that are."""
    connect(address)
    refs = {path: ray.put(data) for path, data in windows.items()}
    each = per_trial(resolve_gpu_share(resources, [item.trial for item in items], refs, say))
    task = ray.remote(num_cpus=each["cpu"], num_gpus=each["gpu"], max_retries=0)(_time_there)
    found = ray.get([task.remote(item.trial, item.kind.stage, refs, each["gpu"]) for item in items])
    at_once = slots({name: amount * resources.workers for name, amount in each.items()})
    return dict(zip([item.kind for item in items], found, strict=True)), at_once
