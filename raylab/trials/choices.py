"""Sentences on what a study leaves to the data, or leaves out of them: which unit calibrates, which windows are used."""

import numpy as np

from raylab.folds.fold import Fold, FoldError
from raylab.techniques.stage import AUTO
from raylab.trials.plan import CheckedDataset
from raylab.trials.study import Study


def calibration_sentences(study: Study, dataset: CheckedDataset) -> list[str]:
    """Which unit the study's calibration windows are taken by, and what follows; nothing for studies without, and for utterances."""
    asked = {variant["unit"] for _, technique in study.trained for variant in technique.variants if "unit" in variant}
    runs = dataset.runs
    if not asked or not runs.timed or not runs.people:
        return []
    units = {runs.unit if unit == AUTO else unit for unit in asked}
    counted = f"{runs.several} of {runs.people} people have several runs of each class"
    chosen = "" if AUTO not in asked else f" (unit: auto, since {counted})"
    sentences = []
    if "block" in units:
        left = runs.people - runs.several
        alone = f"; {left} of {runs.people} people have one run of a class, which leaves them no test window of it and no AUROC"
        sentences.append(
            f"variants with unit=block calibrate by whole runs, so no run is on both sides{chosen}{alone if left else ''}."
        )
    if "window" in units:
        why = chosen if runs.unit == "window" else f", although {counted}"
        sentences.append(
            f"variants without unit=block calibrate by windows{why}: calibration and test windows share a run, and a gain may be the run's "
            "identity; the row run_identity is the ceiling of that."
        )
    return sentences


def window_sentences(study: Study, dataset: CheckedDataset) -> list[str]:
    """Which windows are left out by ``restrict`` and ``match``, and how many are used; nothing if all are."""
    entry, sentences = dataset.entry, []
    if entry.restrict:
        y, people = dataset.index.labels[entry.label], len(dataset.candidates)
        sentences.append(
            f"only windows within {entry.border_minutes:g} minutes before and after a change of {entry.label} are trained on and tested: "
            f"{np.count_nonzero(y >= 0):,} windows of {people} people."
        )
    if entry.match:
        tested = [_tested(dataset, target, study.seeds[0]) for target in dataset.targets]
        sentences.append(
            "match: clock: in every minute since the recordings began a model is trained on as many windows of each class as of any other, so "
            "that no time tells the class of the people it learns from; a target is tested (and calibrates) in the minutes in which the others "
            f"have every class: {sum(tested):,} windows of {sum(map(bool, tested))} of {len(tested)} people. Within one person no two windows "
            "are of one time: what a technique learns from the target itself may still be drift, which order-balanced scores tell."
        )
    return sentences


def _tested(dataset: CheckedDataset, target: str, seed: int) -> int:
    """Windows of a target that may be tested on."""
    entry = dataset.entry
    held_out_with = dataset.held_out_with(target, seed)
    fold = Fold(dataset.index, entry.label, target, seed, entry.people, held_out_with=held_out_with, match=entry.match or "")
    try:
        return len(fold.target_windows)
    except FoldError:
        return 0
