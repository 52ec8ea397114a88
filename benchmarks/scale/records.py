"""What the records of a run cost: gathering them while it goes on, and reading them when it is resumed."""

import json
import logging
import multiprocessing
import os
import resource
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from moto.s3.models import S3Backend, s3_backends
from moto.server import ThreadedMotoServer

from analysis.scores.predictions import DIGEST
from analysis.scores.stored_files import file_digest
from raylab.record_store import Compaction
from raylab.runs.folder import TRIAL_COLUMNS, RunFolder
from raylab.training.stage_store import TRAINING_COLUMNS

EVERY = 500  # trials between two gatherings of all records, as it was before they were gathered as they come
ACCOUNT = "123456789012"  # moto's own
WINDOWS = 40  # of a trial


def _record(number: int, digest: str) -> dict[str, Any]:
    labels = {
        "dataset": "cohort",
        "label": "stress",
        "model": "fcn",
        "technique": "fine_tuning",
        "variant": "layers=all budget=0.2",
    }
    counts = {"epochs": 20, "windows_trained": 4000, "stages_reused": 1, "n_test": WINDOWS, "people": 14, "seed": 0}
    stages = [f"{number:020x}", f"a{number:019x}"]
    return {
        **labels, **counts, "trial": f"{number:016x}", "participant": f"P{number % 500:03d}", "status": "ok", "error": "", "seconds": 1.5,
        "stages": stages, "trained_on": ["ffff", "1"], "device": "cpu", "node": "here", "ended": 1.8e9, "auroc": 0.8, DIGEST: digest,
    }  # fmt: skip


def _predictions() -> bytes:
    """The predictions of one trial, as a file."""
    p = [[0.25, 0.75]] * WINDOWS
    table = pa.table({"trial": ["0"] * WINDOWS, "window": np.arange(WINDOWS), "p": pa.array(p, pa.list_(pa.float32()))})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


class _Timed(Compaction):
    """A compaction that knows the processor seconds of its thread."""

    spent = 0.0

    def _gather(self) -> None:
        began = time.thread_time()
        super()._gather()
        self.spent = time.thread_time() - began


def gather(folder: Path, count: int, whole: bool) -> dict[str, float]:
    """Processor seconds to gather the records of a run as its trials end, beside those to write the records.

    Args:
        whole: read and write all of them after every ``EVERY``; else as they come.
    """
    run = RunFolder(str(folder))
    records = [_record(number, "") for number in range(count)]
    spent, compaction = 0.0, _Timed(run._trials)
    began = time.process_time()
    with compaction:
        for done, record in enumerate(records, 1):
            run._trials.write(record["trial"], record)
            if not whole:
                compaction.add(record)
            elif done % EVERY == 0:
                before = time.process_time()
                run._trials.compact(lambda row: True)
                spent += time.process_time() - before
    total = time.process_time() - began
    written = len(run._trials.gathered())
    return {
        "records": count,
        "cpu_s": round(total, 2),
        "gathering_s": round(spent + compaction.spent, 2),
        "in_table": written,
        "ms_a_record": 1000 * total / count,
    }


