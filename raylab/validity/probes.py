"""Leak probes: prepared windows to windows of which the right result is known, whatever the dataset.

- ``shuffled_labels``: of each label, each person's classes are permuted among that person's labelled windows: every technique must be at chance.
- ``shuffled_traits``: whole trait records are permuted among people: techniques that choose people by traits lose what they gained.
- ``shuffled_transcripts``: what was said is permuted among each speaker's utterances: a model of text falls to what the classes' shares give, and a
  fusion to what its other modalities give.
- ``duplicated_person``: a person stands there twice, under two names: the run must warn (``raylab.windows.duplicate_recordings``).

The fourth probe, flipped test labels, needs a study and not only windows: ``raylab.validity.label_flip_probe``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.folds.seeding import FoldSeeds
from raylab.hashing import hash_record
from raylab.windows.dataset import CARD, Windows, fingerprint_of, read_rows, read_windows, stored_columns, to_table
from raylab.windows.segmentation import NO_LABEL, ParticipantWindows
from raylab.windows.transcripts import linguistic


@dataclass(frozen=True)
class Person:
    """One participant's windows and what the card says of them."""

    entry: dict[str, Any]
    made: ParticipantWindows

    @property
    def name(self) -> str:
        return str(self.entry["name"])


@dataclass(frozen=True)
class ProbeOptions:
    """What a probe is asked to do: see ``probe``."""

    seed: int
    person: str | None
    noise: float
    words: tuple[str, ...] = ()  # names of the linguistic channels

    def generator(self, name: str, purpose: str) -> np.random.Generator:
        """A stream of each person and purpose, so that it does not matter who else is there."""
        return FoldSeeds(self.seed, "probe", purpose, name).generator("permutation")


Made = tuple[list[Person], dict[str, Any], str]  # the people, what the card says of the probe, the sentence for every table


def _shuffled_labels(people: list[Person], asked: ProbeOptions) -> Made:
    """Counts stay as they are, and so does which windows have a label."""

    def shuffled(person: Person) -> Person:
        labels = {name: y.copy() for name, y in person.made.labels.items()}
        for name, y in labels.items():
            rows = np.flatnonzero(y != NO_LABEL)
            y[rows] = asked.generator(person.name, name).permutation(y[rows])
        return replace(person, made=replace(person.made, labels=labels))

    said = "each person's labels were permuted among that person's windows, so every technique must be at chance"
    return [shuffled(person) for person in people], {}, said


def _shuffled_traits(people: list[Person], asked: ProbeOptions) -> Made:
    """Whole records move; by chance a person may get the own one, which the card counts."""
    order = asked.generator("everyone", "traits").permutation(len(people))
    traits = [people[int(i)].entry["traits"] for i in order]
    kept = int((order == np.arange(len(people))).sum())
    moved = [replace(person, entry={**person.entry, "traits": new}) for person, new in zip(people, traits, strict=True)]
    said = f"traits were permuted among people ({kept} of {len(people)} kept their own), so choosing people by traits must gain nothing"
    return moved, {"kept_own": kept}, said


def _shuffled_transcripts(people: list[Person], asked: ProbeOptions) -> Made:
    """All linguistic channels move together, with their lengths; an utterance may keep its own, or get the same text from another one."""

    def shuffled(person: Person) -> Person:
        made = person.made
        order = asked.generator(person.name, "transcripts").permutation(len(made.start_s))
        signals = {name: x[order] if name in asked.words else x for name, x in made.signals.items()}
        lengths = {name: x[order] if name in asked.words else x for name, x in made.lengths.items()}
        return replace(person, made=replace(made, signals=signals, lengths=lengths))

    said = f"transcripts ({', '.join(asked.words)}) were permuted among each speaker's utterances, so text must tell nothing of an utterance"
    return [shuffled(person) for person in people], {"channels": list(asked.words)}, said


def _duplicated_person(people: list[Person], asked: ProbeOptions) -> Made:
    """The copy stands last in the card; noise is drawn per channel."""
    there = {person.name: person for person in people}
    if asked.person not in there:
        raise RaylabError(f"duplicated_person needs one of these people (--person): {', '.join(there)}; got {asked.person!r}")
    original, name = there[asked.person], f"{asked.person}_copy"
    if name in there:
        raise RaylabError(f"there is a participant {name} already; duplicate another person")
    signals = {
        channel: _beyond_is_zero(
            (x + asked.noise * asked.generator(original.name, channel).standard_normal(x.shape)).astype(np.float32),
            original.made.lengths.get(channel),
        )
        for channel, x in original.made.signals.items()
    }
    copy = Person(
        {**original.entry, "name": name}, replace(original.made, signals=signals if asked.noise else original.made.signals)
    )
    noise = f" with noise of SD {asked.noise:g}" if asked.noise else ""
    said = f"{name} is {original.name} again{noise}, so holding out one of them leaves the other to train on"
    return [*people, copy], {"person": original.name, "noise": asked.noise}, said


