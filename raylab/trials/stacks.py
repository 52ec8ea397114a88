"""Which stages are trained side by side: a function of the plan alone (docs/decisions/0030-stacks.md).

Trials of one cell (dataset, label, model, technique and variant) differ in who is held out and in the seed, so their stages have one shape. Up to
``stack`` of them, in the plan's order, are a unit: what a worker runs at once. Stages of a unit that no earlier unit has, of equal kind, are one
composition, and are trained as one. A composition is part of the hash of its stages: weights come out of sums in an order that it decides, so
equal hashes still mean equal bits, whoever trains them and whenever. Stages that cannot be stacked keep the hash and the training that they
have alone.
"""

import base64
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, cast

from raylab.hashing import hash_record
from raylab.models.network import ModelSpec
from raylab.models.registry import can_stack
from raylab.training.job import TrainingError
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.trials.trial import Trial

StackSize = int | Literal["auto"]
Identity = tuple[str, str]  # of a stage in a composition: its hash alone, and the hash of its parent in its own stack
LARGEST = 8  # of `stack: auto`: more members gain little on a processor (docs/decisions/0030-stacks.md)
WIDE = 0.5  # from this width on a network alone uses the machine well
LARGEST_WIDE = 4


@dataclass(frozen=True)
class StageKind:
    """What a composition needs to know of a stage.

    Attributes:
        hash: that it has alone.
        parent: hash, alone, of the stage that it continues from.
        kind: equal for stages that can be one training; empty if it cannot be stacked.
    """

    hash: str
    parent: str
    kind: str


def stage_kinds(context: TrainingContext, stages: Sequence[PlannedStage], windows: str) -> list[StageKind]:
    """The kinds of a trial's stages, in their order.

    Args:
        windows: the trial's: members of a stack gather from the same windows.
    """
    kinds, model = {"": "initial weights"}, context.model
    for stage in stages:
        can = bool(kinds[stage.parent]) and can_stack(model.encoder, model.fusion) and context.workers == 1
        can = (
            can and not model.chooses_channels and _by_steps_alone(stage)
        )  # networks of other channels are no groups of one operation
        kinds[stage.hash] = _kind(context, stage, windows) if can else ""
    return [StageKind(stage.hash, stage.parent, kinds[stage.hash]) for stage in stages]


def _by_steps_alone(stage: PlannedStage) -> bool:
    return stage.method.stacks and not stage.adds and not stage.asks and not stage.pseudo_targets and stage.fold is None


def _kind(context: TrainingContext, stage: PlannedStage, windows: str) -> str:
    return hash_record(
        {
            "windows": windows,
            "label": context.fold.label,
            "channels": [[name, *shape] for name, shape in context.shapes.items()],
            "model": context.model.architecture,
            "precision": context.precision,
            "adapter": context.adapter,
            "frees": list(stage.trainable),
            "hyperparameters": stage.hyper.as_dict(),
            "batch": stage.hyper.batch(len(stage.stepped)),
            "validates": bool(len(stage.validation)),
            "weights": stage.weights is not None,
        }
    )


def stack_size(size: StackSize, model: ModelSpec) -> int:
    """Members of a stack, at most. ``auto`` looks at the model alone: what is measured would differ between machines, and with it the bits."""
    if size != "auto":
        return size
    return LARGEST_WIDE if model.width >= WIDE else LARGEST


def with_stacks(trials: Iterable[Trial], kinds_of: Callable[[Trial], list[StageKind]], size: StackSize) -> list[Trial]:
    """The trials of a plan with the hashes of their stages in stacks, in the same order.

    Args:
        kinds_of: the kinds of a trial's stages; called for trials whose fold can be built.
    """
    planned = list(trials)
    found: dict[int, Trial] = {}
    compositions: dict[Identity, str] = {}
    for positions in _units_of(planned, size):
        members = [(position, kinds_of(planned[position])) for position in positions]
        hashes: list[dict[str, str]] = [{"": ""} for _ in members]  # of each member: hash alone to hash in its stack
        for depth in range(max(len(kinds) for _, kinds in members)):
            at = [(kinds[depth], own) for (_, kinds), own in zip(members, hashes, strict=True) if depth < len(kinds)]
            _compose(at, compositions)
            for kind, own in at:
                own[kind.hash] = stacked_hash(
                    kind.hash, kind.parent, own[kind.parent], compositions[kind.hash, own[kind.parent]]
                )
        unit = hash_record([planned[position].key for position in positions], 16)
        for (position, kinds), own in zip(members, hashes, strict=True):
            digests = tuple(compositions[kind.hash, own[kind.parent]] for kind in kinds)
            trial = planned[position]
            if any(digests):
                trial = replace(trial, stages=tuple(own[kind.hash] for kind in kinds), stacks=digests, unit=unit)
            found[position] = replace(trial, key=trial.computed_key)
    return [found.get(position, trial) for position, trial in enumerate(planned)]


