"""The leak probe on a study: the target's test labels are flipped, and the predictions must not change by one bit.

Every trial is trained and predicted twice by the real worker, each time from an empty store. The second time, the worker is given
another class for every target window that is neither trained nor validated on. The stages are planned on the true labels: the number of
calibration windows is a share of all windows of a label (docs/protocol.md, Folds and techniques), so a plan on flipped labels would choose other
calibration windows. A stage that declares no need of the target's labels has to choose the same windows for both.

The probe cannot detect a selection that declares a need of the target's labels and uses more of them than it may, those of test windows.
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
from raylab.windows.cross_corpus import open_windows
from raylab.windows.dataset import WindowIndex, Windows
from raylab.windows.order import restricted


@dataclass(frozen=True)
class Flip:
    """One trial, run twice.

    Attributes:
        trial: the trial.
        windows: number of windows that both runs predicted.
        flipped: number of these whose class was another one in the second run.
        changed: number of windows with a probability that is not equal to the bit, or that only one run predicted.
        peeking: names of the stages that chose other windows although they declare no need of the target's labels.
        trainings: number of stages trained, in both runs together.
    """

    trial: Trial
    windows: int
    flipped: int
    changed: int
    peeking: tuple[str, ...]
    trainings: int

    @property
    def clean(self) -> bool:
        """Whether flipping the labels changed neither a prediction nor a choice of windows."""
        return not self.changed and not self.peeking

    def line(self) -> str:
        """A line of text to print."""
        row = self.trial.labels
        name = " ".join(str(row[key]) for key in ("dataset", "label", "technique", "variant", "participant", "seed"))
        counts = (
            f"{self.changed} of {self.windows} predictions changed ({self.flipped} labels flipped, {self.trainings} trainings)"
        )
        return f"{name}: {counts}" + (f"; chosen by test labels: stage {', '.join(self.peeking)}" if self.peeking else "")


@dataclass(frozen=True)
class Flips:
    """The probe's result.

    Attributes:
        trials: one flip per trial that was run.
        missing: number of trials whose fold cannot be built.
    """

    trials: tuple[Flip, ...]
    missing: int

    @property
    def clean(self) -> bool:
        """Whether every trial is clean."""
        return all(flip.clean for flip in self.trials)

    def summary(self) -> str:
        """Counts over all trials and the verdict, as a line of text."""
        n_unclean = sum(not flip.clean for flip in self.trials)
        windows, flipped = sum(flip.windows for flip in self.trials), sum(flip.flipped for flip in self.trials)
        changed = sum(flip.changed for flip in self.trials)
        total = f"{len(self.trials)} trials, {windows} predictions, {flipped} labels flipped, {changed} changed"
        verdict = f"{n_unclean} trial(s) depend on test labels" if n_unclean else "no trial depends on a test label"
        missing = f"; {self.missing} trial(s) have no fold" if self.missing else ""
        return f"{total}: {verdict}{missing}"


def flipped_labels(study: Study, root: str, limit: int | None = None, log: Callable[[str], None] = lambda line: None) -> Flips:
    """Run the study's trials twice each, in this process and in temporary folders.

    Args:
        root: folder that the study's ``windows`` paths are in.
        limit: maximum number of trials, taken from the variants in turn, each time with another target; None for all.
        log: called with a line per trial when it has ended.

    Raises:
        RaylabError: if a trial fails or no trial has a fold, because nothing can be compared then.
    """
    if limit is not None and limit < 1:
        raise RaylabError(f"--limit {limit} leaves no trial; give 1 or more")
    windows = {source: open_windows(root, source, study.resources.windows) for source in map(study.source, study.datasets)}
    trials = list(plan(study, {source: data.index for source, data in windows.items()}))
    with_fold = _variants_in_turn([trial for trial in trials if not trial.problem])
    if not with_fold:
        raise RaylabError(
            f"no trial of {study.name} has a fold, so there is nothing to compare: {trials[0].problem if trials else 'no targets'}"
        )
    flips = []
    for trial in with_fold[:limit]:
        flips.append(_run_twice(trial, windows[trial.windows]))
        log(flips[-1].line())
    return Flips(tuple(flips), sum(bool(trial.problem) for trial in trials))


def _variants_in_turn(trials: list[Trial]) -> list[Trial]:
    """The first trial of every variant, then the second one of each, so that a few trials cover all techniques and several targets."""
    variants: dict[str, list[Trial]] = {}
    for trial in trials:
        names = [str(trial.labels[key]) for key in ("dataset", "label", "model", "technique", "variant")]
        variants.setdefault(" ".join(names), []).append(trial)
    # Each variant starts at another target, so that the first round already holds out several participants.
    rotated = [group[i % len(group) :] + group[: i % len(group)] for i, group in enumerate(variants.values())]
    return [trial for trial in chain.from_iterable(zip_longest(*rotated)) if trial is not None]


def _flip_labels(index: WindowIndex, label: str, rows: RowIds) -> WindowIndex:
    """The index with the next class in these rows; after the last class comes the first."""
    y = index.labels[label].copy()
    y[rows] = (y[rows] + 1) % len(index.classes(label))
    return replace(index, labels={**index.labels, label: y})


def _as_planned(
    context: TrainingContext, stages: tuple[PlannedStage, ...], trial: Trial, index: WindowIndex
) -> tuple[TrainingContext, tuple[PlannedStage, ...]]:
    """The planned stages, with a fold that has the labels of the worker's index."""
    return replace(context, fold=replace(context.fold, index=index)), stages


