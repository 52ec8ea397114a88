"""Many small records: one JSON object each, because object stores have no append, and a table that final ones are gathered into.

The objects stay when they are gathered: a reader skips those that stand in the table, and an interrupted gathering loses nothing.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from raylab.files import Folder

Record = dict[str, Any]


class RecordStore:
    """``name``/KEY.json, and ``name``.parquet with the columns of ``schema``, whose first one is the key."""

    def __init__(self, folder: Folder, name: str, schema: pa.Schema) -> None:
        self.folder, self.name, self.schema = folder, name, schema
        self.key = schema.names[0]
        self.table = f"{name}.parquet"

    def write(self, key: str, row: Record) -> None:
        self.folder.write_json(f"{self.name}/{key}.json", row)

    def read(self, key: str) -> Record:
        return dict(self.folder.read_json(f"{self.name}/{key}.json"))

    def records(self) -> dict[str, Record]:
        """Key to record: the gathered ones, and the objects since. An object that cannot be parsed is as good as not written."""
        found = self._compacted()
        names = [name for name in self.folder.names(self.name, ".json") if name.removesuffix(".json") not in found]
        for name, content in self.folder.read_all(f"{self.name}/{name}" for name in names).items():
            key = name.removeprefix(f"{self.name}/").removesuffix(".json")
            try:
                found[key] = {**json.loads(content), self.key: key}
            except json.JSONDecodeError:
                continue
        return found

    def compact(self, wanted: Callable[[Record], bool]) -> None:
        """Write the table anew with the records that are wanted, if it changes."""
        rows = sorted((row for row in self.records().values() if wanted(row)), key=lambda row: str(row[self.key]))
        table = pa.Table.from_pylist(rows, schema=self.schema)
        if not self.folder.exists(self.table) or not self.folder.read_table(self.table).equals(table):
            self.folder.write_table(self.table, table)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove records: first from the table, then their objects, so that a half-done removal leaves them as they were."""
        gone = set(keys)
        if not gone:
            return
        if gone & self._compacted().keys():
            self.compact(lambda row: row[self.key] not in gone)
        for key in gone:
            self.folder.remove(f"{self.name}/{key}.json")

    def _compacted(self) -> dict[str, Record]:
        if not self.folder.exists(self.table):
            return {}
        return {row[self.key]: row for row in self.folder.read_table(self.table).to_pylist()}
