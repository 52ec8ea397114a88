"""The plan: every trial of a study with the hashes of its stages, from the indexes of the windows alone.

A plan is a list of plain records, made before anything is trained. It tells which trainings techniques share, what a resumed run can skip and what a
run will cost; the worker (``raylab.trials.run_trial``) is a function of one record.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from raylab.errors import StudyError
from raylab.folds.calibration import RunCounts, run_counts
from raylab.folds.fold import Fold, FoldError
from raylab.folds.split_scheme import Participants, SplitScheme, held_out_key, labelled_participants, without
from raylab.models.network import ModelSpec
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import TRAITS
from raylab.techniques.stage import AUTO, Value
from raylab.training.protocol import REFERENCE, Protocol
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages
from raylab.trials.compatibility import channels_of, dataset_problems, declared_regularization, regularization_problems
from raylab.trials.pseudo_targets import plan_pseudo_targets
from raylab.trials.restriction import restriction_problems, suffix
from raylab.trials.split_config import WIDTH, Candidate
from raylab.trials.stacks import StageKind, stage_kinds, with_stacked_hashes, with_stacks
from raylab.trials.study import DatasetEntry, Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex
from raylab.windows.order import restricted

FoldKey = tuple[str, str, ModelSpec, str, int]  # dataset, label, model, all held-out participants (``held_out_key``), seed
SelectedHyperparameters = Mapping[FoldKey, Candidate]  # the result of a search
Known = Callable[[Trial], Trial | None]  # gives a trial its stages if they were planned before

LEAVE_ONE_OUT = SplitScheme()
MIN_PARTICIPANTS = 3  # a target, one to train on, one to validate on


@dataclass(frozen=True)
class CheckedDataset:
    """A dataset entry of the study with the index of its windows, checked: it has what the entry names.

    Attributes:
        entry: the entry of the study file.
        index: the index of its windows (two joined ones if another corpus is trained on).
        name: its name in tables.
        channels: the channels to use, in order.
        targets: the participants that the study holds out in turn.
        candidates: all participants who could be: those of the tested dataset who have windows with the label.
        kind: its split scheme.
        source: the key of its windows (``raylab.windows.cross_corpus.source``).
    """

    entry: DatasetEntry
    index: WindowIndex
    name: str
    channels: tuple[str, ...]
    targets: tuple[str, ...]
    candidates: tuple[str, ...]
    kind: SplitScheme
    source: str

    def held_out_together(self, seed: int) -> tuple[Participants, ...]:
        """The candidates in the groups that are held out together, each in the order of its folds."""
        if seed not in self._together:
            self._together[seed] = self.kind.held_out_together(self.index, self.entry.label, seed, self.candidates)
        return self._together[seed]

    def held_out_with(self, target: str, seed: int) -> Participants:
        """Participants held out together with the target."""
        if seed not in self._group_of:
            self._group_of[seed] = {name: group for group in self.held_out_together(seed) for name in group}
        return without(self._group_of[seed][target], target)

    @cached_property
    def _together(self) -> dict[int, tuple[Participants, ...]]:
        return {}

    @cached_property
    def _group_of(self) -> dict[int, dict[str, Participants]]:
        return {}

    @cached_property
    def runs(self) -> RunCounts:
        """The runs of the label that the candidates have."""
        return run_counts(self.index, self.entry.label, self.candidates)

    def resolved(self, variant: Mapping[str, Value]) -> Mapping[str, Value]:
        """The variant with what ``unit: auto`` means for this dataset and label, so that it never stands in a trial or its name."""
        return {**variant, "unit": self.runs.unit} if variant.get("unit") == AUTO else variant


def dataset_name(entry: DatasetEntry, index: WindowIndex, kind: SplitScheme = LEAVE_ONE_OUT) -> str:
    """The dataset's name in tables, with everything in brackets that makes its scores another matter.

    In brackets: a normalization other than the usual one, validity probes that the windows went through, a number of participants, and the
    windows that are used, and the split scheme. A name that the study gives replaces all of these except the last two: a leaking split, and
    a test on some windows only, must be seen under any name.
    """
    suffixes = [index.card.preprocessing.suffix] if index.card.preprocessing.suffix else []
    suffixes += [probe.suffix for probe in index.card.probes]
    suffixes += [f"{entry.n_people} people"] if entry.n_people else []
    suffixes = [*([] if entry.name else suffixes), *filter(None, [suffix(entry), kind.suffix])]
    return (entry.name or index.name) + (f" ({', '.join(suffixes)})" if suffixes else "")


def _unknown_names(entry: DatasetEntry, index: WindowIndex) -> list[str]:
    """Problems: a label, channels or participants that the entry names and the windows do not have.

    For two joined datasets also what they do not share, with the reason.
    """
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
    tested = set(index.tested)
    if unknown := [name for name in entry.participants or [] if name not in tested]:
        problems.append(f"{entry.windows} has no participant {', '.join(unknown)}")
    return problems


def _check(study: Study, entry: DatasetEntry, index: WindowIndex) -> tuple[CheckedDataset | None, list[str]]:
    """The entry with its index, or its problems."""
    problems = _unknown_names(entry, index)
    kind = study.folds_of(entry).kind(index.joined.trained_on if index.joined else "")
    if len(index.participants) < MIN_PARTICIPANTS:
        problems.append(f"{entry.windows} has {len(index.participants)} participants; leave-one-out needs {MIN_PARTICIPANTS}")
    if problems := problems or restriction_problems(entry, index):
        return None, problems
    index = restricted(index, entry.label, entry.border_minutes)
    tested = set(index.tested)
    candidates = tuple(name for name in labelled_participants(index, entry.label) if name in tested)
    wanted = set(entry.participants or candidates)
    if kind.groups > len(candidates):
        return None, [
            f"{entry.windows} has {len(candidates)} people with the label {entry.label}, too few for {kind.groups} groups"
        ]
    return CheckedDataset(
        entry=entry,
        index=index,
        name=dataset_name(entry, index, kind),
        channels=tuple(entry.channels or index.card.signal_channels),
        targets=tuple(name for name in candidates if name in wanted),
        candidates=candidates,
        kind=kind,
        source=study.source(entry),
    ), []


def check_datasets(study: Study, indexes: Mapping[str, WindowIndex]) -> list[CheckedDataset]:
    """The study's datasets with their indexes, checked: each has what the study, its models and its techniques need.

    Args:
        study: the study.
        indexes: the key of each dataset's windows (``Study.source``) to their index.

    Raises:
        StudyError: with every problem of every dataset.
    """
    datasets, problems = [], []
    for entry in study.entries:
        dataset, refusals = _check(study, entry, indexes[study.source(entry)])
        problems += refusals
        if dataset:
            datasets.append(dataset)
    cells = [(dataset.name, dataset.entry.label) for dataset in datasets]
    problems += [problem for dataset in datasets for problem in _missing_requirements(dataset, study)]
    problems += [
        problem
        for dataset in datasets
        for model in study.models
        for problem in (
            *dataset_problems(model.spec, dataset.channels, dataset.index.card, dataset.name),
            *regularization_problems(
                model.spec,
                study.protocol,
                tuple(chain.from_iterable(declared_regularization(t.name, t.variants) for m, t in study.trained if m is model)),
                dataset.channels,
                dataset.index.card,
                dataset.name,
            ),
        )
    ]
    problems += [
        f"dataset {name!r} with label {label!r} stands twice; give one of them a name"
        for name, label in sorted({c for c in cells if cells.count(c) > 1})
    ]
    if problems:
        raise StudyError(problems)
    return datasets


def _missing_requirements(dataset: CheckedDataset, study: Study) -> list[str]:
    """Problems: techniques of the study that need traits, if the dataset has none."""
    if dataset.index.card.has_traits:
        return []
    need_traits = {
        entry.name
        for entry in study.techniques
        for variant in entry.variants
        if TRAITS in TECHNIQUES[entry.name].needs(variant)
    }
    return [f"{name} needs traits, and {dataset.name} has none; leave it out or use by: data" for name in sorted(need_traits)]


def training_context(trial: Trial, index: WindowIndex) -> TrainingContext:
    """The fold, the model and the shapes that a trial's stages share, rebuilt from its record."""
    shapes = {channel.name: (channel.length, channel.n_features) for channel in index.card.channels}
    return TrainingContext(
        fold=Fold(
            index=restricted(index, trial.label, trial.border_minutes),
            label=trial.label,
            target=trial.target,
            seed=trial.seed,
            n_participants=trial.people,
            channels=trial.channels,
            held_out_with=trial.held_out_with,
            shares=trial.shares,
            match=trial.match,
        ).known,
        model=trial.model,
        adapter=TECHNIQUES[trial.technique].adapter,
        shapes={name: shapes[name] for name in trial.channels},
        workers=trial.workers,
        precision=trial.protocol.precision,
    )


