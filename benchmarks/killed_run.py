"""`python -m benchmarks.killed_run --trials 2000 --out DIR`: a run on a cluster of three raylets with simulated GPUs whose driver is killed twice.

Real trials of the smallest network in stacks of folds. The driver is a process of its own, killed (`kill -9`) when a third and when two thirds of the
trials have ended, and started again. At the end: one record and one file of predictions for each planned trial, one completed training for each
stage, and the driver's memory against the trials that it has seen end.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml
from ray.cluster_utils import Cluster

from raylab.runs.folder import RunFolder
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import indexes_of
from raylab.trials.plan import plan
from raylab.trials.study import Study, parse_study

import psutil  # isort: skip  # Ray carries it

N_PARTICIPANTS, NODES = 5, 3
SETTLED = 50  # trials of a driver after which its memory is looked at
DRIVER = """
import sys
from pathlib import Path
from raylab.runs.run import start
from raylab.trials.study import read_study
start(read_study(Path(sys.argv[1])), sys.argv[2], sys.argv[3], address=sys.argv[4], log=lambda line: print(line, flush=True))
"""


def study_of(trials: int, stack: int = 8) -> Study:
    """A study of at least this many trials: as many seeds as needed."""
    content = {
        "name": "killed",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized"],
        "protocol": {"epochs": 1, "batch_size": 32, "numerics": "stacked"},
        "seeds": list(range(-(-trials // N_PARTICIPANTS))),
        "resources": {"cpu": 1, "gpu": 0.5, "stack": stack},
    }
    return parse_study(content, "killed")


def _ended(run: Path) -> int:
    folder = run / "trials"
    return sum(1 for entry in os.scandir(folder) if entry.name.endswith(".json")) if folder.exists() else 0


def _drive(command: list[str], run: Path, log: Path, until: int) -> dict[str, Any]:
    """Start a driver; kill it when so many trials have ended. Its memory by the number of trials that ended under it."""
    before, began, samples = _ended(run), time.monotonic(), []
    with log.open("ab") as out:
        driver = psutil.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        while driver.poll() is None:
            ended = _ended(run)
            if ended >= until:
                driver.kill()
                driver.wait()
                break
            try:
                samples.append((ended - before, driver.memory_full_info().uss))
            except psutil.Error:
                break
            time.sleep(1)
    found = {
        "ended_before": before,
        "ended_after": _ended(run),
        "seconds": round(time.monotonic() - began),
        "code": driver.wait(),
    }
    settled = np.array([sample for sample in samples if sample[0] >= SETTLED], dtype=np.float64)
    if len(settled) > 1 and np.ptp(settled[:, 0]):
        slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
        found |= {
            "first_mib": round(settled[0, 1] / 2**20, 1),
            "last_mib": round(settled[-1, 1] / 2**20, 1),
            "kib_a_trial": round(slope / 1024, 2),
        }
    return found


def account(study: Study, root: Path, run: Path) -> dict[str, Any]:
    """What the run folder holds, against the plan: nothing may be lost, nothing stand twice."""
    planned = list(plan(study, indexes_of(study, str(root))))
    folder = RunFolder(str(run))
    records = folder.records()
    keys, stages = {trial.key for trial in planned}, {stage for trial in planned for stage in trial.stages}
    completed = Counter(row["stage"] for row in folder.trainings() if row["status"] == "completed")
    interrupted = sum(row["status"] != "completed" for row in folder.trainings())
    predicted = {path.stem for path in (run / "predictions").iterdir()}
    return {
        "planned": len(planned),
        "statuses": dict(Counter(record["status"] for record in records)),
        "lost": len(keys - {record["trial"] for record in records}),
        "not_planned": len({record["trial"] for record in records} - keys),
        "twice": len(records) - len({record["trial"] for record in records}),
        "without_predictions": len(keys - predicted),
        "damaged": len(folder.delete_damaged(keys)),
        "stages": len(stages),
        "never_trained": len(stages - completed.keys()),
        "trained_twice": sum(count > 1 for count in completed.values()),
        "trainings_interrupted": interrupted,
    }


def main(
    out: Annotated[Path, typer.Option(help="an empty folder for the windows and the run")],
    trials: Annotated[int, typer.Option(help="how many", min=3 * SETTLED)] = 2000,
    stack: Annotated[int, typer.Option(help="folds of a stack", min=1)] = 8,
) -> None:
    """Run it, and print a line for each driver and one for the account."""
    root, run, study = out / "windows", out / "run", study_of(trials, stack)
    request = PrepareRequest("simulated", ".", str(root / "simulated"), options={"participants": N_PARTICIPANTS, "minutes": 3})
    prepare(request, say=lambda line: None, where="local")
    file = out / "study.yaml"
    file.write_text(yaml.safe_dump(study.as_dict(), sort_keys=False), encoding="utf-8")
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # nodes on loopback may join
    node = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 150_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(NODES - 1):
            cluster.add_node(**node)
        cluster.wait_for_nodes()
        command = [sys.executable, "-c", DRIVER, str(file), str(root), str(run), cluster.address]
        total = len(study.seeds) * N_PARTICIPANTS
        for until in (total // 3, 2 * total // 3, total + 1):
            typer.echo(json.dumps(_drive(command, run, out / "driver.log", until)))
    finally:
        cluster.shutdown()
    typer.echo(json.dumps(account(study, root, run)))


if __name__ == "__main__":
    typer.run(main)
