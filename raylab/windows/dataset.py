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
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.hashing import hash_array, hash_record
from raylab.names import folder_part
from raylab.recordings.recording import OWN_COLUMNS, Trait
from raylab.windows.card import REMEDY, LabelCard, WindowsCard, parse_card
from raylab.windows.card_check import card_contradiction, rows_contradiction
from raylab.windows.channel_card import ChannelCard
from raylab.windows.person_rows import PersonRows
from raylab.windows.segmentation import ParticipantWindows, valid_statistics

CARD = "card.json"
CLASS, STEPS = pa.int8(), pa.int32()
VALUES = pa.list_(pa.float32())  # stands for lists of a fixed size, which the card says
WINDOW, PARTICIPANT, SESSION, SEGMENT, START = OWN_COLUMNS
OWN_TYPES = {WINDOW: pa.int64(), PARTICIPANT: pa.string(), SESSION: pa.string(), SEGMENT: pa.int32(), START: pa.float64()}
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
        columns[name] = _lists(values)
        columns[f"s_{name}"] = _lists(valid_statistics(values, windows.lengths.get(name)))
    columns |= {f"n_{name}": pa.array(lengths, STEPS) for name, lengths in windows.lengths.items()}
    return pa.table(columns)


def _lists(values: npt.NDArray[np.float32]) -> pa.Array:
    """(n, ...) as n fixed-size lists."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), int(np.prod(values.shape[1:])))


def _array(folder: Folder, table: pa.Table, name: str, *shape: int) -> npt.NDArray[np.float32]:
    """The inverse of ``_lists``: (n, *shape) of a column.

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


def participant_folder(participant: str) -> str:
    """Name of the folder that holds a participant's rows: ``participant=anna%20b`` for ``anna b``, as Hive and Arrow write it."""
    return f"participant={folder_part(participant)}"


def write_rows(folder: Folder, participant: str, table: pa.Table) -> None:
    """Write the rows of one participant (those of ``to_table``); the only place that does, so that they are read where they were written.

    The name of the folder says whose they are, so the column is left out. Written again, as after the loss of a node, they replace themselves.
    """
    folder.write_table(f"{participant_folder(participant)}/part-0.parquet", table.drop_columns(["participant"]))


def _stored_folder(folder: Folder, participant: str) -> str | None:
    """The folder that holds a participant's rows; None if there is none. Older windows that were prepared without Ray have the bare name."""
    candidates = [participant_folder(participant)]
    if "/" not in participant and unquote(participant) == participant:  # or it would be the folder of another name
        candidates.append(f"participant={participant}")
    return next((name for name in candidates if folder.exists(name)), None)


def _refuse_other_types(table: pa.Table, columns: Mapping[str, pa.DataType]) -> None:
    """Refuse a column that ``to_table`` cannot have written; numpy would make something of many of them.

    Raises:
        TypeError: naming the column, what it is and what it has to be.
    """
    for name, expected in columns.items():
        column = table[name]
        nulls = column.null_count
        if expected is VALUES:
            fits = pa.types.is_fixed_size_list(column.type) and column.type.value_type == VALUES.value_type
            nulls += sum(chunk.flatten().null_count for chunk in column.chunks) if fits else 0
        else:
            fits = column.type == expected
        if not fits or nulls:
            words = f"a list of {VALUES.value_type} of fixed size" if expected is VALUES else str(expected)
            raise TypeError(f"column {name} is {column.type}, {nulls} of them null; expected {words}, none of them null")


def read_rows(folder: Folder, participant: str, columns: Mapping[str, pa.DataType]) -> pa.Table:
    """One participant's rows in time order, these columns only.

    Args:
        columns: name to type, such as ``stored_columns`` gives.

    Raises:
        RaylabError: naming the participant, if its rows are missing, cannot be read, or are of types that raylab does not write.
    """
    import pyarrow.dataset as pads

    part = _stored_folder(folder, participant)
    if part is None:
        raise RaylabError(f"{folder.uri}: windows of participant {participant} are missing; prepare the dataset again")
    try:
        table = pads.dataset(folder.at(part), filesystem=folder.system, format="parquet").to_table(columns=list(columns))
        table.validate(full=True)  # text that is no UTF-8, offsets beyond the values
        _refuse_other_types(table, columns)
        return table.sort_by(WINDOW)
    except (pa.ArrowException, TypeError, OSError) as error:
        raise RaylabError(
            f"{folder.uri}: windows of participant {participant} cannot be read ({str(error).splitlines()[0]}); prepare the dataset again"
        ) from error


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


def _lengths(table: pa.Table, card: WindowsCard) -> dict[str, npt.NDArray[np.int32]]:
    return {name: table[f"n_{name}"].to_numpy() for name in card.variable_channels}


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
    return stored_index(folder, read_card(folder))


def stored_index(folder: Folder, card: WindowsCard) -> WindowIndex:
    """The index of windows that are written, and whose card may not be yet."""
    columns = {name: OWN_TYPES[name] for name in (WINDOW, SEGMENT, START)} | {f"y_{label.name}": CLASS for label in card.labels}
    columns |= _statistics_columns(card)
    return _index(folder, card, [read_rows(folder, entry.name, columns) for entry in card.participants])


def _statistics_follow(folder: Folder, table: pa.Table, card: WindowsCard) -> bool:
    """Whether the stored statistics are those of the stored signals."""
    lengths = _lengths(table, card)
    for channel in card.channels:
        signals = _array(folder, table, channel.name, channel.length, channel.n_features)
        stored = _array(folder, table, f"s_{channel.name}", 3 * channel.n_features)
        expected = valid_statistics(signals, lengths.get(channel.name))
        if not np.allclose(expected, stored, atol=1e-6, equal_nan=True):  # a NaN fails the trials that it reaches
            return False
    return True


def read_windows(folder: Folder) -> Windows:
    """Everything, in the card's participant order, checked against the card's fingerprints.

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
    columns = stored_columns(card.labels, card.channels)
    tables = []
    for entry in card.participants:
        table = read_rows(folder, entry.name, columns | _statistics_columns(card))
        if fingerprint_of(table, columns) != entry.fingerprint or not _statistics_follow(folder, table, card):
            raise RaylabError(
                f"{folder.uri}: the windows of participant {entry.name} are not the ones its card describes "
                "(a file was changed, added or lost); prepare the dataset again"
            )
        tables.append(table)
    rows = pa.concat_tables(tables)
    signals = {
        channel.name: _array(folder, rows, channel.name, channel.length, channel.n_features) for channel in card.channels
    }
    return Windows(_index(folder, card, tables), signals, _lengths(rows, card))
