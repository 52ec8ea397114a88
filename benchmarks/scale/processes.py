"""Processor time and memory of the processes that a run has started, looked at by a process of its own, so that looking costs the run nothing."""

import json
import os
import select
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EVERY_S = 0.5
PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """What was seen of one process.

    Attributes:
        is_worker: whether it ran trials (Ray calls such a process ``ray::...``); else it is one of those that Ray serves with.
        cpu_s: processor seconds, but for the last moment before its end.
        memory_mib: anonymous memory at each look.
    """

    is_worker: bool = False
    cpu_s: float = 0.0
    memory_mib: list[float] = field(default_factory=list)

    @property
    def added_mib(self) -> float:
        """Memory added in the second half of the looks: imports and first uses are in the first half."""
        return self.memory_mib[-1] - self.memory_mib[len(self.memory_mib) // 2]


def _stat(pid: int) -> list[str]:
    """Fields of ``/proc/PID/stat`` after the name, which may hold anything: state, parent, ..."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for path in PROC.glob("[0-9]*"):
        try:
            children[int(_stat(int(path.name))[1])].append(int(path.name))
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    found = [root]
    for pid in found:  # it grows meanwhile
        found += children[pid]
    return [pid for pid in found[1:] if pid != os.getpid()]


def _look(seen: dict[int, Seen], root: int) -> None:
    for pid in _descendants(root):
        try:
            fields, command = _stat(pid), (PROC / str(pid) / "cmdline").read_bytes()
            status = (PROC / str(pid) / "status").read_text()
        except OSError:
            continue
        memory = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
        if not memory:  # it has ended, and its parent has not asked for it
            continue
        one = seen.setdefault(pid, Seen())
        one.is_worker |= command.startswith(b"ray::")
        one.cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
        one.memory_mib.append(int(memory[0]) / 1024)


def summary(root: int) -> dict[str, Any]:
    """Look at all descendants of a process until standard input is closed; then what was seen, as ``watched`` gives it."""
    seen: dict[int, Seen] = {}
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        _look(seen, root)
    workers = [one for one in seen.values() if one.is_worker]
    return {
        "workers": len(workers),
        "worker_cpu_s": round(sum(one.cpu_s for one in workers), 2),
        "worker_added_mib": round(sum(one.added_mib for one in workers), 1),
        "ray_cpu_s": round(sum(one.cpu_s for one in seen.values() if not one.is_worker), 2),
    }


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Inside the block a process looks at what this one has started; after it the dictionary has what was seen.

    ``workers``: number of processes that ran trials; ``worker_cpu_s`` and ``worker_added_mib`` (``Seen.added_mib``): of all of them together;
    ``ray_cpu_s``: of Ray's other processes.
    """
    command = [sys.executable, "-m", "benchmarks.scale.processes", str(os.getpid())]
    result: dict[str, Any] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield result
        output, _ = process.communicate()  # closes its standard input
        result |= json.loads(output)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(summary(int(sys.argv[1]))))
