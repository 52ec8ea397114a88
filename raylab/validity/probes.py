"""Leak probes: prepared windows to windows with a known right result, whatever the dataset.

- ``shuffled_labels``: of each label, each participant's classes are permuted among that participant's labelled windows: every technique must
  be at chance.
- ``shuffled_traits``: whole trait records are permuted among participants: techniques that choose participants by traits lose their gain.
- ``shuffled_transcripts``: transcripts are permuted among each speaker's utterances: a model of text falls to the score that the classes'
  shares give, and a fusion to that of its other modalities.
- ``duplicated_person``: a participant is there twice, under two names: the run must warn (``raylab.windows.duplicate_recordings``).

The fifth probe, flipped test labels, needs a study and not only windows: ``raylab.validity.label_flip_probe``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.folds.seeding import FoldSeeds
from raylab.windows.card import ParticipantCard, ProbeCard, WindowsCard, joint_fingerprint
from raylab.windows.dataset import (
    CARD,
    OWN_TYPES,
    SESSION,
    WINDOW,
    Windows,
    fingerprint_of,
    read_windows,
    stored_columns,
    to_table,
    write_index,
)
from raylab.windows.segmentation import NO_LABEL, ParticipantWindows
from raylab.windows.stored_rows import read_rows, write_rows


@dataclass(frozen=True)
class Participant:
    """One participant's windows and its entry of the card."""

    card: ParticipantCard
    windows: ParticipantWindows

    @property
    def name(self) -> str:
        """As in the card."""
        return self.card.name


@dataclass(frozen=True)
class ProbeOptions:
    """The arguments of a probe: see ``probe``."""

    seed: int
    person: str | None
    noise: float
    words: tuple[str, ...] = ()  # names of the linguistic channels

    def generator(self, name: str, purpose: str) -> np.random.Generator:
        """A stream of each participant and purpose, so that it does not matter who else is there."""
        return FoldSeeds(self.seed, "probe", purpose, name).generator("permutation")


@dataclass(frozen=True)
class ProbedWindows:
    """The result of a probe.

    Attributes:
        details: fields of the probe's record in the card (``raylab.windows.card.ProbeCard``).
        sentence: for every table.
    """

    participants: list[Participant]
    details: Mapping[str, Any]
    sentence: str


def _shuffled_labels(participants: list[Participant], options: ProbeOptions) -> ProbedWindows:
    """Counts stay as they are, and so do the windows that have a label."""

    def shuffled(participant: Participant) -> Participant:
        labels = {name: y.copy() for name, y in participant.windows.labels.items()}
        for name, y in labels.items():
            rows = np.flatnonzero(y != NO_LABEL)
            y[rows] = options.generator(participant.name, name).permutation(y[rows])
        return replace(participant, windows=replace(participant.windows, labels=labels))

    sentence = "each person's labels were permuted among that person's windows, so every technique must be at chance"
    return ProbedWindows([shuffled(participant) for participant in participants], {}, sentence)


def _shuffled_traits(participants: list[Participant], options: ProbeOptions) -> ProbedWindows:
    """Whole records move; by chance a participant may get its own, which the card counts."""
    order = options.generator("everyone", "traits").permutation(len(participants))
    kept_own = int((order == np.arange(len(participants))).sum())
    moved = [
        replace(participant, card=participant.card.changed(traits=participants[int(giver)].card.traits))
        for participant, giver in zip(participants, order, strict=True)
    ]
    sentence = f"traits were permuted among people ({kept_own} of {len(participants)} kept their own), so choosing people by traits must gain nothing"
    return ProbedWindows(moved, {"kept_own": kept_own}, sentence)


def _shuffled_transcripts(participants: list[Participant], options: ProbeOptions) -> ProbedWindows:
    """All linguistic channels move together, with their lengths; an utterance may keep its own, or get the same text from another one."""

    def shuffled(participant: Participant) -> Participant:
        windows = participant.windows
        order = options.generator(participant.name, "transcripts").permutation(len(windows.start_s))
        signals = {name: x[order] if name in options.words else x for name, x in windows.signals.items()}
        lengths = {name: x[order] if name in options.words else x for name, x in windows.lengths.items()}
        return replace(participant, windows=replace(windows, signals=signals, lengths=lengths))

    sentence = f"transcripts ({', '.join(options.words)}) were permuted among each speaker's utterances, so text must tell nothing of an utterance"
    return ProbedWindows([shuffled(participant) for participant in participants], {"channels": options.words}, sentence)


