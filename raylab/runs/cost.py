"""Cost of a study before it starts: trials, trainings, window-epochs, and the time on the resources at hand.

When a training will stop early cannot be known. The time is therefore given for the earliest stop that the patience allows and for all
epochs. If the run folder holds trainings of the study, it is also given for the share of their epochs that those took.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raylab.runs.cluster import Executor
from raylab.runs.folder import FINAL, RunFolder
from raylab.runs.progress import Log, duration
from raylab.runs.provenance import choices
from raylab.runs.run import indexes_of
from raylab.runs.stage_quota import quota_problem
from raylab.runs.stage_timing import DistinctStage, StageShape, Timing, survey, timings_in_process, timings_on_ray
from raylab.runs.store_size import stage_sizes, store_lines
from raylab.trials.plan import check_datasets, plan
from raylab.trials.study import Study
from raylab.windows.cross_corpus import open_windows

START_S = 20.0  # until the first trial runs: Ray's start, the windows' way into the object store, the workers' import of torch
TRIAL_S = (
    0.1  # of a trial beyond training and prediction: Tune's and the files' share (`python -m benchmarks sweep` measures it)
)


@dataclass(frozen=True)
class Estimate:
    """The part of a study that is left to run, and its cost on these resources.

    Attributes:
        trials: number of trials of the study.
        pending: number of trials that have not ended.
        needed: the stages that pending trials need and the store lacks.
        timings: seconds per step for each shape of stage among them.
        predicted: number of target windows that pending trials predict, by dataset and model.
        shares: by stage name, the mean share of their epochs that its trainings in the run folder took, and the number of these.
        slots: number of trials that run at the same time.
        choices: sentences on what the study leaves to the data (``raylab.runs.provenance.choices``).
        store: sentences on the room that its weights take (``raylab.runs.store_size``).
    """

    trials: int
    pending: int
    needed: list[DistinctStage]
    timings: dict[StageShape, Timing]
    predicted: dict[tuple[str, str], int]
    shares: dict[str, tuple[float, int]]
    slots: int
    choices: tuple[str, ...] = ()
    store: tuple[str, ...] = ()

    def seconds(self, epochs: Callable[[DistinctStage], float]) -> float:
        """Seconds if each training takes ``epochs(stage)``: all work divided by the slots, or the longest training or stack if
        that is more."""
        if not self.pending:
            return 0.0
        training_s = [epochs(stage) * stage.steps * self.timings[stage.shape].step_s for stage in self.needed]
        longest_s = max(
            (seconds * stage.shape.members for seconds, stage in zip(training_s, self.needed, strict=True)), default=0.0
        )
        window_s = {(shape.dataset, shape.model): timing.window_s for shape, timing in self.timings.items()}
        prediction_s = sum(count * window_s.get(model, 0.0) for model, count in self.predicted.items())
        work_s = sum(training_s) + prediction_s + self.pending * TRIAL_S
        return START_S + max(work_s / self.slots, longest_s)

    def lines(self) -> list[str]:
        """Lines of text to print; every figure with its assumption."""
        upper = sum(stage.epochs * len(stage.stage.train) for stage in self.needed)
        return [
            f"trials: {self.pending} of {self.trials} to run; trainings: {len(self.needed)}; window-epochs: at most {upper:,}",
            *self.choices,
            *(self._timing_line(shape, timing) for shape, timing in self.timings.items()),
            *self.store,
            *self._time_lines(),
            f"steps were timed in processor time; load of this machine meanwhile {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        ]

    def _timing_line(self, shape: StageShape, timing: Timing) -> str:
        """How many trainings of a shape there are, and what a step of one takes, or all of it if there are no steps."""
        steps = [stage.steps for stage in self.needed if stage.shape == shape]
        count = float(np.mean(steps)) if shape.at_once and steps else 1.0
        return f"  {len(steps):>5} x {shape}: {1000 * timing.step_s * count:.1f} ms{'' if shape.at_once else ' per step'}"

    def _time_lines(self) -> list[str]:
        low, high = self.seconds(lambda stage: stage.earliest), self.seconds(lambda stage: stage.epochs)
        on_slots = f"time on {self.slots} slot{'s' if self.slots > 1 else ''}"
        if low == high:
            return [f"{on_slots}: {duration(high)} (no training can stop before its last epoch)"]
        lines = [
            f"{on_slots}: {duration(low)} if every training stops as early as its patience allows, {duration(high)} if none does"
        ]
        if self.shares:
            expected = self.seconds(lambda stage: stage.epochs * self.shares.get(stage.shape.stage, (1.0, 0))[0])
            took = ", ".join(f"{name} {share:.0%} ({count})" for name, (share, count) in sorted(self.shares.items()))
            lines.append(
                f"expected: {duration(expected)}, if the rest takes the share of the epochs that trainings here took: {took}"
            )
        return lines


def _epoch_shares(run: RunFolder, stages: dict[str, DistinctStage]) -> dict[str, tuple[float, int]]:
    """Mean share of their epochs that the completed trainings of each stage name took, and the number of these trainings."""
    shares_by_name: dict[str, list[float]] = defaultdict(list)
    for row in run.trainings():
        if row["status"] == "completed" and row["stage"] in stages and row.get("name") and row.get("epochs"):
            shares_by_name[row["name"]].append(row["epochs"] / stages[row["stage"]].epochs)
    return {name: (float(np.mean(shares)), len(shares)) for name, shares in shares_by_name.items()}


def estimate(
    study: Study, root: str, out: str | None = None, executor: Executor = "ray", address: str | None = None, log: Log = print
) -> Estimate:
    """Time a few steps of every shape of stage and add up the cost. Nothing is written, and only the timed steps are trained.

    Args:
        root: folder that the study's ``windows`` paths are in.
        out: run folder, for the trials and stages that it holds already; None for a fresh one.
        log: called with each line to print.

    Raises:
        StudyError: for the same reasons as a run.
    """
    indexes = indexes_of(study, root)
    trials, chosen = list(plan(study, indexes)), tuple(choices(study, check_datasets(study, indexes)))
    stages, predicted = survey(trials, indexes)
    run = RunFolder(out) if out else None
    finished = run.finished() if run else {}
    pending = [trial for trial in trials if finished.get(trial.key) not in FINAL]
    missing = {stage for trial in pending for stage in trial.stages} - (run.store.hashes() if run else set())
    needed = [stage for key, stage in stages.items() if key in missing]
    longest = {stage.shape: stage for stage in sorted(needed, key=lambda stage: stage.steps)}  # the one that is timed
    if executor == "local":
        sources = {stage.trial.windows for stage in longest.values()}
        windows = {source: open_windows(root, source, study.resources.windows) for source in sources}
        timings, n_slots = timings_in_process(list(longest.values()), windows), 1
    else:
        timings, n_slots = timings_on_ray(list(longest.values()), root, study.resources, address, log)
    counts: Counter[tuple[str, str]] = Counter()
    for trial in pending:
        counts[trial.dataset, trial.model.name] += predicted.get(trial.key, 0)
    shares = _epoch_shares(run, stages) if run else {}
    sizes, quota = stage_sizes(trials, indexes), study.resources.quota
    store = store_lines(study, trials, sizes, quota_problem(quota, study.keep, trials, sizes) if quota else "")
    return Estimate(len(trials), len(pending), needed, timings, dict(counts), shares, n_slots, chosen, store)
