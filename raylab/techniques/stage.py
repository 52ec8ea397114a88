"""The building blocks of a technique: axes, variants and stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from raylab.errors import InvalidValueError
from raylab.techniques.selection import Selection

Value = str | int | float
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
        trainable: the parts of the network that it trains (trunk, adapter, head); all others run in inference mode.
        overrides: hyperparameters that this stage declares; they take precedence over the study's general ones
            (``raylab.training.protocol.resolve``) and are printed by ``raylab techniques``.
        after: name of the stage that it continues from; None: the one before; empty: the initial weights.
        asks: how a part of its training windows is chosen in the worker (``raylab.training.label_budget``); None: it trains on all of them.
    """

    name: str
    windows: Selection
    trainable: tuple[str, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)
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
    """

    name: str
    default: tuple[Value, ...]
    allowed: Callable[[Value], bool]
    description: str


@dataclass(frozen=True)
class Technique:
    """A personalization technique (or the non-personalized reference). To add one, add an entry to ``raylab.techniques.registry``.

    Attributes:
        name: its name in a study and in tables.
        description: printed by ``raylab techniques``.
        axes: the ways in which its variants differ.
        stages: from a variant to its trainings, in order; each continues from the weights of the one before.
        adapter: whether its networks have the adapter.
        attainable: whether somebody could use it. If not it is a bound: every table marks it, and it is tested against nothing.
        pseudo_groups: so many groups of people, from whom it is learned whether the last stage's weights or the first one's predict
            (``raylab.trials.pseudo_targets``); 0: the last one's.
    """

    name: str
    description: str
    axes: tuple[TechniqueAxis, ...]
    stages: Callable[[Variant], tuple[Stage, ...]]
    adapter: bool = False
    attainable: bool = True
    pseudo_groups: int = 0

    @property
    def table_name(self) -> str:
        """Its name in tables, which marks a bound."""
        return self.name if self.attainable else f"{self.name} {NOT_ATTAINABLE}"

    def continues(self, variant: Variant) -> bool:
        """Whether a stage of the variant continues from the weights of another one."""
        return bool(self.parents(variant))

    def parents(self, variant: Variant) -> set[str]:
        """Names of the stages of a variant that another one continues from."""
        stages = self.stages(variant)
        before = [stage.name for stage in stages[:-1]]
        return {
            name
            for stage, last in zip(stages[1:], before, strict=True)
            if (name := last if stage.after is None else stage.after)
        }

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

        An axis with a single default value (``draw``, ``unit``) is left out while it has that value.
        """
        fixed = {axis.name: axis.default[0] for axis in self.axes if len(axis.default) == 1}
        return " ".join(f"{name}={value}" for name, value in variant.items() if fixed.get(name) != value) or "-"