def _duplicated_person(participants: list[Participant], options: ProbeOptions) -> ProbedWindows:
    """The copy is the last one in the card; noise is drawn per channel."""
    by_name = {participant.name: participant for participant in participants}
    if options.person not in by_name:
        raise RaylabError(
            f"duplicated_person needs one of these people (--person): {', '.join(by_name)}; got {options.person!r}"
        )
    original, name = by_name[options.person], f"{options.person}_copy"
    if name in by_name:
        raise RaylabError(f"there is a participant {name} already; duplicate another person")
    signals = {
        channel: _valid_steps_only(
            (x + options.noise * options.generator(original.name, channel).standard_normal(x.shape)).astype(np.float32),
            original.windows.lengths.get(channel),
        )
        for channel, x in original.windows.signals.items()
    }
    windows = replace(original.windows, signals=signals) if options.noise else original.windows
    copy = Participant(original.card.changed(name=name), windows)
    noise = f" with noise of SD {options.noise:g}" if options.noise else ""
    sentence = f"{name} is {original.name} again{noise}, so holding out one of them leaves the other to train on"
    return ProbedWindows([*participants, copy], {"person": original.name, "noise": options.noise}, sentence)


def _valid_steps_only(x: npt.NDArray[np.float32], lengths: npt.NDArray[np.int32] | None) -> npt.NDArray[np.float32]:
    """Zeros beyond each window's valid steps: noise does not belong there."""
    return x if lengths is None else x * (np.arange(x.shape[1]) < lengths[:, None])[:, :, None]


PROBES: Mapping[str, Callable[[list[Participant], ProbeOptions], ProbedWindows]] = {
    "shuffled_labels": _shuffled_labels,
    "shuffled_traits": _shuffled_traits,
    "shuffled_transcripts": _shuffled_transcripts,
    "duplicated_person": _duplicated_person,
}


def probe(
    kind: str, source: Folder | str, out: str, seed: int = 0, person: str | None = None, noise: float = 0.0
) -> WindowsCard:
    """Write prepared windows again, changed as the probe says; without Ray.

    Args:
        source, out: folders on a local path or a URI; ``out`` must be empty.
        person: the participant that is duplicated.
        noise: SD of the Gaussian noise on the duplicate's signals, in their unit (prepared signals go from 0 to 1).

    Returns:
        the new card: ``probes`` lists kind, seed and the fingerprint of the windows it was made from; ``caution`` names the change.

    Raises:
        RaylabError: on windows that are not there or not whole, an ``out`` that holds something, or arguments that the probe does not have.
    """
    folder, to = source if isinstance(source, Folder) else Folder(source), Folder(out)
    _refuse(kind, to, person, noise)
    windows = read_windows(folder)
    card = windows.index.card
    if kind == "shuffled_traits" and not card.has_traits:
        raise RaylabError(f"{folder.uri}: shuffled_traits needs traits, and {windows.index.name} has none")
    if kind == "shuffled_transcripts" and not card.linguistic_channels:
        raise RaylabError(f"{folder.uri}: shuffled_transcripts needs a linguistic channel, and {windows.index.name} has none")
    probed = PROBES[kind](_participants(folder, windows), ProbeOptions(seed, person, noise, card.linguistic_channels))
    for number, participant in enumerate(probed.participants):
        table = to_table(participant.windows, participant.name, number, list(windows.index.labels))
        write_rows(to, participant.name, table)
    record = ProbeCard(kind=kind, seed=seed, origin=windows.index.fingerprint, **probed.details)
    new = _card(card, probed.participants, record, f"Probe {kind} (seed {seed}): {probed.sentence}.", to)
    write_index(to, new)
    to.write_json(CARD, new.as_json())
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


def _participants(folder: Folder, windows: Windows) -> list[Participant]:
    """Every participant as it was cut."""
    index = windows.index
    participants = []
    for number, entry in enumerate(index.card.participants):
        rows = np.flatnonzero(index.participant_index == number)
        part = ParticipantWindows(
            start_s=index.start_s[rows],
            segment=index.segment[rows],
            sessions=read_rows(folder, entry.name, {name: OWN_TYPES[name] for name in (WINDOW, SESSION)})[SESSION].to_pylist(),
            labels={name: y[rows] for name, y in index.labels.items()},
            signals={name: values[rows] for name, values in windows.signals.items()},
            duration_s=entry.duration_s,
            lengths={name: steps[rows] for name, steps in windows.lengths.items()},
        )
        participants.append(Participant(entry, part))
    return participants


def _card(card: WindowsCard, participants: list[Participant], record: ProbeCard, sentence: str, to: Folder) -> WindowsCard:
    """The card of the new windows. Traits are no part of the rows, so the probe itself enters the fingerprint:
    no stage trained on one is ever taken for a stage of the other."""
    columns = stored_columns(card.labels, card.channels)
    entries = tuple(
        participant.card.changed(fingerprint=fingerprint_of(read_rows(to, participant.name, columns), columns))
        for participant in participants
    )
    return card.changed(
        participants=entries,
        order=(),  # of labels or people that are others now; a run counts them anew
        probes=(*card.probes, record),
        caution=f"{card.caution} {sentence}".strip(),
        fingerprint=joint_fingerprint(entries, record.model_dump(mode="json", by_alias=True)),
    )
