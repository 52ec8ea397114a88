"""A part of a plan for one of several drivers that share a run folder.

Trials that train on the same people share a base, and bases are most of the work: so the shards are of folds, and no two drivers train the same base.
Folds that are trained side by side (``raylab.trials.stacks``) stay together: a driver with one member of a stack would have to train all of it.
A shard depends on the plan alone, so a driver that is killed is replaced by the same command.
"""

import re
from dataclasses import dataclass

from raylab.errors import InvalidValueError
from raylab.folds.split_scheme import held_out_key
from raylab.trials.trial import Trial


class _Groups:
    """What is joined, directly or by others, is one group; each is known by one of its members."""

    def __init__(self) -> None:
        self.parents: dict[object, object] = {}

    def of(self, member: object) -> object:
        while (parent := self.parents.get(member, member)) != member:
            self.parents[member] = self.parents.get(parent, parent)  # a shorter way for the next look
            member = parent
        return member

    def join(self, one: object, other: object) -> None:
        self.parents[self.of(other)] = self.of(one)


def _fold_of(trial: Trial) -> tuple[object, ...]:
    held_out = held_out_key(trial.target, trial.held_out_with)
    return (trial.windows, trial.label, trial.seed, "" if trial.shares else held_out)


@dataclass(frozen=True)
class Shard:
    """The shard ``number`` of ``of``, counted from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """A shard as the command line has it, such as ``3/8``.

        Raises:
            InvalidValueError: if it is none.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise InvalidValueError(f"{text!r} is no shard; give NUMBER/OF, such as 3/8 for the third of eight")
        return cls(int(match[1]), int(match[2]))

    @property
    def lease(self) -> str:
        """Name of the lease that its driver holds; that of the run itself for the whole plan."""
        return "" if self.of == 1 else f"{self.number}-of-{self.of}"

    def trials(self, plan: list[Trial]) -> list[Trial]:
        """Its trials, in the plan's order: every ``of``-th group of folds, groups being counted in that order.

        A group is a fold; or the folds that share a stack, and those that share another one with these.
        """
        groups = _Groups()
        for trial in plan:
            for composition in filter(None, trial.stacks):
                groups.join(_fold_of(trial), composition)
        numbers: dict[object, int] = {}
        own = []
        for trial in plan:
            group = groups.of(_fold_of(trial))
            if numbers.setdefault(group, len(numbers)) % self.of == self.number - 1:
                own.append(trial)
        return own

    def __str__(self) -> str:
        return f"shard {self.number}/{self.of}"


WHOLE = Shard()
