"""A store of many small records that many processes write at once, on a file system or an object store.

Each record is a JSON object of its own, because object stores cannot append to one. Final records are also gathered into one table, so that reading
them takes one request instead of thousands. Objects stay when they are gathered: readers skip those that are in the table, and an interrupted
gathering loses nothing.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from raylab.files import Folder

Record = dict[str, Any]


class RecordStore:
    """Records in ``name``/KEY.json, and gathered ones in ``name``.parquet.

    Args:
        folder: the folder that holds both.
        name: name of the sub-folder and of the table.
        schema: columns of the table; the first one is the key. A field of a record that is no column is left out of the table.
    """

    def __init__(self, folder: Folder, name: str, schema: pa.Schema) -> None:
        self.folder, self.name, self.schema = folder, name, schema
        self.key = schema.names[0]
        self.table = f"{name}.parquet"

    def write(self, key: str, row: Record) -> None:
        """Write one record; it replaces an object of the same key, but not a row of the table."""
        self.folder.write_json(f"{self.name}/{key}.json", row)

    def read(self, key: str) -> Record:
        """One record from its object.

        Raises:
            FileNotFoundError: if there is none.
        """
        return dict(self.folder.read_json(f"{self.name}/{key}.json"))

    def records(self) -> dict[str, Record]:
        """All records by key: those of the table, and the objects that are not in it. An object that cannot be parsed counts as not written."""
        records = self._compacted()
        names = [name for name in self.folder.names(self.name, ".json") if name.removesuffix(".json") not in records]
        for name, content in self.folder.read_all(f"{self.name}/{name}" for name in names).items():
            key = name.removeprefix(f"{self.name}/").removesuffix(".json")
            try:
                records[key] = {**json.loads(content), self.key: key}
            except json.JSONDecodeError:
                continue
        return records

    def compact(self, keep: Callable[[Record], bool]) -> None:
        """Rewrite the table with all records that ``keep`` accepts, if that changes it. The objects stay."""
        rows = sorted((row for row in self.records().values() if keep(row)), key=lambda row: str(row[self.key]))
        table = pa.Table.from_pylist(rows, schema=self.schema)
        if not self.folder.exists(self.table) or not self.folder.read_table(self.table).equals(table):
            self.folder.write_table(self.table, table)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove records, first from the table and then their objects: an interrupted removal leaves each record whole or removes it."""
        removed = set(keys)
        if not removed:
            return
        if removed & self._compacted().keys():
            self.compact(lambda row: row[self.key] not in removed)
        for key in removed:
            self.folder.remove(f"{self.name}/{key}.json")

    def _compacted(self) -> dict[str, Record]:
        """The records of the table by key."""
        if not self.folder.exists(self.table):
            return {}
        return {row[self.key]: row for row in self.folder.read_table(self.table).to_pylist()}
