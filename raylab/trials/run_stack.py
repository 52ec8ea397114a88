"""The worker of a stack: trains the stages of several trials side by side, then ends each trial by itself (docs/decisions/0030-stacks.md).

Like ``run_trial`` it knows nothing of Ray, and records, predictions, curves and failures stay those of single trials: every stage that a
composition trains is stored under its own hash, and each trial then goes the way of a trial whose stages are in the store.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from raylab.folds.fold import RowIds
from raylab.models.network import Network
from raylab.training.batches import Signals
from raylab.training.job import Epoch, Job, TrainingError
from raylab.training.loop import known_classes
from raylab.training.resident import Resident
from raylab.training.stacked import End, train_stack
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import Saved, StageStore
from raylab.training.stage_tree import Stages, path_to
from raylab.training.staged_model import StagedModel
from raylab.training.worker_group import ALONE
from raylab.trials.plan import stages_of
from raylab.trials.run_trial import REPORT_EVERY_S, OnStageBatch, Outcome, Report, one_thread, run_trial, without_result
from raylab.trials.stacks import Unit, compositions_of, with_stacked_hashes
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

OnOutcome = Callable[[Outcome], None]


def run_stack(
    unit: Unit,
    windows: Windows,
    store: StageStore,
    on_outcome: OnOutcome,
    device: str = "cpu",
    report: Report = lambda event: None,
    on_batch: OnStageBatch = lambda stage, rows: None,
    report_every_s: float = REPORT_EVERY_S,
) -> None:
    """Run the trials of a unit.

    Args:
        unit: the trials, and those whose stages share compositions with theirs.
        windows: as for ``run_trial``; all trials of a unit have the same.
        store: weights of trained stages; new ones are added.
        on_outcome: called with each trial's outcome when it ends.
        device: as for ``run_trial``.
        report: as for ``run_trial``, and each event has the key of its ``trial``.
        on_batch: as for ``run_trial``.
        report_every_s: as for ``run_trial``; a stack reports as often as a trial.

    An error that is no trial's own, such as a full disk during a training, ends all trials of the unit.
    """
    if not unit.company:
        (trial,) = unit.trials

        def tell(event: dict[str, Any]) -> None:
            report({"trial": trial.key, **event})

        on_outcome(run_trial(trial, windows, store, device, tell, on_batch, report_every_s=report_every_s))
        return
    began = time.perf_counter()
    try:
        with one_thread():
            planned = [_planned(trial, windows) for trial in unit.company]
            stack = _Stack(unit, windows, store, torch.device(device), report, on_batch, report_every_s, planned)
            stack.train()
    except Exception as error:  # it is stored with the trials, and other units go on
        for trial in unit.trials:
            on_outcome(without_result(trial, error, device))
        return
    share = (time.perf_counter() - began) / len(unit.trials)
    for trial in unit.trials:
        on_outcome(stack.end(trial, share))


@dataclass
class _Planned:
    """One trial of the company: its stages as it would have them alone, and in its stacks."""

    trial: Trial
    context: TrainingContext
    alone: Stages
    stages: Stages


def _planned(trial: Trial, windows: Windows) -> _Planned:
    context, alone = stages_of(trial.without_stacks, windows.index)
    stages = with_stacked_hashes(alone, trial.stacks)
    if tuple(stage.hash for stage in stages) != trial.stages:
        raise TrainingError("this worker's plan differs from the driver's: raylab versions or windows differ between machines")
    return _Planned(trial, context, alone, stages)


@dataclass
class _Stack:
    """The state of one unit.

    Attributes:
        failed: error of each stage that cannot be trained, by its hash: its own, or that of a stage before it.
        trained: of each trial that a training of this worker is counted for: hash, epochs and windows of each of them.
    """

    unit: Unit
    windows: Windows
    store: StageStore
    device: torch.device
    report: Report
    on_batch: OnStageBatch
    report_every_s: float
    planned: list[_Planned]
    failed: dict[str, TrainingError] = field(default_factory=dict)
    trained: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def train(self) -> None:
        """Train every composition of which a stage is missing that a trial of the unit needs, earlier ones first.

        A composition is trained whole: with fewer members its sums might have another order. Only what is missing is stored and counted.
        """
        compositions = compositions_of(self.unit.company, [planned.alone for planned in self.planned])
        run = {trial.key for trial in self.unit.trials}
        needed = {stage for trial in self.unit.trials for stage in trial.stages}
        to_train: list[tuple[list[tuple[int, int]], set[str]]] = []
        for members in reversed(compositions.values()):
            stages = {self.planned[number].stages[place].hash: self.planned[number].stages[place] for number, place in members}
            missing = {name for name in stages if name in needed and self._is_missing(name)}
            if missing:
                needed |= {stage.parent for stage in stages.values() if stage.parent}
                to_train.insert(0, (members, missing))
        signals = Signals(self.windows.signals, self.windows.lengths).channels(self.unit.trials[0].channels)
        resident = Resident.of(signals, self.device) if to_train else None
        for members, missing in to_train:
            _Composition(
                self, [(self.planned[number], place) for number, place in members], missing, run, signals, resident
            ).train()

    def _is_missing(self, stage: str) -> bool:
        """Whether the store lacks the stage, or has a damaged file; not if its training is known to fail."""
        if self.store.load(stage) is not None:
            return False
        if message := self.store.failure(stage):
            self.failed[stage] = TrainingError(message)
        return not message

    def end(self, trial: Trial, seconds: float) -> Outcome:
        """Train what the trial does not share, predict, and give its outcome the trainings that are counted for it.

        Args:
            seconds: the trial's share of the time that the unit's compositions took.
        """
        planned = next(planned for planned in self.planned if planned.trial.key == trial.key)
        mine = self.trained.get(trial.key, {})
        errors = [self.failed[stage] for stage in trial.stages if stage in self.failed]
        if errors:
            outcome = without_result(trial, errors[0], str(self.device))
        else:
            outcome = run_trial(
                trial, self.windows, self.store, str(self.device), lambda event: self._pass_on(trial, event, mine), self.on_batch,
                planner=lambda trial, index: (planned.context, planned.stages), report_every_s=self.report_every_s,
            )  # fmt: skip
            outcome.trained = [*mine, *outcome.trained]
            outcome.record["stages_reused"] -= len(mine)
        outcome.record["epochs"] += sum(epochs for epochs, _ in mine.values())
        outcome.record["windows_trained"] += sum(epochs * windows for epochs, windows in mine.values())
        outcome.record["seconds"] = round(outcome.record["seconds"] + seconds, 3)
        return outcome

    def _pass_on(self, trial: Trial, event: dict[str, Any], mine: dict[str, tuple[int, int]]) -> None:
        """Report an event of a trial, unless it is that of a stage which was trained here and reported then."""
        if event["stage_done"] not in mine:
            self.report({"trial": trial.key, **event})


@dataclass
class _Composition:
    """One composition and its training.

    Attributes:
        members: each the trial that has the stage, and the stage's place.
        missing: hashes of the stages to store; the others' weights are there already.
        run: keys of the trials that are run.
    """

    stack: _Stack
    members: Sequence[tuple[_Planned, int]]
    missing: set[str]
    run: set[str]
    signals: Signals
    resident: Resident | None

    def train(self) -> None:
        """Train it, and store each missing stage when it ends; a member whose earlier stage failed has no part in it."""
        ready = []
        for planned, place in self.members:
            stage = planned.stages[place]
            if error := self._failed_before(planned, stage):
                self.stack.failed[stage.hash] = error
            else:
                ready.append((planned, stage))
        if not ready:
            return
        recorders = [_Recorder(self, planned, stage, len(ready)) for planned, stage in ready]
        jobs = [recorder.job() for recorder in recorders]
        train_stack(jobs, lambda number, end: recorders[number].ended(jobs[number].network, end), self.resident)

    def _failed_before(self, planned: _Planned, stage: PlannedStage) -> TrainingError | None:
        """The error that a stage before this one ended in; None if there is none."""
        for earlier in path_to(planned.stages, stage)[:-1]:
            if message := self.stack.store.failure(earlier.hash):
                return TrainingError(message)
        return None

    def counted_for(self, stage: PlannedStage) -> Trial | None:
        """The trial of the unit that a stage's training is counted for: the first that has it."""
        return next((trial for trial in self.stack.unit.trials if stage.hash in trial.stages), None)


