"""Requests to an S3 server (moto's, on loopback) for each trial of a small run, counted at the server."""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer
from pyarrow import fs

from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import parse_study

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


def _study(techniques: list[Any], people: int) -> Any:
    content = {
        "name": "requests",
        "datasets": [{"windows": "simulated", "label": "stress", "participants": [f"P{k:02d}" for k in range(1, people + 1)]}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": techniques,
        "protocol": {"epochs": 1, "batch_size": 32},
    }
    return parse_study(content, "requests")


def count(folder: Path) -> list[dict[str, Any]]:
    """Requests a trial: of runs of 2 and of 5 targets the difference, so that what a start costs is left out."""
    os.environ |= KEY
    prepare(
        PrepareRequest("simulated", ".", str(folder / "simulated"), options={"participants": 5, "minutes": 3}),
        say=lambda line: None,
        where="local",
    )
    log = logging.getLogger("werkzeug")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = Requests()
    log.addHandler(handler)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "{}:{}".format(*server.get_host_and_port())
    fs.S3FileSystem(endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True).create_dir(
        "raylab"
    )
    rows = []
    cases: dict[str, list[Any]] = {
        "a base": ["non_personalized"],
        "a base, and a calibration of it": ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 0.3}],
        "one training of its own": [{"name": "user_dependent", "budget": 0.3}],
    }
    try:
        for number, (name, techniques) in enumerate(cases.items()):
            counts = []
            for people in (2, 5):
                handler.counts.clear()
                uri = f"s3://raylab/run{number}{people}?scheme=http&region=us-east-1&endpoint_override={endpoint}"
                start(_study(techniques, people), str(folder), uri, "local", log=lambda line: None)
                counts.append(Counter(handler.counts))
            more = counts[1] - counts[0]
            rows.append(
                {"case": name, "trials": 3 * len(techniques), "requests": sum(more.values()), **dict(sorted(more.items()))}
            )
    finally:
        server.stop()
    return rows
