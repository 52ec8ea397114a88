"""`python -m benchmarks.cluster_model STUDY --gpus 1000`: what a study would take on so many GPUs, by simulation (docs/results/cluster_model.md).

STUDY is a study file, or `cohort`: `--people` in ten groups, a base for each group and eight calibrations of it for each person. A study file
is planned on `--windows`; without these it has to name the paper's datasets, whose indexes are simulated. Each row is printed as JSON, with its
assumptions.
"""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml

from benchmarks.cluster_model.costs import HOUR_S, ClusterShape, Gpu, Overheads
from benchmarks.cluster_model.plans import Plan, StageWork, cohort_plan, paper_plan, planned
from benchmarks.cluster_model.simulation import STATES, SimulatedRun, Simulation, Work, critical_path
from benchmarks.results import append
from raylab.runs.run import indexes_of
from raylab.trials.study import read_study

Stop = Literal["never", "earliest", "half"]


def epochs_of(stage: StageWork, stop: Stop) -> float:
    """Epochs of a stage: all; as early as patience allows; or the mean of both."""
    return {"never": stage.epochs, "earliest": stage.earliest, "half": (stage.epochs + stage.earliest) / 2}[stop]


def row_of(work: Work, cluster: ClusterShape, overheads: Overheads, outcome: SimulatedRun) -> dict[str, Any]:
    """What is printed of a simulated run.

    GPU-hours are those of all GPUs from the cluster's start to the end of the run. Efficiency: seconds of training / seconds of all slots, planning
    and start included. The first bottleneck is what takes most of the slots' time beside training.
    """
    slots_s = sum(outcome.slot_s.values())
    gpu_hours = slots_s / cluster.sharing / HOUR_S
    others = {state: seconds for state, seconds in outcome.slot_s.items() if state != "training"}
    others["start"] = cluster.slots * outcome.seconds - slots_s
    first = max(others, key=lambda state: others[state])
    return {
        "gpus": cluster.gpus,
        "trials": work.trials,
        "stages": len(work.stage_s),
        "hours": round(outcome.seconds / HOUR_S, 3),
        "gpu_hours": round(gpu_hours, 1),
        "dollars": round(gpu_hours * cluster.dollars),
        "efficiency": round(work.training_s / cluster.slots / outcome.seconds, 4),
        "critical_path_h": round(critical_path(work, overheads) / HOUR_S, 3),
        "bottleneck": first,
        "bottleneck_share": round(others[first] / cluster.slots / outcome.seconds, 4),
        **{state: round(outcome.slot_s[state] / cluster.slots / outcome.seconds, 4) for state in STATES},
        "driver_busy": round(outcome.driver_s / cluster.drivers / outcome.seconds, 4),
        "nodes_lost": outcome.nodes_lost,
        "restarts": outcome.restarts,
        "most_restarts_of_one": outcome.worst,
    }


def plan_of(study: str, windows: Path | None, people: int, each: int, stacked: bool, batch: int) -> Plan:
    """The plan that the command line asks for."""
    changes = {"batch_size": batch} if batch else {}
    if study == "cohort":
        return cohort_plan(people, each, stacked, changes)
    if windows is None:
        return paper_plan(yaml.safe_load(Path(study).read_text(encoding="utf-8")), stacked, changes)
    if stacked or batch:
        raise typer.BadParameter("with --windows the study file says numerics and batch size")
    read = read_study(Path(study))
    return planned(read, indexes_of(read, str(windows)))


def main(
    study: Annotated[str, typer.Argument(help="a study file, or `cohort`")],
    gpus: Annotated[str, typer.Option(help="several, separated by commas")] = "1,8,64,1000",
    windows: Annotated[Path | None, typer.Option(help="folder of prepared windows; none: simulated indexes")] = None,
    people: Annotated[int, typer.Option(help="of the cohort")] = 10_000,
    each: Annotated[int, typer.Option(help="windows of each person of the cohort")] = 60,
    stacked: Annotated[bool, typer.Option(help="`numerics: stacked`")] = False,
    batch: Annotated[int, typer.Option(help="`batch_size` of the protocol; 0: the models' own")] = 0,
    share: Annotated[int, typer.Option(help="trials on one GPU")] = 1,
    drivers: Annotated[int, typer.Option(help="shards, a driver each")] = 1,
    stop: Annotated[Stop, typer.Option(help="when trainings stop")] = "never",
    tflops: Annotated[float, typer.Option(help="assumed, of one GPU")] = 15.0,
    launch_us: Annotated[float, typer.Option(help="assumed, of one kernel")] = 8.0,
    request_ms: Annotated[float, typer.Option(help="assumed, of the store")] = 30.0,
    dollars: Annotated[float, typer.Option(help="of a GPU on demand, an hour")] = 1.0,
    spot_dollars: Annotated[float, typer.Option(help="of a spot GPU, an hour")] = 0.4,
    losses: Annotated[str, typer.Option(help="of a node of 4 GPUs, an hour; several")] = "0,0.05",
    seed: Annotated[int, typer.Option(help="of the losses")] = 0,
    results: Annotated[Path, typer.Option(help="a line is added for each row")] = Path("build/cluster_model.jsonl"),
) -> None:
    """Plan once, simulate each number of GPUs, without and with losses."""
    began = time.process_time()
    plan = plan_of(study, windows, people, each, stacked, batch)
    gpu, overheads = Gpu(tflops * 1e12, launch_us / 1e6), Overheads(request_s=request_ms / 1000)
    seconds = plan.on_gpu(gpu, share, lambda stage: epochs_of(stage, stop))
    work = plan.work(seconds, drivers)
    settings = {"study": study, "stacked": stacked, "batch": batch, "share": share, "drivers": drivers, "stop": stop}
    settings |= {"tflops": tflops, "launch_us": launch_us, "request_ms": request_ms, "seed": seed}
    typer.echo(
        f"planned in {time.process_time() - began:.0f} s; trainings {work.training_s / 24 / HOUR_S:.1f} days on one slot"
    )
    for rate in map(float, losses.split(",")):
        for count in map(int, gpus.split(",")):
            cluster = ClusterShape(
                count * share, share, drivers=drivers, losses=rate, dollars=spot_dollars if rate else dollars
            )
            outcome = Simulation(work, cluster, overheads, seed).run()
            row = row_of(work, cluster, overheads, outcome)
            append(results, "cluster_model", {**settings, "losses": rate}, row)


if __name__ == "__main__":
    typer.run(main)
