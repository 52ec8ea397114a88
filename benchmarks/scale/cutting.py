"""Windows that lie one after the other on a node's disk, and windows that are cut from their samples when they are read: room, and time to gather.

In turns in one process; the sums of all samples are compared. ``alone`` gathers a batch as a training alone does, ``stack`` as one training of eight
folds does.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from raylab.files import Folder
from raylab.training.batches import Signals
from raylab.training.job import CPU
from raylab.training.resident import Resident
from raylab.windows.mapped import map_windows

BATCH, STACK = 16, 8


def measure(windows: Path, passes: int) -> dict[str, Any]:
    """Bytes, and processor seconds of a pass over all windows in another order: medians."""
    cut, copy = map_windows(Folder(str(windows.absolute())))
    rng, rows = np.random.default_rng(0), len(cut.index.window)
    with tempfile.TemporaryDirectory() as scratch:
        whole = {name: _saved(Path(scratch) / f"{k}.npy", np.asarray(x)) for k, (name, x) in enumerate(cut.signals.items())}
        ways = {"whole": Signals(whole, cut.lengths), "cut": Signals(cut.signals, cut.lengths)}
        resident = {name: Resident.of(signals, CPU) for name, signals in ways.items()}
        taken: dict[str, list[float]] = {f"{kind}, {way}": [] for kind in ("alone", "stack") for way in ways}
        sums = dict.fromkeys(ways, 0.0)
        for _ in range(passes):
            order = rng.permutation(rows)
            for way, signals in ways.items():
                taken[f"alone, {way}"].append(_pass(partial(signals.batch, device=CPU), order, BATCH))
                taken[f"stack, {way}"].append(_pass(resident[way].gather, order, BATCH * STACK))
                sums[way] += sum(float(x.double().sum()) for x in signals.padded(order).values.values())
        size = {way: sum(x.nbytes for x in signals.values.values()) for way, signals in ways.items()}
    return {
        "windows": rows, "mib_whole": size["whole"] / 2**20, "mib_cut": size["cut"] / 2**20, "equal": sums["whole"] == sums["cut"],
        "copy": sum(path.stat().st_size for path in copy.place.iterdir()) / 2**20,
        **{f"us_a_window, {name}": 1e6 * statistics.median(each) / rows for name, each in taken.items()},
    }  # fmt: skip


def _saved(path: Path, values: Any) -> Any:
    np.save(path, values)
    return np.asarray(np.load(path, mmap_mode="r"))  # as the copies of before were mapped: numpy is slower with a memmap itself


def _pass(gather: Callable[[Any], object], order: Any, batch: int) -> float:
    began = time.process_time()
    for first in range(0, len(order), batch):
        gather(order[first : first + batch])
    return time.process_time() - began
