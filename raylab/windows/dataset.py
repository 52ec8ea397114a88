"""Prepared windows on disk: a card, and one Parquet row per window; how they are written and read without Ray.

Layout: ``card.json`` (written last: a folder without it is half written) and ``participant=NAME/*.parquet``, NAME percent-encoded, with the
columns window, session, segment, start_s, ``y_<label>`` (class index, -1 for none) and, per channel, one fixed-size float32
list flattened from (length, n_features) and one of its statistics, ``s_<channel>``. A channel of variable length (``"variable": true``
in the card) has its valid steps in a column of its own, ``n_<channel>``, and zeros beyond them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.hashing import hash_array, hash_record
from raylab.recordings.recording import OWN_COLUMNS, Trait
from raylab.windows.card import REMEDY, LabelCard, ParticipantCard, WindowsCard, parse_card
from raylab.windows.card_check import card_contradiction, rows_contradiction
from raylab.windows.channel_card import ChannelCard
from raylab.windows.index_file import INDEX, read_index_file, remedy, write_index_file
from raylab.windows.person_rows import PersonRows
from raylab.windows.segmentation import ParticipantWindows, valid_statistics
from raylab.windows.stored_rows import VALUES, read_rows

CARD = "card.json"
CLASS, STEPS = pa.int8(), pa.int32()
WINDOW, PARTICIPANT, SESSION, SEGMENT, START = OWN_COLUMNS
OWN_TYPES = {WINDOW: pa.int64(), PARTICIPANT: pa.string(), SESSION: pa.string(), SEGMENT: pa.int32(), START: pa.float64()}
AT_ONCE = 64  # windows whose statistics are computed at once, which bounds the memory
PER_PARTICIPANT = 1_000_000  # window id = participant's position in the card * this + position in time


class NoWindowsError(RaylabError):
    """A folder that holds no prepared windows, or half of them."""


@dataclass(frozen=True)
class CrossCorpus:
    """Two datasets that were joined (``raylab.windows.cross_corpus``): a study tests on the one and trains on the other.

    Attributes:
        tested: names of the participants that may be tested.
        trained_on: name of the other dataset, or of all others.
        unshared_channels, unshared_labels: those of the tested dataset that the other one does not have alike, each with the reason.
        of_dataset: dataset to the names that its participants have there.
    """

    tested: tuple[str, ...]
    trained_on: str
    unshared_channels: Mapping[str, str]
    unshared_labels: Mapping[str, str]
    of_dataset: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowIndex:
    """Everything but the signals: enough to build folds and to name every training.

    Attributes:
        card: of the windows.
        participants: names; ``participant_index`` (n,) holds positions in it.
        window: (n,) window ids; segment, start_s: (n,).
        labels: label name to class index (n,), -1 for none.
        statistics: channel name to (n, 3 n_features), see ``raylab.windows.segmentation.statistics``.
        joined: of two joined datasets, which is which; None for one.
        border_minutes: the label is left to windows within so many minutes of a change of it (``raylab.windows.order.restricted``); 0 for all.
    """

    card: WindowsCard
    participants: tuple[str, ...]
    window: npt.NDArray[np.int64]
    participant_index: npt.NDArray[np.int32]
    segment: npt.NDArray[np.int32]
    start_s: npt.NDArray[np.float64]
    labels: dict[str, npt.NDArray[np.int8]]
    statistics: dict[str, npt.NDArray[np.float32]]
    joined: CrossCorpus | None = None
    border_minutes: float = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """The fields: what is derived from them stays in its process."""
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}

    @cached_property
    def derived(self) -> dict[Any, Any]:
        """What was computed from this index and is asked for again, by any key; it lives as long as the index."""
        return {}

    @cached_property
    def position(self) -> dict[str, int]:
        """Name of each participant to its position."""
        return {name: number for number, name in enumerate(self.participants)}

    def rows_with(self, label: str) -> PersonRows:
        """The rows that carry the label, by participant."""
        key = ("rows", label)
        if key not in self.derived:
            self.derived[key] = PersonRows.of(self.participant_index, self.labels[label], len(self.participants))
        rows: PersonRows = self.derived[key]
        return rows

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.card.dataset

    @property
    def fingerprint(self) -> str:
        """Digest of all windows."""
        return self.card.fingerprint

    @property
    def window_s(self) -> float:
        """Seconds that a window holds."""
        return float(self.card.preprocessing.window_s)

    @property
    def step_s(self) -> float:
        """Seconds from one window's start to the next."""
        return float(self.card.preprocessing.step_s)

    @property
    def tested(self) -> tuple[str, ...]:
        """Names of the participants that may be tested: all, or those of the first of two joined datasets."""
        return self.joined.tested if self.joined else self.participants

    def classes(self, label: str) -> tuple[str, ...]:
        """Names of a label's classes, in the order of their index."""
        return self.card.label(label).classes

    def described(self, channels: Iterable[str] | None = None) -> npt.NDArray[np.float32]:
        """(n, n_statistics) of the windows' channels (all if None). Features describe nothing more, and may be missing: they are left out, and
        what has no other channel is described by all signals."""
        signals = self.card.signal_channels
        names = [name for name in (self.statistics if channels is None else channels) if name in signals]
        key = ("described", *(names or signals))
        if key not in self.derived:
            self.derived[key] = np.concatenate([self.statistics[name] for name in key[1:]], axis=1)
        described: npt.NDArray[np.float32] = self.derived[key]
        return described

    def traits(self, participant: str) -> Mapping[str, Trait]:
        """A participant's traits: numbers, or text for categories."""
        return self.card.participants[self.position[participant]].traits


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


