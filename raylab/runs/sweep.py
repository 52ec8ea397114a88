"""Trials on Ray Tune: a searcher that knows stages, reused actors, fractions of GPUs."""

import contextlib
import sys
from typing import Any

import ray
from ray import tune

from raylab.runs.cluster import per_trial, slots, waits_for
from raylab.runs.folder import RunFolder
from raylab.runs.gpu_memory import resolve_gpu_share
from raylab.runs.lease import Lease
from raylab.runs.multi_worker import SUPERVISOR
from raylab.runs.progress import Progress
from raylab.runs.prometheus import Metrics
from raylab.runs.stage_scheduler import StageScheduler
from raylab.runs.tensorboard_logs import FIFO, TensorBoardLogger
from raylab.runs.tune_callbacks import WORKER_DEATHS, ProgressCallback
from raylab.runs.worker import trainable
from raylab.trials.run_trial import Outcome
from raylab.trials.study import Resources
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

COMPACT_EVERY = 500  # trials


class LeaseAndCompaction(tune.Callback):
    """Stops this driver when it lost the run folder, and gathers the records of finished trials now and then."""

    def __init__(self, run: RunFolder, lease: Lease) -> None:
        self.run, self.lease = run, lease
        self.ended = 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that nobody asks for, and a lease belongs to its process."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.lease.check()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.ended += 1
        if self.ended % COMPACT_EVERY == 0:
            with contextlib.suppress(OSError):  # a full disk: the records are there, and the next time will gather them
                self.run.compact()


def _ended_badly(trial: Trial, status: str, error: str) -> Outcome:
    facts = {"epochs": 0, "windows_trained": 0, "stages": list(trial.stages), "stages_reused": 0, "seconds": 0.0, "device": ""}
    return Outcome(status, {**trial.labels, "trial": trial.key, "status": status, "error": error, **facts})


def sweep(
    trials: list[Trial], windows: dict[str, Windows], run: RunFolder, resources: Resources, progress: Progress, lease: Lease
) -> None:
    """Run these trials on the connected cluster; their records and predictions end up in the run folder."""
    refs = {name: ray.put(data) for name, data in windows.items()}
    if waiting := waits_for({name: amount * resources.workers for name, amount in per_trial(resources).items()}):
        progress.say(waiting)  # before anything is measured: that waits as well
    each = per_trial(resolve_gpu_share(resources, trials, refs, progress.say))  # with several workers: what each of them gets
    whole = {name: amount * resources.workers for name, amount in each.items()}
    searcher = StageScheduler(trials, run.store.hashes())
    metrics, start = Metrics(run.uri), run.new_tune_name()
    watch = ProgressCallback(progress, metrics, searcher)
    function = tune.with_parameters(trainable, windows=refs, run=run.uri, each=each)
    tuner = tune.Tuner(
        tune.with_resources(function, SUPERVISOR if resources.workers > 1 else each),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=FIFO(),
            num_samples=-1,
            max_concurrent_trials=min(slots(whole), len(trials)),  # a cluster may say that it grows without end
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["trial"]["key"],
            trial_dirname_creator=lambda trial: trial.config["trial"]["key"],
        ),
        run_config=tune.RunConfig(
            name=start,
            storage_path=run.folder.at("tune"),
            storage_filesystem=run.folder.system,
            callbacks=[watch, LeaseAndCompaction(run, lease), TensorBoardLogger(run.folder.sub(f"tune/{start}"))],
            failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
            verbose=0,
        ),
    )
    tuner.fit()
    lease.check()
    ended = run.finished()
    for key, cause in searcher.blocked.items():
        outcome = _ended_badly(searcher.trials[key], "blocked", cause)
        progress.add(outcome.record)
        run.write_outcome(outcome, "")
    for trial in trials:
        if trial.key not in ended and trial.key not in searcher.blocked:
            run.write_outcome(_ended_badly(trial, "failed", watch.causes.get(trial.key, "Tune ended without it")), "")
    metrics.trials(progress)
    sys.stdout.flush()
