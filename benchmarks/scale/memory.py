"""A study over windows larger than the memory that it may use: the same trials in a process with room, and in two with a limit. One of these maps
the windows from a copy on its disk, the other has no room for a copy and streams them.

The limit is ``RLIMIT_DATA``: heap and private writable mappings, so all that a process allocates. Pages of mapped files do not count, since the
system takes them back when it needs them. The baseline, what the process has after it has run the same study on small windows, is added to it.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.cohort import BLOCK, STEP_S, classes_of, cohort_card
from raylab.files import Folder
from raylab.runs.run import start
from raylab.trials.study import Study, parse_study
from raylab.windows.card import joint_fingerprint
from raylab.windows.dataset import CARD, fingerprint_of, read_windows, stored_columns, to_table, write_index
from raylab.windows.segmentation import ParticipantWindows
from raylab.windows.stored_rows import read_rows, write_rows

PEOPLE = 96
RATE_HZ = 64.0  # of the one channel, as a pulse at the wrist
SMALL, LARGE = "small", "large"


def write_windows(root: Path, name: str, mib: float) -> int:
    """Windows of noise with a trend of the class, about so many MiB of signals and at least two runs of each class; returns the bytes."""
    length = round(10 * RATE_HZ)
    count = max(4 * BLOCK, round(mib * 2**20 / (4 * length * PEOPLE)))
    _write(Folder(root / name), PEOPLE, count, RATE_HZ)
    return 4 * length * count * PEOPLE


def write_small_windows(folder: Folder, people: int) -> None:
    """The same of any number of people, with as little as a study needs: 40 windows of 40 samples each."""
    _write(folder, people, 4 * BLOCK, 4.0)


def _write(folder: Folder, people: int, count: int, rate_hz: float) -> None:
    length, card = round(10 * rate_hz), cohort_card(people, count, {"BVP": rate_hz})
    columns, entries, y = stored_columns(card.labels, card.channels), [], classes_of(count)
    for number, entry in enumerate(card.participants):
        signals = np.random.default_rng(number).normal(size=(count, length, 1)).astype(np.float32)
        signals += np.float32(0.2) * y[:, None, None]
        segment, sessions = np.zeros(count, np.int32), ["one"] * count
        part = ParticipantWindows(
            np.arange(count, dtype=np.float64) * STEP_S,
            segment,
            sessions,
            {"stress": y},
            {"BVP": signals},
            entry.duration_s,
            {},
        )
        write_rows(folder, entry.name, to_table(part, entry.name, number, ["stress"]))
        entries.append(entry.changed(fingerprint=fingerprint_of(read_rows(folder, entry.name, columns), columns)))
    card = card.changed(participants=tuple(entries), fingerprint=joint_fingerprint(entries))
    write_index(folder, card)
    folder.write_json(CARD, card.as_json())


def _study(windows: str, kept: str) -> Study:
    content = {
        "name": "beyond memory",
        "datasets": [{"windows": windows, "label": "stress", "participants": ["P00000"]}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "budget": [0.2]}],
        "protocol": {"epochs": 1, "batch_size": 64, "shuffle_buffer": 1024},
        "resources": {"windows": kept},
    }
    return parse_study(content, "beyond memory")


def status_kib(field: str) -> int:
    """A field of this process's status."""
    line = next(
        line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith(f"{field}:")
    )
    return int(line.split()[1])


def status_mib(field: str) -> int:
    """The same in whole MiB."""
    return status_kib(field) // 1024


def _run(root: Path, out: Path, windows: str, kept: str) -> dict[str, int]:
    return start(_study(windows, kept), str(root), str(out), executor="local", log=lambda line: None).statuses


def run_alone(root: Path, out: Path, allowed_mib: int, kept: str) -> dict[str, Any]:
    """Run the study in this process, with a limit of so many MiB beyond the baseline (0: none). What it took, and whether the windows could be
    held in memory under the same limit."""
    _run(root, out / "warm", SMALL, kept)
    baseline, before = status_mib("VmData"), status_mib("RssAnon")
    if allowed_mib:
        limit = (baseline + allowed_mib) * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    began = time.process_time()
    statuses = _run(root, out / "run", LARGE, kept)
    found = {
        "statuses": statuses,
        "cpu_s": round(time.process_time() - began, 1),
        "baseline_mib": baseline,
        "anonymous_before_mib": before,
        "anonymous_after_mib": status_mib("RssAnon"),
    }
    try:
        read_windows(Folder(root / LARGE))
    except Exception as error:  # the system's, Arrow's or raylab's: whatever says that they do not fit
        return {**found, "held": f"{type(error).__name__}: {error}"}
    return {**found, "held": "yes"}


def measure(out: Path, allowed_mib: int, times: float) -> dict[str, Any]:
    """The three runs, each in a process of its own, and whether all predictions are the same files."""
    size = write_windows(out / "windows", LARGE, allowed_mib * times)
    write_windows(out / "windows", SMALL, 0)
    found: dict[str, Any] = {"windows_mib": size // 2**20, "allowed_mib": allowed_mib}
    (out / "full").write_text("")  # no folder: nothing can be copied there
    cases = {"room": (0, "mapped"), "limit": (allowed_mib, "mapped"), "streamed": (allowed_mib, "streamed")}
    for name, (limit, kept) in cases.items():
        # Arrow's own allocator reserves a GiB at once, and each thread a stack of 8 MiB: both count although nothing uses them
        own = {"ARROW_DEFAULT_MEMORY_POOL": "system", "ARROW_IO_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        environment = {
            **os.environ,
            **own,
            "RAYLAB_WINDOWS_CACHE": str(out / ("full" if kept == "streamed" else f"copies-{name}")),
        }
        command = [sys.executable, "-m", "benchmarks.scale", "memory-alone", "--out", str(out / name)]
        command += ["--windows", str(out / "windows"), "--allowed", str(limit), "--kept", kept]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the run with {name} ended with {done.returncode}: {done.stderr[-2000:]}")
        found[name] = json.loads(done.stdout.splitlines()[-1])
    files = {name: {path.name: path.read_bytes() for path in (out / name / "run/predictions").iterdir()} for name in cases}
    return {**found, "trials": len(files["room"]), "equal_predictions": files["room"] == files["limit"] == files["streamed"]}
