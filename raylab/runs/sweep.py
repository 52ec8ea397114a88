"""Trials on Ray Tune: a searcher that schedules by stages, reused actors, fractions of GPUs."""

import contextlib
import sys
from typing import Any

import ray
from ray import tune

from raylab.runs.cluster import slots, waits_for, worker_resources
from raylab.runs.folder import RunFolder
from raylab.runs.gpu_memory import resolve_gpu_share
from raylab.runs.lease import Lease
from raylab.runs.multi_worker import SUPERVISOR_RESOURCES
from raylab.runs.progress import Progress
from raylab.runs.prometheus import Metrics
from raylab.runs.stage_scheduler import StageScheduler
from raylab.runs.tensorboard_logs import FIFO, TensorBoardLogger
from raylab.runs.tune_callbacks import MAX_WORKER_DEATHS, ProgressCallback
from raylab.runs.worker import trainable
from raylab.trials.run_trial import Outcome
from raylab.trials.study import Resources
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

COMPACT_EVERY = 500  # trials


class LeaseAndCompaction(tune.Callback):
    """Stops this driver if it lost the run folder, and compacts the records of finished trials after every ``COMPACT_EVERY`` of them."""

    def __init__(self, run: RunFolder, lease: Lease) -> None:
        self.run, self.lease = run, lease
        self.n_ended = 0

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its callbacks for a restore that raylab does not use, and a lease belongs to its process."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.lease.check()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.n_ended += 1
        if self.n_ended % COMPACT_EVERY == 0:
            with contextlib.suppress(OSError):  # a full disk: the records stay, and the next compaction merges them
                self.run.compact()


def _outcome_without_run(trial: Trial, status: str, error: str) -> Outcome:
    """Outcome of a trial that never ran, or that ended without writing a record."""
    zeros = {"epochs": 0, "windows_trained": 0, "stages": list(trial.stages), "stages_reused": 0, "seconds": 0.0, "device": ""}
    return Outcome(status, {**trial.labels, "trial": trial.key, "status": status, "error": error, **zeros})


def sweep(
    trials: list[Trial], windows: dict[str, Windows], run: RunFolder, resources: Resources, progress: Progress, lease: Lease
) -> None:
    """Run the trials on the connected cluster; their records and predictions are written to the run folder."""
    refs = {name: ray.put(data) for name, data in windows.items()}
    if waiting := waits_for({name: amount * resources.workers for name, amount in worker_resources(resources).items()}):
        progress.log(waiting)  # before the GPU share is measured, which has to wait as well
    per_worker = worker_resources(resolve_gpu_share(resources, trials, refs, progress.log))
    per_trial = {name: amount * resources.workers for name, amount in per_worker.items()}
    stage_scheduler = StageScheduler(trials, run.store.hashes())
    metrics, start = Metrics(run.uri), run.new_tune_name()
    progress_callback = ProgressCallback(progress, metrics, stage_scheduler)
    function = tune.with_parameters(trainable, windows=refs, run=run.uri, per_worker=per_worker)
    tuner = tune.Tuner(
        tune.with_resources(function, SUPERVISOR_RESOURCES if resources.workers > 1 else per_worker),
        tune_config=tune.TuneConfig(
            search_alg=stage_scheduler,
            scheduler=FIFO(),
            num_samples=-1,
            max_concurrent_trials=min(slots(per_trial), len(trials)),  # a cluster may claim to grow without limit
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["trial"]["key"],
            trial_dirname_creator=lambda trial: trial.config["trial"]["key"],
        ),
        run_config=tune.RunConfig(
            name=start,
            storage_path=run.folder.at("tune"),
            storage_filesystem=run.folder.system,
            callbacks=[progress_callback, LeaseAndCompaction(run, lease), TensorBoardLogger(run.folder.sub(f"tune/{start}"))],
            failure_config=tune.FailureConfig(max_failures=MAX_WORKER_DEATHS),
            verbose=0,
        ),
    )
    tuner.fit()
    lease.check()
    ended = run.finished()
    for key, cause in stage_scheduler.blocked.items():
        outcome = _outcome_without_run(stage_scheduler.trials[key], "blocked", cause)
        progress.add(outcome.record)
        run.write_outcome(outcome, "")
    for trial in trials:
        if trial.key not in ended and trial.key not in stage_scheduler.blocked:
            cause = progress_callback.causes.get(trial.key, "Tune ended without it")
            run.write_outcome(_outcome_without_run(trial, "failed", cause), "")
    metrics.set_trials(progress)
    sys.stdout.flush()
