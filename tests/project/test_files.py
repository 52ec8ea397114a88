"""Files and small records: what is complete, what is left out, and where names lead."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raylab.errors import InvalidValueError
from raylab.files import ANSWER_S, Folder, join, within
from raylab.record_store import RecordStore
from raylab.runs.folder import TRIAL_COLUMNS
from raylab.training.stage_store import TRAINING_COLUMNS

SCHEMA = pa.schema([("key", pa.string()), ("status", pa.string()), ("n", pa.int64())])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("/data/run", "/data/run/a b"),
        ("/data/run/", "/data/run/a b"),
        ("s3://bucket/run", "s3://bucket/run/a%20b"),
        ("s3://bucket/run/?scheme=http&region=x", "s3://bucket/run/a%20b?scheme=http&region=x"),
    ],
)
def test_names_are_joined_before_the_options_of_a_uri(where: str, expected: str) -> None:
    """The options behind a question mark (an endpoint, a region) stay at the end."""
    assert expected == join(where, "a b")
    assert expected == within(where, "a b") or "://" not in where


def test_a_sub_folder_of_a_uri_is_the_same_place(tmp_path: Path) -> None:
    """What is written through the outer folder is read through the inner one, opened anew by its URI."""
    outer = Folder(tmp_path.as_uri())
    outer.write("in side/x", b"1")
    assert b"1" == outer.sub("in side").read("x")
    assert b"1" == Folder(outer.sub("in side").uri).read("x")


def test_a_busy_object_store_may_take_its_time() -> None:
    """pyarrow's 3 s are too few for a page of a long listing; all else is as the URI says, and other file systems have no such option."""
    busy = Folder("s3://bucket/run?scheme=http&region=x&endpoint_override=127.0.0.1:9").system
    options = busy.__reduce__()[1][0]
    assert ("127.0.0.1:9", "http", "x", True, ANSWER_S) == tuple(
        options[name] for name in ("endpoint_override", "scheme", "region", "allow_delayed_open", "request_timeout")
    )
    assert Folder("file:///tmp").is_local


def test_a_file_is_created_once(tmp_path: Path) -> None:
    """The second one to create a name is told so, and changes nothing."""
    folder = Folder(tmp_path)
    assert folder.create("a/x", b"first")
    assert not folder.create("a/x", b"second")
    assert b"first" == folder.read("a/x")


def test_many_are_read_and_the_vanished_are_left_out(tmp_path: Path) -> None:
    """A record that another driver removed between the listing and the reading is no error."""
    folder = Folder(tmp_path)
    folder.write("a", b"1")
    assert {"a": b"1"} == folder.read_all(["a", "b"])


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    """Three records: two ok, one failed."""
    made = RecordStore(Folder(tmp_path), "rows", SCHEMA)
    for n, status in enumerate(("ok", "ok", "failed")):
        made.write(f"k{n}", {"status": status, "n": n, "note": "only here"})
    return made


def test_gathered_records_are_read_from_the_table(store: RecordStore, tmp_path: Path) -> None:
    """Without their objects they are still there, with the table's columns; the others are read from theirs."""
    store.compact(lambda row: row["status"] == "ok")
    (tmp_path / "rows" / "k0.json").unlink()
    assert {"k0": {"key": "k0", "status": "ok", "n": 0}} == {k: row for k, row in store.records().items() if k == "k0"}
    assert "only here" == store.records()["k2"]["note"]
    assert ["k0", "k1"] == store.folder.read_table("rows.parquet")["key"].to_pylist()


def test_gathering_again_without_news_writes_nothing(store: RecordStore, tmp_path: Path) -> None:
    """The table's file stays as it was."""
    store.compact(lambda row: True)
    before = (tmp_path / "rows.parquet").stat().st_mtime_ns
    store.compact(lambda row: True)
    assert before == (tmp_path / "rows.parquet").stat().st_mtime_ns


def test_a_record_is_there_or_gone_whatever_interrupts_its_removal(store: RecordStore, tmp_path: Path) -> None:
    """The table goes first: after half a removal the object still says what it said."""
    store.compact(lambda row: True)
    kept = (tmp_path / "rows" / "k2.json").read_bytes()
    store.delete(["k2"])
    assert {"k0", "k1"} == store.records().keys()
    (tmp_path / "rows" / "k2.json").write_bytes(kept)
    assert "failed" == store.records()["k2"]["status"]


def test_a_truncated_record_is_as_good_as_none(store: RecordStore, tmp_path: Path) -> None:
    """Its trial runs again and writes it anew."""
    path = tmp_path / "rows" / "k1.json"
    path.write_text(json.dumps({"status": "ok"})[:8])
    assert {"k0", "k2"} == store.records().keys()


@pytest.mark.parametrize("kind", ["no parquet", "empty", "cut", "flipped footer", "no magic"])
def test_a_damaged_table_is_named(tmp_path: Path, kind: str) -> None:
    """A sentence with the file and the remedy, whatever pyarrow raises."""
    folder = Folder(tmp_path)
    folder.write_table("a/t.parquet", pa.table({"x": list(range(1000))}))
    path = tmp_path / "a" / "t.parquet"
    good = bytearray(path.read_bytes())
    if kind == "flipped footer":
        good[-200:-60] = bytes(byte ^ 0xFF for byte in good[-200:-60])
    content = {"no parquet": b"P01;1,5\n" * 9, "empty": b"", "cut": good[:-40], "no magic": b"\0" * 4 + good[4:-4] + b"\0" * 4}
    path.write_bytes(content.get(kind, good))
    with pytest.raises(InvalidValueError, match=r"t\.parquet is damaged: .+\. What to do: ") as raised:
        folder.read_table("a/t.parquet")
    assert 1 == len(str(raised.value).splitlines())
    with pytest.raises(FileNotFoundError):
        folder.read_table("a/none.parquet")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{", b"[" * 100_000, b"\x80abc"])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no text, no JSON, or nested beyond sense."""
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(InvalidValueError, match=r"r\.json is damaged"):
        Folder(tmp_path).read_json("r.json")


SAMPLES: dict[str, Any] = {
    "string": "a",
    "int64": 3,
    "double": 0.5,
    "bool": True,
    "list<item: string>": ["a"],
    "list<item: int64>": [1, 2],
}


@pytest.mark.parametrize("schema", [TRIAL_COLUMNS, TRAINING_COLUMNS], ids=["trials", "trainings"])
def test_every_column_of_a_record_can_be_read_back_from_its_object(schema: pa.Schema, tmp_path: Path) -> None:
    """A record whose object is skipped is a trial that never ends: it runs again at each start."""
    store, row = (
        RecordStore(Folder(tmp_path), "rows", schema),
        {name: SAMPLES[str(schema.field(name).type)] for name in schema.names},
    )
    store.write("a", row)
    assert {"a": row} == store.records()
    assert not store.skipped
    store.compact(lambda record: True)
    assert {"a": row} == store.records()
    wrong = {name: [value] if not isinstance(value, list) else [None] for name, value in row.items() if name != schema.names[0]}
    for name, value in wrong.items():
        store.write("b", {**row, schema.names[0]: "b", name: value})
        assert ["a"] == list(store.records()), name
        assert f"its {name} is" in store.skipped[0]
