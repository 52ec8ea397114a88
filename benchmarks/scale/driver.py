"""What raylab's own code costs the driver for each trial, without Ray and without trainings: the scheduler, the callbacks, the records.

Tune's events are made here, as it would call them: a trial starts, reports each of its stages and its end, and completes.
"""

import gc
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from benchmarks.scale.cohort import cohort_index
from benchmarks.scale.memory import status_kib
from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease
from raylab.runs.progress import Progress
from raylab.runs.prometheus import Metrics
from raylab.runs.stage_lifetime import StageLifetime
from raylab.runs.stage_scheduler import StageScheduler
from raylab.runs.stop import StopRequest
from raylab.runs.tensorboard_logs import TensorBoardLogger
from raylab.runs.tune_callbacks import LeaseAndCompaction, ProgressCallback
from raylab.runs.tune_memory import KeepLittle
from raylab.trials.plan import plan
from raylab.trials.stacks import Unit, units_of
from raylab.trials.study import parse_study
from raylab.trials.trial import Trial

PEOPLE, WINDOWS = 25, 60
PER_SEED = 2 * PEOPLE  # trials: a base and a calibration of it for each
EPOCHS = 10
DIGEST = "0" * 32


def _trials(count: int) -> list[Trial]:
    content = {
        "name": "driver",
        "datasets": [{"windows": "cohort", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": "all", "budget": 0.3}],
        "seeds": list(range(-(-count // PER_SEED))),
    }
    return list(plan(parse_study(content, "driver"), {"cohort": cohort_index(PEOPLE, WINDOWS)}))[:count]


def _reports(trial: Trial) -> Iterator[dict[str, Any]]:
    """What a worker reports of a trial: each stage, and its end."""
    curve = [{"epoch": number, "loss": 0.5, "val_loss": 0.6, "learning_rate": 0.001} for number in range(1, EPOCHS + 1)]
    for place, stage in enumerate(trial.stages):
        own = place == len(trial.stages) - 1
        event = {"trial": trial.key, "stage": f"stage {place}", "stage_done": stage, "reused": not own}
        yield {**event, "curve": curve if own else [], "windows": EPOCHS * WINDOWS if own else 0}
    record = {
        **trial.labels, "trial": trial.key, "status": "ok", "error": "", "epochs": EPOCHS, "windows_trained": EPOCHS * WINDOWS, "seconds": 1.0,
        "stages": list(trial.stages), "stages_reused": 0, "device": "cpu", "node": "127.0.0.1", "ended": 1.0, "n_test": WINDOWS, "people": PEOPLE,
        "auroc": 0.5, "trained_on": ["P00001"], "predictions_digest": DIGEST, "predictions_bytes": 2000,
    }  # fmt: skip
    trained = {
        "attempt": f"{trial.stages[-1]}.1", "stage": trial.stages[-1], "trial": trial.key, "name": "base", "model": "fcn", "dataset": "cohort",
        "status": "completed", "started": 0.0, "ended": 1.0, "epochs": EPOCHS, "steps": EPOCHS, "windows": WINDOWS, "repairs": False, "cpu_s": 1.0,
    }  # fmt: skip
    yield {
        **record, "row": trial.labels, "stage": "", "stage_done": "", "curve": [], "finished": True, "trainings": [trained],
    }  # fmt: skip


@dataclass(eq=False)  # as Tune's: callbacks know a trial by what it is, not by what it holds
class _TuneTrial:
    """What callbacks read of one of Tune's trials."""

    trial_id: str
    config: dict[str, Any]
    local_path: str
    run_metadata: SimpleNamespace


class _Costs:
    """Processor milliseconds of this thread by part."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        began = time.thread_time()
        yield
        self.ms[part] += 1000 * (time.thread_time() - began)


class _DriverParts:
    """The parts of a driver that see every trial."""

    def __init__(self, run: RunFolder, trials: list[Trial], add: Any, lease: Lease) -> None:
        leaves = StageLifetime.of(run, trials, "bases").leaves
        progress = Progress(len(trials), lambda line: None)
        self.costs = _Costs()
        self.scheduler = StageScheduler(units_of(trials, trials), set(), leaves)
        self.progress = ProgressCallback(progress, Metrics(run.uri), self.scheduler, run, lease)
        self.records = LeaseAndCompaction(add, lease, StopRequest(None))
        self.logs = TensorBoardLogger(run.folder.sub("tune/start"))
        self.memory = KeepLittle()
        self.place = Path(run.folder.at("tune/start"))

    def run(self, number: int) -> None:
        """One unit, from its start to its end."""
        costs, name = self.costs, str(number)
        with costs.of("scheduler"):
            config = self.scheduler.suggest(name)
        unit = Unit.from_config(config)
        trial = _TuneTrial(name, config, str(self.place / unit.key), SimpleNamespace())
        with costs.of("progress"):
            self.progress.on_trial_start(0, [], trial)
        for result in (result for one in unit.trials for result in _reports(one)):
            with costs.of("scheduler"):
                self.scheduler.on_trial_result(name, result)
            with costs.of("progress"):
                self.progress.on_trial_result(0, [], trial, result)
            with costs.of("records"):
                self.records.on_trial_result(0, [], trial, result)
            with costs.of("tensorboard"):
                self.logs.log_trial_result(0, trial, result)
            with costs.of("memory"):
                self.memory.on_trial_result(0, [], trial, result)
        with costs.of("scheduler"):
            self.scheduler.on_trial_complete(name, {})
        with costs.of("progress"):
            self.progress.on_trial_complete(0, [], trial)
        with costs.of("tensorboard"):
            self.logs.log_trial_end(trial)
        with costs.of("memory"):
            self.memory.on_trial_complete(0, [], trial)


def _kib(traced: bool) -> float:
    return (tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes()) / 1024 if traced else status_kib("RssAnon")


def measure(out: Path, count: int, traced: bool = False) -> dict[str, Any]:
    """So many trials, one after the other; processor milliseconds a trial by part, and memory that they add to the driver.

    ``all_ms``: of the whole process, threads that write files among it. A first tenth of the trials is not counted.

    Args:
        traced: count the bytes of living objects, Arrow's among them, instead of the process's pages; the times are then of no use.
    """
    run, trials = RunFolder(str(out / "run")), _trials(count)
    with Lease(run.folder) as lease, run.compaction(alone=True) as add:
        driver, warm = _DriverParts(run, trials, add, lease), count // 10
        for number in range(warm):
            driver.run(number)
        driver.costs.ms.clear()
        gc.collect()
        if traced:
            tracemalloc.start()
        before, began = _kib(traced), time.process_time()
        for number in range(warm, len(trials)):
            driver.run(number)
        spent = 1000 * (time.process_time() - began)
        gc.collect()
        added = _kib(traced) - before
        tracemalloc.stop()
    counted = len(trials) - warm
    by_part = {f"{part}_ms": round(ms / counted, 3) for part, ms in driver.costs.ms.items()}
    return {"trials": len(trials), **by_part, "all_ms": round(spent / counted, 3), "kib_a_trial": round(added / counted, 2)}
