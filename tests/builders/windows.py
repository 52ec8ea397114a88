"""Windows made of class lists, for tests of folds, plans and training."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raylab.files import Folder
from raylab.windows.card import LabelCard, ParticipantCard, WindowsCard, joint_fingerprint
from raylab.windows.channel_card import ChannelCard
from raylab.windows.dataset import CARD, WindowIndex, Windows, fingerprint_of, stored_columns, to_table
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, statistics, valid_statistics
from raylab.windows.stored_rows import read_rows, write_rows


def make_card(
    names: Sequence[str],
    lengths: Mapping[str, int],
    classes: Mapping[str, Sequence[str]],
    traits: Mapping[str, Mapping[str, Any]] | None = None,
    **changes: Any,
) -> WindowsCard:
    """A card of ``made`` windows: channel to length, label to classes; counts are 0. ``changes``: other fields of the card."""
    fields = {
        "format": 1,
        "raylab": "0",
        "dataset": "made",
        "caution": "",
        "licence": "none",
        "citation": "none",
        "options": {},
        "preprocessing": Preprocessing(),
        "labels": tuple(label_card(name, texts) for name, texts in classes.items()),
        "channels": tuple(channel_card(name, length) for name, length in lengths.items()),
        "participants": tuple(participant_card(name, classes, (traits or {}).get(name, {})) for name in names),
        "similarity_traits": tuple(sorted({trait for values in (traits or {}).values() for trait in values})),
        "fingerprint": "made",
    }
    return WindowsCard.model_validate({**fields, **changes})


def channel_card(name: str, length: int, modality: str = "a.u.", variable: bool = False) -> ChannelCard:
    """A channel of one feature, as many steps a second as fill 10 s."""
    return ChannelCard(
        name=name,
        modality=modality,
        recorded_hz=length / 10,
        rate_hz=length / 10,
        unit="a.u.",
        length=length,
        n_features=1,
        variable=variable,
    )


def label_card(name: str, classes: Sequence[str]) -> LabelCard:
    """A label whose windows take the most frequent class."""
    return LabelCard(name=name, classes=tuple(classes), decide="mode")


def participant_card(name: str, classes: Mapping[str, Sequence[str]], traits: Mapping[str, Any]) -> ParticipantCard:
    """A participant of whom nothing was counted."""
    counts = {label: dict.fromkeys(texts, 0) for label, texts in classes.items()}
    return ParticipantCard(name=name, windows=0, duration_s=0.0, counts=counts, traits=dict(traits), fingerprint="made")


def make_windows(
    people: dict[str, list[int]],
    length: int = 8,
    step_s: float = 5.0,
    seed: int = 0,
    traits: dict[str, dict[str, Any]] | None = None,
    classes: int = 2,
) -> Windows:
    """Windows from class lists: person to the classes of their windows in time order (-1: no label, a gap of one window).

    Two channels, ``a`` (length, 1) and ``b`` (2 length, 1), noise plus the class, so that something can be learned.
    """
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.array(labels, dtype=np.int8) for labels in people.values()])
    person = np.repeat(np.arange(len(people), dtype=np.int32), [len(labels) for labels in people.values()])
    start = np.concatenate([np.arange(len(labels)) * step_s for labels in people.values()])
    position = np.concatenate([np.arange(len(labels)) for labels in people.values()])
    signals = {
        name: (rng.normal(0, 1, (len(y), n, 1)) + y[:, None, None]).astype(np.float32)
        for name, n in (("a", length), ("b", 2 * length))
    }
    card = make_card(
        list(people),
        {name: values.shape[1] for name, values in signals.items()},
        {"stress": [f"class{k}" for k in range(classes)]},
        traits,
        preprocessing=Preprocessing(step_s=step_s),
        fingerprint=f"made-{seed}",
    )
    ids = person * 1_000_000 + position.astype(np.int64)
    described = {name: statistics(values) for name, values in signals.items()}
    index = WindowIndex(card, tuple(people), ids, person, np.zeros(len(y), np.int32), start, {"stress": y}, described)
    return Windows(index, signals)


def with_card(windows: Windows, **changes: Any) -> Windows:
    """The same windows with other fields of the card."""
    return replace(windows, index=replace(windows.index, card=windows.index.card.changed(**changes)))


def with_labels(card: WindowsCard, classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The fields of a card that has these labels, for ``with_card``."""
    counts = {label: dict.fromkeys(texts, 0) for label, texts in classes.items()}
    return {
        "labels": tuple(label_card(name, texts) for name, texts in classes.items()),
        "participants": tuple(entry.changed(counts=counts) for entry in card.participants),
    }


