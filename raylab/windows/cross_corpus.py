"""Two datasets as one: everybody of the second is added to the first under a name of its own, for training on one corpus and testing on
the other. What they do not share is left out, and said where a study asks for it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.files import Folder, within
from raylab.hashing import hash_record
from raylab.windows.dataset import PER_PARTICIPANT, WindowIndex, Windows, read_index, read_windows

FROM = " <- "  # tested on <- trained on


def source(windows: str, train_on: str | None) -> str:
    """What a study reads for a dataset entry: a path, or two."""
    return f"{windows}{FROM}{train_on}" if train_on else windows


def read_source(root: str, which: str) -> Windows:
    """The windows of a source; errors as ``read_windows``'s, and those of ``join_windows``."""
    tested, _, trained = which.partition(FROM)
    windows = read_windows(Folder(within(root, tested)))
    return join_windows(windows, read_windows(Folder(within(root, trained)))) if trained else windows


def index_source(root: str, which: str) -> WindowIndex:
    """The index of a source."""
    tested, _, trained = which.partition(FROM)
    index = read_index(Folder(within(root, tested)))
    return join_indexes(index, read_index(Folder(within(root, trained)))) if trained else index


def _channels(tested: dict[str, Any], trained: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The channels that both have in one shape, padded to the longer where their length varies; and why others are not among them."""
    there = {entry["name"]: entry for entry in trained["channels"]}
    shared, unshared = [], {}
    for entry in tested["channels"]:
        name, other = entry["name"], there.get(entry["name"])
        if other is None:
            unshared[name] = f"{trained['dataset']} has no channel {name} (it has {', '.join(there)})"
            continue
        both = entry.get("variable", False) and other.get("variable", False)
        for what in ("unit", "rate_hz", "n_features", *(() if both else ("length",))):
            if entry.get(what) != other.get(what):
                unshared[name] = (
                    f"channel {name} differs: {what} {entry.get(what)} in {tested['dataset']}, {other.get(what)} in {trained['dataset']}"
                )
        if name not in unshared:
            shared.append({**entry, "length": max(entry["length"], other["length"])})
    return shared, unshared


def _labels(tested: dict[str, Any], trained: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The labels that both have with the same classes in the same order; and why others are not among them."""
    there = {entry["name"]: list(entry["classes"]) for entry in trained["labels"]}
    shared, unshared = [], {}
    for entry in tested["labels"]:
        name, other = entry["name"], there.get(entry["name"])
        if other == list(entry["classes"]):
            shared.append(entry)
        elif other is None:
            unshared[name] = f"{trained['dataset']} has no label {name} (it has {', '.join(there)})"
        else:
            unshared[name] = (
                f"label {name} differs: {', '.join(entry['classes'])} in {tested['dataset']}; {', '.join(other)} in {trained['dataset']}; "
                "prepare both with the label set that they share"
            )
    return shared, unshared


def _card(tested: WindowIndex, trained: WindowIndex) -> dict[str, Any]:
    """The first one's card with the second one's people, and what a study must know: who is tested, whom one trains on, what is not shared."""
    one, two = tested.card, trained.card
    how = [card["preprocessing"]["normalization"] for card in (one, two)]
    if how[0] != how[1]:
        raise RaylabError(f"{one['dataset']} is normalized by {how[0]}, {two['dataset']} by {how[1]}; prepare them alike")
    both = sorted(set(tested.participants) & set(trained.participants)) if one["dataset"] == two["dataset"] else []
    if both:
        raise RaylabError(
            f"{', '.join(both)} stand in both preparations of {one['dataset']}: who is tested would be trained on; train on another corpus, or "
            "prepare them without each other's people (--exclude)"
        )
    probes = [*one.get("probes", []), *two.get("probes", [])]
    (channels, no_channels), (labels, no_labels) = _channels(one, two), _labels(one, two)
    traits = [name for name in one["similarity_traits"] if name in two["similarity_traits"]]
    window_s = max(tested.window_s, trained.window_s)
    return {
        **one,
        **({"probes": probes} if probes else {}),
        "preprocessing": {**one["preprocessing"], "window_s": window_s},
        "participants": [*one["participants"], *({**p, "name": f"{trained.name} {p['name']}"} for p in two["participants"])],
        "channels": channels,
        "labels": labels,
        "similarity_traits": traits,
        "caution": " ".join(filter(None, [one["caution"], two["caution"]])),
        "fingerprint": hash_record([tested.fingerprint, trained.fingerprint]),
        "tested": list(tested.participants),
        "trained_on": trained.name,
        "unshared": {"channels": no_channels, "labels": no_labels},
    }


def join_indexes(tested: WindowIndex, trained: WindowIndex) -> WindowIndex:
    """The windows of both; ids of the tested ones stay as they are.

    Raises:
        RaylabError: where the two are normalized in different ways.
    """
    card = _card(tested, trained)
    names = [entry["name"] for entry in card["participants"]]
    first = len(tested.participants)
    return WindowIndex(
        card=card,
        participants=tuple(names),
        window=np.concatenate([tested.window, trained.window + first * PER_PARTICIPANT]),
        participant_index=np.concatenate([tested.participant_index, trained.participant_index + np.int32(first)]),
        segment=np.concatenate([tested.segment, trained.segment]),
        start_s=np.concatenate([tested.start_s, trained.start_s]),
        labels={x["name"]: np.concatenate([i.labels[x["name"]] for i in (tested, trained)]) for x in card["labels"]},
        statistics={c["name"]: np.concatenate([i.statistics[c["name"]] for i in (tested, trained)]) for c in card["channels"]},
    )


def join_windows(tested: Windows, trained: Windows) -> Windows:
    """Both with their signals: see ``join_indexes``."""
    index = join_indexes(tested.index, trained.index)
    signals, lengths = {}, {}
    for channel in index.card["channels"]:
        name, length = channel["name"], channel["length"]
        signals[name] = np.concatenate([_padded(part.signals[name], length) for part in (tested, trained)])
        if channel.get("variable"):
            lengths[name] = np.concatenate([part.lengths[name] for part in (tested, trained)])
    return Windows(index, signals, lengths)


def _padded(values: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """(n, length, n_features) with zeros behind what is there."""
    return np.pad(values, ((0, 0), (0, length - values.shape[1]), (0, 0)))