class _Recorder:
    """Takes in what happens to one member of a composition: epochs, and its end."""

    def __init__(self, composition: _Composition, planned: _Planned, stage: PlannedStage, size: int) -> None:
        self.composition, self.planned, self.stage, self.stack = composition, planned, stage, composition.stack
        self.trial = (composition.counted_for(stage) or planned.trial) if stage.hash in composition.missing else None
        self.unsent: list[Epoch] = []
        self.last_report, self.every_s = (
            time.monotonic(),
            composition.stack.report_every_s * size,
        )  # so that a stack reports as often as a trial
        self.attempt = ""

    def job(self) -> Job:
        """The member's training, begun in the account if it is missing."""
        context, stack, stage = self.planned.context, self.stack, self.stage
        model = StagedModel(context, stack.store, stack.device, ALONE).before(self.planned.stages, stage)
        assert isinstance(model, Network)
        if self.trial:
            columns = {"trial": self.trial.key, "name": stage.name, **self.trial.labels}
            self.attempt = stack.store.begin(stage.hash, columns)
        fold = context.fold
        return Job(
            model, self.composition.signals, known_classes(fold.y, stage), stage, fold.draws, stack.device, self._on_batch, self._on_epoch,
            ALONE, fold.index.participant_index,
        )  # fmt: skip

    def _on_batch(self, rows: RowIds) -> None:
        self.stack.on_batch(self.stage, rows)

    def _on_epoch(self, epoch: Epoch) -> None:
        self.unsent.append(epoch)
        if self.trial and time.monotonic() - self.last_report > self.every_s:
            self._emit(done=False)
            self.last_report = time.monotonic()

    def ended(self, network: Network, end: End) -> None:
        """Store the weights, or why there are none."""
        store, stage = self.stack.store, self.stage
        if isinstance(end, TrainingError):
            self.stack.failed[stage.hash] = end
            store.note_failure(stage.hash, str(end))
            return
        if not self.trial:
            return
        saved = store.save(stage.hash, network.state_of(stage.trainable))
        counts = {"epochs": len(end.curve), "best_epoch": end.best_epoch, "steps": end.steps, "windows": len(end.seen)}
        store.complete(self.attempt, {**counts, "curve": end.curve, "cpu_s": round(end.cpu_s, 3)})
        self.stack.trained.setdefault(self.trial.key, {})[stage.hash] = (len(end.curve), len(end.seen))
        self._emit(done=True, saved=saved)

    def _emit(self, done: bool, saved: Saved | None = None) -> None:
        assert self.trial is not None
        event = {
            "trial": self.trial.key,
            "stage": self.stage.name,
            "stage_done": self.stage.hash if done else "",
            "reused": False,
            **(saved.fields if saved else {}),
        }
        self.stack.report({**event, "curve": self.unsent, "windows": len(self.unsent) * len(self.stage.received)})
        self.unsent = []