def with_traits(windows: Windows, traits: Mapping[str, Mapping[str, Any]], similarity: Sequence[str]) -> Windows:
    """The same windows of participants with these traits; those who are not named keep their own."""
    entries = tuple(
        entry.changed(traits=dict(traits[entry.name])) if entry.name in traits else entry
        for entry in windows.index.card.participants
    )
    return with_card(windows, participants=entries, similarity_traits=tuple(similarity))


def store(windows: Windows, where: Path) -> Path:
    """Write made windows as ``prepare`` does."""
    folder, index = Folder(where), windows.index
    columns, entries = stored_columns(index.card.labels, index.card.channels), []
    for number, entry in enumerate(index.card.participants):
        rows = index.participant_index == number
        labels = {name: y[rows] for name, y in index.labels.items()}
        signals = {name: x[rows] for name, x in windows.signals.items()}
        lengths = {name: n[rows] for name, n in windows.lengths.items()}
        cut = ParticipantWindows(
            index.start_s[rows], index.segment[rows], ["one"] * int(rows.sum()), labels, signals, 100.0, lengths
        )
        table = to_table(cut, entry.name, number, list(labels))
        write_rows(folder, entry.name, table)
        digest = fingerprint_of(read_rows(folder, entry.name, columns), columns)
        counts = {
            label.name: {text: int((labels[label.name] == k).sum()) for k, text in enumerate(label.classes)}
            for label in index.card.labels
        }
        entries.append(entry.changed(fingerprint=digest, duration_s=100.0, windows=len(table), counts=counts))
    card = index.card.changed(participants=tuple(entries), caution="Made windows.", fingerprint=joint_fingerprint(entries))
    folder.write_json(CARD, card.as_json())
    return where


def of_unequal_lengths(people: str, longest: int, seed: int) -> Windows:
    """Six windows of each person, a letter; channel ``a`` has windows of 0 to ``longest`` valid steps."""
    windows = make_windows({name: [0, 0, 1, 1, -1, 0] for name in people}, length=longest, seed=seed)
    a, b = windows.index.card.channels
    steps = (np.arange(len(windows.index.window)) % (longest + 1)).astype(np.int32)
    signals = {**windows.signals, "a": windows.signals["a"] * (np.arange(longest)[None, :, None] < steps[:, None, None])}
    windows = replace(with_card(windows, channels=(a.changed(variable=True), b)), signals=signals, lengths={"a": steps})
    described = {name: valid_statistics(x, windows.lengths.get(name)) for name, x in signals.items()}
    return replace(windows, index=replace(windows.index, statistics=described))


def store_two_corpora(root: Path, theirs: str = "a") -> None:
    """``here`` of A and B with windows of up to 8 steps, and ``there`` of A, C and D with up to 5, whose one channel is called ``theirs``."""
    for name, people, longest in (("here", "AB", 8), ("there", "ACD", 5)):
        made = of_unequal_lengths(people, longest, longest)
        a, b = made.index.card.channels
        first = a.changed(recorded_hz=4.0, rate_hz=4.0, name="a" if name == "here" else theirs)
        channels = (first, *((b,) if name == "here" else ()))
        signals, lengths = (
            {first.name: made.signals["a"], **{c.name: made.signals[c.name] for c in channels[1:]}},
            {first.name: made.lengths["a"]},
        )
        described = {c.name: valid_statistics(signals[c.name], lengths.get(c.name)) for c in channels}
        made = replace(made, signals=signals, lengths=lengths, index=replace(made.index, statistics=described))
        store(with_card(made, dataset=name, channels=channels), root / name)
