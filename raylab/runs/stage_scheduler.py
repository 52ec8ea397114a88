"""Order of trials on Tune: no stage is trained twice, and no slot is idle while a trial can run (docs/decisions/0001-searcher.md)."""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from raylab.runs.stage_room import StageRoom
from raylab.trials.stacks import Unit


class StageScheduler(Searcher):
    """A Tune searcher that suggests a unit (a trial, or a stack of trials) only when its stages are stored or its own to train.

    The first unit in the plan that needs a missing stage owns it; the other units that need it wait until it is stored. They are
    released as soon as the stage is stored, not when its owner ends. Of the units that can run, the one with the most dependents goes
    first, so that shared bases are done early and units without dependents fill the slots at the end. If an owner ends without its
    stage, the trials that need it are blocked, with the cause; the other trials of their units run.

    Tune itself repeats a unit only if its worker died while the unit ran. A unit that was handed to a dead worker ends in an error at
    once; the callback that sees this error calls ``retry`` or ``give_up``.

    Attributes:
        trials: by key.
        leaves: by key the stages that no other trial needs, so that nobody has to store them.
        blocked: cause by the key of each blocked trial.

    Args:
        alone: whether no other driver may store a stage meanwhile: then a worker need not look for those that its unit owns.
        room: the room for weights, if there is a quota: a unit that has none for its stages waits until others have ended.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        stored: set[str],
        leaves: Mapping[str, Sequence[str]] | None = None,
        alone: bool = True,
        room: StageRoom | None = None,
    ) -> None:
        super().__init__()
        self.alone, self.room = alone, room
        self._repeated: set[str] = set()  # units of which a worker was lost: it may have stored a stage and not told
        self.leaves = leaves or {}
        self.units = {unit.key: unit for unit in units}
        self.trials = {trial.key: trial for unit in units for trial in unit.trials}
        self.blocked: dict[str, str] = {}
        self._causes: dict[str, str] = {}
        self._owned: dict[str, set[str]] = defaultdict(set)
        self._missing_stages: dict[str, set[str]] = {}
        self._dependents: dict[str, list[str]] = defaultdict(list)
        self._running: dict[str, str] = {}
        self._position = {unit.key: i for i, unit in enumerate(units)}
        owner: dict[str, str] = {}
        for unit in units:
            missing = [stage for stage in unit.stages if stage not in stored]
            owned = [stage for stage in missing if owner.setdefault(stage, unit.key) == unit.key]
            self._owned[unit.key].update(owned)
            self._missing_stages[unit.key] = set(missing) - set(owned)
            for stage in self._missing_stages[unit.key]:
                self._dependents[stage].append(unit.key)
        self._runnable: dict[int, list[tuple[int, int, str]]] = defaultdict(list)  # by the bytes that they need; a heap of each
        for key, stages in self._missing_stages.items():
            if not stages:
                self._push(key)
        self._n_pending = len(self.units)

    def _push(self, key: str) -> None:
        n_dependents = sum(len(self._dependents[stage]) for stage in self._owned[key])
        wanted = self.room.wanted(self.units[key]) if self.room else 0
        heapq.heappush(self._runnable[wanted], (-n_dependents, self._position[key], key))

    def _pop(self) -> str | None:
        """The next unit for which there is room; if no unit runs that could make some, the next one without room."""
        heaps = [(heap, self.room is None or self.room.fits(wanted)) for wanted, heap in self._runnable.items() if heap]
        heaps = [(heap, fits) for heap, fits in heaps if fits] or ([] if self._running else heaps)
        return heapq.heappop(min(heaps, key=lambda pair: pair[0][0])[0])[2] if heaps else None

    def suggest(self, trial_id: str) -> Any:
        """Config of the next unit; None while all remaining units wait; FINISHED at the end."""
        if (key := self._pop()) is not None:
            self._running[trial_id] = key
            self._n_pending -= 1
            unit = self.units[key]
            leaves = [stage for trial in unit.trials for stage in self.leaves.get(trial.key, ())]
            absent = self._owned[key] if self.alone and key not in self._repeated else ()
            room = self.room.admit(unit) if self.room else {}
            return {**unit.as_config(), "leaves": leaves, "absent": sorted(absent), **room}
        return None if self._n_pending or self._running else Searcher.FINISHED  # a running unit may be retried

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if self.room:
            self.room.note(self._running.get(trial_id, ""), result)
        if result.get("stage_done"):
            self._release(result["stage_done"], self._running.get(trial_id, ""))
        if result.get("finished") and result.get("error"):
            self._causes[result["trial"]] = result["error"]

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # after an error `retry` or `give_up` follows: Tune does not say here what went wrong
            self.give_up(trial_id, (result or {}).get("error", ""))

    def retry(self, trial_id: str) -> None:
        """Hand the unit out once more."""
        self._n_pending += 1
        key = self._running.pop(trial_id)
        self._repeated.add(key)
        self._push(key)

    def give_up(self, trial_id: str, cause: str) -> None:
        """The unit ended: block the trials that wait for stages which it owns and did not store.

        Args:
            cause: of its end, for stages of trials that gave no cause of their own.
        """
        unit = self.units[key := self._running.pop(trial_id)]
        if self.room:
            self.room.ended(key)
        for stage in list(self._owned[unit.key]):
            trial = next(
                (trial for trial in unit.trials if stage in trial.stages and trial.key in self._causes), unit.trials[0]
            )
            why = self._causes.get(trial.key, cause)
            self._block(stage, f"stage {stage} was not trained: trial {trial.key} failed ({why})")

    def _release(self, stage: str, owner: str) -> None:
        self._owned[owner].discard(stage)
        for key in self._dependents.pop(stage, []):
            self._no_longer_waits(key, stage)

    def _no_longer_waits(self, key: str, stage: str) -> None:
        """A unit has one stage less to wait for: it is trained, or no trial of the unit that can still run needs it."""
        if stage not in self._missing_stages[key]:
            return  # it was left out with a trial that also needed another stage, and the unit may have been handed out since
        self._missing_stages[key].discard(stage)
        if not self._missing_stages[key] and self.units[key].trials:
            self._push(key)

    def _block(self, stage: str, cause: str) -> None:
        """Block the trials that need a stage, and those that need what these would have trained."""
        for key in self._dependents.pop(stage, []):
            unit = self.units[key]
            gone = {trial.key for trial in unit.trials if stage in trial.stages}
            self.blocked.update(dict.fromkeys(gone, cause))
            self.units[key] = rest = unit.without(gone)
            if unit.trials and not rest.trials:
                self._n_pending -= 1
            for lost in [owned for owned in self._owned[key] if owned not in rest.stages]:
                self._owned[key].discard(lost)
                self._block(lost, f"trial {next(iter(sorted(gone)), key)} is blocked: {cause}")
            for waited in [other for other in self._missing_stages[key] if other != stage and other not in rest.stages]:
                self._missing_stages[key].discard(waited)
                # it is not there if that stage is being blocked as well: the unit needs it, and what another would have trained after it
                if key in self._dependents.get(waited, ()):
                    self._dependents[waited].remove(key)
            self._no_longer_waits(key, stage)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a run resumes from its plan minus the trials in its folder, without Tune's state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see ``save``."""