def _run_twice(trial: Trial, windows: Windows) -> Flip:
    windows = replace(windows, index=restricted(windows.index, trial.label, trial.border_minutes))  # before borders move
    context, stages = stages_of(trial, windows.index)
    used = np.concatenate([np.concatenate([stage.train, stage.validation]) for stage in stages])
    index = _flip_labels(windows.index, trial.label, np.setdiff1d(context.fold.target_windows, used))
    outcomes = []
    for version in (windows, Windows(index, windows.signals, windows.lengths)):
        with tempfile.TemporaryDirectory(prefix="raylab-flip-") as root:
            outcome = run_trial(trial, version, StageStore(Folder(root)), planner=partial(_as_planned, context, stages))
        if outcome.predictions is None:
            raise RaylabError(f"{trial.labels}: this trial failed, so there is nothing to compare: {outcome.record['error']}")
        outcomes.append(outcome)
    before, after = (_by_window(outcome.predictions) for outcome in outcomes if outcome.predictions is not None)
    both = before.keys() & after.keys()
    return Flip(
        trial=trial,
        windows=len(both),
        flipped=sum(before[window][0] != after[window][0] for window in both),
        changed=len(before.keys() ^ after.keys()) + sum(before[window][1] != after[window][1] for window in both),
        peeking=_peeking(trial, context.fold, index),
        trainings=sum(len(outcome.trained) for outcome in outcomes),
    )


def _by_window(predictions: pa.Table) -> Mapping[int, tuple[int, bytes]]:
    """The class and the bytes of the probabilities of each window, by its id."""
    windows, classes = predictions["window"].to_pylist(), predictions["y_true"].to_pylist()
    p = predictions["p"].combine_chunks().flatten().to_numpy().reshape(len(windows), -1)
    return {window: (y, row.tobytes()) for window, y, row in zip(windows, classes, p, strict=True)}


def _peeking(trial: Trial, fold: Fold, flipped: WindowIndex) -> tuple[str, ...]:
    """Stages that declare no need of the target's labels but choose other windows when these are flipped."""
    flipped_fold = training_context(trial, flipped).fold
    peeking = []
    for stage in TECHNIQUES[trial.technique].stages(trial.variant):
        if TARGET_LABELS in stage.windows.needs:
            continue
        before, after = stage.windows.choose(fold), stage.windows.choose(flipped_fold)
        if not all(
            np.array_equal(getattr(before, part), getattr(after, part)) for part in ("train", "validation", "signals_used")
        ):
            peeking.append(stage.name)
    return tuple(peeking)