def to_table(windows: ParticipantWindows, participant: str, number: int, labels: list[str]) -> pa.Table:
    """The rows of one participant; ``number`` is its position in the card."""
    count = len(windows.start_s)
    columns: dict[str, Any] = {
        WINDOW: number * PER_PARTICIPANT + np.arange(count),
        PARTICIPANT: [participant] * count,
        SESSION: windows.sessions,
        SEGMENT: windows.segment,
        START: windows.start_s,
    }
    columns = {name: pa.array(values, OWN_TYPES[name]) for name, values in columns.items()}
    columns |= {f"y_{name}": pa.array(windows.labels[name], CLASS) for name in labels}
    for name, values in windows.signals.items():
        columns[name] = lists_of(values)
        columns[f"s_{name}"] = lists_of(valid_statistics(values, windows.lengths.get(name)))
    columns |= {f"n_{name}": pa.array(lengths, STEPS) for name, lengths in windows.lengths.items()}
    return pa.table(columns)


def lists_of(values: npt.NDArray[np.float32]) -> pa.Array:
    """(n, ...) as a column of n lists of one size."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), int(np.prod(values.shape[1:])))


def _array(folder: Folder, table: pa.Table, name: str, *shape: int) -> npt.NDArray[np.float32]:
    """The inverse of ``lists_of``: (n, *shape) of a column.

    Raises:
        RaylabError: if the column holds more or less; then the card was edited.
    """
    flat: npt.NDArray[np.float32] = table[name].combine_chunks().flatten().to_numpy()
    if flat.size != table.num_rows * int(np.prod(shape)):
        raise RaylabError(
            f"{folder.uri}: column {name} holds {flat.size / max(table.num_rows, 1):g} values a window, {CARD} says "
            f"{' x '.join(map(str, shape))}; prepare the dataset again"
        )
    return flat.reshape(-1, *shape)


def fingerprint_of(table: pa.Table, columns: Iterable[str]) -> str:
    """Digest of one participant's rows, column by column, so that it does not depend on how Parquet stored them."""
    parts = []
    for name in columns:
        column = table.column(name).combine_chunks()
        values = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
        array = values.to_numpy(zero_copy_only=False)
        parts.append([name, hash_array(array) if array.dtype != object else hash_record(list(array))])
    return hash_record(parts)


