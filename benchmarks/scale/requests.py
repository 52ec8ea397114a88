"""Requests to an S3 server (moto's, on loopback) for each trial of a small run, counted at the server."""

import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer
from pyarrow import fs

from raylab.runs.cluster import Executor
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import Study, parse_study

PER_TRIAL = ("stages", "predictions", "trainings", "trials", "tune")  # folders
KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


class Requests(logging.Handler):
    """Counts the lines of the server's log by method and folder of the object."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        method = next((name for name in ("HEAD", "GET", "PUT", "POST", "DELETE") if f"{name} /" in line), "")
        path = line.split(" /", 1)[-1].split(" ")[0].split("?")[0].split("/")
        if method:
            self.counts[f"{method} {path[2] if len(path) > 3 else '.'.join(path[2:])[:16] or 'listing'}"] += 1


def _study(techniques: list[Any], people: int, stack: int, seeds: int = 1) -> Study:
    stacked = (
        {"protocol": {"epochs": 1, "batch_size": 32, "numerics": "stacked"}, "resources": {"stack": stack}} if stack else {}
    )
    content = {
        "name": "requests",
        "datasets": [{"windows": "simulated", "label": "stress", "participants": [f"P{k:02d}" for k in range(1, people + 1)]}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": techniques,
        "seeds": list(range(seeds)),
        "protocol": {"epochs": 1, "batch_size": 32},
        **stacked,
    }
    return parse_study(content, "requests")


def _a_trial(counts: Counter[str], trials: int) -> dict[str, Any]:
    """Requests a trial by kind, without those that do not grow with trials: signs of life and tables."""
    own = {kind: count for kind, count in counts.items() if kind.split(" ")[1] in PER_TRIAL and count > 0}
    return {
        "a_trial": round(sum(own.values()) / trials, 2),
        **{kind: round(count / trials, 2) for kind, count in sorted(own.items())},
    }


CALIBRATED: list[Any] = ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 0.3}]


@contextmanager
def _counting(folder: Path, executor: Executor) -> Iterator[Callable[[Study], Counter[str]]]:
    """Runs a study on a server of its own folder, and gives the requests that it made."""
    os.environ |= KEY
    prepare(
        PrepareRequest("simulated", ".", str(folder / "simulated"), options={"participants": 5, "minutes": 3}),
        say=lambda line: None,
        where="local",
    )
    log, handler, runs = logging.getLogger("werkzeug"), Requests(), itertools.count()
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "{}:{}".format(*server.get_host_and_port())
    store = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True)
    store.create_dir("raylab")

    def requests(study: Study) -> Counter[str]:
        handler.counts.clear()
        uri = f"s3://raylab/run{next(runs)}?scheme=http&region=us-east-1&endpoint_override={endpoint}"
        start(study, str(folder), uri, executor, log=lambda line: None)
        return Counter(handler.counts)

    try:
        yield requests
    finally:
        server.stop()
        log.removeHandler(handler)


def count(folder: Path, executor: Executor) -> list[dict[str, Any]]:
    """Requests a trial: of runs of 2 and of 5 targets the difference, so that what a start costs is left out."""
    rows = []
    cases: dict[str, tuple[list[Any], int]] = {
        "a base": (["non_personalized"], 0),
        "a base, and a calibration of it": (CALIBRATED, 0),
        "one training of its own": ([{"name": "user_dependent", "budget": 0.3}], 0),
        "a base, and a calibration of it, in stacks": (CALIBRATED, 5),
    }
    with _counting(folder, executor) as requests:
        for name, (techniques, stack) in cases.items():
            few, many = (requests(_study(techniques, people, stack)) for people in (2, 5))
            more, trials = many - few, 3 * len(techniques)
            rows.append({"case": name, "trials": trials, **_a_trial(more, trials), "all": dict(sorted(more.items()))})
    return rows


def law(folder: Path, executor: Executor, doublings: int) -> Iterator[dict[str, Any]]:
    """Requests of whole runs of bases and a calibration of each, and what the runs with twice as many trials add for each of theirs."""
    before, trials_before = Counter[str](), 0
    with _counting(folder, executor) as requests:
        for doubling in range(doublings + 1):
            seeds = 2**doubling
            counts, trials = requests(_study(CALIBRATED, 5, 0, seeds)), 5 * len(CALIBRATED) * seeds
            added = _a_trial(counts - before, trials - trials_before)
            yield {"trials": trials, "requests": sum(counts.values()), "a_trial_added": added["a_trial"]}
            before, trials_before = counts, trials
