"""What else could be tied to a label: the session that people share, and the device, hand, room or experimenter that a dataset declares.

They are traits of a participant by these names, from a dataset's reader or a column of ``traits.csv``, and are not used for similarity.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from raylab.recordings.recording import CIRCUMSTANCES, SESSION_GROUP
from raylab.windows.dataset import WindowIndex
from raylab.windows.order import WindowOrder, window_order
from raylab.windows.segmentation import NO_LABEL

PERMUTATIONS = 999
LEAST_PEOPLE = 2  # of each of two values: with fewer nothing can be tested
SURE = 0.05


def session_groups(index: WindowIndex) -> dict[str, tuple[str, ...]]:
    """The people who share a session, by its name; sessions of one person, and people without one, are left out."""
    groups: dict[str, list[str]] = {}
    for name in index.participants:
        if (group := index.traits(name).get(SESSION_GROUP)) is not None:
            groups.setdefault(str(group), []).append(name)
    return {group: tuple(names) for group, names in groups.items() if len(names) > 1}


TIED = "is tied to the label"  # said of what is; followed by how it was tested


def circumstance_sentences(index: WindowIndex, label: str) -> list[str]:
    """Whether a declared device, hand, room or experimenter goes with the label: with the classes' shares, or with which class came first.

    A permutation test for each: the values are drawn anew among the people 999 times, and the spread between the values' means counts. It sees
    differences between people only, since a trait is one for the whole recording.
    """
    declared = {name: _values(index, name) for name in CIRCUMSTANCES}
    if not any(declared.values()):
        return [
            f"{label}: no {', '.join(CIRCUMSTANCES[:-1])} or {CIRCUMSTANCES[-1]} is declared for the people of this dataset, so whether one is tied "
            "to the label cannot be told."
        ]
    sentences = []
    for name, values in declared.items():
        counts = [list(values.values()).count(value) for value in set(values.values())]
        if len(counts) == 1:
            sentences.append(f"{label}: {name} is the same for all {len(values)} people.")
        elif sum(count >= LEAST_PEOPLE for count in counts) >= 2:
            people = list(values)
            p = _tie(np.stack([_profile(index, label, person) for person in people]), [values[person] for person in people])
            tied = TIED if p <= SURE else "is not found to be tied to the label"
            sentences.append(
                f"{label}: {name} {tied} (shares of the classes and which came first; permutation test over {len(people)} people, p = {p:.3f})"
                + (f": what differs between the {name}s can pass for {label}." if p <= SURE else ".")
            )
        elif values:
            sentences.append(f"{label}: too few people share a {name} to test whether it is tied to the label.")
    return sentences


def _values(index: WindowIndex, name: str) -> Mapping[str, str]:
    """Participant to value, of those who have one and windows."""
    found = {person: index.traits(person).get(name) for person in index.participants}
    return {person: str(value) for person, value in found.items() if value is not None}


def _profile(index: WindowIndex, label: str, person: str) -> npt.NDArray[np.float64]:
    """Of one person each class's share of the windows, and where in the recording it stands: its windows' mean rank in time, 0 if unknown."""
    mine = np.flatnonzero((index.participant_index == index.participants.index(person)) & (index.labels[label] != NO_LABEL))
    order: WindowOrder | None = window_order(index, label)
    y = index.labels[label][mine]
    classes = range(len(index.classes(label)))
    shares = [float(np.mean(y == k)) if len(y) else 0.0 for k in classes]
    rank = np.argsort(np.argsort(index.start_s[mine], kind="stable"))
    places = [float(rank[y == k].mean() / len(y) - 0.5) if order is not None and (y == k).any() else 0.0 for k in classes]
    return np.array([*shares, *places])


def _tie(profiles: npt.NDArray[np.float64], values: list[str]) -> float:
    """p of the spread between the values' mean profiles (n_people, n_columns), by permutation; 1 if people do not differ."""
    spread = profiles.std(axis=0)
    moving = profiles[:, spread > 1e-9]
    if not moving.shape[1]:
        return 1.0
    standard = (moving - moving.mean(axis=0)) / moving.std(axis=0)
    group = np.unique(values, return_inverse=True)[1]
    size = np.bincount(group)

    def between(groups: npt.NDArray[np.int64]) -> float:
        sums = np.zeros((len(size), standard.shape[1]))
        np.add.at(sums, groups, standard)
        return float((sums**2 / size[:, None]).sum())

    rng = np.random.default_rng(0)
    found = between(group)
    as_large = sum(between(rng.permutation(group)) >= found - 1e-9 for _ in range(PERMUTATIONS))
    return (1 + as_large) / (1 + PERMUTATIONS)
