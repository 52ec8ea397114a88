"""Trials on Ray Tune: the function that a worker runs for one trial, and the sweep over all of them.

A searcher schedules by stages, actors are reused, and trials get fractions of GPUs.
"""

import sys
from typing import Any

import ray
import torch
from ray import tune

from raylab.plugins import Plugin, enter_same, entered
from raylab.runs.cluster import check_resources, slots, worker_resources
from raylab.runs.folder import ACCOUNTS, RunFolder
from raylab.runs.gpu_memory import limit_gpu_memory, resolve_gpu_share
from raylab.runs.lease import Lease
from raylab.runs.multi_worker import SUPERVISOR_RESOURCES, run_on_several_workers
from raylab.runs.progress import Progress
from raylab.runs.prometheus import Metrics
from raylab.runs.ray_errors import boundary
from raylab.runs.shared_windows import windows_of
from raylab.runs.stage_lifetime import StageLifetime
from raylab.runs.stage_room import StageRoom
from raylab.runs.stage_scheduler import StageScheduler
from raylab.runs.stop import noted
from raylab.runs.tensorboard_logs import FIFO, TensorBoardLogger
from raylab.runs.tune_callbacks import MAX_WORKER_DEATHS, LeaseAndCompaction, ProgressCallback
from raylab.runs.tune_memory import KeepLittle
from raylab.trials.resources import Resources
from raylab.trials.run_stack import run_stack
from raylab.trials.run_trial import REPORT_EVERY_S, Outcome
from raylab.trials.stacks import Unit, unit_key
from raylab.trials.trial import Trial

REPORT_CPU_S = 0.0014  # of the driver for one report (docs/results/scale.md)
REPORT_SHARE = 0.25  # of the driver's time, at most, for the reports of trainings


def trainable(
    config: dict[str, Any],
    windows: dict[str, Any],
    run: str,
    per_worker: dict[str, float],
    plugins: tuple[Plugin, ...] = (),
    report_every_s: float = REPORT_EVERY_S,
) -> None:
    """Run a trial, or a stack of trials; Tune calls this function (a "trainable" in its words) with the unit as ``config``.

    Each trial's end is a report of its own, with ``finished``; so is every other event, with the key of its ``trial``.

    Args:
        config: made by the unit's ``as_config``.
        windows: by the path of each dataset's windows, their reference in the object store.
        run: URI of the run folder.
        per_worker: resources of each worker of a trial: cpu, gpu.
        plugins: that the driver has entered.
        report_every_s: seconds between two reports of a training.
    """
    enter_same(plugins)
    unit = Unit.from_config(config)
    folder, trial = RunFolder(run), unit.trials[0]
    held: dict[str, Any] = {name: config[name] for name in ("leaves", "absent", "unstored", "limits") if name in config}
    folder.store.hold(**held)

    def ended(outcome: Outcome) -> None:
        try:
            outcome.record = folder.write_outcome(outcome, ray.util.get_node_ip_address())
        except OSError as error:
            outcome.fail(
                error
            )  # a full disk, a store out of reach: the driver gets the report, and writes the record when it can
        fields = {name: value for name, value in outcome.record.items() if name not in ("traceback", ACCOUNTS)}
        row, trainings = {name: fields[name] for name in trial.labels}, folder.store.take_completed()
        tune.report(
            {**fields, "row": row, "stage": "", "stage_done": "", "curve": [], "finished": True, "trainings": trainings}
        )

    if trial.workers > 1:
        ended(run_on_several_workers(trial, windows[trial.windows], run, per_worker, plugins, held))
        return
    cuda = bool(per_worker["gpu"]) and torch.cuda.is_available()
    device, data = "cuda" if cuda else "cpu", windows_of(windows[trial.windows])
    with limit_gpu_memory(per_worker["gpu"] if cuda else 0):
        run_stack(unit, data, folder.store, ended, device, tune.report, report_every_s=report_every_s)


