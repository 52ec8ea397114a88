"""What a study will cost, before it starts: trials, trainings, window-epochs, and the time on the resources at hand.

What cannot be known is when a training stops early. The time is given for the earliest stop that the patience allows and for all epochs,
and, where the run folder has trainings of the study, for the share of their epochs that those took.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raylab.runs.cluster import Executor
from raylab.runs.folder import FINAL, RunFolder
from raylab.runs.progress import duration
from raylab.runs.run import Log, indexes_of
from raylab.runs.stage_timing import Item, StageShape, Timing, survey, timings_here, timings_on_ray
from raylab.trials.plan import plan
from raylab.trials.study import Study
from raylab.windows.cross_corpus import read_source

START_S = 20.0  # until the first trial runs: Ray's start, the windows' way into the object store, the workers' import of torch
TRIAL_S = (
    0.1  # of a trial beyond training and prediction: what Tune and the files take (`python -m benchmarks.sweep` measures it)
)


@dataclass(frozen=True)
class Estimate:
    """What is left of a study, and what it costs here.

    Attributes:
        trials: of the study; ``pending``: those that have not ended.
        needed: the stages that are not stored.
        timings: of each kind among them.
        predicted: dataset and model to the number of target windows that pending trials predict.
        shares: stage name to the mean share of their epochs that its trainings in the run folder took, and their number.
        slots: trials at once.
    """

    trials: int
    pending: int
    needed: list[Item]
    timings: dict[StageShape, Timing]
    predicted: dict[tuple[str, str], int]
    shares: dict[str, tuple[float, int]]
    slots: int

    def seconds(self, epochs: Callable[[Item], float]) -> float:
        """Time if each training takes so many epochs: all work over all slots, or the longest training if that is more."""
        if not self.pending:
            return 0.0
        each = [epochs(item) * item.steps * self.timings[item.kind].step_s for item in self.needed]
        window_s = {(kind.dataset, kind.model): timing.window_s for kind, timing in self.timings.items()}
        predicting = sum(count * window_s.get(which, 0.0) for which, count in self.predicted.items())
        whole = sum(each) + predicting + self.pending * TRIAL_S
        return START_S + max(whole / self.slots, max(each, default=0.0))

    def lines(self) -> list[str]:
        """For people; every figure with what it assumes."""
        upper = sum(item.epochs * len(item.stage.train) for item in self.needed)
        counts = Counter(item.kind for item in self.needed)
        return [
            f"trials: {self.pending} of {self.trials} to run; trainings: {len(self.needed)}; window-epochs: at most {upper:,}",
            *(f"  {counts[kind]:>5} x {kind}: {1000 * timing.step_s:.1f} ms per step" for kind, timing in self.timings.items()),
            *self._times(),
            f"steps were timed in processor time; load of this machine meanwhile {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        ]

    def _times(self) -> list[str]:
        low, high = self.seconds(lambda item: item.earliest), self.seconds(lambda item: item.epochs)
        where = f"time on {self.slots} slot{'s' if self.slots > 1 else ''}"
        if low == high:
            return [f"{where}: {duration(high)} (no training can stop before its last epoch)"]
        said = [
            f"{where}: {duration(low)} if every training stops as early as its patience allows, {duration(high)} if none does"
        ]
        if self.shares:
            expected = self.seconds(lambda item: item.epochs * self.shares.get(item.kind.stage, (1.0, 0))[0])
            took = ", ".join(f"{name} {share:.0%} ({count})" for name, (share, count) in sorted(self.shares.items()))
            said.append(
                f"expected: {duration(expected)}, if the rest takes the share of the epochs that trainings here took: {took}"
            )
        return said


def _shares(run: RunFolder, items: dict[str, Item]) -> dict[str, tuple[float, int]]:
    seen: dict[str, list[float]] = defaultdict(list)
    for row in run.store.trainings():
        if row["status"] == "completed" and row["stage"] in items:
            seen[row["name"]].append(row["epochs"] / items[row["stage"]].epochs)
    return {name: (float(np.mean(shares)), len(shares)) for name, shares in seen.items()}


def estimate(
    study: Study, root: str, out: str | None = None, where: Executor = "ray", address: str | None = None, say: Log = print
) -> Estimate:
    """What is left of the study and what it costs; nothing is written, and nothing trained but the steps that are timed.

    Args:
        root: folder that the study's ``windows`` paths are in.
        out: the run folder, for what is done already; a fresh one where None.

    Raises:
        StudyError: as a run would.
    """
    indexes = indexes_of(study, root)
    trials = list(plan(study, indexes))
    items, predicted = survey(trials, indexes)
    run = RunFolder(out) if out else None
    finished = run.finished() if run else {}
    pending = [trial for trial in trials if finished.get(trial.key) not in FINAL]
    asked = {stage for trial in pending for stage in trial.stages} - (run.store.hashes() if run else set())
    needed = [item for key, item in items.items() if key in asked]
    longest = {item.kind: item for item in sorted(needed, key=lambda item: item.steps)}  # timed for their kind
    windows = {which: read_source(root, which) for which in {item.trial.windows for item in longest.values()}}
    if where == "local":
        timings, at_once = timings_here(list(longest.values()), windows), 1
    else:
        timings, at_once = timings_on_ray(list(longest.values()), windows, study.resources, address, say)
    counts: Counter[tuple[str, str]] = Counter()
    for trial in pending:
        counts[trial.dataset, trial.model.name] += predicted.get(trial.key, 0)
    return Estimate(len(trials), len(pending), needed, timings, dict(counts), _shares(run, items) if run else {}, at_once)
