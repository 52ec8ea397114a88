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
from raylab.folds.split_scheme import People, held_out
from raylab.models.network import ModelSpec
from raylab.techniques.registry import BASELINE
from raylab.trials.compatibility import channels_of
from raylab.trials.plan import Choices, Prepared, completed, name_without, prepared, with_point
from raylab.trials.split_config import Point, Search, shown
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex


@dataclass(frozen=True)
class Outer:
    """One outer fold of one model: it searches once, whoever of the people it holds out is the target."""

    ready: Prepared
    model: ModelSpec
    held: People
    seed: int

    @property
    def key(self) -> tuple[str, str, ModelSpec, str, int]:
        return self.ready.name, self.ready.entry.label, self.model, held_out(self.held[0], self.held[1:]), self.seed

    @property
    def name(self) -> str:
        """What tables of the inner trials call the dataset."""
        whom = "all of them" if self.ready.kind.corpus else self.key[3]
        return f"{self.ready.name}, without {whom}"

    @property
    def people(self) -> People:
        """Those whom one may train on, and so hold out in turn."""
        return Fold(self.ready.index, self.ready.entry.label, self.held[0], self.seed, apart=self.held[1:]).others


def outer_folds(study: Study, indexes: Mapping[str, WindowIndex]) -> Iterator[Outer]:
    """Every outer fold of the study, once."""
    for ready, model, seed in product(prepared(study, indexes), study.models, study.seeds):
        groups = dict.fromkeys(tuple(sorted({name, *ready.apart(name, seed)})) for name in ready.targets)
        yield from (Outer(ready, model.spec, held, seed) for held in groups)


def _called(model: ModelSpec, point: Point) -> str:
    """What tables of the inner trials call a model."""
    return f"{name_without(model, point)} {shown(point)}"


def inner_trials(study: Study, search: Search, indexes: Mapping[str, WindowIndex]) -> Iterator[Trial]:
    """What the searches of a study need: for each outer fold and each combination, one trial for each of its training people."""
    yielded: set[str] = set()
    for outer in outer_folds(study, indexes):
        ready, people, kind = outer.ready, outer.people, search.folds.kind()
        for point, target in product(search.points, people):
            model, protocol = with_point(outer.model, study.protocol, point)
            apart = kind.apart(ready.index, ready.entry.label, outer.seed, target, people)
            trial = Trial(
                dataset=outer.name,
                windows=ready.source,
                label=ready.entry.label,
                channels=channels_of(model, ready.channels, ready.index.card),
                model=model,
                technique=BASELINE,
                variant={},
                participant=target,
                seed=outer.seed,
                apart=tuple(sorted({*outer.held, *apart})),
                model_name=_called(outer.model, point),
                protocol=protocol,
                purge=study.purge,
                workers=study.resources.workers,
            )
            trial = completed(trial, ready.index)
            if trial.key not in yielded:  # two widths of a model are one where the width is searched
                yielded.add(trial.key)
                yield trial


def choose(study: Study, search: Search, indexes: Mapping[str, WindowIndex], scores: pd.DataFrame) -> Choices:
    """For each outer fold the combination with the best mean over its inner folds; of equal ones the first.

    Args:
        scores: of the inner trials, as ``analysis.score`` makes them.

    Raises:
        RaylabError: where no inner fold of an outer one has a score.
    """
    own = scores[scores["technique"].eq(BASELINE) & scores["against"].eq("")]
    means = own.groupby(["dataset", "label", "model", "seed"])[study.primary_metric].mean().dropna().to_dict()
    chosen: dict[tuple[str, str, ModelSpec, str, int], Point] = {}
    for outer in outer_folds(study, indexes):
        about = outer.name, outer.ready.entry.label
        found = [(means.get((*about, _called(outer.model, point), outer.seed)), point) for point in search.points]
        scored = [(mean, point) for mean, point in found if mean is not None]
        if not scored:
            raise RaylabError(
                f"{outer.name}: no inner fold has a {study.primary_metric}, so there is nothing to choose by; take another primary_metric, "
                "or groups of people as inner folds"
            )
        chosen[outer.key] = max(scored, key=lambda pair: pair[0])[1]
    return chosen