def report_interval(running: int) -> float:
    """Seconds between two reports of each of so many running trials: together they take at most ``REPORT_SHARE`` of the driver."""
    return max(REPORT_EVERY_S, running * REPORT_CPU_S / REPORT_SHARE)


def _outcome_without_run(trial: Trial, status: str, error: str) -> Outcome:
    """Outcome of a trial that never ran, or that ended without writing a record."""
    zeros = {"epochs": 0, "windows_trained": 0, "stages": list(trial.stages), "stages_reused": 0, "seconds": 0.0, "device": ""}
    return Outcome(status, {**trial.labels, "trial": trial.key, "status": status, "error": error, **zeros})


def sweep(
    units: list[Unit],
    refs: dict[str, Any],
    run: RunFolder,
    resources: Resources,
    progress: Progress,
    lease: Lease,
    lifetime: StageLifetime,
    alone: bool = True,
    room: StageRoom | None = None,
) -> None:
    """Run the units on the connected cluster; records and predictions of their trials are written to the run folder.

    Args:
        refs: by the path of each dataset's windows, their reference in the object store (``raylab.runs.shared_windows``).
        alone: whether this is the folder's one driver, who alone may gather records into a table meanwhile.
        room: the room for weights, if there is a quota.
    """
    trials = [trial for unit in units for trial in unit.trials]
    if waiting := check_resources(resources):
        progress.log(waiting)  # before the GPU share is measured, which has to wait as well
    per_worker = worker_resources(resolve_gpu_share(resources, trials, refs, progress.log))
    per_trial = {name: amount * resources.workers for name, amount in per_worker.items()}
    stage_scheduler = StageScheduler(units, run.store.hashes(), lifetime.leaves, alone, room)
    metrics, start = Metrics(run.uri, progress.log), run.new_tune_name()
    progress_callback = ProgressCallback(progress, metrics, stage_scheduler, run, lease)
    logs = TensorBoardLogger(run.folder.sub(f"tune/{start}"), progress.log)
    at_once = min(slots(per_trial), len(units))  # a cluster may claim to grow without limit
    function = tune.with_parameters(
        trainable, windows=refs, run=run.uri, per_worker=per_worker, plugins=entered(), report_every_s=report_interval(at_once)
    )
    with noted() as stop, run.compaction(alone) as add, boundary("the sweep over the trials"):
        tuner = tune.Tuner(
            tune.with_resources(function, SUPERVISOR_RESOURCES if resources.workers > 1 else per_worker),
            tune_config=tune.TuneConfig(
                search_alg=stage_scheduler,
                scheduler=FIFO(),
                num_samples=-1,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_name_creator=lambda trial: unit_key(trial.config),
                trial_dirname_creator=lambda trial: unit_key(trial.config),
            ),
            run_config=tune.RunConfig(
                name=start,
                storage_path=run.folder.at("tune"),
                storage_filesystem=run.folder.system,
                callbacks=[progress_callback, LeaseAndCompaction(add, lease, stop), logs, KeepLittle()],
                failure_config=tune.FailureConfig(max_failures=MAX_WORKER_DEATHS),
                verbose=0,
            ),
        )
        tuner.fit()
    lease.check()
    _write_unwritten(run, progress_callback, stage_scheduler)
    metrics.emit(progress)
    sys.stdout.flush()


def _write_unwritten(run: RunFolder, callback: ProgressCallback, stage_scheduler: StageScheduler) -> None:
    """Write the records of trials that wrote none themselves: those that are blocked, and those that failed, each with its cause.

    A trial without a cause did not fail: it never started, or was ended with the run. It has no record, and the next start runs it.
    """
    ended = run.finished()
    for key, cause in stage_scheduler.blocked.items():
        outcome = _outcome_without_run(stage_scheduler.trials[key], "blocked", cause)
        callback.progress.add(outcome.record)
        run.write_outcome(outcome, "")
    for key, cause in callback.causes.items():
        if key not in ended and key not in stage_scheduler.blocked:
            run.write_outcome(_outcome_without_run(stage_scheduler.trials[key], "failed", cause), "")
