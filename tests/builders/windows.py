"""Windows made of class lists, for tests of folds, plans and training."""

from pathlib import Path
from typing import Any

import numpy as np

from raylab.files import Folder
from raylab.hashing import hash_record
from raylab.windows.dataset import (
    CARD,
    WindowIndex,
    Windows,
    fingerprint_of,
    read_rows,
    stored_columns,
    to_table,
)
from raylab.windows.segmentation import ParticipantWindows, statistics


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
    card = {
        "dataset": "made",
        "fingerprint": f"made-{seed}",
        "caution": "",
        "preprocessing": {"window_s": 10.0, "step_s": step_s, "normalization": "recording"},
        "labels": [{"name": "stress", "classes": [f"class{k}" for k in range(classes)]}],
        "channels": [{"name": name, "length": v.shape[1], "n_features": 1} for name, v in signals.items()],
        "participants": [{"name": name, "traits": (traits or {}).get(name, {})} for name in people],
        "similarity_traits": sorted({trait for values in (traits or {}).values() for trait in values}),
    }
    ids = person * 1_000_000 + position.astype(np.int64)
    described = {name: statistics(values) for name, values in signals.items()}
    index = WindowIndex(card, tuple(people), ids, person, np.zeros(len(y), np.int32), start, {"stress": y}, described)
    return Windows(index, signals)


def store(windows: Windows, where: Path) -> Path:
    """Write made windows as ``prepare`` does."""
    folder, index = Folder(where), windows.index
    columns = stored_columns(index.card)
    entries = []
    for number, entry in enumerate(index.card["participants"]):
        rows = index.person == number
        labels = {name: y[rows] for name, y in index.labels.items()}
        signals = {name: x[rows] for name, x in windows.signals.items()}
        lengths = {name: n[rows] for name, n in windows.lengths.items()}
        cut = ParticipantWindows(
            index.start_s[rows], index.segment[rows], ["one"] * int(rows.sum()), labels, signals, 100.0, lengths
        )
        table = to_table(cut, entry["name"], number, list(labels)).drop_columns(["participant"])
        folder.write_table(f"participant={entry['name']}/part-0.parquet", table)
        digest = fingerprint_of(read_rows(folder, entry["name"], columns), columns)
        entries.append({**entry, "fingerprint": digest, "duration_s": 100.0, "windows": len(table)})
    fingerprint = hash_record([[entry["name"], entry["fingerprint"]] for entry in entries])
    card = {**index.card, "format": 1, "participants": entries, "caution": "Made windows.", "fingerprint": fingerprint}
    folder.write_json(CARD, card)
    return where
