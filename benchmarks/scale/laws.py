"""Two more growth laws: opening the windows of a cohort, and what a trial takes beside its training (processor, memory, bytes)."""

import gc
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import ray

from benchmarks.scale.memory import status_kib, write_small_windows
from benchmarks.scale.processes import watched
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.runs.cluster import Executor, connect
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import Study, parse_study
from raylab.windows.dataset import read_index

FOLDERS = ("stages", "predictions", "trials", "trainings")
PEOPLE = 4


def index(out: Path, people: int) -> dict[str, Any]:
    """Processor seconds to open the windows of so many people without their signals, written first by this version of raylab.

    ``without_file``: the same where ``index.parquet`` is missing, as in windows of before there was one: each participant's file is opened.
    """
    folder = Folder(out)
    write_small_windows(folder, people)
    spent = {}
    for name in ("with_file", "without_file"):
        read_index(folder)  # imports and the system's cache are no part of the law
        began = time.process_time()
        assert len(read_index(folder).participants) == people
        spent[name] = round(time.process_time() - began, 4)
        folder.remove("index.parquet")
    return {"people": people, **spent}


def _study(seeds: int, keep: str, techniques: list[Any]) -> Study:
    content = {
        "name": "trivial",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": techniques,
        "protocol": {"epochs": 1, "batch_size": 64},
        "seeds": list(range(seeds)),
        "keep": keep,
    }
    return parse_study(content, "trivial")


def connect_patiently(tries: int = 8) -> None:
    """Start a local Ray; it gives its node 30 s for that, which a busy machine exceeds now and then."""
    for left in reversed(range(tries)):
        try:
            connect()
        except RaylabError as error:
            if not left or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
        else:
            return


def trials(out: Path, seeds: int, keep: str, executor: Executor, doublings: int = 0) -> Iterator[dict[str, Any]]:
    """Run 2 trials (a base and a calibration of it) for each of 4 people and each seed: a training is one epoch of the smallest network.

    With ``local`` the process is the driver and the worker: what it adds in memory is that of both. With ``ray`` it is the driver alone, and the
    workers and Ray's own processes are told beside it (``benchmarks.scale.processes``). The first run, of one seed, is not counted: imports, the
    windows, Ray. Then a run of so many seeds, and one of twice as many for each doubling, in the same process.
    """
    if executor == "ray":
        connect_patiently()
    prepare(
        PrepareRequest("simulated", ".", str(out / "simulated"), options={"participants": PEOPLE, "minutes": 3}),
        say=lambda line: None,
        where="local",
    )
    _run(out, "warm", 1, keep, executor)
    for doubling in range(doublings + 1):
        count = seeds * 2**doubling
        yield _run(out, f"run{count}", count, keep, executor)


def _run(out: Path, name: str, seeds: int, keep: str, executor: Executor) -> dict[str, Any]:
    techniques = ["non_personalized", {"name": "fine_tuning", "layers": "all", "budget": 0.3}]
    watch: AbstractContextManager[dict[str, Any]] = watched() if executor == "ray" else nullcontext({})
    with watch as others:
        gc.collect()
        before, began, at = status_kib("RssAnon"), time.process_time(), time.monotonic()
        summary = start(_study(seeds, keep, techniques), str(out), str(out / name), executor, log=lambda line: None)
        spent, wall = time.process_time() - began, time.monotonic() - at
        gc.collect()
        added = status_kib("RssAnon") - before
    count, run = sum(summary.statuses.values()), Folder(out / name)
    assert summary.statuses == {"ok": 2 * PEOPLE * seeds}
    sizes = {folder: run.size(folder) for folder in FOLDERS}
    return {
        "trials": count, "keep": keep, "executor": executor, "wall_s": round(wall, 1), "cpu_s": round(spent, 2),
        "cpu_ms_a_trial": round(1000 * spent / count, 1), "training_ms": round(1000 * summary.trainings_cpu_s / count, 1), **others,
        "added_mib": round(added / 1024, 1), "kib_a_trial": round(added / count, 1),
        "bytes_a_trial": {folder: round(size / count) for folder, size in sizes.items()}, "bytes_all": round(sum(sizes.values()) / count),
    }  # fmt: skip