def _beyond_is_zero(x: npt.NDArray[np.float32], lengths: npt.NDArray[np.int32] | None) -> npt.NDArray[np.float32]:
    """Noise belongs on a window's valid steps only."""
    return x if lengths is None else x * (np.arange(x.shape[1]) < lengths[:, None])[:, :, None]


PROBES: Mapping[str, Callable[[list[Person], ProbeOptions], Made]] = {
    "shuffled_labels": _shuffled_labels,
    "shuffled_traits": _shuffled_traits,
    "shuffled_transcripts": _shuffled_transcripts,
    "duplicated_person": _duplicated_person,
}


def probe(
    kind: str, source: Folder | str, out: str, seed: int = 0, person: str | None = None, noise: float = 0.0
) -> dict[str, Any]:
    """Write prepared windows again, changed as the probe says; without Ray.

    Args:
        source, out: folders on a local path or a URI; ``out`` must be empty.
        person: who is duplicated.
        noise: SD of the Gaussian noise on the duplicate's signals, in their unit (prepared signals go from 0 to 1).

    Returns:
        the new card: ``probes`` lists kind, seed and the fingerprint of the windows it was made from; ``caution`` says what was done.

    Raises:
        RaylabError: on windows that are not there or not whole, an ``out`` that holds something, or what the probe cannot be asked.
    """
    folder, to = source if isinstance(source, Folder) else Folder(source), Folder(out)
    _refuse(kind, to, person, noise)
    windows = read_windows(folder)
    card = windows.index.card
    if kind == "shuffled_traits" and not (card["similarity_traits"] and any(entry["traits"] for entry in card["participants"])):
        raise RaylabError(f"{folder.uri}: shuffled_traits needs traits, and {windows.index.name} has none")
    words = linguistic(card)
    if kind == "shuffled_transcripts" and not words:
        raise RaylabError(f"{folder.uri}: shuffled_transcripts needs a linguistic channel, and {windows.index.name} has none")
    people, about, said = PROBES[kind](_people(folder, windows), ProbeOptions(seed, person, noise, words))
    for number, one in enumerate(people):
        table = to_table(one.made, one.name, number, list(windows.index.labels))
        to.write_table(f"participant={one.name}/part-0.parquet", table.drop_columns(["participant"]))
    record = {"kind": kind, "seed": seed, "from": windows.index.fingerprint, **about}
    new = _card(card, people, record, f"Probe {kind} (seed {seed}): {said}.", to)
    to.write_json(CARD, new)
    return new


def _refuse(kind: str, to: Folder, person: str | None, noise: float) -> None:
    if kind not in PROBES:
        raise RaylabError(f"unknown probe {kind!r}; there are {', '.join(PROBES)} and flipped_labels")
    if (person is not None or noise) and kind != "duplicated_person":
        raise RaylabError(f"--person and --noise belong to duplicated_person, not to {kind}")
    if not (np.isfinite(noise) and noise >= 0):
        raise RaylabError(f"--noise {noise:g} is no standard deviation; give 0 or more")
    if to.exists("") and (to.folders("") or to.names("")):
        raise RaylabError(f"{to.uri} is not empty; give another --out")


def _people(folder: Folder, windows: Windows) -> list[Person]:
    """Every participant as it was cut."""
    index = windows.index
    found = []
    for number, entry in enumerate(index.card["participants"]):
        rows = np.flatnonzero(index.participant_index == number)
        made = ParticipantWindows(
            start_s=index.start_s[rows],
            segment=index.segment[rows],
            sessions=read_rows(folder, entry["name"], ["window", "session"])["session"].to_pylist(),
            labels={name: y[rows] for name, y in index.labels.items()},
            signals={name: values[rows] for name, values in windows.signals.items()},
            duration_s=entry["duration_s"],
            lengths={name: steps[rows] for name, steps in windows.lengths.items()},
        )
        found.append(Person(entry, made))
    return found


def _card(card: dict[str, Any], people: list[Person], record: dict[str, Any], said: str, to: Folder) -> dict[str, Any]:
    """The card of the new windows. Traits are no part of anybody's rows, so the probe itself enters the fingerprint:
    no stage trained on one is ever taken for a stage of the other."""
    columns = stored_columns(card)
    entries = [{**one.entry, "fingerprint": fingerprint_of(read_rows(to, one.name, columns), columns)} for one in people]
    return {
        **card,
        "participants": entries,
        "probes": [*card.get("probes", []), record],
        "caution": f"{card['caution']} {said}".strip(),
        "fingerprint": hash_record([*([entry["name"], entry["fingerprint"]] for entry in entries), record]),
    }
