"""One pass over all windows of a cohort, in the order of an epoch: mapped from a copy, read person by person in this process, and by Ray Data.

In turns in one process, so that what else the machine does meets all of them. Seconds of processor time are those of this process and of all that
Ray runs for it; the time of the pass alone, not of the checks and copies before.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.scale.memory import LARGE, write_windows
from raylab.runs.cluster import connect
from raylab.runs.shared_windows import shared_windows, windows_of
from raylab.training.batches import Signals
from raylab.training.epoch_order import order_of_epoch
from raylab.training.job import CPU
from raylab.windows.cross_corpus import open_windows
from raylab.windows.dataset import Windows

BUFFER, BATCH = 4096, 64


def _cpu_s() -> float:
    """Processor seconds of this process and of all that live below it."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:  # ended meanwhile; Ray's workers live on
            continue
        total += used.user + used.system
    return total


def _pass(windows: Windows, seed: int) -> tuple[float, float, float]:
    """Wall and processor seconds of a pass, and the sum of all samples."""
    index, signals = windows.index, Signals(windows.signals, windows.lengths)
    rows, people = np.arange(len(index.window)), index.participant_index
    order = order_of_epoch(rows, people, BUFFER, np.random.default_rng(seed))
    began, cpu, total = time.perf_counter(), _cpu_s(), 0.0
    signals.expect(order)
    for first in range(0, len(order), BATCH):
        total += sum(float(x.double().sum()) for x in signals.batch(order[first : first + BATCH], CPU).values.values())
    return time.perf_counter() - began, _cpu_s() - cpu, total


def measure(out: Path, mib: float, passes: int) -> dict[str, Any]:
    """Medians of the passes, and whether all saw the same numbers."""
    size = write_windows(out, LARGE, mib)
    connect()
    (reference,) = shared_windows(str(out), [LARGE], "streamed").values()
    ways = {"mapped": open_windows(str(out), LARGE), "read here": open_windows(str(out), LARGE, "streamed")}
    ways["Ray Data"] = windows_of(reference)
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for seed in range(passes + 1):
        for name, windows in ways.items():
            taken[name].append(_pass(windows, seed))
    taken = {name: each[1:] for name, each in taken.items()}  # the first pass warms up
    sums = {tuple(total for _, _, total in each) for each in taken.values()}
    found: dict[str, Any] = {"mib": size // 2**20, "windows": len(ways["mapped"].index.window), "equal": len(sums) == 1}
    for name, each in taken.items():
        found[name] = {"wall_s": statistics.median(w for w, _, _ in each), "cpu_s": statistics.median(c for _, c, _ in each)}
    return found
