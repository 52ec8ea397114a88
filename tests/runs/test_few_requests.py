"""A run on an object store asks for little, and its account of trainings is the one of a run on a path."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.running import quiet
from builders.studies import study
from builders.windows import make_windows, store

from analysis.scores.training_curves import training_curves
from raylab.runs.folder import RunFolder
from raylab.runs.lease import latest
from raylab.runs.run import start
from raylab.runs.status import status_lines
from raylab.trials.study import parse_study

PEOPLE = 3
CALIBRATED = {"name": "fine_tuning", "layers": "last", "budget": [0.2, 0.4], "unit": "window"}
ALONE = {"name": "user_dependent", "budget": 0.4, "unit": "window"}
CONTENT = study(techniques=["non_personalized", CALIBRATED, ALONE], keep="bases", protocol={"epochs": 1, "batch_size": 16})
TRIALS = 4 * PEOPLE
DRIVER = """
import sys
from pathlib import Path
from raylab.runs import lease
from raylab.runs.run import start
from raylab.trials.study import read_study
lease.Lease.__init__.__defaults__ = (60.0, 0.1, 0.1, "")  # a sign of life ten times a second
start(read_study(Path(sys.argv[1])), sys.argv[2], sys.argv[3], "local", log=lambda line: None)
"""

Bucket = Callable[[str], str]


class Requests(logging.Handler):
    """Counts the requests of a server by method and by the folder that the object is in."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if line := re.search(r"(HEAD|GET|PUT|POST|DELETE) /raylab/[^/]+/(\w+)/", record.getMessage()):
            self.counts[line[1], line[2]] += 1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store(make_windows({f"P{i}": [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6 for i in range(PEOPLE)}), tmp_path / "windows" / "made")
    return tmp_path


@pytest.fixture
def requests() -> Any:
    log, handler = logging.getLogger("werkzeug"), Requests()
    before = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    yield handler.counts
    log.removeHandler(handler)
    log.setLevel(before[0])
    log.propagate = before[1]


def run_at(root: Path, where: str, **changes: Any) -> Any:
    return start(parse_study({**CONTENT, **changes}, "s"), str(root / "windows"), where, "local", log=quiet)


@pytest.mark.parametrize("numerics", ["plain", "stacked"])
def test_a_trial_asks_four_times(
    root: Path, bucket_without_ray: Bucket, requests: Counter[tuple[str, str]], numerics: str
) -> None:
    """A base: weights, training, predictions, record. A calibration: its base (its size and itself), predictions, record. A training alone: two."""
    protocol = {"epochs": 1, "batch_size": 16, **({"numerics": "stacked"} if numerics == "stacked" else {})}
    uri = bucket_without_ray(f"few-{numerics}")
    assert {"ok": TRIALS} == run_at(root, uri, protocol=protocol).statuses
    counted = {key: count for key, count in requests.items() if key[1] in ("stages", "trainings", "predictions", "trials")}
    puts = {folder: count for (method, folder), count in counted.items() if method == "PUT"}
    assert {"stages": PEOPLE, "trainings": PEOPLE, "predictions": TRIALS, "trials": TRIALS} == puts
    others = {key: count for key, count in counted.items() if key[0] != "PUT"}
    assert {("HEAD", "stages"): 2 * PEOPLE, ("GET", "stages"): 2 * PEOPLE} == others
    assert sum(counted.values()) <= 4 * TRIALS


def test_the_account_is_that_of_a_run_on_a_path(root: Path, bucket_without_ray: Bucket) -> None:
    """Counts, curves and rows are the same, before and after records are gathered, and where a record goes because its predictions are damaged."""
    uri, path = bucket_without_ray("account"), str(root / "run")
    summaries = [run_at(root, where) for where in (uri, path)]
    assert [(TRIALS, 0)] * 2 == [(one.trainings_completed, one.trainings_interrupted) for one in summaries]
    run, expected = RunFolder(uri), RunFolder(path)
    gathered = [one.folder.read_table("trainings.parquet") for one in (run, expected)]
    assert TRIALS == len(gathered[0])
    assert set(gathered[0]["stage"].to_pylist()) == set(gathered[1]["stage"].to_pylist())
    run.folder.remove("trainings.parquet")  # as if the driver had been lost before it gathered
    assert TRIALS == len({row["stage"] for row in run.trainings()}) == len(run.trainings())
    curves = [training_curves(one.uri) for one in (run, expected)]
    sides = [frame.sort_values(["hash", "epoch"]).reset_index(drop=True) for frame in curves]
    assert sides[0].equals(sides[1])
    leaf = next(row for row in run.records() if row["technique"] == "user_dependent")
    run.folder.write(f"predictions/{leaf['trial']}.parquet", b"damaged")
    again = run_at(root, uri)
    assert ({"ok": TRIALS}, TRIALS + 1) == (again.statuses, again.trainings_completed)


def test_a_failed_training_is_in_the_account(root: Path, bucket_without_ray: Bucket) -> None:
    """Trainings that ended in an error were started and not completed."""
    uri = bucket_without_ray("failed")
    content = {"techniques": ["non_personalized"], "protocol": {"epochs": 1, "batch_size": 16, "learning_rate": 1e30}}
    summary = run_at(root, uri, **content)
    assert ({"failed": PEOPLE}, 0, PEOPLE) == (
        summary.statuses, summary.trainings_completed, summary.trainings_interrupted,
    )  # fmt: skip


@pytest.mark.slow  # half a minute: drivers in processes of their own
def test_a_killed_driver_leaves_what_ran(root: Path, bucket_without_ray: Bucket, tmp_path: Path) -> None:
    """The lease names the trial whose training a killed driver has begun: the status tells of it, and the next start counts it."""
    uri, file = bucket_without_ray("killed"), tmp_path / "study.yaml"
    content = {**CONTENT, "techniques": ["non_personalized"], "protocol": {"epochs": 2000, "patience": 2000, "batch_size": 4}}
    file.write_text(yaml.safe_dump(content))
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(file), str(root / "windows"), uri], stderr=subprocess.PIPE)
    try:
        while not ((owner := latest(RunFolder(uri).folder)[1]) and owner.running):
            assert driver.poll() is None, driver.stderr and driver.stderr.read().decode()
            time.sleep(0.1)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
    run = RunFolder(uri)
    assert [] == run.trainings()
    assert "1 interrupted while training" in status_lines(uri)
    asked = parse_study(content, "s")
    summary = start(asked, str(root / "windows"), uri, "local", log=quiet, reorder=lambda trials: [])  # nothing is run
    assert ({"left": PEOPLE}, 0, 1) == (summary.statuses, summary.trainings_completed, summary.trainings_interrupted)
    (row,) = run.trainings()
    assert (owner.running[0], "started") == (row["trial"], row["status"])
