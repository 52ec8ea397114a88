"""Kinds of folds: the participants that are held out together."""

from dataclasses import dataclass

import numpy as np

from raylab.folds.seeding import FoldSeeds
from raylab.windows.dataset import WindowIndex

Participants = tuple[str, ...]


@dataclass(frozen=True)
class SplitScheme:
    """The way a dataset is divided; leave one participant out if no field is set.

    Attributes:
        groups: participants are drawn into so many groups, and a group is held out.
        shares: windows are drawn into training, validation and test, regardless of the participant: participants leak.
        corpus: name of the other dataset, the participants of which are trained on; all of this one are held out.
    """

    groups: int = 0
    shares: tuple[float, ...] = ()
    corpus: str = ""

    @property
    def suffix(self) -> str:
        """The mark behind the dataset's name in every table; nothing for leave-one-participant-out."""
        if self.shares:
            return f"LEAKING: random {'-'.join(f'{100 * share:g}' for share in self.shares)} split of windows"
        if self.corpus:
            return f"trained on {self.corpus}"
        return f"{self.groups} groups of people" if self.groups else ""

    @property
    def description(self) -> str:
        """The sentence that every table of such folds carries; nothing for leave-one-participant-out."""
        if self.shares:
            return (
                "LEAKING: windows were split at random, so the people who are tested are trained on too; such scores say nothing about new "
                "people, and are compared with no other folds'."
            )
        if self.corpus:
            return (
                f"trained on all people of {self.corpus}, of whom nobody is tested; all people of this dataset are held out together. "
                "majority_class is that of the other tested people, on whom nothing was trained."
            )
        if self.groups:
            return (
                f"people were drawn into {self.groups} groups; each group is held out once, and its people are scored one by one. "
                "majority_class is that of all other people, those of the group too."
            )
        return ""

    def held_out_with(self, index: WindowIndex, label: str, seed: int, target: str, candidates: Participants) -> Participants:
        """Participants held out together with the target.

        Args:
            candidates: the participants that are held out in turn.
        """
        groups = self.held_out_together(index, label, seed, candidates)
        return next(without(group, target) for group in groups if target in group)

    def held_out_together(
        self, index: WindowIndex, label: str, seed: int, candidates: Participants
    ) -> tuple[Participants, ...]:
        """The candidates in the groups that are held out together; one of each by default."""
        if self.corpus:
            return (candidates,)
        if self.groups:
            return participant_groups(index, label, seed, self.groups, candidates)
        return tuple((name,) for name in candidates)


def without(group: Participants, target: str) -> Participants:
    """The others of a group."""
    return tuple(name for name in group if name != target)


def held_out_key(target: str, held_out_with: Participants) -> str:
    """One name for all participants that are held out together."""
    return "+".join(sorted({target, *held_out_with}))


def labelled_participants(index: WindowIndex, label: str) -> Participants:
    """Participants that have a window with the label, in the card's order."""
    return tuple(index.participants[i] for i in index.rows_with(label).people)


def participant_groups(
    index: WindowIndex, label: str, seed: int, count: int, candidates: Participants
) -> tuple[Participants, ...]:
    """The candidates drawn into ``count`` groups, their sizes differ by one at most; the draw depends on their names, not on their order."""
    names = sorted(candidates)
    order = FoldSeeds(seed, index.name, label, "+".join(names)).generator("groups").permutation(len(names))
    return tuple(tuple(names[i] for i in sorted(part)) for part in np.array_split(order, count))