def _units_of(trials: Sequence[Trial], size: StackSize) -> list[list[int]]:
    """Positions of the trials of each unit, units in the order of their first trials; their sizes differ by one at most in a cell."""
    cells: dict[str, list[int]] = defaultdict(list)
    for position, trial in enumerate(trials):
        if not trial.problem:
            cell = {name: value for name, value in trial.labels.items() if name not in ("participant", "seed")}
            cells[hash_record([cell, trial.windows, trial.model.as_dict()])].append(position)
    units = []
    for positions in cells.values():
        count = -(-len(positions) // stack_size(size, trials[positions[0]].model))
        bounds = [len(positions) * k // count for k in range(count + 1)]
        units += [positions[low:high] for low, high in pairwise(bounds)]
    return units


def _compose(stages: Sequence[tuple[StageKind, dict[str, str]]], compositions: dict[Identity, str]) -> None:
    """Put the stages that are in no composition yet into new ones, by kind; a stage without company is trained alone.

    Args:
        stages: with the hashes, in their stacks, of the member's earlier stages.
    """
    new: dict[str, list[Identity]] = defaultdict(list)
    for stage, hashes in stages:
        identity = (stage.hash, hashes[stage.parent])
        if identity not in compositions and identity not in new[stage.kind]:
            new[stage.kind].append(identity)
    for kind, identities in new.items():
        digest = _digest(identities) if kind and len(identities) > 1 else ""
        compositions.update(dict.fromkeys(identities, digest))


def _digest(identities: Iterable[Identity]) -> str:
    """The name of a composition; its members take their places in the order of their identities."""
    return hash_record([list(identity) for identity in sorted(identities)])


def composition_sizes(trials: Iterable[Trial]) -> Counter[str]:
    """The members of each composition of these trials' stages, by its name."""
    stages = {member for trial in trials for member in zip(trial.stacks, trial.stages, strict=False)}
    return Counter(composition for composition, _ in stages if composition)


def stacked_hash(alone: str, parent_alone: str, parent: str, composition: str) -> str:
    """The hash of a stage in its stack: that which it has alone, if neither it nor a stage before it is stacked."""
    if not composition and parent == parent_alone:
        return alone
    return hash_record({"numerics": "stacked", "stage": alone, "parent": parent, "stack": composition})


def with_stacked_hashes(stages: Sequence[PlannedStage], compositions: Sequence[str]) -> tuple[PlannedStage, ...]:
    """A trial's stages with the hashes that they have in their stacks."""
    hashes = {"": ""}
    for stage, composition in zip(stages, compositions, strict=True):
        hashes[stage.hash] = stacked_hash(stage.hash, stage.parent, hashes[stage.parent], composition)
    return tuple(replace(stage, hash=hashes[stage.hash], parent=hashes[stage.parent]) for stage in stages)


@dataclass(frozen=True)
class Unit:
    """What a worker runs at once: one trial, or several whose stages are stacked.

    Attributes:
        trials: to run.
        company: all trials, in the plan's order, that the compositions of their stages need, themselves among them; empty for a trial alone.
    """

    trials: tuple[Trial, ...]
    company: tuple[Trial, ...] = ()

    @property
    def key(self) -> str:
        """Its name among Tune's trials: the trial's key, or the unit's."""
        return self.trials[0].unit or self.trials[0].key

    @property
    def stages(self) -> tuple[str, ...]:
        """Hashes of its trials' stages, each once, by their place in a trial."""
        longest = max((len(trial.stages) for trial in self.trials), default=0)
        placed = [trial.stages[place] for place in range(longest) for trial in self.trials if place < len(trial.stages)]
        return tuple(dict.fromkeys(placed))

    def without(self, keys: set[str]) -> "Unit":
        """The unit without these trials to run."""
        return replace(self, trials=tuple(trial for trial in self.trials if trial.key not in keys))

    def as_config(self) -> dict[str, Any]:
        """Plain values for Tune; the inverse of ``from_config``."""
        if not self.company:
            return {"trial": self.trials[0].as_config()}
        packed = _packed([trial.as_config() for trial in self.company])
        return {"stack": {"unit": self.key, "run": [trial.key for trial in self.trials], "trials": packed}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Unit":
        """The unit from the values that ``as_config`` gave."""
        if not is_stack(config):
            return cls((Trial.from_config(config["trial"]),))
        company = tuple(Trial.from_config(trial) for trial in _unpacked(config["stack"]["trials"]))
        return cls(tuple(trial for trial in company if trial.key in config["stack"]["run"]), company)


def _packed(configs: list[dict[str, Any]]) -> str:
    """A stack's trials as compressed JSON: Tune keeps about five copies of a config for as long as a run lasts (docs/results/scale.md)."""
    return base64.b85encode(zlib.compress(json.dumps(configs).encode(), 9)).decode()


def _unpacked(packed: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", json.loads(zlib.decompress(base64.b85decode(packed))))


def configs_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The configs of the trials that a unit's config runs."""
    if "trial" in config:
        return [config["trial"]]
    return [trial for trial in _unpacked(config["stack"]["trials"]) if trial["key"] in config["stack"]["run"]]


def is_stack(config: dict[str, Any]) -> bool:
    """Whether a unit's config is that of several trials."""
    return "stack" in config


def unit_key(config: dict[str, Any]) -> str:
    """``Unit.key`` from a unit's config."""
    return str(config["stack"]["unit"] if is_stack(config) else config["trial"].get("unit") or config["trial"]["key"])


def units_of(plan: Sequence[Trial], pending: Sequence[Trial]) -> list[Unit]:
    """The units of the pending trials, in the order of their first ones.

    Args:
        plan: every trial of the study, in order: a unit is trained in the composition that the plan gives, also if most of it is done.
    """
    wanted = {trial.key: trial for trial in pending}
    by_unit: dict[str, list[Trial]] = defaultdict(list)
    composed: dict[str, dict[str, Trial]] = defaultdict(dict)  # composition to each of its stages, with a trial that has it
    place = {trial.key: number for number, trial in enumerate(plan)}
    for trial in plan:
        by_unit[trial.unit or trial.key].append(trial)
        for stage, composition in zip(trial.stages, trial.stacks, strict=False):
            if composition:
                composed[composition].setdefault(stage, trial)
    units = []
    for name in dict.fromkeys(trial.unit or trial.key for trial in pending):
        own = [trial for trial in by_unit[name] if trial.key in wanted]
        company = _company(by_unit[name], composed) if own[0].unit else []
        units.append(Unit(tuple(own), tuple(sorted(company, key=lambda trial: place[trial.key]))))
    return units


def _company(unit: Sequence[Trial], composed: dict[str, dict[str, Trial]]) -> list[Trial]:
    """The unit's trials, and others, until every stage of every composition of any of them is a stage of one of them."""
    company, have = list(unit), {stage for trial in unit for stage in trial.stages}
    for trial in company:  # it grows meanwhile
        for composition in filter(None, trial.stacks):
            for stage, other in composed[composition].items():
                if stage not in have:
                    company.append(other)
                    have.update(other.stages)
    return company


def compositions_of(company: Sequence[Trial], alone: Sequence[Sequence[PlannedStage]]) -> dict[str, list[tuple[int, int]]]:
    """The compositions of these trials' stages: for each its members, as (trial, place among its stages); earlier stages first.

    Args:
        alone: each trial's stages as they are planned without stacks.

    Raises:
        TrainingError: if the company is not the whole composition.
    """
    found: dict[str, dict[Identity, tuple[int, int]]] = {}
    for place in range(max(len(trial.stacks) for trial in company)):
        for number, (trial, stages) in enumerate(zip(company, alone, strict=True)):
            if place < len(trial.stacks) and trial.stacks[place]:
                stage = with_stacked_hashes(stages, trial.stacks)[place]
                found.setdefault(trial.stacks[place], {}).setdefault((stages[place].hash, stage.parent), (number, place))
    for composition, members in found.items():
        if _digest(members) != composition:
            raise TrainingError(
                "this worker's plan of a stack differs from the driver's: raylab versions or windows differ between machines"
            )
    return {composition: [members[identity] for identity in sorted(members)] for composition, members in found.items()}