def stages_of(trial: Trial, index: WindowIndex) -> tuple[TrainingContext, tuple[PlannedStage, ...]]:
    """The trial's stages with their windows and hashes, and the context that they share.

    Raises:
        FoldError: if the fold cannot give a stage its windows, or if the target has no window to test on.
    """
    context = training_context(trial, index)
    if trial.match and not len(context.fold.target_windows):
        raise FoldError(f"match: clock: in no minute of participant {trial.target} do the others have windows of every class")
    if not len(context.fold.target_windows):
        raise FoldError(f"no window of participant {trial.target} fell into the test part of the random split")
    technique = TECHNIQUES[trial.technique]
    declared = technique.stages(trial.variant)
    stages = plan_stages(context, declared, trial.protocol)
    if technique.pseudo_groups and len(stages) > 1:  # with a budget of 0 there is nothing to decide
        stages += plan_pseudo_targets(context, declared, trial.protocol, technique.pseudo_groups)
    return context, with_stacked_hashes(stages, trial.stacks) if trial.unit else stages


def with_candidate(model: ModelSpec, protocol: Protocol, candidate: Candidate) -> tuple[ModelSpec, Protocol]:
    """The model and the protocol with a candidate's width and hyperparameters in place of their own."""
    hyperparameters = {name: value for name, value in candidate.items() if name != WIDTH}
    spec = replace(model, width=float(candidate[WIDTH])) if WIDTH in candidate else model
    return spec, Protocol.model_validate({**protocol.model_dump(), **hyperparameters}) if hyperparameters else protocol