def _rows_of_trainings(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An account of every stage, as ``trainings.parquet`` has it."""
    rows = [
        {"attempt": f"{stage}.0", "stage": stage, "trial": record["trial"], "name": "x", "status": "completed", "epochs": 20, "cpu_s": 1.0}
        for record in records
        for stage in record["stages"]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: str(row["attempt"]))


class _OnDisk:
    """Files of a run folder, written by the cheapest way: predictions are links to few files."""

    LINKS = 50_000  # to one file, of which a file system allows about so many

    def __init__(self, root: Path) -> None:
        self.root, self.uri, self.sources = root, str(root), dict[bytes, tuple[Path, int]]()

    def put(self, name: str, content: bytes) -> None:
        path = self.root / name
        source, count = self.sources.get(content, (path, 0))
        if count % self.LINKS == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            source = path
        else:
            os.link(source, path)
        self.sources[content] = source, count + 1


class _InMemory:
    """Objects of moto's S3 server, put there without requests by the process that serves them."""

    def __init__(self, server: ThreadedMotoServer) -> None:
        endpoint = "{}:{}".format(*server.get_host_and_port())
        self.uri = f"s3://raylab/run?scheme=http&region=us-east-1&endpoint_override={endpoint}"
        self.store = s3_backends[ACCOUNT]["aws"]
        self.store.create_bucket("raylab", "us-east-1")

    def put(self, name: str, content: bytes) -> None:
        self.store.put_object("raylab", f"run/{name}", content)


def _fill(place: _OnDisk | _InMemory, count: int, ungathered: int) -> set[str]:
    """A run folder of ended trials, of which the last few are not in the tables; the keys."""
    content = _predictions()
    result = {DIGEST: file_digest(pa.py_buffer(content)), "predictions_bytes": len(content)}
    records = [{**_record(number, ""), **result} for number in range(count)]
    for record in records:
        place.put(f"predictions/{record['trial']}.parquet", content)
        place.put(f"trials/{record['trial']}.json", json.dumps(record, indent=1, sort_keys=True).encode())
    trainings = _rows_of_trainings(records)
    for number, row in enumerate(trainings):
        late = number >= len(trainings) - 2 * ungathered
        if late or isinstance(place, _OnDisk):  # on an object store leaves have none
            place.put(f"trainings/{row['attempt']}.json", json.dumps(row).encode() if late else b"{}")
    for name, rows, schema in (("trials", records, TRIAL_COLUMNS), ("trainings", trainings, TRAINING_COLUMNS)):
        gathered = rows[: len(rows) - ungathered * (len(rows) // count)]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(gathered, schema=schema), sink, write_page_checksum=True)
        place.put(f"{name}.parquet", bytes(sink.getvalue().to_pybytes()))
    return {record["trial"] for record in records}


def _learn(uri: str, keys: set[str]) -> None:
    """What a start on a folder asks of its records when nothing is left to run (``raylab.runs.run``): which trials have to be repeated, which have
    ended, which stages are stored; the tables; the summary."""
    run = RunFolder(uri)
    with run.at_rest():
        run.delete_failed(keys)
        assert not run.delete_damaged(keys)
        assert len(run.records()) == len(keys)
        run.finished(), run.store.hashes()
        run.finalize(keys)
        run.trainings(run.records())


def _list_once(store: S3Backend) -> None:
    """Let moto keep what it lists: for each page of a thousand names it looks through all objects of the bucket and sorts what it wants, so that
    with 200,000 of them a page takes longer than pyarrow waits (3 s). Servers that keep names in order have no such law."""
    listing, kept = store.list_objects, dict[tuple[Any, ...], Any]()

    def list_objects(bucket: Any, prefix: Any, delimiter: Any, marker: Any, max_keys: Any) -> Any:
        key = bucket.name, len(bucket.keys), prefix, delimiter, marker, max_keys
        if key not in kept:
            kept.clear()
            kept[key] = listing(bucket, prefix, delimiter, marker, max_keys)
        return kept[key]

    store.list_objects = list_objects  # type: ignore[method-assign]  # of this object alone


def _serve(asked: Connection, count: int, ungathered: int) -> None:
    """Serve a filled run folder until the other end says that it has what it wanted: sends the address and the keys, at the end its own processor
    seconds."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    place = _InMemory(server)
    keys = _fill(place, count, ungathered)
    _list_once(place.store)
    asked.send((place.uri, keys))
    began = time.process_time()
    asked.recv()
    asked.send(time.process_time() - began)
    server.stop()


def _spent(uri: str, keys: set[str]) -> dict[str, Any]:
    """What ``_learn`` takes of this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    _learn(uri, keys)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "records": len(keys), "cpu_s": round(cpu, 2), "wall_s": round(wall, 2), "ms_a_record": round(1000 * cpu / len(keys), 3),
        "peak_mib": round(peak / 1024),
    }  # fmt: skip


def resume(folder: Path, count: int, where: str, ungathered: int) -> dict[str, Any]:
    """Processor seconds in which a start learns what is done, and of the S3 server, which is a process of its own.

    Args:
        where: ``disk``, or ``s3``: moto's server on loopback.
        ungathered: so many of the last records are in objects of their own only, as if the driver had been killed.
    """
    if where != "s3":
        place = _OnDisk(folder)
        return {"where": where, "ungathered": ungathered, **_spent(place.uri, _fill(place, count, ungathered))}
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, count, ungathered))
    server.start()
    theirs.close()  # so that a server that fails ends the waiting
    try:
        spent = _spent(*ours.recv())
        ours.send("done")
        return {"where": where, "ungathered": ungathered, **spent, "server_cpu_s": round(ours.recv(), 2)}
    finally:
        server.terminate()  # after an error it still waits
        server.join()
