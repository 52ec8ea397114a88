"""Hands trials to Tune so that no stage is trained twice and no slot is idle while something can run."""

import heapq
from collections import defaultdict
from typing import Any

from ray.tune.search import Searcher

from raylab.trials.trial import Trial


class StageScheduler(Searcher):
    """The first trial in the plan that needs a missing stage owns it; the others that need it wait until it is stored.

    A trial releases its dependents as soon as the stage is stored, not when the trial ends. Of the trials that can run, the one that
    most others wait for goes first, so shared bases are done early and the leaves fill the slots at the end. When an owner ends without
    its stage, the trials that wait for it are blocked, and named with the cause.

    Tune runs a trial again only if its worker died while the trial ran. One that was handed to a worker which was dead already is an error at
    once; whoever hears of it says ``again`` or ``given_up``.
    """

    def __init__(self, trials: list[Trial], stored: set[str]) -> None:
        super().__init__()
        self.trials = {trial.key: trial for trial in trials}
        self.blocked: dict[str, str] = {}
        self._owned: dict[str, set[str]] = defaultdict(set)
        self._waits: dict[str, set[str]] = {}
        self._waiters: dict[str, list[str]] = defaultdict(list)
        self._running: dict[str, str] = {}
        self._position = {trial.key: i for i, trial in enumerate(trials)}
        owner: dict[str, str] = {}
        for trial in trials:
            missing = [stage for stage in trial.stages if stage not in stored]
            mine = [stage for stage in missing if owner.setdefault(stage, trial.key) == trial.key]
            self._owned[trial.key].update(mine)
            self._waits[trial.key] = set(missing) - set(mine)
            for stage in self._waits[trial.key]:
                self._waiters[stage].append(trial.key)
        self._ready: list[tuple[int, int, str]] = []
        for key, waits in self._waits.items():
            if not waits:
                self._push(key)
        self._left = len(self.trials)

    def _push(self, key: str) -> None:
        followers = sum(len(self._waiters[stage]) for stage in self._owned[key])
        heapq.heappush(self._ready, (-followers, self._position[key], key))

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config; None while everything left waits; FINISHED at the end."""
        if self._ready:
            key = heapq.heappop(self._ready)[2]
            self._running[trial_id] = key
            self._left -= 1
            return {"trial": self.trials[key].as_config()}
        return None if self._left or self._running else Searcher.FINISHED  # a running one may come back

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if result.get("stage_done"):
            self._release(result["stage_done"], self._running.get(trial_id, ""))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # otherwise `again` or `given_up` follows: Tune does not say here what went wrong
            self.given_up(trial_id, (result or {}).get("error", ""))

    def again(self, trial_id: str) -> None:
        """The trial is handed out once more."""
        self._left += 1
        self._push(self._running.pop(trial_id))

    def given_up(self, trial_id: str, cause: str) -> None:
        """The trial ended, and what it owns and did not store will not come."""
        key = self._running.pop(trial_id)
        for stage in list(self._owned[key]):
            self._block(stage, f"stage {stage} was not trained: trial {key} failed ({cause})")

    def _release(self, stage: str, owner: str) -> None:
        self._owned[owner].discard(stage)
        for key in self._waiters.pop(stage, []):
            self._waits[key].discard(stage)
            if not self._waits[key] and key not in self.blocked:
                self._push(key)

    def _block(self, stage: str, cause: str) -> None:
        for key in self._waiters.pop(stage, []):
            if key in self.blocked:
                continue
            self.blocked[key] = cause
            self._left -= 1
            for own in list(self._owned[key]):
                self._block(own, f"trial {key} is blocked: {cause}")

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a run resumes from its plan minus what its folder holds."""

    def restore(self, checkpoint_path: str) -> None:
        """See ``save``."""
