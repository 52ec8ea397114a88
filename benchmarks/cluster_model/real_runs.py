"""The model against real runs on this machine: calibrated on one core, compared on two and on several raylets.

What a step takes (processor time), a trial's share beside training and the hand-over between two trials are taken from the runs on one core. A step
takes more processor time while other processes train on the same machine, since they share caches and memory, and often the arithmetic units of a
core: how much more is measured apart, by trainings in one process and in several (``crowding``). The runs that are predicted give nothing.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from ray.cluster_utils import Cluster as Raylets

from benchmarks.cluster_model.costs import ClusterShape, Overheads
from benchmarks.cluster_model.plans import Plan, StageWork, planned
from benchmarks.cluster_model.simulation import Simulation
from raylab.runs.folder import RunFolder
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import indexes_of
from raylab.runs.stage_timing import StageShape, time_stage
from raylab.trials.plan import plan as plan_of
from raylab.trials.plan import stages_of
from raylab.trials.study import Study, parse_study
from raylab.windows.cross_corpus import open_windows

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


TIMED = 3  # times that a step is timed in each turn
NOT_CROWDED: Mapping[int, float] = {}


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
        first_s: of the first trial, beside its trainings.
        trials: number.
        load: of the machine (1 min) after the run.
    """

    slots: int
    raylets: int
    trials_s: float
    start_s: float
    end_s: float
    worker_s: float
    trained_s: float
    first_s: float
    trials: int
    load: float


def validation_plan(folder: Path, content: Mapping[str, Any]) -> tuple[Study, Plan]:
    """Windows of simulated people, written once, and the plan of the study on them."""
    study = parse_study(content, "validation")
    if not (folder / "windows" / "simulated" / "card.json").exists():
        options = {"participants": 8, "minutes": 8}
        prepare(
            PrepareRequest("simulated", ".", str(folder / "windows" / "simulated"), options=options),
            where="local",
            say=lambda line: None,
        )
    (folder / "study.yaml").write_text(yaml.safe_dump(study.as_dict(), sort_keys=False), encoding="utf-8")
    return study, planned(study, indexes_of(study, str(folder / "windows")))


def step_seconds(runs: Sequence[RunFolder], plan: Plan) -> dict[StageShape, float]:
    """Processor seconds of a step of each shape, of all trainings in these run folders."""
    cpu_s, steps = Counter[StageShape](), Counter[StageShape]()
    for run in runs:
        for row in run.store.trainings():
            if row["status"] == "completed":
                stage = plan.stages[row["stage"]]
                cpu_s[stage.shape] += row["cpu_s"]
                steps[stage.shape] += row["epochs"] * stage.steps
    return {shape: cpu_s[shape] / steps[shape] for shape in steps}


def folder_of(folder: Path, slots: int, raylets: int, number: int) -> Path:
    """The run folder of a case."""
    return folder / f"run-{slots}-{raylets}-{number}"


def real_run(folder: Path, slots: int, raylets: int, number: int) -> Measured:
    """Run the study in a driver of its own, on a local Ray or on so many raylets."""
    out, cluster = folder_of(folder, slots, raylets, number), None
    command = [sys.executable, "-c", DRIVER, str(folder / "study.yaml"), str(folder / "windows"), str(out)]
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
    _, connected, ended = map(float, done.stdout.split()[-3:])
    return measured(RunFolder(str(out)), slots, raylets, connected, ended)


def measured(run: RunFolder, slots: int, raylets: int, connected: float, ended: float) -> Measured:
    """What the records of a run say, and when Ray was connected and the driver returned (Unix time)."""
    records = run.records()
    first = min(record["ended"] - record["seconds"] for record in records)
    last = max(record["ended"] for record in records)
    trained = sum(row["cpu_s"] for row in run.store.trainings() if row["status"] == "completed")
    worker = sum(record["seconds"] for record in records)
    began = min(records, key=lambda record: record["ended"] - record["seconds"])
    own = sum(row["cpu_s"] for row in run.store.trainings() if row["trial"] == began["trial"])
    return Measured(
        slots,
        raylets,
        last - first,
        first - connected,
        ended - last,
        worker,
        trained,
        began["seconds"] - own,
        len(records),
        os.getloadavg()[0],
    )


def calibrated(runs: Sequence[Measured], given: Overheads) -> Overheads:
    """What a trial takes beside its trainings, from runs on one slot: medians.

    Requests to a store are part of a trial's time here, and nothing boots.
    """
    median = statistics.median
    trial_s = median((run.worker_s - run.trained_s - run.first_s) / (run.trials - 1) for run in runs)
    return replace(
        given,
        trial_s=trial_s,
        worker_s=max(0.0, median(run.first_s for run in runs) - trial_s),
        handover_s=max(0.0, median((run.trials_s - run.worker_s) / run.trials for run in runs) - given.driver_s),
        start_s=median(run.start_s for run in runs),
        end_s=median(run.end_s for run in runs),
        requests=0,
        boot_s=0.0,
        planning_s=0.0,
    )


