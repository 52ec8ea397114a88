"""Several datasets as one: all participants of the others are added to the first under names of their own, for training on them and testing on
the first. Channels and labels that they do not share are left out; a study that asks for one is told why."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from raylab.errors import RaylabError
from raylab.files import Folder, within
from raylab.hashing import hash_record
from raylab.windows.alike import counterparts, renamed, with_channels, with_label
from raylab.windows.card import LabelCard, WindowsCard
from raylab.windows.channel_card import ChannelCard
from raylab.windows.dataset import PER_PARTICIPANT, CrossCorpus, WindowIndex, Windows, padded, read_index
from raylab.windows.mapped import CopyName, CopyWriter, ensure_copy, map_windows, mapped
from raylab.windows.streamed import Corpus, WindowSource, streamed, with_checks

Kept = Literal["mapped", "streamed"]
MAPPED: Kept = "mapped"
FROM = " <- "  # tested on <- trained on
AT_ONCE = 1024  # windows that are joined at once


AND, LABEL, FOR = " & ", "#", "="  # of several corpora; before the label of one that stands for the study's


def source(windows: str, train_on: str | Sequence[str], label: str = "") -> str:
    """The source of a study's dataset entry: a path, and those of the corpora that are trained on.

    Args:
        train_on: a path or several, each with ``#LABEL`` behind it if that label stands for the entry's.
        label: the entry's.
    """
    paths = [train_on] if isinstance(train_on, str) else train_on
    parts = [f"{path}{FOR}{label}" if LABEL in path else path for path in paths]
    return f"{windows}{FROM}{AND.join(parts)}" if parts else windows


def _parts(source: str) -> tuple[str, list[tuple[str, str, str]]]:
    """The path that is tested; and of each corpus that is trained on its path, its label and the study's (empty if they are the same)."""
    tested, _, trained = source.partition(FROM)
    corpora = []
    for part in filter(None, trained.split(AND)):
        path, _, rule = part.partition(LABEL)
        theirs, _, ours = rule.partition(FOR)
        corpora.append((path, theirs, ours))
    return tested, corpora


def read_source(root: str, source: str) -> Windows:
    """The windows of a source, their signals mapped from this node's copy; errors as those of ``map_windows`` and ``join_windows``."""
    return map_source(root, source)[0]


def open_windows(root: str, source: str, kept: Kept = MAPPED) -> Windows:
    """The windows of a source for a run in this process.

    Args:
        kept: where their signals are: in a copy on this node, or nowhere but in the prepared files (``streamed``), which are checked first.
    """
    if kept == MAPPED:
        return read_source(root, source)
    where = streamed_source(root, source)
    return streamed(*with_checks(where, [where.checked(k) for k in range(len(where.index.participants))]))


def map_source(root: str, source: str, check: str = "") -> tuple[Windows, CopyName]:
    """As ``read_source``, and the name of the copy, which is that of the joined signals if there are several datasets.

    Args:
        check: see ``raylab.windows.mapped.ensure_copy``.
    """
    tested, corpora = _parts(source)
    windows, copy = map_windows(Folder(within(root, tested)), check)
    for path, theirs, ours in corpora:
        other, other_copy = map_windows(Folder(within(root, path)), check)
        index, names = _alike(windows.index, other.index, theirs, ours)
        windows, copy = _joined_copy(windows, renamed(other, index, names), copy, other_copy, check)
    return windows, copy


def _joined_copy(tested: Windows, trained: Windows, copy: CopyName, other: CopyName, check: str) -> tuple[Windows, CopyName]:
    """The windows of both, mapped from a copy of their own."""
    index = join_indexes(tested.index, trained.index)
    channels = [[channel.name, channel.length] for channel in index.card.channels]
    name = CopyName(
        hash_record([copy.windows, other.windows, trained.index.fingerprint]), hash_record([copy.state, other.state, channels])
    )

    def write(writer: CopyWriter) -> None:
        for part in (tested, trained):
            for first in range(0, len(part.index.window), AT_ONCE):
                writer.add(*_joined_rows(part, slice(first, first + AT_ONCE), index.card))

    ensure_copy(name, index, write, check)
    return mapped(name, index), name


