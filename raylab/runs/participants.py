"""A run's records of the participants it holds out, so that scores can be told by group (participants.json), and of the utterances that
share a transcript, so that tables can state how far the transcript alone goes (transcripts.parquet).

Only numbers, a gender out of a short list and counts: text that somebody wrote about a participant (a name, a diagnosis, a remark) and
signals never enter a run folder, so no report can show them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raylab.recordings.recording import Trait
from raylab.trials.plan import CheckedDataset
from raylab.windows.transcripts import UNKNOWN, transcripts

GENDERS = {
    **dict.fromkeys(("female", "f", "w", "woman"), "female"),
    **dict.fromkeys(("male", "m", "man"), "male"),
    **dict.fromkeys(("nonbinary", "non-binary", "diverse", "other", "d", "x"), "another gender"),
}


def _shareable(traits: Mapping[str, Trait], numbers: Sequence[str]) -> dict[str, float | str]:
    """Age, the numbers that similarity is computed from, and gender if it is one of ``GENDERS`` (or a number code)."""
    shareable: dict[str, float | str] = {}
    for name, value in traits.items():
        plain = "gender" if name.casefold() in ("gender", "sex") else name
        if isinstance(value, str):
            gender = GENDERS.get(value.strip().casefold())
            shareable |= {plain: gender} if plain == "gender" and gender else {}
        elif plain in ("age", "gender") or name in numbers:
            shareable[plain] = float(value)
    return shareable


def participants(datasets: list[CheckedDataset]) -> list[dict[str, Any]]:
    """One record per dataset, label and held-out participant: dataset, label, participant, traits (see ``_shareable``), windows
    (class to count) and, where the windows have it, quality (channel and measure to the mean over all windows, as in the card)."""
    records = []
    for dataset in datasets:
        index, label = dataset.index, dataset.entry.label
        for name in dataset.targets:
            y = index.labels[label][index.participant_index == index.participants.index(name)]
            counts = {text: int(np.sum(y == k)) for k, text in enumerate(index.classes(label))}
            traits = _shareable(index.traits(name), index.card.similarity_traits)
            record = {"dataset": dataset.name, "label": label, "participant": name, "traits": traits, "windows": counts}
            stored = index.card.participant(name).quality
            quality = {f"{channel} {measure}": value for channel, of in stored.items() for measure, value in of.items()}
            records.append(record | ({"quality": quality} if quality else {}))
    return records


def transcripts_table(datasets: list[CheckedDataset]) -> pa.Table | None:
    """dataset, window, transcript (a number, not the text) of every utterance; None if no dataset has transcripts."""
    parts = []
    for dataset in {dataset.name: dataset for dataset in datasets}.values():  # a dataset may be there with several labels
        numbers = transcripts(dataset.index)
        if numbers is None:
            continue
        rows = np.flatnonzero(numbers != UNKNOWN)
        columns = {"window": dataset.index.window[rows], "transcript": numbers[rows]}
        parts.append(pa.table({"dataset": pa.array([dataset.name] * len(rows), pa.string()), **columns}))
    return pa.concat_tables(parts) if parts else None
