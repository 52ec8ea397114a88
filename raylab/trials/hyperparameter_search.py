"""Grid search: inner trials over the training people of each outer fold, and the choice that their scores make.

An inner trial is a trial like any other: its target is one of the outer fold's training people, and whoever the outer fold holds out is
held out of it as well. So nobody is trained on, validated on or tested in a search that decides about them. What holds out the same
people is one training: of two outer folds, each has the other's target among its inner ones.
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
    SelectedHyperparameters,
    check_datasets,
    name_without,
    with_candidate,
    with_stage_hashes,
)
from raylab.trials.split_config import Candidate, Search, format_candidate
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex


@dataclass(frozen=True)
class OuterFold:
    """One outer fold of one model: it searches once, whoever of the people it holds out is the target."""

    ready: CheckedDataset
    model: ModelSpec
    held: Participants
    seed: int

    @property
    def key(self) -> tuple[str, str, ModelSpec, str, int]:
        return self.ready.name, self.ready.entry.label, self.model, held_out_key(self.held[0], self.held[1:]), self.seed

    @property
    def name(self) -> str:
        """What tables of the inner trials call the dataset."""
        whom = "all of them" if self.ready.kind.corpus else self.key[3]
        return f"{self.ready.name}, without {whom}"

    @property
    def people(self) -> Participants:
        """Those whom one may train on, and so hold out in turn."""
        return Fold(self.ready.index, self.ready.entry.label, self.held[0], self.seed, held_out_with=self.held[1:]).others


def outer_folds(study: Study, indexes: Mapping[str, WindowIndex]) -> Iterator[OuterFold]:
    """Every outer fold of the study, once."""
    for ready, model, seed in product(check_datasets(study, indexes), study.models, study.seeds):
        groups = dict.fromkeys(tuple(sorted({name, *ready.held_out_with(name, seed)})) for name in ready.targets)
        yield from (OuterFold(ready, model.spec, held, seed) for held in groups)


def _label(model: ModelSpec, point: Candidate) -> str:
    """What tables of the inner trials call a model."""
    return f"{name_without(model, point)} {format_candidate(point)}"


def inner_trials(study: Study, search: Search, indexes: Mapping[str, WindowIndex]) -> Iterator[Trial]:
    """What the searches of a study need: for each outer fold and each combination, one trial for each of its training people."""
    yielded: set[str] = set()
    for outer in outer_folds(study, indexes):
        ready, people, kind = outer.ready, outer.people, search.folds.kind()
        for point, target in product(search.points, people):
            model, protocol = with_candidate(outer.model, study.protocol, point)
            apart = kind.held_out_with(ready.index, ready.entry.label, outer.seed, target, people)
            trial = Trial(
                dataset=outer.name,
                windows=ready.source,
                label=ready.entry.label,
                channels=channels_of(model, ready.channels, ready.index.card),
                model=model,
                technique=REFERENCE_TECHNIQUE,
                variant={},
                target=target,
                seed=outer.seed,
                held_out_with=tuple(sorted({*outer.held, *apart})),
                model_name=_label(outer.model, point),
                protocol=protocol,
                purge=study.purge,
                workers=study.resources.workers,
            )
            trial = with_stage_hashes(trial, ready.index)
            if trial.key not in yielded:  # two widths of a model are one where the width is searched
                yielded.add(trial.key)
                yield trial


def choose(study: Study, search: Search, indexes: Mapping[str, WindowIndex], scores: pd.DataFrame) -> SelectedHyperparameters:
    """For each outer fold the combination with the best mean over its inner folds; of equal ones the first.

    Args:
        scores: of the inner trials, as ``analysis.score`` makes them.

    Raises:
        RaylabError: where no inner fold of an outer one has a score.
    """
    own = scores[scores["technique"].eq(REFERENCE_TECHNIQUE) & scores["against"].eq("")]
    means = own.groupby(["dataset", "label", "model", "seed"])[study.primary_metric].mean().dropna().to_dict()
    chosen: dict[tuple[str, str, ModelSpec, str, int], Candidate] = {}
    for outer in outer_folds(study, indexes):
        about = outer.name, outer.ready.entry.label
        found = [(means.get((*about, _label(outer.model, point), outer.seed)), point) for point in search.points]
        scored = [(mean, point) for mean, point in found if mean is not None]
        if not scored:
            raise RaylabError(
                f"{outer.name}: no inner fold has a {study.primary_metric}, so there is nothing to choose by; take another primary_metric, "
                "or groups of people as inner folds"
            )
        chosen[outer.key] = max(scored, key=lambda pair: pair[0])[1]
    return chosen