def streamed_source(root: str, source: str) -> WindowSource:
    """Where the windows of a source lie, for reading them without a copy on this node; nothing is checked but the index."""
    tested, corpora = _parts(source)
    folder = Folder(within(root, tested))
    index = read_index(folder)
    found = [Corpus(folder.uri, index)]
    for path, theirs, ours in corpora:
        folder = Folder(within(root, path))
        other = read_index(folder)
        alike, names = _alike(index, other, theirs, ours)
        found.append(Corpus(folder.uri, other, len(index.participants), len(index.window), names))
        index = join_indexes(index, alike)
    return WindowSource(index, tuple(found))


def index_source(root: str, source: str) -> WindowIndex:
    """The index of a source."""
    return streamed_source(root, source).index


def _alike(tested: WindowIndex, trained: WindowIndex, theirs: str, ours: str) -> tuple[WindowIndex, dict[str, str]]:
    """The index of the trained corpus in the tested one's words, and the channels that have another name in it."""
    if theirs:
        if ours not in tested.labels:
            raise RaylabError(f"{tested.name} has no label {ours} (it has {', '.join(tested.labels)})")
        trained = with_label(trained, theirs, ours, tested.classes(ours))
    names = counterparts(tested.card, trained.card)
    return with_channels(trained, names), names


def _channels(tested: WindowsCard, trained: WindowsCard) -> tuple[tuple[ChannelCard, ...], dict[str, str]]:
    """The channels that both have in one shape, padded to the longer if their length varies; and why others are not among them."""
    theirs = {channel.name: channel for channel in trained.channels}
    shared, unshared = [], {}
    for channel in tested.channels:
        name, other = channel.name, theirs.get(channel.name)
        if other is None:
            unshared[name] = f"{trained.dataset} has no channel {name} (it has {', '.join(theirs)})"
            continue
        padded = channel.variable and other.variable
        for field in ("unit", "rate_hz", "n_features", "feature_names", *(() if padded else ("length",))):
            if getattr(channel, field) != getattr(other, field):
                unshared[name] = (
                    f"channel {name} differs: {field} {getattr(channel, field)} in {tested.dataset}, {getattr(other, field)} "
                    f"in {trained.dataset}"
                )
        if name not in unshared:
            shared.append(channel.changed(length=max(channel.length, other.length)))
    return tuple(shared), unshared


def _labels(tested: WindowsCard, trained: WindowsCard) -> tuple[tuple[LabelCard, ...], dict[str, str]]:
    """The labels that both have with the same classes in the same order; and why others are not among them."""
    theirs = {label.name: label for label in trained.labels}
    shared, unshared = [], {}
    for label in tested.labels:
        name, other = label.name, theirs.get(label.name)
        if other is None:
            unshared[name] = f"{trained.dataset} has no label {name} (it has {', '.join(theirs)})"
        elif other.classes == label.classes:
            shared.append(label)
        else:
            unshared[name] = (
                f"label {name} differs: {', '.join(label.classes)} in {tested.dataset}; {', '.join(other.classes)} in {trained.dataset}; "
                "prepare both with the label set that they share"
            )
    return tuple(shared), unshared


