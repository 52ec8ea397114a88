"""Kinds of folds: who is held out together."""

from dataclasses import dataclass

import numpy as np

from raylab.folds.seeding import FoldSeeds
from raylab.windows.dataset import WindowIndex
from raylab.windows.segmentation import NO_LABEL

Participants = tuple[str, ...]


@dataclass(frozen=True)
class SplitScheme:
    """How a dataset is divided; leave one participant out unless something is said.

    Attributes:
        groups: people are drawn into so many groups, and a group is held out.
        shares: windows are drawn into training, validation and test, whosever they are: people leak.
        corpus: name of the other dataset whose people are trained on; everybody of this one is held out.
    """

    groups: int = 0
    shares: tuple[float, ...] = ()
    corpus: str = ""

    @property
    def suffix(self) -> str:
        """What stands behind the dataset's name in every table; nothing for leave-one-participant-out."""
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
        """Who is held out together with the target.

        Args:
            candidates: the people who are held out in turn.
        """
        if self.corpus:
            return tuple(name for name in candidates if name != target)
        if self.groups:
            mine = next(group for group in participant_groups(index, label, seed, self.groups, candidates) if target in group)
            return tuple(name for name in mine if name != target)
        return ()


def held_out_key(target: str, apart: Participants) -> str:
    """One name for all who are held out together."""
    return "+".join(sorted({target, *apart}))


def labelled_participants(index: WindowIndex, label: str) -> Participants:
    """Everyone who has a window with the label, in the card's order."""
    return tuple(index.participants[i] for i in np.unique(index.participant_index[index.labels[label] != NO_LABEL]))


def participant_groups(
    index: WindowIndex, label: str, seed: int, count: int, candidates: Participants
) -> tuple[Participants, ...]:
    """These people drawn into ``count`` groups whose sizes differ by one at most; the draw depends on who they are, not on their order."""
    people = sorted(candidates)
    order = FoldSeeds(seed, index.name, label, "+".join(people)).generator("groups").permutation(len(people))
    return tuple(tuple(people[i] for i in sorted(part)) for part in np.array_split(order, count))
