"""Grid search by nested cross-validation: inner trials within each outer fold, and the selection that their scores make.

docs/decisions/0016-kinds-of-folds.md. An inner trial is a trial like any other. Its target is a training participant of the outer fold, and
all participants whom the outer fold holds out are held out of it too. So no participant is trained on, validated on or tested in a search that
selects the hyperparameters for them.

Inner folds that hold out the same participants share one training: without A and B, an inner fold of A's outer fold is one of B's too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import pandas as pd

from raylab.errors import RaylabError
from raylab.folds.fold import Fold
from raylab.folds.split_scheme import Participants, held_out_key
from raylab.models.network import ModelSpec
from raylab.techniques.registry import REFERENCE_TECHNIQUE
from raylab.trials.compatibility import channels_of
from raylab.trials.plan import (
    CheckedDataset,
    FoldKey,
    SelectedHyperparameters,
    check_datasets,
    unsearched_name,
    with_candidate,
    with_stage_hashes,
)
from raylab.trials.split_config import Candidate, Search, format_candidate
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex


@dataclass(frozen=True)
class OuterFold:
    """One outer fold of one model. It is searched once: if it holds out several participants, the selection is for each of them as target.

    Attributes:
        dataset: the dataset.
        model: the model as the study declares it.
        held_out: all participants whom it holds out, sorted.
        seed: the seed.
    """

    dataset: CheckedDataset
    model: ModelSpec
    held_out: Participants
    seed: int

    @property
    def key(self) -> FoldKey:
        """Its identity, by which the plan of the outer trials finds the selection."""
        label, participants = self.dataset.entry.label, held_out_key(self.held_out[0], self.held_out[1:])
        return self.dataset.name, label, self.model, participants, self.seed

    @property
    def name(self) -> str:
        """The dataset's name in tables of the inner trials."""
        participants = "all of them" if self.dataset.kind.corpus else self.key[3]
        return f"{self.dataset.name}, without {participants}"

    @property
    def training_participants(self) -> Participants:
        """The participants whom it trains on, and whom its inner folds hold out in turn."""
        target, *others = self.held_out
        return Fold(self.dataset.index, self.dataset.entry.label, target, self.seed, held_out_with=tuple(others)).others


def outer_folds(study: Study, indexes: Mapping[str, WindowIndex]) -> Iterator[OuterFold]:
    """Every outer fold of the study, once, although several targets may share it.

    Raises:
        StudyError: with every problem of every dataset.
    """
    for dataset, model, seed in product(check_datasets(study, indexes), study.models, study.seeds):
        groups = dict.fromkeys(tuple(sorted({name, *dataset.held_out_with(name, seed)})) for name in dataset.targets)
        yield from (OuterFold(dataset, model.spec, held_out, seed) for held_out in groups)


def _model_name(model: ModelSpec, candidate: Candidate) -> str:
    """Name of a model with a candidate's hyperparameters in tables of the inner trials."""
    return f"{unsearched_name(model, candidate)} {format_candidate(candidate)}"


def inner_trials(study: Study, search: Search, indexes: Mapping[str, WindowIndex]) -> Iterator[Trial]:
    """All trials that the study's search needs: for each outer fold and each candidate one trial per training participant.

    Raises:
        StudyError: with every problem of every dataset.
    """
    yielded: set[str] = set()
    for outer in outer_folds(study, indexes):
        dataset, participants, kind = outer.dataset, outer.training_participants, search.folds.kind()
        for candidate, target in product(search.candidates, participants):
            model, protocol = with_candidate(outer.model, study.protocol, candidate)
            held_out_with = kind.held_out_with(dataset.index, dataset.entry.label, outer.seed, target, participants)
            trial = Trial(
                dataset=outer.name,
                windows=dataset.source,
                label=dataset.entry.label,
                channels=channels_of(model, dataset.channels, dataset.index.card),
                model=model,
                technique=REFERENCE_TECHNIQUE,
                variant={},
                target=target,
                seed=outer.seed,
                held_out_with=tuple(sorted({*outer.held_out, *held_out_with})),
                border_minutes=dataset.entry.border_minutes,
                match=dataset.entry.match or "",
                model_name=_model_name(outer.model, candidate),
                protocol=protocol,
                purge=study.purge,
                workers=study.resources.workers,
            )
            trial = with_stage_hashes(trial, dataset.index)
            if trial.key not in yielded:  # models of a study that differ in width alone become one if the width is searched
                yielded.add(trial.key)
                yield trial


def choose(study: Study, search: Search, indexes: Mapping[str, WindowIndex], scores: pd.DataFrame) -> SelectedHyperparameters:
    """For each outer fold the candidate with the highest mean of the primary metric over its inner folds; of equal ones the first.

    Args:
        study: the study.
        search: its search.
        indexes: the key of each dataset's windows to their index.
        scores: scores of the inner trials, as ``analysis.score`` makes them.

    Raises:
        RaylabError: if no inner fold of an outer fold has a score.
    """
    # chance levels are scored too, and have other names; "against" is empty for scores that are not restricted to another technique's windows
    inner = scores[scores["technique"].eq(REFERENCE_TECHNIQUE) & scores["against"].eq("")]
    means = inner.groupby(["dataset", "label", "model", "seed"])[study.primary_metric].mean().dropna().to_dict()
    selected: dict[FoldKey, Candidate] = {}
    for outer in outer_folds(study, indexes):
        cell = outer.name, outer.dataset.entry.label
        scored = [
            (mean, candidate)
            for candidate in search.candidates
            if (mean := means.get((*cell, _model_name(outer.model, candidate), outer.seed))) is not None
        ]
        if not scored:
            raise RaylabError(
                f"{outer.name}: no inner fold has a {study.primary_metric}, so there is nothing to choose by; take another primary_metric, "
                "or groups of people as inner folds"
            )
        selected[outer.key] = max(scored, key=lambda pair: pair[0])[1]
    return selected
