"""The plan: every trial of a study, with the hashes of its stages, from the indexes of the windows alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from raylab.errors import StudyError
from raylab.folds.fold import Fold, FoldError
from raylab.techniques.selection import TRAITS
from raylab.techniques.table import TECHNIQUES
from raylab.training.identity import PlannedStage, Subject, plan_stages
from raylab.trials.study import DatasetEntry, Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex

MIN_PARTICIPANTS = 3  # a target, one to train on, one to validate on


@dataclass(frozen=True)
class Prepared:
    """A dataset entry of the study with its index, checked to fit."""

    entry: DatasetEntry
    index: WindowIndex
    name: str
    channels: tuple[str, ...]
    targets: tuple[str, ...]


def dataset_name(entry: DatasetEntry, index: WindowIndex) -> str:
    """How tables call the dataset: its own name, and in brackets a normalization that is not the paper's, the leak probes that it
    was put through, and a number of people."""
    past = index.card["preprocessing"]["normalization"] != "recording"
    marks = [index.card["preprocessing"]["normalization"]] if past else []
    marks += [probe["kind"].replace("_", " ") for probe in index.card.get("probes", [])]
    marks += [f"{entry.people} people"] if entry.people else []
    return entry.name or index.name + (f" ({', '.join(marks)})" if marks else "")


def _check(entry: DatasetEntry, index: WindowIndex) -> tuple[Prepared | None, list[str]]:
    problems = []
    if entry.label not in index.labels:
        offered = ", ".join(index.labels)
        problems.append(
            f"{entry.windows} has no label {entry.label!r} (it has {offered}); prepare it again with --label {entry.label}"
        )
    available = [channel["name"] for channel in index.card["channels"]]
    channels = entry.channels or available
    if unknown := [name for name in channels if name not in available]:
        problems.append(f"{entry.windows} has no channel {', '.join(unknown)} (it has {', '.join(available)})")
    asked = entry.participants or list(index.participants)
    if unknown := [name for name in asked if name not in index.participants]:
        problems.append(f"{entry.windows} has no participant {', '.join(unknown)}")
    if len(index.participants) < MIN_PARTICIPANTS:
        problems.append(f"{entry.windows} has {len(index.participants)} participants; leave-one-out needs {MIN_PARTICIPANTS}")
    if problems:
        return None, problems
    targets = tuple(
        name for name in index.participants if name in asked and len(Fold(index, entry.label, name, 0).target_windows)
    )
    return Prepared(entry, index, dataset_name(entry, index), tuple(channels), targets), []


def prepared(study: Study, indexes: Mapping[str, WindowIndex]) -> list[Prepared]:
    """The study's datasets, checked.

    Raises:
        StudyError: with every problem of every dataset.
    """
    found, problems = [], []
    for entry in study.datasets:
        ready, wrong = _check(entry, indexes[entry.windows])
        problems += wrong
        if ready:
            found.append(ready)
    cells = [(ready.name, ready.entry.label) for ready in found]
    problems += [problem for ready in found for problem in _lacks(ready, study)]
    problems += [
        f"dataset {name!r} with label {label!r} stands twice; give one of them a name"
        for name, label in sorted({c for c in cells if cells.count(c) > 1})
    ]
    if problems:
        raise StudyError(problems)
    return found


def _lacks(ready: Prepared, study: Study) -> list[str]:
    """What techniques of the study need and the dataset does not have."""
    if any(entry["traits"] for entry in ready.index.card["participants"]) and ready.index.card["similarity_traits"]:
        return []
    wanting = {
        entry.name
        for entry in study.techniques
        for variant in entry.variants
        if TRAITS in TECHNIQUES[entry.name].needs(variant)
    }
    return [f"{name} needs traits, and {ready.name} has none; leave it out or use by: data" for name in sorted(wanting)]


def subject_of(trial: Trial, index: WindowIndex) -> Subject:
    """What a trial's stages have in common, rebuilt from its record."""
    cards = {channel["name"]: (channel["length"], channel["n_features"]) for channel in index.card["channels"]}
    return Subject(
        fold=Fold(index, trial.label, trial.participant, trial.seed, trial.people, trial.channels),
        model=trial.model,
        adapter=TECHNIQUES[trial.technique].adapter,
        shapes={name: cards[name] for name in trial.channels},
        workers=trial.workers,
    )


def stages_of(trial: Trial, index: WindowIndex) -> tuple[Subject, tuple[PlannedStage, ...]]:
    """The trial's stages with their windows.

    Raises:
        FoldError: where the fold cannot give a stage its windows.
    """
    subject = subject_of(trial, index)
    return subject, plan_stages(subject, TECHNIQUES[trial.technique].stages(trial.variant), trial.protocol)


def plan(study: Study, indexes: Mapping[str, WindowIndex]) -> Iterator[Trial]:
    """Every trial of the study, in the study's order; one whose fold cannot be built carries its problem.

    Args:
        indexes: the ``windows`` of each dataset entry to its index.
    """
    yielded: set[str] = set()
    for ready, model, technique in product(prepared(study, indexes), study.models, study.techniques):
        for variant, target, seed in product(technique.variants, ready.targets, study.seeds):
            trial = Trial(
                dataset=ready.name,
                windows=ready.entry.windows,
                label=ready.entry.label,
                channels=ready.channels,
                model=model.spec,
                technique=technique.name,
                variant=variant,
                participant=target,
                seed=seed,
                people=ready.entry.people,
                protocol=study.protocol,
                purge=study.purge,
                workers=study.resources.workers,
            )
            try:
                stages = stages_of(trial, ready.index)[1]
                trial = replace(trial, stages=tuple(stage.hash for stage in stages))
            except FoldError as error:
                trial = replace(trial, problem=str(error))
            trial = replace(trial, key=trial.identity)
            if trial.key not in yielded:  # a study may name a variant twice
                yielded.add(trial.key)
                yield trial
