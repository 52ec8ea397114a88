"""The plan: every trial of a study, with the hashes of its stages, from the indexes of the windows alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from raylab.errors import StudyError
from raylab.folds.fold import Fold, FoldError
from raylab.folds.split_scheme import SplitScheme, held_out_key, labelled_participants
from raylab.models.network import ModelSpec
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import TRAITS
from raylab.training.protocol import Protocol
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages
from raylab.trials.compatibility import channels_of, dataset_problems
from raylab.trials.split_config import WIDTH, Candidate
from raylab.trials.study import DatasetEntry, Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex

SelectedHyperparameters = Mapping[
    tuple[str, str, ModelSpec, str, int], Candidate
]  # dataset, label, model, who is held out, seed

LEAVE_ONE_OUT = SplitScheme()
MIN_PARTICIPANTS = 3  # a target, one to train on, one to validate on


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset entry of the study with its index, checked to fit.

    Attributes:
        source: what its windows are read from, as ``raylab.windows.cross_corpus`` says.
        everyone: those who are held out in turn; ``targets``: those of them that the study asks for.
    """

    entry: DatasetEntry
    index: WindowIndex
    name: str
    channels: tuple[str, ...]
    targets: tuple[str, ...]
    everyone: tuple[str, ...]
    kind: SplitScheme
    source: str

    def held_out_with(self, target: str, seed: int) -> tuple[str, ...]:
        """Who is held out together with the target."""
        return self.kind.held_out_with(self.index, self.entry.label, seed, target, self.everyone)


def dataset_name(entry: DatasetEntry, index: WindowIndex, kind: SplitScheme = LEAVE_ONE_OUT) -> str:
    """How tables call the dataset: its own name, and in brackets a normalization that is not the usual one, the leak probes that it
    was put through, a number of people, and the kind of folds, which stands behind a name given in the study too."""
    marks = [index.card.preprocessing.suffix] if index.card.preprocessing.suffix else []
    marks += [probe.suffix for probe in index.card.probes]
    marks += [f"{entry.people} people"] if entry.people else []
    marks = [*([] if entry.name else marks), *([kind.suffix] if kind.suffix else [])]
    return (entry.name or index.name) + (f" ({', '.join(marks)})" if marks else "")


def _unknown(entry: DatasetEntry, index: WindowIndex) -> list[str]:
    """What the entry names and the windows do not have; of two joined datasets, what they do not share."""
    problems = []
    other_labels = index.joined.unshared_labels if index.joined else {}
    other_channels = index.joined.unshared_channels if index.joined else {}
    if entry.label not in index.labels:
        offered = ", ".join(index.labels)
        problems.append(
            f"{entry.windows}: {other_labels[entry.label]}"
            if entry.label in other_labels
            else f"{entry.windows} has no label {entry.label!r} (it has {offered}); prepare it again with --label {entry.label}"
        )
    available = [channel.name for channel in index.card.channels]
    differing = {name: why for name, why in other_channels.items() if entry.channels is None or name in entry.channels}
    problems += [f"{entry.windows}: {why}; name the channels to use with `channels:`" for why in differing.values()]
    if unknown := [name for name in entry.channels or [] if name not in available and name not in differing]:
        problems.append(f"{entry.windows} has no channel {', '.join(unknown)} (it has {', '.join(available)})")
    if unknown := [name for name in entry.participants or [] if name not in index.tested]:
        problems.append(f"{entry.windows} has no participant {', '.join(unknown)}")
    return problems


def _check(study: Study, entry: DatasetEntry, index: WindowIndex) -> tuple[CheckedDataset | None, list[str]]:
    problems = _unknown(entry, index)
    kind = study.division(entry).kind(index.joined.trained_on if index.joined else "")
    if len(index.participants) < MIN_PARTICIPANTS:
        problems.append(f"{entry.windows} has {len(index.participants)} participants; leave-one-out needs {MIN_PARTICIPANTS}")
    if problems:
        return None, problems
    everyone = tuple(name for name in labelled_participants(index, entry.label) if name in index.tested)
    if kind.groups > len(everyone):
        return None, [
            f"{entry.windows} has {len(everyone)} people with the label {entry.label}, too few for {kind.groups} groups"
        ]
    return CheckedDataset(
        entry=entry,
        index=index,
        name=dataset_name(entry, index, kind),
        channels=tuple(entry.channels or [channel.name for channel in index.card.channels]),
        targets=tuple(name for name in everyone if name in (entry.participants or everyone)),
        everyone=everyone,
        kind=kind,
        source=study.source(entry),
    ), []