def stored_columns(labels: Iterable[LabelCard], channels: Sequence[ChannelCard]) -> dict[str, pa.DataType]:
    """The columns that a fingerprint is of, in its order, with their types: all but the statistics, which follow from the signals."""
    return {
        **{name: OWN_TYPES[name] for name in (WINDOW, SESSION, SEGMENT, START)},
        **{f"y_{label.name}": CLASS for label in labels},
        **{channel.name: VALUES for channel in channels},
        **{f"n_{channel.name}": STEPS for channel in channels if channel.variable},
    }


def _statistics_columns(card: WindowsCard) -> dict[str, pa.DataType]:
    return {f"s_{channel.name}": VALUES for channel in card.channels}


def read_card(folder: Folder) -> WindowsCard:
    """The card of prepared windows.

    Raises:
        NoWindowsError: if there is none (nothing prepared here, or half written).
        RaylabError: if it is damaged or was edited (``raylab.windows.card.parse_card``, ``raylab.windows.card_check``).
    """
    if not folder.exists(CARD):
        raise NoWindowsError(
            f"{folder.uri} holds no prepared windows (no {CARD}); run: raylab prepare DATASET --root DIR --out {folder.uri}"
        )
    card = parse_card(folder.read(CARD), f"{folder.uri}/{CARD}")
    if problem := card_contradiction(card):
        raise RaylabError(f"{folder.uri}/{CARD} was edited after the windows were prepared: {problem}. What to do: {REMEDY}")
    return card


def _refuse_other_rows(folder: Folder, card: WindowsCard, tables: list[pa.Table]) -> None:
    """Refuse windows whose number or classes are not those that the card counts."""
    for entry, table in zip(card.participants, tables, strict=True):
        labels = {label.name: table[f"y_{label.name}"].to_numpy() for label in card.labels}
        if problem := rows_contradiction(card, entry, labels, table.num_rows):
            raise RaylabError(
                f"{folder.uri}: the windows of participant {entry.name} are not the ones its card describes ({problem}); {REMEDY}"
            )


def _index(folder: Folder, card: WindowsCard, tables: list[pa.Table]) -> WindowIndex:
    _refuse_other_rows(folder, card, tables)
    rows = pa.concat_tables(tables)
    names = [entry.name for entry in card.participants]
    return WindowIndex(
        card=card,
        participants=tuple(names),
        window=rows["window"].to_numpy(),
        participant_index=np.repeat(np.arange(len(names), dtype=np.int32), [table.num_rows for table in tables]),
        segment=rows["segment"].to_numpy(),
        start_s=rows["start_s"].to_numpy(),
        labels={label.name: rows[f"y_{label.name}"].to_numpy() for label in card.labels},
        statistics={
            channel.name: _array(folder, rows, f"s_{channel.name}", 3 * channel.n_features) for channel in card.channels
        },
    )


def read_index(folder: Folder) -> WindowIndex:
    """The index alone: small, for planning."""
    card = read_card(folder)
    columns, counts = _index_columns(card), [entry.windows for entry in card.participants]
    stored = read_index_file(folder, card.fingerprint, counts, columns)
    if stored is None:
        return _index(folder, card, [read_rows(folder, entry.name, columns) for entry in card.participants])
    rows, digest = stored
    if fingerprint_of(rows, columns) != digest:
        raise RaylabError(f"{folder.uri}/{INDEX} was changed after it was written. {remedy(folder)}")
    begins = np.cumsum([0, *counts])
    return _index(folder, card, [rows.slice(begin, count) for begin, count in zip(begins.tolist(), counts, strict=False)])


def write_index(folder: Folder, card: WindowsCard) -> WindowIndex:
    """The index of windows that are written, and whose card may not be yet; written as one file too."""
    columns = _index_columns(card)
    tables = [read_rows(folder, entry.name, columns) for entry in card.participants]
    rows = pa.concat_tables(tables)
    write_index_file(folder, card.fingerprint, fingerprint_of(rows, columns), rows)
    return _index(folder, card, tables)


