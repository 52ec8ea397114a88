"""What a run keeps of the people it holds out, so that scores can be told by group (participants.json), and of which utterances have one
transcript, so that tables can say what the transcript alone tells (transcripts.parquet).

Only numbers, a gender out of a short list and counts: text that somebody wrote about a person (a name, a diagnosis, a remark) and
signals never enter a run folder, so no report can show them.
"""

import math
from typing import Any

import numpy as np
import pyarrow as pa

from raylab.trials.plan import CheckedDataset
from raylab.windows.transcripts import UNKNOWN, transcripts

GENDERS = {
    **dict.fromkeys(("female", "f", "w", "woman"), "female"),
    **dict.fromkeys(("male", "m", "man"), "male"),
    **dict.fromkeys(("nonbinary", "non-binary", "diverse", "other", "d", "x"), "another gender"),
}


def _kept(traits: dict[str, Any], numbers: list[str]) -> dict[str, float | str]:
    """Age, the numbers that similarity is computed from, and gender where it is one of ``GENDERS`` (or a number code)."""
    found: dict[str, float | str] = {}
    for name, value in traits.items():
        plain = "gender" if name.casefold() in ("gender", "sex") else name
        if isinstance(value, str):
            said = GENDERS.get(value.strip().casefold())
            found |= {plain: said} if plain == "gender" and said else {}
        elif (plain in ("age", "gender") or name in numbers) and isinstance(value, int | float) and math.isfinite(value):
            found[plain] = float(value)
    return found


def participants(datasets: list[CheckedDataset]) -> list[dict[str, Any]]:
    """One record per dataset, label and person held out: dataset, label, participant, traits (see ``_kept``) and windows (class to count)."""
    rows = []
    for ready in datasets:
        index, label = ready.index, ready.entry.label
        for name in ready.targets:
            own = index.labels[label][index.participant_index == index.participants.index(name)]
            counts = {text: int(np.sum(own == k)) for k, text in enumerate(index.classes(label))}
            traits = _kept(index.traits(name), list(index.card["similarity_traits"]))
            rows.append({"dataset": ready.name, "label": label, "participant": name, "traits": traits, "windows": counts})
    return rows


def transcripts_table(datasets: list[CheckedDataset]) -> pa.Table | None:
    """dataset, window, transcript (a number, not the text) of every utterance; None where no dataset has transcripts."""
    parts = []
    for ready in {ready.name: ready for ready in datasets}.values():  # a dataset may be there with several labels
        numbers = transcripts(ready.index)
        if numbers is None:
            continue
        known = np.flatnonzero(numbers != UNKNOWN)
        columns = {"window": ready.index.window[known], "transcript": numbers[known]}
        parts.append(pa.table({"dataset": pa.array([ready.name] * len(known), pa.string()), **columns}))
    return pa.concat_tables(parts) if parts else None
