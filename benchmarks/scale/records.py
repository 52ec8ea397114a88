"""What the records of a run cost: gathering them while it goes on, and reading them when it is resumed."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.scores.predictions import DIGEST
from analysis.scores.stored_files import file_digest
from raylab.record_store import Compaction
from raylab.runs.folder import RunFolder

EVERY = 500  # trials between two gatherings of all records, as it was before they were gathered as they come
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
    stages = [f"{number:020x}", f"{number:019x}a"]
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


def gather(folder: Path, count: int, whole: bool) -> dict[str, float]:
    """Processor seconds to gather the records of a run as its trials end, beside those to write the records.

    Args:
        whole: read and write all of them after every ``EVERY``; else as they come.
    """
    run = RunFolder(str(folder))
    records = [_record(number, "") for number in range(count)]
    spent, compaction = 0.0, Compaction(run._trials)
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
        "gathering_s": round(spent, 2),
        "in_table": written,
        "ms_a_record": 1000 * total / count,
    }


def resume(folder: Path, count: int) -> dict[str, float]:
    """Processor seconds in which a start learns what is done: statuses, damaged results, and the summary's records."""
    run = RunFolder(str(folder))
    content = _predictions()
    digest = file_digest(pa.py_buffer(content))
    (folder / "predictions").mkdir(parents=True)
    records = [_record(number, digest) for number in range(count)]
    for record in records:
        (folder / "predictions" / f"{record['trial']}.parquet").write_bytes(content)
        run._trials.write(record["trial"], record)
    run._trials.compact(lambda row: True)
    keys = {record["trial"] for record in records}
    cpu, wall = time.process_time(), time.perf_counter()
    run.delete_failed(keys)
    damaged = run.delete_damaged(keys)
    ended = run.finished()
    run.records()
    run.finalize(keys)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert not damaged and len(ended) == count
    return {"records": count, "cpu_s": round(cpu, 2), "wall_s": round(wall, 2), "ms_a_record": round(1000 * cpu / count, 3)}
