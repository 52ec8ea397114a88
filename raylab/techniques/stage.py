"""What a technique is: axes and a list of stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from raylab.errors import InvalidValueError
from raylab.techniques.selection import Selection

Value = str | int | float
Variant = Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One training: whose windows, which parts are free, and what it declares against the study's protocol.

    Attributes:
        name: what a study's ``protocol: {stages: {NAME: ...}}`` calls it.
        windows: the selection it trains on.
        trainable: the parts it trains; every other part runs in inference mode.
        overrides: fields of the protocol that this stage declares (printed by ``raylab techniques``).
    """

    name: str
    windows: Selection
    trainable: tuple[str, ...]
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TechniqueAxis:
    """One way in which variants of a technique differ.

    Attributes:
        default: the values that a study gets when it names none: the paper's.
        allowed: whether a value may be used.
        says: what is allowed, for messages.
    """

    name: str
    default: tuple[Value, ...]
    allowed: Callable[[Value], bool]
    description: str


@dataclass(frozen=True)
class Technique:
    """A technique of the study. Adding one is one of these in ``raylab.techniques.registry``.

    Attributes:
        stages: variant to the trainings, in order; each continues from the weights of the one before.
        adapter: whether its networks have the adapter.
    """

    name: str
    description: str
    axes: tuple[TechniqueAxis, ...]
    stages: Callable[[Variant], tuple[Stage, ...]]
    adapter: bool = False

    def variants(self, asked: Mapping[str, list[Value]]) -> list[dict[str, Value]]:
        """Every combination of the axes' values, defaults where the study asks for none.

        Raises:
            InvalidValueError: on an unknown axis or a value that is not allowed, all of them in one message.
        """
        names = [axis.name for axis in self.axes]
        problems = [
            f"{self.name} has no axis {name!r} (it has {', '.join(names) or 'none'})" for name in asked if name not in names
        ]
        for axis in self.axes:
            wrong = [value for value in asked.get(axis.name, []) if not axis.allowed(value)]
            problems += [f"{self.name}: {axis.name}={value!r} is not allowed; {axis.description}" for value in wrong]
        if problems:
            raise InvalidValueError("; ".join(problems))
        values = [asked.get(axis.name) or list(axis.default) for axis in self.axes]
        return [dict(zip(names, combination, strict=True)) for combination in product(*values)]

    def needs(self, variant: Variant) -> frozenset[str]:
        """What the variant's stages use of the target and the dataset."""
        return frozenset().union(*(stage.windows.needs for stage in self.stages(variant)))

    def variant_name(self, variant: Variant) -> str:
        """``layers=all budget=0.2``: the axes along which a study usually varies, and any other that left its default;
        a dash where nothing is left to say."""
        fixed = {axis.name: axis.default[0] for axis in self.axes if len(axis.default) == 1}
        return " ".join(f"{name}={value}" for name, value in variant.items() if fixed.get(name) != value) or "-"
