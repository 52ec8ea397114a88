"""A store of many small records that many processes write at once, on a file system or an object store.

Each record is a JSON object of its own, because object stores cannot append to one. Final records are also gathered into one table, so that reading
them takes one request instead of thousands. Objects stay when they are gathered: readers skip those that are in the table, and an interrupted
gathering loses nothing.

A record is checked when it is read. One that is damaged or that another version of raylab wrote in another way is skipped, with a sentence.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raylab.errors import InvalidValueError, shown
from raylab.files import Folder

Record = dict[str, Any]
Allowed = Mapping[str, Collection[str]]  # a required field to the texts that it may be; none: any text

EXPECTED = {
    "string": "text",
    "int64": "a whole number",
    "double": "a number",
    "bool": "true or false",
    "list<item: string>": "a list of texts",
    "list<item: int64>": "a list of whole numbers",
}


def _is_of(value: Any, kind: pa.DataType) -> bool:
    """Whether a value can stand in a column of this type."""
    if isinstance(value, bool) or pa.types.is_boolean(kind):
        return isinstance(value, bool) and pa.types.is_boolean(kind)
    if pa.types.is_string(kind):
        return isinstance(value, str)
    if pa.types.is_integer(kind):
        return isinstance(value, int) and abs(value) < 2**63
    if pa.types.is_floating(kind):
        return isinstance(value, int | float) and abs(value) < 1e300  # also no NaN
    return isinstance(value, list) and all(_is_of(item, kind.value_type) for item in value)


class RecordStore:
    """Records in ``name``/KEY.json, and gathered ones in ``name``.parquet.

    Args:
        folder: the folder that holds both.
        name: name of the sub-folder and of the table.
        schema: columns of the table; the first one is the key. A field of a record that is no column is left out of the table.
        required: the text fields that every record must have, and what they may say.

    Attributes:
        skipped: a sentence on each record that the last reading skipped.
    """

    def __init__(self, folder: Folder, name: str, schema: pa.Schema, required: Allowed | None = None) -> None:
        self.folder, self.name, self.schema, self.required = folder, name, schema, required or {}
        self.key = schema.names[0]
        self.table = f"{name}.parquet"
        self.skipped: list[str] = []
        self._resting = False
        self._known: dict[str, Record] | None = None

    def rest(self, resting: bool) -> None:
        """Say whether from now on nobody but this object changes records, so that they are read once, however often they are asked for."""
        self._resting, self._known = resting, None

    def write(self, key: str, row: Record) -> None:
        """Write one record; it replaces an object of the same key, but not a row of the table."""
        self._known = None
        self.folder.write_json(f"{self.name}/{key}.json", row)

    def read(self, key: str) -> Record:
        """One record from its object.

        Raises:
            FileNotFoundError: if there is none.
            InvalidValueError: if it is damaged.
        """
        name = f"{self.name}/{key}.json"
        record = self.folder.read_json(name)
        if problem := self._problem(record):
            raise InvalidValueError(f"{self.folder.uri}/{name}: {problem}")
        return dict(record)

    def records(self, columns: Sequence[str] = ()) -> dict[str, Record]:
        """All records by key: those of the table, and the objects that are not in it. What cannot be read counts as not written (``skipped``).

        Args:
            columns: beside the key, those that the caller looks at; all if none is named. A large table is read in a fraction of the time.
        """
        if self._resting:
            self._known = self._read() if self._known is None else self._known
            return dict(self._known)
        return self._read(columns)

    def _read(self, columns: Sequence[str] = ()) -> dict[str, Record]:
        self.skipped = []
        records = self._compacted(columns)
        names = [name for name in self.folder.names(self.name, ".json") if name.removesuffix(".json") not in records]
        for name, content in self.folder.read_all(f"{self.name}/{name}" for name in names).items():
            key = name.removeprefix(f"{self.name}/").removesuffix(".json")
            record, problem = self._parsed(content)
            if problem:
                self.skipped.append(f"{name} is skipped: {problem}. Another version of raylab may have written it")
            elif record.get(self.key, key) != key:
                self.skipped.append(f"{name} is skipped: it is the record of {shown(record[self.key])}")
            else:
                records[key] = {**record, self.key: key}
        return records

    def objects(self, keys: Iterable[str]) -> list[Record]:
        """The records of these keys that have an object, with the fields that are no columns; what cannot be read is left out."""
        contents = self.folder.read_all(f"{self.name}/{key}.json" for key in keys).values()
        return [record for record, problem in map(self._parsed, contents) if not problem]

    def is_record(self, value: Any) -> bool:
        """Whether this is a record of this store that says its key."""
        return isinstance(value, dict) and isinstance(value.get(self.key), str) and not self._problem(value)

    def _parsed(self, content: bytes) -> tuple[Record, str]:
        """The record in these bytes, and what is wrong with it."""
        try:
            record = json.loads(content)
        except (ValueError, RecursionError) as error:  # also of bytes that are no text
            return {}, f"it is damaged ({error})"
        return record, self._problem(record)

    def _problem(self, record: Any) -> str:
        """Why this is no record of this store, as the end of a sentence; empty if it is one."""
        if not isinstance(record, dict):
            return f"it is no object but {shown(record)}"
        for name, allowed in self.required.items():
            if name not in record:
                return f"it has no {name}"
            if allowed and record[name] not in allowed:
                return f"its {name} is {shown(record[name])}, not one of {', '.join(allowed)}"
            if record[name] is None:
                return f"its {name} is missing"
        for column in self.schema:
            value = record.get(column.name)
            if value is not None and not _is_of(value, column.type):
                return f"its {column.name} is {shown(value)}, not {EXPECTED.get(str(column.type), column.type)}"
        return ""

    def compact(self, keep: Callable[[Record], bool], more: Iterable[Record] = ()) -> None:
        """Rewrite the table with all records that ``keep`` accepts, if that changes it. The objects stay.

        Args:
            more: records that have no object of their own.
        """
        every = {row[self.key]: row for row in more} | self.records()
        rows = sorted((row for row in every.values() if keep(row)), key=lambda row: str(row[self.key]))
        table = pa.Table.from_pylist(rows, schema=self.schema)
        if not self.folder.exists(self.table) or not self._table().equals(table):
            self.folder.write_table(self.table, table)
            self._known = None

    def delete(self, keys: Iterable[str]) -> None:
        """Remove records, first from the table and then their objects: an interrupted removal leaves each record whole or removes it."""
        removed = set(keys)
        if not removed:
            return
        if removed & self._compacted((self.key,)).keys():
            self.compact(lambda row: row[self.key] not in removed)
        for key in removed:
            self.folder.remove(f"{self.name}/{key}.json")
        self._known = None

    def _is_sound(self, table: pa.Table) -> bool:
        """Whether every row of a table is a record of this store, by looking at its columns; if not, each row is asked what is wrong."""
        if not table.schema.equals(self.schema) or table[self.key].null_count:
            return False
        required = {name: allowed for name, allowed in self.required.items() if name in table.column_names}
        if len(required) < len(self.required) or any(table[name].null_count for name in required):
            return False
        allowed = all(
            pc.all(pc.is_in(table[name], value_set=pa.array(list(texts), pa.string()))).as_py() is not False
            for name, texts in required.items()
            if texts
        )
        numbers = [table[column.name] for column in self.schema if pa.types.is_floating(column.type)]
        return allowed and all(pc.all(pc.less(pc.abs(values), 1e300)).as_py() is not False for values in numbers)

    def _compacted(self, columns: Sequence[str] = ()) -> dict[str, Record]:
        """The records of the table by key."""
        if not self.folder.exists(self.table):
            return {}
        records = {}
        table = self._table()
        if self._is_sound(table):
            rows = (table.select(list(dict.fromkeys([self.key, *columns]))) if columns else table).to_pylist()
            return {row[self.key]: row for row in rows}
        for row in table.to_pylist():
            if problem := self._problem(row) or ("" if isinstance(row.get(self.key), str) else f"it has no {self.key}"):
                self.skipped.append(
                    f"a record of {self.table} is skipped: {problem}. Another version of raylab may have written it"
                )
            else:
                records[row[self.key]] = row
        return records

    def gathered(self) -> pa.Table:
        """The table with what is sound of it; empty if there is none."""
        if not self.folder.exists(self.table):
            return self.schema.empty_table()
        table = self._table()
        return table if self._is_sound(table) else pa.Table.from_pylist(list(self._compacted().values()), schema=self.schema)

    def _table(self) -> pa.Table:
        """The table.

        Raises:
            InvalidValueError: if it is damaged; the remedy loses nothing.
        """
        try:
            return self.folder.read_table(self.table)
        except InvalidValueError as error:
            raise InvalidValueError(
                f"{str(error).split('. What to do')[0]}; remove it: the same records are in {self.name}/, and the next start gathers them again"
            ) from error


COMPACT_LEAST = 500  # records
COMPACT_SHARE = 0.1  # of those that the table has: so the work of all compactions together grows with the number of records


class Compaction:
    """Gathers records into a store's table while other records are still being written; a thread does it, so that nobody waits.

    Nothing is read again: the table is kept as it was written, and a record is handed over when its object exists. What is lost with this process is
    found by the next reader, in the objects.

    Args:
        store: the store.
        alone: whether nobody else writes its table meanwhile; if somebody may, nothing is gathered.
    """

    def __init__(self, store: RecordStore, alone: bool = True) -> None:
        self.store, self.alone = store, alone
        self._new: SimpleQueue[Record | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._gather, daemon=True, name="compaction")

    def __enter__(self) -> "Compaction":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._new.put(None)
        self._thread.join()

    def add(self, record: Record) -> None:
        """Hand over a record that is written and will not change; fields that are no columns are left out."""
        if self.alone:
            self._new.put(record)

    def _gather(self) -> None:
        names, rows = self.store.schema.names, list[Record]()
        table = self.store.gathered()
        while (record := self._new.get()) is not None:
            rows.append({name: record.get(name) for name in names})
            if len(rows) >= max(COMPACT_LEAST, COMPACT_SHARE * len(table)):
                table, rows = self._write(table, rows), []
        if rows:
            self._write(table, rows)

    def _write(self, table: pa.Table, rows: list[Record]) -> pa.Table:
        """The table with these rows, written."""
        table = pa.concat_tables([table, pa.Table.from_pylist(rows, schema=self.store.schema)])
        with contextlib.suppress(OSError):  # a full disk: the records stay, and the next compaction merges them
            self.store.folder.write_table(self.store.table, table)
        pa.default_memory_pool().release_unused()  # Arrow's allocator keeps what the writing took, several times the table
        return table