def check_datasets(study: Study, indexes: Mapping[str, WindowIndex]) -> list[CheckedDataset]:
    """The study's datasets, checked.

    Raises:
        StudyError: with every problem of every dataset.
    """
    found, problems = [], []
    for entry in study.datasets:
        ready, wrong = _check(study, entry, indexes[study.source(entry)])
        problems += wrong
        if ready:
            found.append(ready)
    cells = [(ready.name, ready.entry.label) for ready in found]
    problems += [problem for ready in found for problem in _missing_requirements(ready, study)]
    problems += [
        problem
        for ready in found
        for model in study.models
        for problem in dataset_problems(model.spec, ready.channels, ready.index.card, ready.name)
    ]
    problems += [
        f"dataset {name!r} with label {label!r} stands twice; give one of them a name"
        for name, label in sorted({c for c in cells if cells.count(c) > 1})
    ]
    if problems:
        raise StudyError(problems)
    return found


def _missing_requirements(ready: CheckedDataset, study: Study) -> list[str]:
    """What techniques of the study need and the dataset does not have."""
    if ready.index.card.has_traits:
        return []
    wanting = {
        entry.name
        for entry in study.techniques
        for variant in entry.variants
        if TRAITS in TECHNIQUES[entry.name].needs(variant)
    }
    return [f"{name} needs traits, and {ready.name} has none; leave it out or use by: data" for name in sorted(wanting)]


def training_context(trial: Trial, index: WindowIndex) -> TrainingContext:
    """What a trial's stages have in common, rebuilt from its record."""
    shapes = {channel.name: (channel.length, channel.n_features) for channel in index.card.channels}
    return TrainingContext(
        fold=Fold(
            index, trial.label, trial.target, trial.seed, trial.people, trial.channels, trial.held_out_with, trial.shares
        ),
        model=trial.model,
        adapter=TECHNIQUES[trial.technique].adapter,
        shapes={name: shapes[name] for name in trial.channels},
        workers=trial.workers,
    )


def stages_of(trial: Trial, index: WindowIndex) -> tuple[TrainingContext, tuple[PlannedStage, ...]]:
    """The trial's stages with their windows.

    Raises:
        FoldError: where the fold cannot give a stage its windows.
    """
    subject = training_context(trial, index)
    if not len(subject.fold.target_windows):
        raise FoldError(f"no window of participant {trial.target} fell into the test part of the random split")
    return subject, plan_stages(subject, TECHNIQUES[trial.technique].stages(trial.variant), trial.protocol)


def with_candidate(model: ModelSpec, protocol: Protocol, point: Candidate) -> tuple[ModelSpec, Protocol]:
    """The model and the protocol at a point of a search."""
    changed = {name: value for name, value in point.items() if name != WIDTH}
    wide = replace(model, width=float(point[WIDTH])) if WIDTH in point else model
    return wide, Protocol.model_validate({**protocol.model_dump(), **changed}) if changed else protocol


def name_without(model: ModelSpec, point: Candidate) -> str:
    """The model's name without what a search chooses."""
    return replace(model, width=1.0).name if WIDTH in point else model.name


def with_stage_hashes(trial: Trial, index: WindowIndex) -> Trial:
    """The trial with the hashes of its stages, or why its fold cannot be built, and its key."""
    try:
        trial = replace(trial, stages=tuple(stage.hash for stage in stages_of(trial, index)[1]))
    except FoldError as error:
        trial = replace(trial, problem=str(error))
    return replace(trial, key=trial.computed_key)


def plan(study: Study, indexes: Mapping[str, WindowIndex], chosen: SelectedHyperparameters | None = None) -> Iterator[Trial]:
    """Every trial of the study, in the study's order; one whose fold cannot be built carries its problem.

    Args:
        indexes: the source of each dataset entry (``Study.source``: its ``windows`` unless it trains on others) to its index.
        chosen: what a search chose (``raylab.trials.hyperparameter_search``); a study with a search has no plan before.

    Raises:
        StudyError: with every problem of every dataset.
    """
    if study.search and chosen is None:
        raise StudyError(["`search` is chosen while the study runs, so it has no plan before; leave it out here"])
    yielded: set[str] = set()
    for ready, model, technique in product(check_datasets(study, indexes), study.models, study.techniques):
        for variant, target, seed in product(technique.variants, ready.targets, study.seeds):
            apart = ready.held_out_with(target, seed)
            point = chosen[ready.name, ready.entry.label, model.spec, held_out_key(target, apart), seed] if chosen else {}
            spec, protocol = with_candidate(model.spec, study.protocol, point)
            trial = Trial(
                dataset=ready.name,
                windows=ready.source,
                label=ready.entry.label,
                channels=channels_of(spec, ready.channels, ready.index.card),
                model=spec,
                technique=technique.name,
                variant=variant,
                target=target,
                seed=seed,
                people=ready.entry.people,
                held_out_with=apart,
                shares=ready.kind.shares,
                model_name=f"{name_without(model.spec, point)} (searched)" if point else "",
                best_params=point,
                protocol=protocol,
                purge=study.purge,
                workers=study.resources.workers,
            )
            trial = with_stage_hashes(trial, ready.index)
            if trial.key not in yielded:  # a study may name a variant twice
                yielded.add(trial.key)
                yield trial
