"""Tune's events in the driver: how many trials run, how they end, why one is retried or given up; the lease, and compaction."""

import contextlib
import pickle
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError, RayTaskError

from raylab.runs.folder import AddRecords, RunFolder
from raylab.runs.lease import Lease
from raylab.runs.progress import Progress, trial_label
from raylab.runs.prometheus import Metrics
from raylab.runs.ray_errors import death_of
from raylab.runs.stage_scheduler import StageScheduler
from raylab.runs.stop import StopRequest
from raylab.trials.stacks import configs_of, unit_key
from raylab.trials.trial import Trial

MAX_WORKER_DEATHS = 3  # per trial: a worker or node that dies is replaced and the trial run again
GAUGES_EVERY_S = 1.0
MAX_CAUSE_LENGTH = 300  # characters: Ray's explanations take pages


def cause_of(trial: Any) -> str:
    """Cause of the end of a Tune trial's process or function, as a sentence; read from the file that Tune has just written in this process."""
    error_file = Path(trial.pickled_error_file or "")
    if not error_file.is_file():
        return "its worker died"
    error = pickle.loads(error_file.read_bytes())
    if isinstance(error, RayTaskError):
        error = error.cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if isinstance(error, RayActorError):
        return f"its worker died ({death_of(error)})"[:MAX_CAUSE_LENGTH]
    return f"{type(error).__name__}: {lines[-1]}"[:MAX_CAUSE_LENGTH]


class ProgressCallback(tune.Callback):
    """Updates progress and metrics, retries trials whose worker died, and remembers why trials failed.

    Attributes:
        causes: cause by the key of each failed trial, for the records of trials that could not write their own.
    """

    def __init__(
        self, progress: Progress, metrics: Metrics, stage_scheduler: StageScheduler, run: RunFolder, lease: Lease
    ) -> None:
        self.progress, self.metrics, self.stage_scheduler, self.run, self.lease = progress, metrics, stage_scheduler, run, lease
        self.causes: dict[str, str] = {}
        self._ended: set[str] = set()
        self._running: dict[str, set[str]] = {}  # Tune's trial to the keys of its trials that have not ended
        self._keys: set[str] = set()  # all of these
        lease.running = self._keys
        self._shown = 0.0
        self._deaths: Counter[str] = Counter()  # of trials that Tune gave up

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its callbacks for a restore that raylab does not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._set_running(trial, running=True)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        self.metrics.add_report(result)
        if result.get("finished"):
            self._count_end(trial, result)
        self._show_running()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        trial.config["absent"] = []  # the lost worker may have stored a stage
        self._count_retry(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._set_running(trial, running=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = unit_key(trial.config)
        self._deaths[key] += trial.num_failures
        if self._deaths[key] <= MAX_WORKER_DEATHS:
            self.stage_scheduler.retry(trial.trial_id)
            self._count_retry(trial)
            return
        cause = f"{cause_of(trial)}, {self._deaths[key]} times"
        self.stage_scheduler.give_up(trial.trial_id, cause)
        for one in self._left(trial):
            self._count_end(trial, {**one.labels, "trial": one.key, "status": "failed", "error": cause})
        self._set_running(trial, running=False)

    def _left(self, trial: Any) -> list[Trial]:
        """The trials of a unit that have not ended."""
        configs = configs_of(trial.config)
        return [Trial.from_config(config) for config in configs if config["key"] not in self._ended]

    def _count_retry(self, trial: Any) -> None:
        left = self._left(trial)
        with contextlib.suppress(OSError):  # a store out of reach: an account that lacks an interrupted training
            self.run.note_interrupted(left)
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        self.progress.log(f"run again: {trial_label(left[0].labels) if left else trial}{more}: {cause_of(trial)}")
        self._set_running(trial, running=False)

    def _count_end(self, trial: Any, result: dict[str, Any]) -> None:
        """Count the end of one trial of a unit; one that a repeated unit ends again counts once."""
        key = result["trial"]
        if key in self._ended:
            return
        self._ended.add(key)
        if result["status"] == "failed":
            self.causes[key] = result["error"]
        self.progress.add(result)
        self._running.get(trial.trial_id, set()).discard(key)
        self._keys.discard(key)

    def _set_running(self, trial: Any, running: bool) -> None:
        self._keys -= self._running.pop(trial.trial_id, set())
        if running:
            keys = {config["key"] for config in configs_of(trial.config)} - self._ended
            self._running[trial.trial_id] = keys
            self._keys |= keys
        self._show_running()

    def _show_running(self) -> None:
        """Tell how many trials run; the gauges once in a while, and every report is an occasion for it."""
        self.progress.running = len(self._keys)
        if (now := time.monotonic()) - self._shown > GAUGES_EVERY_S:
            self._shown = now
            self.metrics.emit(self.progress)


class LeaseAndCompaction(tune.Callback):
    """Stops this driver if it lost the run folder or the user stops it, and hands the records of finished trials on to be compacted."""

    def __init__(self, add: AddRecords, lease: Lease, stop: StopRequest) -> None:
        self.add, self.lease, self.stop = add, lease, stop

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its callbacks for a restore that raylab does not use, and a lease belongs to its process."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.stop.check()
        self.lease.check()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        if result.get("finished"):
            self.add({**result["row"], **result}, result["trainings"])