def _steps_in_turns(root: str, study: Study, turns: Any, rounds: int, first: bool, found: Any) -> None:
    """Processor seconds of a step of the study's first base, timed in the first of some processes alone, then in all of them, again and again."""
    indexes = indexes_of(study, root)
    (source,) = indexes
    trial = next(iter(plan_of(study, indexes)))
    windows = open_windows(root, source)
    _, stages = stages_of(trial, windows.index)

    def timed() -> list[float]:
        return [time_stage(trial, stages[0].name, windows, "cpu").step_s for _ in range(TIMED)]

    timed()  # imports, first touch
    ratios = []
    for _ in range(rounds):
        turns.wait()
        alone = timed() if first else []
        turns.wait()
        beside = timed()
        if first:
            ratios.append(statistics.median(beside) / statistics.median(alone))
    found.put(ratios)


def crowding(root: str, study: Study, processes: int, rounds: int = 15) -> float:
    """How many times the processor time of a step is what one process alone takes, while so many train at once: the median of some rounds.

    The same processes train alone and beside each other, in turns, so that a machine that gets slower or faster meanwhile counts for both.
    """
    context = multiprocessing.get_context("spawn")
    turns, found = context.Barrier(processes), context.Queue()
    started = [
        context.Process(target=_steps_in_turns, args=(root, study, turns, rounds, number == 0, found))
        for number in range(processes)
    ]
    for process in started:
        process.start()
    ratios: list[float] = [ratio for _ in started for ratio in found.get(timeout=600)]
    for process in started:
        process.join()
    return statistics.median(ratios)


def predicted(plan: Plan, steps: Mapping[StageShape, float], slots: int, cores: float, given: Overheads) -> tuple[float, float]:
    """Seconds from the first trial's start to the last one's end; and of these, what a slot waits for a core that others of the run have."""

    def seconds(stage: StageWork) -> float:
        return stage.epochs * stage.steps * steps[stage.shape]

    work = plan.work(seconds)
    outcome = Simulation(work, ClusterShape(slots, cores=cores), given).run()
    busy = outcome.slot_s["training"] + outcome.slot_s["trial"]
    waits = (busy - work.training_s - slots * given.worker_s - work.trials * (given.trial_s + given.handover_s)) / slots
    return outcome.seconds - given.start_s - given.end_s - given.person_s * plan.people, waits


def validate(folder: Path, cases: Sequence[tuple[int, int]], repeats: int) -> dict[str, Any]:
    """Real runs of each case (slots, raylets; one of them has one slot), and the comparison."""
    study, plan = validation_plan(folder, STUDY)
    at_once = sorted({slots for slots, _ in cases})
    crowded = {n: 1.0 if n == 1 else crowding(str(folder / "windows"), study, n) for n in at_once}
    runs = []
    for number in range(repeats):
        for case in cases:
            runs.append(real_run(folder, *case, number))
            typer.echo(json.dumps(asdict(runs[-1])))
    alone = [RunFolder(str(folder_of(folder, 1, 0, number))) for number in range(repeats)]
    return compared(plan, step_seconds(alone, plan), runs, crowded)


def compared(
    plan: Plan, steps: Mapping[StageShape, float], runs: Sequence[Measured], crowded: Mapping[int, float] = NOT_CROWDED
) -> dict[str, Any]:
    """Predictions beside the runs, for a machine without other work.

    Args:
        crowded: by the number of processes that train at once, also more than there are cores, how many times a step's processor time is that of
            one alone (``crowding``).

    ``waited_s`` is what a slot waited for a core: seconds of its trials beyond training and what a trial and a worker take on one slot; ``others_s``
    of that what slots of the run do not explain, so it is other work's. ``ratio`` is predicted / measured, ``ratio_without_others`` the same with
    ``others_s`` taken from what was measured.
    """
    given, rows = calibrated([run for run in runs if run.slots == 1], Overheads()), []
    for run in runs:
        cores = os.cpu_count() or 1
        times = crowded.get(run.slots, 1.0)
        own = {shape: times * step for shape, step in steps.items()}
        beside = replace(given, trial_s=times * given.trial_s, worker_s=times * given.worker_s)
        seconds, own_waits = predicted(plan, own, run.slots, float(cores), beside)
        waited = (run.worker_s - run.trained_s - beside.trial_s * run.trials) / run.slots - beside.worker_s
        others = max(0.0, waited - own_waits)
        row = {
            "crowding": times,
            "predicted_s": seconds,
            "ratio": seconds / run.trials_s,
            "waited_s": waited,
            "others_s": others,
        }
        rows.append({**asdict(run), **row, "ratio_without_others": seconds / (run.trials_s - others)})
    return {"step_ms": {str(shape): 1000 * value for shape, value in steps.items()}, "overheads": asdict(given), "runs": rows}


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
