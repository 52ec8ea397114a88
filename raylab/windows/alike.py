"""Names of one corpus in the words of another, so that both can be joined: channels of the same sensor, and a label that stands for another."""

from collections.abc import Mapping
from dataclasses import replace

from raylab.errors import RaylabError
from raylab.hashing import hash_record
from raylab.windows.card import WindowsCard
from raylab.windows.channel_card import ChannelCard
from raylab.windows.dataset import WindowIndex, Windows

SAME_SENSOR = ("modality", "unit", "rate_hz", "n_features", "feature_names", "variable")


def counterparts(tested: WindowsCard, trained: WindowsCard) -> dict[str, str]:
    """Channel of the trained corpus to the tested corpus's name for it, where the names differ and nothing else does.

    Both must have one channel alone of that modality, unit and rate: three axes of acceleration under other names are not guessed at.
    """
    names = {channel.name for channel in tested.channels}

    def alone(card: WindowsCard, channel: ChannelCard) -> bool:
        return sum(_kind(channel) == _kind(other) for other in card.channels) == 1

    found = {}
    for theirs in trained.channels:
        if theirs.name in names:
            continue
        ours = [c for c in tested.channels if _kind(c) == _kind(theirs) and c.name not in {t.name for t in trained.channels}]
        if len(ours) == 1 and alone(tested, ours[0]) and alone(trained, theirs):
            found[theirs.name] = ours[0].name
    return found


def _kind(channel: ChannelCard) -> tuple[object, ...]:
    return tuple(getattr(channel, field) for field in SAME_SENSOR)


def with_channels(index: WindowIndex, names: Mapping[str, str]) -> WindowIndex:
    """The same windows with other names for these channels."""
    if not names:
        return index
    channels = tuple(channel.changed(name=names.get(channel.name, channel.name)) for channel in index.card.channels)
    card = index.card.changed(channels=channels, fingerprint=hash_record([index.fingerprint, "channels", dict(names)]))
    statistics = {names.get(name, name): values for name, values in index.statistics.items()}
    return replace(index, card=card, statistics=statistics)


def with_label(index: WindowIndex, theirs: str, ours: str, classes: tuple[str, ...]) -> WindowIndex:
    """The same windows with the label ``theirs`` under the name ``ours``, its classes in their order under these names; without all other labels.

    Raises:
        RaylabError: if there is no such label, or it has another number of classes.
    """
    labels = {label.name: label for label in index.card.labels}
    if theirs not in labels:
        raise RaylabError(f"{index.name} has no label {theirs} (it has {', '.join(labels)}); mend train_on: PATH#LABEL")
    label = labels[theirs]
    if len(label.classes) != len(classes):
        raise RaylabError(
            f"label {theirs} of {index.name} has the classes {', '.join(label.classes)}, and {ours} has {', '.join(classes)}: one cannot stand "
            "for the other"
        )
    participants = tuple(
        entry.changed(counts={ours: dict(zip(classes, entry.counts[theirs].values(), strict=True))})
        for entry in index.card.participants
    )
    card = index.card.changed(
        labels=(label.changed(name=ours, classes=classes),),
        participants=participants,
        caution=f"{index.card.caution} {theirs} of {index.name} ({', '.join(label.classes)}) stands for {ours} ({', '.join(classes)}).".strip(),
        # which label it was decides what is learned, and no window id tells
        fingerprint=hash_record([index.fingerprint, "label", theirs, ours]),
    )
    return replace(index, card=card, labels={ours: index.labels[theirs]})


def renamed(windows: Windows, index: WindowIndex, names: Mapping[str, str]) -> Windows:
    """The windows with an index of them that has other names for some channels."""
    signals = {names.get(name, name): values for name, values in windows.signals.items()}
    lengths = {names.get(name, name): values for name, values in windows.lengths.items()}
    return Windows(index, signals, lengths)
