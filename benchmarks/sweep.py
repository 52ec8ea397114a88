"""`python -m benchmarks sweep --trials 10000 --out DIR`: the driver's cost per trial, and whether it grows with the number of trials.

The trials go through the same code as in `raylab run` and have nothing to train: every stage is stored beforehand, as a resumed run finds it.
Each trial still plans its fold, loads weights, predicts its target and writes its record and predictions. On a machine without GPUs, 4
are simulated and shared by quarters, so that 16 trials run at the same time.
"""

import os
import statistics
import threading
import time
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from raylab.files import Folder
from raylab.models.network import build
from raylab.runs.cluster import connect
from raylab.runs.folder import RunFolder
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.plan import plan, stages_of
from raylab.trials.study import Study, parse_study
from raylab.windows.dataset import WindowIndex, read_index

N_PARTICIPANTS = 4
EARLY, LATE = 500, 1000  # the last LATE trials are compared with trials EARLY+1 to LATE, when the start is over


def study_of(trials: int) -> Study:
    """A study with at least this many trials: a small model, 4 participants, and as many seeds as needed."""
    content = {
        "name": "overhead",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized"],
        "seeds": list(range(-(-trials // N_PARTICIPANTS))),
        "resources": {"cpu": 1, "gpu": 0.25},
    }
    return parse_study(content, "overhead")


def store_every_stage(study: Study, index: WindowIndex, run: RunFolder) -> None:
    """Store untrained weights under the hash of every stage of the study, so that no trial has anything to train."""
    for trial in plan(study, {"simulated": index}):
        context, stages = stages_of(trial, index)
        network = build(context.model, context.shapes, context.n_classes, context.adapter, context.fold.draws)
        for stage in stages:
            if not run.store.has(stage.hash):
                run.store.save(stage.hash, network.state_of(stage.trainable))


class DriverMonitor:
    """Samples this process every second while the ``with`` block runs.

    Attributes:
        samples: (Unix time, processor seconds so far, bytes of memory).
    """

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "DriverMonitor":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(1.0):
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            self.samples.append((time.time(), time.process_time(), pages * os.sysconf("SC_PAGE_SIZE")))

    def between(self, begin: float, end: float) -> tuple[float, int]:
        """Processor seconds used, and bytes of memory added, between two moments in Unix time."""
        first, last = (min(self.samples, key=lambda sample: abs(sample[0] - moment)) for moment in (begin, end))
        return last[1] - first[1], last[2] - first[2]


def lines(ended: list[float], driver: DriverMonitor) -> list[str]:
    """Overhead early and late, their ratio, and the driver's memory per trial, as lines to print.

    Args:
        ended: end of each trial, Unix time, sorted.
        driver: the monitor of the run.
    """
    summary, medians, cpu_ms = [], [], []
    for first, last in ((EARLY, LATE), (len(ended) - LATE, len(ended))):
        times = ended[first - 1 : last]
        gaps = [1000 * (later - earlier) for earlier, later in pairwise(times)]
        medians.append(statistics.median(gaps))
        cpu_ms.append(1000 * driver.between(times[0], times[-1])[0] / len(gaps))
        summary.append(
            f"trials {first + 1:,}-{last:,}: median {medians[-1]:.1f} ms, mean {statistics.mean(gaps):.1f} ms per trial; "
            f"the driver's processor time {cpu_ms[-1]:.1f} ms"
        )
    growth = driver.between(ended[EARLY], ended[-1])[1] / (len(ended) - EARLY)
    return [
        *summary,
        f"late / early: {medians[1] / medians[0]:.2f} (median), {cpu_ms[1] / cpu_ms[0]:.2f} (processor time)",
        f"driver's memory: {driver.samples[-1][2] / 2**20:.0f} MiB at the end, {growth / 1024:.1f} KiB more per trial",
    ]


def max_concurrent(records: list[dict[str, Any]]) -> int:
    """The largest number of trials that ran at the same time, from the end and the duration of each."""
    changes = sorted(
        (moment, step) for row in records for moment, step in ((row["ended"] - row["seconds"], 1), (row["ended"], -1))
    )
    return max(accumulate(step for _, step in changes))


def sweep(
    out: Annotated[Path, typer.Option(help="an empty folder for the windows and the run")],
    trials: Annotated[int, typer.Option(help="how many; more than 1,000", min=LATE + 2)] = 10_000,
    gpus: Annotated[int, typer.Option(help="simulated GPUs")] = 4,
) -> None:
    """Simulate a cohort, store every stage, run the trials, print their cost."""
    connect(num_cpus=4 * gpus, num_gpus=gpus)
    options = {"participants": N_PARTICIPANTS, "minutes": 3}
    prepare(PrepareRequest("simulated", ".", str(out / "windows" / "simulated"), options=options), say=lambda line: None)
    study, run = study_of(trials), RunFolder(str(out / "run"))
    store_every_stage(study, read_index(Folder(str(out / "windows" / "simulated"))), run)
    typer.echo(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with DriverMonitor() as driver:
        summary = start(study, str(out / "windows"), run.uri, log=typer.echo)
    records = run.records()
    report = [*summary.lines(), *lines(sorted(row["ended"] for row in records), driver)]
    for line in [*report, f"at once: at most {max_concurrent(records)} trials", f"load after: {os.getloadavg()[0]:.1f}"]:
        typer.echo(line)
