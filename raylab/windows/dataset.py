"""Prepared windows on disk: a card, and one Parquet row per window; how they are written and read without Ray.

Layout: ``card.json`` (written last: a folder without it is half written) and ``participant=NAME/*.parquet`` with the
columns window, session, segment, start_s, ``y_<label>`` (class index, -1 for none) and, per channel, one fixed-size float32
list flattened from (length, n_features) and one of its statistics, ``s_<channel>``. A channel of variable length (``"variable": true``
in the card) has its valid steps beside it, ``n_<channel>``, and zeros beyond them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.hashing import hash_array, hash_record
from raylab.recordings.recording import Recording
from raylab.windows.segmentation import ParticipantWindows, valid_statistics

CARD = "card.json"
PER_PARTICIPANT = 1_000_000  # window id = participant's position in the card * this + position in time


@dataclass(frozen=True)
class WindowIndex:
    """Everything but the signals: enough to build folds and to name every training.

    Attributes:
        card: the parsed card.
        participants: names; ``person`` (n,) holds positions in it.
        window: (n,) window ids; segment, start_s: (n,); labels: label name to class index (n,), -1 for none.
        statistics: channel name to (n, 3 n_features), see ``raylab.windows.segmentation.statistics``.
    """

    card: dict[str, Any]
    participants: tuple[str, ...]
    window: npt.NDArray[np.int64]
    participant_index: npt.NDArray[np.int32]
    segment: npt.NDArray[np.int32]
    start_s: npt.NDArray[np.float64]
    labels: dict[str, npt.NDArray[np.int8]]
    statistics: dict[str, npt.NDArray[np.float32]]

    @property
    def name(self) -> str:
        return str(self.card["dataset"])

    @property
    def fingerprint(self) -> str:
        return str(self.card["fingerprint"])

    @property
    def window_s(self) -> float:
        return float(self.card["preprocessing"]["window_s"])

    @property
    def step_s(self) -> float:
        return float(self.card["preprocessing"]["step_s"])

    def classes(self, label: str) -> tuple[str, ...]:
        return tuple(next(entry["classes"] for entry in self.card["labels"] if entry["name"] == label))

    def traits(self, participant: str) -> dict[str, Any]:
        return next(dict(entry["traits"]) for entry in self.card["participants"] if entry["name"] == participant)


@dataclass(frozen=True)
class Windows:
    """The index and the signals.

    Attributes:
        signals: channel name to (n, length, n_features) float32; lengths differ by channel.
        lengths: of each channel of variable length, (n,) valid steps of each window, 0..length; 0: the modality is missing
            in this window. Samples beyond are 0. Channels that are not named are full.
    """

    index: WindowIndex
    signals: dict[str, npt.NDArray[np.float32]]
    lengths: dict[str, npt.NDArray[np.int32]] = field(default_factory=dict)


def to_table(made: ParticipantWindows, participant: str, number: int, labels: list[str]) -> pa.Table:
    """The rows of one participant, whose position in the card is ``number``."""
    count = len(made.start_s)
    columns: dict[str, Any] = {
        "window": pa.array(number * PER_PARTICIPANT + np.arange(count), pa.int64()),
        "participant": pa.array([participant] * count, pa.string()),
        "session": pa.array(made.sessions, pa.string()),
        "segment": pa.array(made.segment, pa.int32()),
        "start_s": pa.array(made.start_s, pa.float64()),
    }
    columns |= {f"y_{name}": pa.array(made.labels[name], pa.int8()) for name in labels}
    for name, values in made.signals.items():
        columns[name] = _lists(values)
        columns[f"s_{name}"] = _lists(valid_statistics(values, made.lengths.get(name)))
    columns |= {f"n_{name}": pa.array(lengths, pa.int32()) for name, lengths in made.lengths.items()}
    return pa.table(columns)


def _lists(values: npt.NDArray[np.float32]) -> pa.Array:
    """(n, ...) as n fixed-size lists."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), int(np.prod(values.shape[1:])))


def _array(column: pa.ChunkedArray, *shape: int) -> npt.NDArray[np.float32]:
    """The inverse of ``_lists``: (n, *shape)."""
    flat: npt.NDArray[np.float32] = column.combine_chunks().flatten().to_numpy()
    return flat.reshape(-1, *shape)


def channel_cards(recording: Recording, made: ParticipantWindows) -> list[dict[str, Any]]:
    """What the card says of each channel."""
    return [
        {
            "name": channel.name,
            "modality": channel.modality,
            "recorded_hz": channel.rate_hz,
            "rate_hz": channel.target_rate_hz,
            "unit": channel.unit,
            "length": made.signals[channel.name].shape[1],
            "n_features": made.signals[channel.name].shape[2],
            **({"variable": True} if channel.variable else {}),
        }
        for channel in recording.channels
    ]


