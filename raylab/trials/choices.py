"""Sentences on what a study leaves to the data, or leaves out of them: which unit calibrates, which windows are used."""

import numpy as np
import numpy.typing as npt

from raylab.folds.fold import NO_ROWS, Fold, FoldError
from raylab.techniques.stage import AUTO
from raylab.trials.plan import CheckedDataset
from raylab.trials.study import Study
from raylab.windows.context import TIED, circumstance_sentences, session_groups


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
        counts = np.array([_tested(dataset, target, study.seeds[0]) for target in dataset.targets])  # (n_people, n_classes)
        tested, scored = int((counts.sum(axis=1) > 0).sum()), int(((counts > 0).sum(axis=1) > 1).sum())
        sentences.append(
            "match: clock: in every minute since the recordings began a model is trained on as many windows of each class as of any other, so "
            "that no time tells the class of the people it learns from; a target is tested (and calibrates) in the minutes in which the others "
            f"have every class: {counts.sum():,} windows of {tested} of {len(counts)} people, {scored} of whom have two classes there (the rest have "
            "no AUROC). Within one person no two windows are of one time: what a technique learns from the target itself may still be drift, which "
            "order-balanced scores tell."
        )
    return sentences


def _fold(dataset: CheckedDataset, target: str, seed: int) -> Fold:
    entry, held_out_with = dataset.entry, dataset.held_out_with(target, seed)
    return Fold(dataset.index, entry.label, target, seed, entry.n_people, held_out_with=held_out_with, match=entry.match or "")


def _tested(dataset: CheckedDataset, target: str, seed: int) -> npt.NDArray[np.int64]:
    """Windows of each class (n_classes,) of a target that may be tested on."""
    fold = _fold(dataset, target, seed)
    try:
        rows = fold.target_windows
    except FoldError:
        rows = NO_ROWS
    return np.bincount(fold.y[rows], minlength=len(dataset.index.classes(dataset.entry.label)))


def circumstances(study: Study, dataset: CheckedDataset) -> list[str]:
    """Warnings: people who share a session and are on both sides of a fold; a device, hand, room or experimenter that is tied to the label."""
    tied = [text for text in circumstance_sentences(dataset.index, dataset.entry.label) if f" {TIED} (" in text]
    mates = {name: group for group in session_groups(dataset.index).values() for name in group}
    if not mates or dataset.kind.shares:
        return [f"warning: {text}" for text in tied]
    trained, validated = [], 0
    for target in dataset.targets:
        fold = _fold(dataset, target, study.seeds[0])
        try:
            train, validation = fold.split_participants(fold.others)
        except FoldError:
            continue
        trained += [target] if set(mates.get(target, ())) & set(fold.others) else []
        validated += any(set(mates.get(name, ())) & set(train) for name in validation)
    warnings = [f"warning: {text}" for text in tied]
    if trained:
        group = mates[trained[0]]
        warnings.append(
            f"warning: {len(trained)} of {len(dataset.targets)} people were recorded in one session with somebody whom their fold trains or "
            f"validates on (session_group; for example {' and '.join(group)}). What a session shares can pass for {dataset.entry.label}."
        )
    if validated:
        warnings.append(
            f"warning: in {validated} of {len(dataset.targets)} folds people of one session are on both sides of training and validation."
        )
    return warnings
