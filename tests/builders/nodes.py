"""A Ray cluster of several raylets on loopback whose processes can be killed one by one, and drivers in processes of their own."""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from builders.ray_head import ROOT, START_S, Head, _end, _wait_for, started

import psutil  # isort: skip

# What `ray start --address` does. That refuses to join on loopback, and without the variable that keeps Ray on loopback it takes the
# machine's outside address.
JOIN = """
import signal, sys
from ray._private.node import Node
from ray._private.parameter import RayParams
address, cpus = sys.argv[1], int(sys.argv[2])
params = RayParams(
    gcs_address=address, node_ip_address="127.0.0.1", num_cpus=cpus, num_gpus=0, object_store_memory=150_000_000,
    min_worker_port=0, max_worker_port=0, node_manager_port=0, include_log_monitor=False, dashboard_agent_listen_port=None,
)
node = Node(params, head=False, shutdown_at_exit=True, spawn_reaper=True)
print("Ray runtime started", flush=True)
signal.pause()
"""
RAYLAB = [sys.executable, "-c", "from raylab.cli import main; main()"]


def named(title: str, among: list[psutil.Process]) -> list[psutil.Process]:
    """Those whose title begins so; Ray names its processes after what they run."""
    found = []
    for process in among:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if " ".join(process.cmdline()).startswith(title):
                found.append(process)
    return found


@dataclass
class Nodes:
    """A head and worker nodes.

    Attributes:
        joined: one process for each worker node that was ever started; its raylet is a child of it.
    """

    head: Head
    cpus: int
    joined: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def folder(self) -> str:
        return self.head.env["RAY_TMPDIR"]

    @property
    def env(self) -> dict[str, str]:
        """Of a process that keeps to loopback: Ray otherwise takes 127.0.0.1 for the machine's outside address."""
        return {**self.head.env, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

    def join(self, wait: bool = True) -> None:
        """One more worker node; without ``wait`` it joins when it is up."""
        command = [sys.executable, "-c", JOIN, f"127.0.0.1:{self.head.gcs}", str(self.cpus)]
        log = Path(tempfile.mkstemp(dir=self.folder, suffix=".log")[1])
        with log.open("w") as out:
            self.joined.append(subprocess.Popen(command, env=self.env, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder))
        if wait:
            _wait_for(self.joined[-1], log)

    def raylets(self, head: bool) -> list[psutil.Process]:
        """The head's raylet, or those of the worker nodes that live."""
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = process.cmdline()
                if process.name() == "raylet" and self.folder in " ".join(words) and ("--head" in words) == head:
                    found.append(process)
        return found

    def workers(self, raylets: list[psutil.Process]) -> list[psutil.Process]:
        """The processes of these nodes that run trials, or wait for one."""
        found = []
        for raylet in raylets:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += named("ray::ImplicitFunc", raylet.children())
        return found

    def raylab(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """`raylab ARGUMENTS --address` of this cluster in a process of its own; what it says goes to the log."""
        command = [*RAYLAB, *arguments, "--address", f"127.0.0.1:{self.head.gcs}"]
        with log.open("ab") as out:
            return subprocess.Popen(command, env=self.env, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)


@contextlib.contextmanager
def nodes(workers: int, cpus: int = 2, **env: str) -> Iterator[Nodes]:
    """A head and so many worker nodes, with ``cpus`` each."""
    arguments = (f"--num-cpus={cpus}", "--include-dashboard=false", "--object-store-memory=150000000")
    with started(*arguments, PYTHONPATH=str(ROOT), **env) as head:
        made = Nodes(head, cpus)
        try:
            for _ in range(workers):
                made.join()
            yield made
        finally:
            for process in made.joined:
                _end(process)


def wait_until(seen: Callable[[], object], what: str, seconds: float = START_S) -> None:
    """Until the function says yes; ``what`` is the sentence of the failure."""
    until = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < until, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