def read_rows(folder: Folder, participant: str, columns: list[str]) -> pa.Table:
    """One participant's rows in time order, these columns only."""
    import pyarrow.dataset as pads

    where = f"participant={participant}"
    if not folder.exists(where):
        raise RaylabError(f"{folder.uri}: windows of participant {participant} are missing; prepare the dataset again")
    try:
        table = pads.dataset(folder.at(where), filesystem=folder.system, format="parquet").to_table(columns=columns)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise RaylabError(
            f"{folder.uri}: windows of participant {participant} cannot be read ({str(error).splitlines()[0]}); prepare the dataset again"
        ) from error
    return table.sort_by("window")


def fingerprint_of(table: pa.Table, columns: list[str]) -> str:
    """Digest of one participant's rows, column by column, so that it does not depend on how Parquet stored them."""
    parts = []
    for name in columns:
        column = table.column(name).combine_chunks()
        values = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
        array = values.to_numpy(zero_copy_only=False)
        parts.append([name, hash_array(array) if array.dtype != object else hash_record(list(array))])
    return hash_record(parts)


def stored_columns(card: dict[str, Any]) -> list[str]:
    labels = [f"y_{entry['name']}" for entry in card["labels"]]
    signals = [entry["name"] for entry in card["channels"]]
    return ["window", "session", "segment", "start_s", *labels, *signals, *[f"n_{name}" for name in variable_channels(card)]]


def variable_channels(card: dict[str, Any]) -> list[str]:
    """Names of the channels whose windows carry their own length."""
    return [entry["name"] for entry in card["channels"] if entry.get("variable")]


def _lengths(table: pa.Table, card: dict[str, Any]) -> dict[str, npt.NDArray[np.int32]]:
    return {name: table[f"n_{name}"].to_numpy() for name in variable_channels(card)}


def _statistics_columns(card: dict[str, Any]) -> list[str]:
    return [f"s_{entry['name']}" for entry in card["channels"]]


def read_card(folder: Folder) -> dict[str, Any]:
    """The card of prepared windows.

    Raises:
        RaylabError: where there is none (nothing prepared here, or half written).
    """
    if not folder.exists(CARD):
        raise RaylabError(
            f"{folder.uri} holds no prepared windows (no {CARD}); run: raylab prepare DATASET --root DIR --out {folder.uri}"
        )
    card = folder.read_json(CARD)
    if card.get("format") != 1:
        raise RaylabError(
            f"{folder.uri}/{CARD} has format {card.get('format')!r}, this raylab reads 1; prepare the dataset again"
        )
    return dict(card)


def _index(card: dict[str, Any], tables: list[pa.Table]) -> WindowIndex:
    joined = pa.concat_tables(tables)
    people = [entry["name"] for entry in card["participants"]]
    return WindowIndex(
        card=card,
        participants=tuple(people),
        window=joined["window"].to_numpy(),
        participant_index=np.repeat(np.arange(len(people), dtype=np.int32), [table.num_rows for table in tables]),
        segment=joined["segment"].to_numpy(),
        start_s=joined["start_s"].to_numpy(),
        labels={entry["name"]: joined[f"y_{entry['name']}"].to_numpy() for entry in card["labels"]},
        statistics={c["name"]: _array(joined[f"s_{c['name']}"], 3 * c["n_features"]) for c in card["channels"]},
    )


def read_index(folder: Folder) -> WindowIndex:
    """The index alone: small, for planning."""
    card = read_card(folder)
    columns = ["window", "segment", "start_s", *[f"y_{entry['name']}" for entry in card["labels"]], *_statistics_columns(card)]
    return _index(card, [read_rows(folder, entry["name"], columns) for entry in card["participants"]])


def _statistics_follow(table: pa.Table, card: dict[str, Any]) -> bool:
    """Whether the stored statistics are those of the stored signals."""
    lengths = _lengths(table, card)
    for channel in card["channels"]:
        signals = _array(table[channel["name"]], channel["length"], channel["n_features"])
        stored = _array(table[f"s_{channel['name']}"], 3 * channel["n_features"])
        found = valid_statistics(signals, lengths.get(channel["name"]))
        if not np.allclose(found, stored, atol=1e-6, equal_nan=True):  # a NaN fails the trials that it reaches
            return False
    return True


def read_windows(folder: Folder) -> Windows:
    """Everything, in the card's participant order, checked against the card's fingerprints.

    Raises:
        RaylabError: naming the participant whose rows are not those that were prepared.
    """
    card = read_card(folder)
    columns = stored_columns(card)
    tables = []
    for entry in card["participants"]:
        table = read_rows(folder, entry["name"], [*columns, *_statistics_columns(card)])
        if fingerprint_of(table, columns) != entry["fingerprint"] or not _statistics_follow(table, card):
            raise RaylabError(
                f"{folder.uri}: the windows of participant {entry['name']} are not the ones its card describes "
                "(a file was changed, added or lost); prepare the dataset again"
            )
        tables.append(table)
    joined = pa.concat_tables(tables)
    signals = {}
    for channel in card["channels"]:
        signals[channel["name"]] = _array(joined[channel["name"]], channel["length"], channel["n_features"])
    return Windows(_index(card, tables), signals, _lengths(joined, card))