def unsearched_name(model: ModelSpec, candidate: Candidate) -> str:
    """The model's name in tables without the width, if the search selects it: then one name stands for all folds."""
    return replace(model, width=1.0).name if WIDTH in candidate else model.name


def with_stage_hashes(trial: Trial, index: WindowIndex) -> Trial:
    """The trial with its key and the hashes of its stages; or with its problem, if its fold cannot be built."""
    try:
        return trial.planned([stage.hash for stage in stages_of(trial, index)[1]])
    except FoldError as error:
        return trial.planned((), str(error))


def plan(
    study: Study,
    indexes: Mapping[str, WindowIndex],
    selected: SelectedHyperparameters | None = None,
    known: Known = lambda trial: None,
) -> Iterator[Trial]:
    """Every trial of the study, as ``plan_alone`` gives them, with their stacks if the study's numerics ask for some.

    Stacks need the windows of every stage, so a plan with stacks is made whole: ``known`` is asked for the others alone.
    """
    if study.protocol.numerics == REFERENCE or study.resources.stack == 1:
        yield from plan_alone(study, indexes, selected, known)
        return

    def kinds_of(trial: Trial) -> list[StageKind]:
        return stage_kinds(*stages_of(trial, indexes[trial.windows]), trial.windows)

    yield from with_stacks(plan_alone(study, indexes, selected), kinds_of, study.resources.stack)


def plan_alone(
    study: Study,
    indexes: Mapping[str, WindowIndex],
    selected: SelectedHyperparameters | None = None,
    known: Known = lambda trial: None,
) -> Iterator[Trial]:
    """Every trial of the study, in the study's order. A trial whose fold cannot be built is part of the plan, with its problem.

    Args:
        study: the study.
        indexes: the key of each dataset's windows (``Study.source``: their path, unless another corpus is trained on) to their index.
        selected: the result of the study's search (``raylab.trials.hyperparameter_search.choose``). Stage hashes hold the hyperparameters, so
            a study with a search has no plan before its search has ended.
        known: gives a trial its stages if they were planned before (``raylab.runs.stored_plan``), or None.

    Raises:
        StudyError: with every problem of every dataset, or if the search has not run.
    """
    if study.search and selected is None:
        raise StudyError(["`search` is chosen while the study runs, so it has no plan before; leave it out here"])
    yielded: set[str] = set()
    for dataset in check_datasets(study, indexes):
        for trial in _trials_of(study, dataset, selected, known):
            if trial.key not in yielded:  # a study may name a variant twice
                yielded.add(trial.key)
                yield trial


def _trials_of(
    study: Study,
    dataset: CheckedDataset,
    selected: SelectedHyperparameters | None,
    known: Known,
) -> list[Trial]:
    """The trials of one dataset, in the study's order. They are planned fold by fold, so that what variants and models have in common is computed
    once, and folds that hold out the same people follow each other."""
    cells = [(model.spec, one.name, dataset.resolved(variant)) for model, one in study.trained for variant in one.variants]
    targets, seeds = {name: place for place, name in enumerate(dataset.targets)}, study.seeds
    trials: dict[int, Trial] = {}
    for at_seed, seed in enumerate(seeds):
        for target in (name for group in dataset.held_out_together(seed) for name in group if name in targets):
            held_out_with = dataset.held_out_with(target, seed)
            for at_cell, (model, technique, variant) in enumerate(cells):
                trial = _trial(study, dataset, model, technique, variant, target, held_out_with, seed, selected)
                place = (at_cell * len(targets) + targets[target]) * len(seeds) + at_seed
                trials[place] = known(trial) or with_stage_hashes(trial, dataset.index)
    return [trials[place] for place in range(len(trials))]


def _trial(
    study: Study,
    dataset: CheckedDataset,
    model: ModelSpec,
    technique: str,
    variant: Mapping[str, Value],
    target: str,
    held_out_with: Participants,
    seed: int,
    selected: SelectedHyperparameters | None,
) -> Trial:
    """One trial, without its stages."""
    label = dataset.entry.label
    candidate = selected[dataset.name, label, model, held_out_key(target, held_out_with), seed] if selected else {}
    spec, protocol = with_candidate(model, study.protocol, candidate)
    return Trial(
        dataset=dataset.name,
        windows=dataset.source,
        label=label,
        channels=channels_of(spec, dataset.channels, dataset.index.card),
        model=spec,
        technique=technique,
        variant=variant,
        target=target,
        seed=seed,
        people=dataset.entry.n_people,
        border_minutes=dataset.entry.border_minutes,
        match=dataset.entry.match or "",
        held_out_with=held_out_with,
        shares=dataset.kind.shares,
        model_name=f"{unsearched_name(model, candidate)} (searched)" if candidate else "",
        best_params=candidate,
        protocol=protocol,
        purge=study.purge,
        workers=study.resources.workers,
    )
