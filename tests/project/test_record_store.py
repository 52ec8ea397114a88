"""A store of records that rests: what is read once, and when it is read again."""

from pathlib import Path

import pyarrow as pa

from raylab.files import Folder
from raylab.record_store import RecordStore

SCHEMA = pa.schema([("key", pa.string()), ("value", pa.int64())])


def test_a_store_at_rest_is_read_once(tmp_path: Path) -> None:
    """What another process writes meanwhile is not seen; what the store itself changes is, and all is once it no longer rests."""
    store, other = RecordStore(Folder(tmp_path), "r", SCHEMA), RecordStore(Folder(tmp_path), "r", SCHEMA)
    store.write("a", {"value": 1})
    store.rest(True)
    assert {"a"} == store.records().keys()
    other.write("b", {"value": 2})
    assert {"a"} == store.records(("value",)).keys()
    store.write("c", {"value": 3})
    assert {"a", "b", "c"} == store.records().keys()
    store.compact(lambda row: row["value"] < 3)
    store.delete(["a"])
    assert {"b", "c"} == store.records().keys()
    other.delete(["b"])
    store.rest(False)
    assert {"c"} == store.records().keys()


def test_records_without_objects_are_gathered_too(tmp_path: Path) -> None:
    """An object of the same key counts more."""
    store = RecordStore(Folder(tmp_path), "r", SCHEMA)
    store.write("a", {"value": 1})
    store.compact(lambda row: True, [{"key": "a", "value": 7}, {"key": "b", "value": 2}])
    assert [{"key": "a", "value": 1}, {"key": "b", "value": 2}] == store.gathered().to_pylist()