def _refuse_misfits(tested: WindowIndex, trained: WindowIndex) -> None:
    """Datasets that are normalized in different ways, and two preparations of one dataset that share participants."""
    one, two = tested.card, trained.card
    ways = [
        f"{part.normalization} ({part.suffix})" if part.suffix else part.normalization
        for part in (one.preprocessing, two.preprocessing)
    ]
    if ways[0] != ways[1]:
        raise RaylabError(f"{one.dataset} is normalized by {ways[0]}, {two.dataset} by {ways[1]}; prepare them alike")
    own = tested.joined.of_dataset if tested.joined else {one.dataset: tested.participants}
    both = sorted(set(own.get(two.dataset, ())) & set(trained.participants))
    if both:
        raise RaylabError(
            f"{', '.join(both)} stand in both preparations of {two.dataset}: who is tested would be trained on; train on another corpus, or "
            "prepare them without each other's people (--exclude)"
        )


def _joined(tested: WindowIndex, trained: WindowIndex) -> tuple[WindowsCard, CrossCorpus]:
    """The first one's card with the second one's participants, and what a study must know of the two."""
    first, second = tested.card, trained.card
    (channels, other_channels), (labels, other_labels) = _channels(first, second), _labels(first, second)
    names = [*tested.participants, *(f"{trained.name} {name}" for name in trained.participants)]
    card = first.changed(
        probes=(*first.probes, *second.probes),
        preprocessing=replace(first.preprocessing, window_s=max(tested.window_s, trained.window_s)),
        participants=tuple(
            entry.changed(name=name, counts={label.name: entry.counts[label.name] for label in labels})
            for name, entry in zip(names, (*first.participants, *second.participants), strict=True)
        ),
        channels=channels,
        labels=labels,
        similarity_traits=tuple(name for name in first.similarity_traits if name in second.similarity_traits),
        caution=" ".join(filter(None, [first.caution, second.caution])),
        fingerprint=hash_record([tested.fingerprint, trained.fingerprint]),
    )
    before = tested.joined or CrossCorpus(tested.participants, "", {}, {}, {first.dataset: tested.participants})
    return card, CrossCorpus(
        before.tested,
        AND.join(filter(None, [before.trained_on, trained.name])),
        {**before.unshared_channels, **other_channels},
        {**before.unshared_labels, **other_labels},
        {**before.of_dataset, second.dataset: (*before.of_dataset.get(second.dataset, ()), *trained.participants)},
    )


def join_indexes(tested: WindowIndex, trained: WindowIndex) -> WindowIndex:
    """The windows of both; ids of the tested ones stay as they are.

    Raises:
        RaylabError: if the two are normalized in different ways, or are preparations of one dataset that share participants.
    """
    _refuse_misfits(tested, trained)
    card, joined = _joined(tested, trained)
    first = len(tested.participants)
    return WindowIndex(
        card=card,
        participants=tuple(entry.name for entry in card.participants),
        window=np.concatenate([tested.window, trained.window + first * PER_PARTICIPANT]),
        participant_index=np.concatenate([tested.participant_index, trained.participant_index + np.int32(first)]),
        segment=np.concatenate([tested.segment, trained.segment]),
        start_s=np.concatenate([tested.start_s, trained.start_s]),
        labels={label.name: np.concatenate([part.labels[label.name] for part in (tested, trained)]) for label in card.labels},
        statistics={
            channel.name: np.concatenate([part.statistics[channel.name] for part in (tested, trained)])
            for channel in card.channels
        },
        joined=joined,
    )


def join_windows(tested: Windows, trained: Windows) -> Windows:
    """Both with their signals: see ``join_indexes``."""
    index = join_indexes(tested.index, trained.index)
    parts = [_joined_rows(part, slice(None), index.card) for part in (tested, trained)]
    signals, lengths = ({name: np.concatenate([part[k][name] for part in parts]) for name in parts[0][k]} for k in (0, 1))
    return Windows(index, signals, lengths)


def _joined_rows(part: Windows, rows: slice, card: WindowsCard) -> tuple[dict[str, Any], dict[str, Any]]:
    """Signals and lengths of these rows of one of the two, as the joined card has them."""
    signals = {channel.name: padded(part.signals[channel.name][rows], channel.length) for channel in card.channels}
    return signals, {name: part.lengths[name][rows] for name in card.variable_channels}