def has_rows(index: WindowIndex, rows: slice, table: pa.Table) -> bool:
    """Whether these rows of an index are those of a participant's table."""
    columns: dict[str, npt.NDArray[Any]] = {WINDOW: index.window, SEGMENT: index.segment, START: index.start_s}
    columns |= {f"y_{name}": y for name, y in index.labels.items()}
    columns |= {f"s_{name}": values for name, values in index.statistics.items()}
    for name, values in columns.items():
        stored = table[name].combine_chunks()
        flat = stored.flatten() if pa.types.is_fixed_size_list(stored.type) else stored
        if not np.array_equal(values[rows].reshape(-1), flat.to_numpy(), equal_nan=name not in (WINDOW, SEGMENT)):
            return False
    return True


def _index_columns(card: WindowsCard) -> dict[str, pa.DataType]:
    own = {name: OWN_TYPES[name] for name in (WINDOW, SEGMENT, START)}
    return {**own, **{f"y_{label.name}": CLASS for label in card.labels}, **_statistics_columns(card)}


def _statistics_follow(folder: Folder, table: pa.Table, card: WindowsCard) -> bool:
    """Whether the stored statistics are those of the stored signals."""
    lengths = lengths_of(table, card)
    for channel in card.channels:
        signals = _array(folder, table, channel.name, channel.length, channel.n_features)
        stored = _array(folder, table, f"s_{channel.name}", 3 * channel.n_features)
        steps = lengths.get(channel.name)
        for first in range(0, len(signals), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            expected = valid_statistics(signals[part], None if steps is None else steps[part])
            if not np.allclose(expected, stored[part], atol=1e-6, equal_nan=True):  # a NaN fails the trials that it reaches
                return False
    return True


def read_participant(folder: Folder, card: WindowsCard, entry: ParticipantCard) -> pa.Table:
    """All rows of one participant, checked against the card's fingerprint.

    Raises:
        RaylabError: naming the participant, if they are not those that were prepared.
    """
    columns = stored_columns(card.labels, card.channels)
    table = read_rows(folder, entry.name, columns | _statistics_columns(card))
    if fingerprint_of(table, columns) != entry.fingerprint or not _statistics_follow(folder, table, card):
        raise RaylabError(
            f"{folder.uri}: the windows of participant {entry.name} are not the ones its card describes "
            "(a file was changed, added or lost); prepare the dataset again"
        )
    return table


def signals_of(folder: Folder, rows: pa.Table, card: WindowsCard) -> dict[str, npt.NDArray[np.float32]]:
    """Channel name to (n, length, n_features) of these rows."""
    return {channel.name: _array(folder, rows, channel.name, channel.length, channel.n_features) for channel in card.channels}


def padded(values: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """(n, length, n_features) with zeros behind the samples."""
    return np.pad(values, ((0, 0), (0, length - values.shape[1]), (0, 0))) if values.shape[1] < length else values


def lengths_of(rows: pa.Table, card: WindowsCard) -> dict[str, npt.NDArray[np.int32]]:
    """Channel of variable length to the valid steps (n,) of these rows."""
    return {name: rows[f"n_{name}"].to_numpy() for name in card.variable_channels}


def read_windows(folder: Folder) -> Windows:
    """Everything in memory, in the card's participant order, checked against the card's fingerprints.

    Args:
        folder: that ``raylab prepare`` wrote.
    Returns:
        the index and, of each channel, (n, length, n_features) float32.
    Raises:
        NoWindowsError: if nothing is prepared there.
        RaylabError: naming the participant, if its rows are not those that were prepared.
    Units:
        as the card says of each channel; times in seconds since the start of the recording.
    Source:
        docs/protocol.md, Windows.
    """
    card = read_card(folder)
    tables = [read_participant(folder, card, entry) for entry in card.participants]
    rows = pa.concat_tables(tables)
    return Windows(_index(folder, card, tables), signals_of(folder, rows, card), lengths_of(rows, card))
