"""Order of trials on Tune: no stage is trained twice, and no slot is idle while a trial can run (docs/decisions/0001-searcher.md)."""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from raylab.trials.trial import Trial


class StageScheduler(Searcher):
    """A Tune searcher that suggests a trial only when its stages are stored or its own to train.

    The first trial in the plan that needs a missing stage owns it; the other trials that need it wait until it is stored. They are
    released as soon as the stage is stored, not when its owner ends. Of the trials that can run, the one with the most dependents goes
    first, so that shared bases are done early and trials without dependents fill the slots at the end. If an owner ends without its
    stage, the trials that wait for it are blocked, with the cause.

    Tune itself repeats a trial only if its worker died while the trial ran. A trial that was handed to a dead worker ends in an error at
    once; the callback that sees this error calls ``retry`` or ``give_up``.

    Attributes:
        trials: by key.
        leaves: by key the stages that no other trial needs, so that nobody has to store them.
        blocked: cause by the key of each blocked trial.
    """

    def __init__(self, trials: list[Trial], stored: set[str], leaves: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__()
        self.leaves = leaves or {}
        self.trials = {trial.key: trial for trial in trials}
        self.blocked: dict[str, str] = {}
        self._owned: dict[str, set[str]] = defaultdict(set)
        self._missing_stages: dict[str, set[str]] = {}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        self._running: dict[str, str] = {}
        self._position = {trial.key: i for i, trial in enumerate(trials)}
        owner: dict[str, str] = {}
        for trial in trials:
            missing = [stage for stage in trial.stages if stage not in stored]
            owned = [stage for stage in missing if owner.setdefault(stage, trial.key) == trial.key]
            self._owned[trial.key].update(owned)
            self._missing_stages[trial.key] = set(missing) - set(owned)
            for stage in self._missing_stages[trial.key]:
                self._dependents[stage].append(trial.key)
        self._runnable: list[tuple[int, int, str]] = []
        for key, stages in self._missing_stages.items():
            if not stages:
                self._push(key)
        self._n_pending = len(self.trials)

    def _push(self, key: str) -> None:
        n_dependents = sum(len(self._dependents[stage]) for stage in self._owned[key])
        heapq.heappush(self._runnable, (-n_dependents, self._position[key], key))

    def suggest(self, trial_id: str) -> Any:
        """Config of the next trial; None while all remaining trials wait; FINISHED at the end."""
        if self._runnable:
            key = heapq.heappop(self._runnable)[2]
            self._running[trial_id] = key
            self._n_pending -= 1
            return {"trial": self.trials[key].as_config(), "leaves": list(self.leaves.get(key, ()))}
        return None if self._n_pending or self._running else Searcher.FINISHED  # a running trial may be retried

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if result.get("stage_done"):
            self._release(result["stage_done"], self._running.get(trial_id, ""))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # after an error `retry` or `give_up` follows: Tune does not say here what went wrong
            self.give_up(trial_id, (result or {}).get("error", ""))

    def retry(self, trial_id: str) -> None:
        """Hand the trial out once more."""
        self._n_pending += 1
        self._push(self._running.pop(trial_id))

    def give_up(self, trial_id: str, cause: str) -> None:
        """The trial ended: block the trials that wait for stages which it owns and did not store."""
        key = self._running.pop(trial_id)
        for stage in list(self._owned[key]):
            self._block(stage, f"stage {stage} was not trained: trial {key} failed ({cause})")

    def _release(self, stage: str, owner: str) -> None:
        self._owned[owner].discard(stage)
        for key in self._dependents.pop(stage, []):
            self._missing_stages[key].discard(stage)
            if not self._missing_stages[key] and key not in self.blocked:
                self._push(key)

    def _block(self, stage: str, cause: str) -> None:
        for key in self._dependents.pop(stage, []):
            if key in self.blocked:
                continue
            self.blocked[key] = cause
            self._n_pending -= 1
            for owned_stage in list(self._owned[key]):
                self._block(owned_stage, f"trial {key} is blocked: {cause}")

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a run resumes from its plan minus the trials in its folder, without Tune's state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see ``save``."""
