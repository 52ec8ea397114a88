"""The model against real runs on this machine: calibrated on one core, compared on two and on several raylets.

What a step takes is timed as ``raylab run --plan`` times it, in processor time, before any run. What is left (a trial's share beside training, the hand-over
between two trials) is taken from the runs on one core; the others are predicted with nothing of theirs.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from ray.cluster_utils import Cluster as Raylets

from benchmarks.cluster_model.costs import Cluster, Overheads
from benchmarks.cluster_model.plans import Plan, StageWork, planned
from benchmarks.cluster_model.simulation import Simulation
from raylab.runs.folder import RunFolder
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import indexes_of
from raylab.runs.stage_timing import DistinctStage, StageShape, survey, timings_in_process
from raylab.trials.study import Study, parse_study
from raylab.windows.cross_corpus import read_source

STUDY: Mapping[str, Any] = {
    "name": "validation",
    "datasets": [{"windows": "simulated", "label": "stress"}],
    "models": [{"encoder": "fcn", "width": 1 / 16}],
    "techniques": [
        "non_personalized",
        {"name": "fine_tuning", "layers": ["all", "last"], "budget": [0.2, 0.4], "unit": "window"},
        {"name": "hybrid", "budget": 0.2, "unit": "window"},
        {"name": "multi_task", "task": "user"},
    ],
    "protocol": {"epochs": 1, "stages": {"calibration": {"epochs": 10}}},
}
DRIVER = """
import sys, time
from pathlib import Path
from raylab.runs.cluster import connect
from raylab.runs.run import start
from raylab.trials.study import read_study
study, root, out, address, cpus = sys.argv[1:]
began = time.time()
connect(address or None, **({} if address else {"num_cpus": int(cpus)}))
connected = time.time()
assert start(read_study(Path(study)), root, out, log=lambda line: None).complete
print(began, connected, time.time())
"""
SPIN = """
import time
end, began = time.perf_counter() + 3, time.process_time()
while time.perf_counter() < end: pass
print((time.process_time() - began) / 3)
"""


@dataclass(frozen=True)
class Measured:
    """A real run, in seconds.

    Attributes:
        slots: trials at once.
        raylets: nodes on loopback; 0: a local Ray.
        trials_s: from the first trial's start to the last one's end.
        start_s: from Ray's connection to the first trial's start.
        end_s: from the last trial's end to the return.
        worker_s: of all trials in their workers.
        trained_s: processor time of their trainings.
        trials: number.
        cores: that this machine has for us beside other work: the mean of a measurement before and one after the run.
        load: of the machine (1 min) after the run.
    """

    slots: int
    raylets: int
    trials_s: float
    start_s: float
    end_s: float
    worker_s: float
    trained_s: float
    trials: int
    cores: float
    load: float


def validation_plan(folder: Path, content: Mapping[str, Any]) -> tuple[Study, Plan]:
    """Windows of simulated people, written once, and the plan of the study on them."""
    study = parse_study(content, "validation")
    if not (folder / "windows" / "simulated" / "card.json").exists():
        options = {"participants": 8, "minutes": 8}
        prepare(PrepareRequest("simulated", ".", str(folder / "windows" / "simulated"), options=options), where="local", say=lambda line: None)
    (folder / "study.yaml").write_text(yaml.safe_dump(study.as_dict(), sort_keys=False), encoding="utf-8")
    return study, planned(study, indexes_of(study, str(folder / "windows")))


def step_seconds(folder: Path, study: Study, plan: Plan) -> dict[StageShape, float]:
    """Processor seconds of a step of each shape: the longest stage of each is timed, as ``raylab run --plan`` does."""
    indexes = indexes_of(study, str(folder / "windows"))
    longest: dict[StageShape, DistinctStage] = {}
    for one in survey(list(plan.trials), indexes)[0].values():
        if one.shape not in longest or one.steps > longest[one.shape].steps:
            longest[one.shape] = one
    windows = {"simulated": read_source(str(folder / "windows"), "simulated")}
    return {shape: timing.step_s for shape, timing in timings_in_process(list(longest.values()), windows).items()}


def free_cores() -> float:
    """Processor seconds that as many busy processes as there are cores get in a second of this machine."""
    command, count = [sys.executable, "-c", SPIN], os.cpu_count() or 1
    spinners = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(spinner.communicate()[0]) for spinner in spinners)


def real_run(folder: Path, slots: int, raylets: int, number: int) -> Measured:
    """Run the study in a driver of its own, on a local Ray or on so many raylets."""
    out = folder / f"run-{slots}-{raylets}-{number}"
    command = [sys.executable, "-c", DRIVER, str(folder / "study.yaml"), str(folder / "windows"), str(out)]
    cluster, before = None, free_cores()
    try:
        if raylets:
            os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # nodes on loopback may join
            node = {"num_cpus": slots // raylets, "object_store_memory": 150_000_000}
            cluster = Raylets(initialize_head=True, head_node_args=node)
            for _ in range(raylets - 1):
                cluster.add_node(**node)
            cluster.wait_for_nodes()
        address = cluster.address if cluster else ""
        done = subprocess.run([*command, address, str(slots)], check=True, stdout=subprocess.PIPE, text=True)
    finally:
        if cluster:
            cluster.shutdown()
    cores = (before + free_cores()) / 2
    _, connected, ended = map(float, done.stdout.split()[-3:])
    run = RunFolder(str(out))
    records = run.records()
    first = min(record["ended"] - record["seconds"] for record in records)
    last = max(record["ended"] for record in records)
    trained = sum(row["cpu_s"] for row in run.store.trainings() if row["status"] == "completed")
    worker = sum(record["seconds"] for record in records)
    return Measured(slots, raylets, last - first, first - connected, ended - last, worker, trained, len(records), cores, os.getloadavg()[0])


def calibrated(runs: Sequence[Measured], given: Overheads) -> Overheads:
    """What a trial takes beside its trainings, from runs on one slot: medians.

    Requests to a store are part of a trial's time here, and nothing boots.
    """
    median = statistics.median
    return replace(
        given,
        trial_s=median((run.worker_s - run.trained_s) / run.trials for run in runs),
        handover_s=max(0.0, median((run.trials_s - run.worker_s) / run.trials for run in runs) - given.driver_s),
        start_s=median(run.start_s for run in runs),
        end_s=median(run.end_s for run in runs),
        requests=0,
        boot_s=0.0,
        planning_s=0.0,
    )


def predicted(plan: Plan, steps: Mapping[StageShape, float], slots: int, cores: float, given: Overheads) -> float:
    """Seconds from the first trial's start to the last one's end."""

    def seconds(stage: StageWork) -> float:
        return stage.epochs * stage.steps * steps[stage.shape]

    outcome = Simulation(plan.work(seconds), Cluster(slots, cores=cores), given).run()
    return outcome.seconds - given.start_s - given.end_s - given.person_s * plan.people


def validate(folder: Path, cases: Sequence[tuple[int, int]], repeats: int) -> dict[str, Any]:
    """Real runs of each case (slots, raylets; one of them has one slot) and the predictions of them.

    Steps are timed before each round of runs; of each shape the median is taken. ``predicted_s`` is for all cores of this machine,
    ``predicted_beside_s`` for the cores that other work leaves.
    """
    study, plan = validation_plan(folder, STUDY)
    runs, timings = [], []
    for number in range(repeats):
        timings.append(step_seconds(folder, study, plan))
        for case in cases:
            runs.append(real_run(folder, *case, number))
            typer.echo(json.dumps(asdict(runs[-1])))
    steps = {shape: statistics.median(timing[shape] for timing in timings) for shape in timings[0]}
    given = calibrated([run for run in runs if run.slots == 1], Overheads())
    all_cores = float(os.cpu_count() or 1)
    rows = [
        {
            **asdict(run),
            "predicted_s": predicted(plan, steps, run.slots, all_cores, given),
            "predicted_beside_s": predicted(plan, steps, run.slots, run.cores, given),
        }
        for run in runs
    ]
    return {
        "step_ms": {str(shape): [1000 * timing[shape] for timing in timings] for shape in steps},
        "overheads": asdict(given),
        "runs": [{**row, "ratio": row["predicted_s"] / row["trials_s"]} for row in rows],
    }


def main(
    out: Annotated[Path, typer.Option(help="an empty folder for windows and runs")],
    repeats: Annotated[int, typer.Option(help="rounds of runs")] = 3,
    cases: Annotated[str, typer.Option(help="trials at once, or RAYLETSxTRIALS of each; 1 has to be among them")] = "1,2,3x1",
) -> None:
    """Run, predict, print, and write `validation.json` with the calibrated overheads."""
    out.mkdir(parents=True, exist_ok=True)
    pairs = [tuple(map(int, case.split("x"))) if "x" in case else (0, int(case)) for case in cases.split(",")]
    found = validate(out, [(max(1, raylets) * trials, raylets) for raylets, trials in pairs], repeats)
    text = json.dumps(found, indent=1)
    (out / "validation.json").write_text(text, encoding="utf-8")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
