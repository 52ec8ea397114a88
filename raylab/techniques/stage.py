"""The building blocks of a technique: axes, variants and stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from raylab.errors import InvalidValueError
from raylab.techniques.method import GRADIENT_DESCENT, Method
from raylab.techniques.selection import Selection

Value = str | int | float
AUTO = "auto"  # a value that stands for another one, which depends on the data: resolved when a trial is planned
Variant = Mapping[str, Any]
NOT_ATTAINABLE = "(not attainable)"  # as ``analysis.scores.keys`` knows it


@dataclass(frozen=True)
class Asking:
    """How windows are asked for one by one until there are enough labels (``raylab.training.label_budget``).

    Attributes:
        order: ``recorded``: as they were recorded, the class with the fewest answers first, as fixed budgets per label do; ``uncertain``: the one
            that the model knows least of.
        stop: ``test``, ``loss`` or ``entropy``: what the rule that stops asking looks at.
    """

    order: str
    stop: str


@dataclass(frozen=True)
class Stage:
    """One training of a technique.

    Attributes:
        name: its name in a study's ``protocol: {stages: {NAME: ...}}`` and in tables.
        windows: the selection that gives its training and validation windows.
        trainable: the parts of the network that it trains: trunk, adapter, head; finer, the trunk's ``norm_statistics`` and ``norm_affine``; or a
            part that it adds. All others run in inference mode.
        overrides: hyperparameters that this stage declares; they take precedence over the study's general ones
            (``raylab.training.protocol.resolve``) and are printed by ``raylab techniques``.
        method: how the parts are set: steps on the cross-entropy unless it says otherwise.
        adds: parts that the network gets at this stage, with their size: ``low_rank`` (rank of the updates of the trunk's layers), ``film`` (units
            between a conditioning input and the features).
        after: name of the stage that it continues from; None: the one before; empty: the initial weights.
        asks: how a part of its training windows is chosen in the worker (``raylab.training.label_budget``); None: it trains on all of them.
    """

    name: str
    windows: Selection
    trainable: tuple[str, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    method: Method = GRADIENT_DESCENT
    adds: Mapping[str, int] = field(default_factory=dict)
    after: str | None = None
    asks: Asking | None = None


@dataclass(frozen=True)
class TechniqueAxis:
    """One way in which variants of a technique differ.

    Attributes:
        name: its name in a study.
        default: the values that are run if a study names none: those of the study by Han et al.
        allowed: whether a value may be used.
        description: the allowed values in words, for messages.
        unnamed: the value that names of variants leave out; the default unless given, if there is one alone.
        always_named: whether every table names the value, also a single default: what was looked at of the target must be seen.
    """

    name: str
    default: tuple[Value, ...]
    allowed: Callable[[Value], bool]
    description: str
    unnamed: Value | None = None
    always_named: bool = False

    def in_name(self, value: Value) -> bool:
        """Whether the name of a variant with this value says so."""
        return self.always_named or value != (
            self.default[0] if self.unnamed is None and len(self.default) == 1 else self.unnamed
        )


@dataclass(frozen=True)
class Technique:
    """A personalization technique (or the non-personalized reference). To add one, add an entry to ``raylab.techniques.registry``.

    Attributes:
        name: its name in a study and in tables.
        description: printed by ``raylab techniques``.
        axes: the ways in which its variants differ.
        stages: from a variant to its trainings, in order; each continues from the weights of the one before.
        adapter: whether its networks have the adapter.
        warning: a sentence under every table of a study that has it; empty for none.
        attainable: whether somebody could use it. If not it is a bound: every table marks it, and it is tested against nothing.
        pseudo_groups: so many groups of people, from whom it is learned whether the last stage's weights or the first one's predict
            (``raylab.trials.pseudo_targets``); 0: the last one's.
    """

    name: str
    description: str
    axes: tuple[TechniqueAxis, ...]
    stages: Callable[[Variant], tuple[Stage, ...]]
    adapter: bool = False
    warning: str = ""
    attainable: bool = True
    pseudo_groups: int = 0

    @property
    def table_name(self) -> str:
        """Its name in tables, which marks a bound."""
        return self.name if self.attainable else f"{self.name} {NOT_ATTAINABLE}"

    def paths(self, variant: Variant) -> tuple[tuple[Stage, ...], ...]:
        """For each stage of a variant the stages that lead to its weights, in order, itself the last."""
        paths: dict[str, tuple[Stage, ...]] = {"": ()}
        before = ""
        for stage in self.stages(variant):
            paths[stage.name] = (*paths[before if stage.after is None else stage.after], stage)
            before = stage.name
        return tuple(path for name, path in paths.items() if name)

    def variants(self, requested: Mapping[str, list[Value]]) -> list[dict[str, Value]]:
        """All combinations of the axes' values, the last axis fastest.

        Args:
            requested: values by name of the axis; an axis that is not named gets its defaults.

        Raises:
            InvalidValueError: if there is no such axis or if a value is not allowed; one message names all problems.
        """
        names = [axis.name for axis in self.axes]
        problems = [
            f"{self.name} has no axis {name!r} (it has {', '.join(names) or 'none'})" for name in requested if name not in names
        ]
        for axis in self.axes:
            refused = [value for value in requested.get(axis.name, []) if not axis.allowed(value)]
            problems += [f"{self.name}: {axis.name}={value!r} is not allowed; {axis.description}" for value in refused]
        if problems:
            raise InvalidValueError("; ".join(problems))
        values = [requested.get(axis.name) or list(axis.default) for axis in self.axes]
        return [dict(zip(names, combination, strict=True)) for combination in product(*values)]

    def needs(self, variant: Variant) -> frozenset[str]:
        """The information that the variant's stages use: target labels, target signals, traits (``Selection.needs``)."""
        return frozenset().union(*(stage.windows.needs for stage in self.stages(variant)))

    def variant_name(self, variant: Variant) -> str:
        """Name of the variant in tables, such as ``layers=all budget=0.2``; a dash if it has no axis to name.

        An axis with a single default value (``draw``) is left out while it has that value, and ``unit`` while it is ``window``,
        unless it is ``always_named``.
        """
        axes = {axis.name: axis for axis in self.axes}
        named = (f"{name}={value}" for name, value in variant.items() if name not in axes or axes[name].in_name(value))
        return " ".join(named) or "-"
