"""What the driver hears of Tune: how many trials run, how they end, and why one is run again or given up."""

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError, RayTaskError

from raylab.runs.progress import Progress, trial_label
from raylab.runs.prometheus import Metrics
from raylab.runs.stage_scheduler import StageScheduler
from raylab.trials.trial import Trial

WORKER_DEATHS = 3  # a worker or node that dies is replaced and the trial run again this often
LONGEST = 300  # characters of a cause: Ray's explanations run over pages


def cause_of(trial: Any) -> str:
    """What ended a Tune trial's process or function, in a sentence; from the file that Tune wrote a moment ago in this process."""
    noted = Path(trial.pickled_error_file or "")
    if not noted.is_file():
        return "its worker died"
    error = pickle.loads(noted.read_bytes())
    if isinstance(error, RayTaskError):
        error = error.cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if isinstance(error, RayActorError):
        return f"its worker died ({lines[-1].split('. ')[0]})"[:LONGEST]
    return f"{type(error).__name__}: {lines[-1]}"[:LONGEST]


class ProgressCallback(tune.Callback):
    """Feeds the progress line and the metrics, and remembers why trials failed.

    Attributes:
        causes: key of each failed trial to its cause; those that could not write their record themselves get one from it.
    """

    def __init__(self, progress: Progress, metrics: Metrics, searcher: StageScheduler) -> None:
        self.progress, self.metrics, self.searcher = progress, metrics, searcher
        self.causes: dict[str, str] = {}
        self._running: set[str] = set()
        self._deaths: Counter[str] = Counter()  # of trials that Tune gave up

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that nobody asks for."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._count(trial, running=True)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        self.metrics.reported(result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._again(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._ended(trial, trial.last_result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["trial"]["key"]
        self._deaths[key] += trial.num_failures
        if self._deaths[key] <= WORKER_DEATHS:
            self.searcher.again(trial.trial_id)
            self._again(trial)
            return
        cause = f"{cause_of(trial)}, {self._deaths[key]} times"
        self.searcher.given_up(trial.trial_id, cause)
        self._ended(trial, {"status": "failed", "error": cause})

    def _again(self, trial: Any) -> None:
        self.progress.say(f"run again: {trial_label(Trial.from_config(trial.config['trial']).labels)}: {cause_of(trial)}")
        self._count(trial, running=False)

    def _ended(self, trial: Any, result: dict[str, Any]) -> None:
        if result["status"] == "failed":
            self.causes[trial.config["trial"]["key"]] = result["error"]
        self.progress.add({**Trial.from_config(trial.config["trial"]).labels, **result})
        self._count(trial, running=False)

    def _count(self, trial: Any, running: bool) -> None:
        (self._running.add if running else self._running.discard)(trial.trial_id)
        self.progress.running = len(self._running)
        self.metrics.trials(self.progress)
