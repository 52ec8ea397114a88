"""The leak probe on a study: the target's test labels flipped, and the predictions must not change by one bit.

Every trial is trained and predicted twice by the real worker, each time from an empty store. The second worker sees, wherever it
looks, another class for every target window that is neither trained nor validated on. The stages are planned on the true labels: how
many windows calibrate is a share of all windows of a label (PROTOCOL, Folds and techniques), so that a plan on flipped ones would
calibrate with others. A stage that declares no need of the target's labels has to choose the same windows on either.

What this cannot see: a selection that declares a need of the target's labels and uses those of test windows beyond that.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest

import numpy as np
import pyarrow as pa

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.folds.fold import Fold, RowIds
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import TARGET_LABELS
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan, stages_of, training_context
from raylab.trials.run_trial import run_trial
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.cross_corpus import read_source
from raylab.windows.dataset import WindowIndex, Windows


@dataclass(frozen=True)
class Flip:
    """One trial, run twice.

    Attributes:
        windows: predicted in both runs; ``flipped``: those of them whose class was another one in the second run.
        changed: those of them with a probability that is not equal to the bit, or that one run did not predict.
        peeking: names of the stages that chose other windows although they declare no need of the target's labels.
        trainings: stages trained, in both runs together.
    """

    trial: Trial
    windows: int
    flipped: int
    changed: int
    peeking: tuple[str, ...]
    trainings: int

    @property
    def clean(self) -> bool:
        return not self.changed and not self.peeking

    def line(self) -> str:
        row = self.trial.labels
        name = " ".join(str(row[key]) for key in ("dataset", "label", "technique", "variant", "participant", "seed"))
        found = (
            f"{self.changed} of {self.windows} predictions changed ({self.flipped} labels flipped, {self.trainings} trainings)"
        )
        return f"{name}: {found}" + (f"; chosen by test labels: stage {', '.join(self.peeking)}" if self.peeking else "")


@dataclass(frozen=True)
class Flips:
    """The probe's result; ``missing`` counts trials whose fold cannot be built."""

    trials: tuple[Flip, ...]
    missing: int

    @property
    def clean(self) -> bool:
        return all(flip.clean for flip in self.trials)

    def summary(self) -> str:
        wrong = sum(not flip.clean for flip in self.trials)
        windows, flipped = sum(flip.windows for flip in self.trials), sum(flip.flipped for flip in self.trials)
        changed = sum(flip.changed for flip in self.trials)
        total = f"{len(self.trials)} trials, {windows} predictions, {flipped} labels flipped, {changed} changed"
        verdict = f"{wrong} trial(s) depend on test labels" if wrong else "no trial depends on a test label"
        missing = f"; {self.missing} trial(s) have no fold" if self.missing else ""
        return f"{total}: {verdict}{missing}"


def flipped_labels(study: Study, root: str, limit: int | None = None, say: Callable[[str], None] = lambda line: None) -> Flips:
    """Run the study's trials twice, in this process and in temporary folders.

    Args:
        root: folder that the study's ``windows`` paths are in.
        limit: so many trials at most, of every variant in turn, each time another target; all where None.
        say: called with a line per trial as it is done.

    Raises:
        RaylabError: where a trial fails or no trial has a fold, as nothing can then be compared.
    """
    if limit is not None and limit < 1:
        raise RaylabError(f"--limit {limit} leaves no trial; give 1 or more")
    windows = {which: read_source(root, which) for which in map(study.source, study.datasets)}
    trials = list(plan(study, {path: found.index for path, found in windows.items()}))
    sound = _in_turn([trial for trial in trials if not trial.problem])
    if not sound:
        raise RaylabError(
            f"no trial of {study.name} has a fold, so there is nothing to compare: {trials[0].problem if trials else 'no targets'}"
        )
    done = []
    for trial in sound[:limit]:
        done.append(_twice(trial, windows[trial.windows]))
        say(done[-1].line())
    return Flips(tuple(done), sum(bool(trial.problem) for trial in trials))


def _in_turn(trials: list[Trial]) -> list[Trial]:
    """The first trial of every variant, then the second one of each: a few trials show all techniques and several targets."""
    variants: dict[str, list[Trial]] = {}
    for trial in trials:
        kind = [str(trial.labels[key]) for key in ("dataset", "label", "model", "technique", "variant")]
        variants.setdefault(" ".join(kind), []).append(trial)
    # Each variant starts at another target, so that the first round already holds several people out.
    turned = [some[i % len(some) :] + some[: i % len(some)] for i, some in enumerate(variants.values())]
    return [trial for trial in chain.from_iterable(zip_longest(*turned)) if trial is not None]


def _flipped(index: WindowIndex, label: str, rows: RowIds) -> WindowIndex:
    """The index with the next class at these rows, the first one after the last."""
    y = index.labels[label].copy()
    y[rows] = (y[rows] + 1) % len(index.classes(label))
    return replace(index, labels={**index.labels, label: y})


def _as_planned(
    subject: TrainingContext, stages: tuple[PlannedStage, ...], trial: Trial, index: WindowIndex
) -> tuple[TrainingContext, tuple[PlannedStage, ...]]:
    """The planned stages, in a fold of whatever labels the worker's index has."""
    return replace(subject, fold=replace(subject.fold, index=index)), stages


def _twice(trial: Trial, windows: Windows) -> Flip:
    subject, stages = stages_of(trial, windows.index)
    used = np.concatenate([np.concatenate([stage.train, stage.validation]) for stage in stages])
    index = _flipped(windows.index, trial.label, np.setdiff1d(subject.fold.target_windows, used))
    runs = []
    for seen in (windows, Windows(index, windows.signals, windows.lengths)):
        with tempfile.TemporaryDirectory(prefix="raylab-flip-") as place:
            outcome = run_trial(trial, seen, StageStore(Folder(place)), planner=partial(_as_planned, subject, stages))
        if outcome.predictions is None:
            raise RaylabError(f"{trial.labels}: this trial failed, so there is nothing to compare: {outcome.record['error']}")
        runs.append(outcome)
    before, after = (_by_window(outcome.predictions) for outcome in runs if outcome.predictions is not None)
    both = before.keys() & after.keys()
    return Flip(
        trial=trial,
        windows=len(both),
        flipped=sum(before[window][0] != after[window][0] for window in both),
        changed=len(before.keys() ^ after.keys()) + sum(before[window][1] != after[window][1] for window in both),
        peeking=_peeking(trial, subject.fold, index),
        trainings=sum(len(outcome.trained) for outcome in runs),
    )


def _by_window(predictions: pa.Table) -> Mapping[int, tuple[int, bytes]]:
    """Window id to its class and the bytes of its probabilities."""
    windows, classes = predictions["window"].to_pylist(), predictions["y_true"].to_pylist()
    p = predictions["p"].combine_chunks().flatten().to_numpy().reshape(len(windows), -1)
    return {window: (y, row.tobytes()) for window, y, row in zip(windows, classes, p, strict=True)}


def _peeking(trial: Trial, fold: Fold, flipped: WindowIndex) -> tuple[str, ...]:
    """Stages that declare no need of the target's labels and yet choose other windows on flipped ones."""
    other = training_context(trial, flipped).fold
    found = []
    for stage in TECHNIQUES[trial.technique].stages(trial.variant):
        if TARGET_LABELS in stage.windows.needs:
            continue
        one, two = stage.windows.choose(fold), stage.windows.choose(other)
        if not all(np.array_equal(getattr(one, part), getattr(two, part)) for part in ("train", "validation", "signals_used")):
            found.append(stage.name)
    return tuple(found)
