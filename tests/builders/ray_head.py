"""A Ray head of its own in processes of its own, on loopback: what a user's terminal talks to, apart from the session's Ray."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import ray  # noqa: F401  makes psutil, which it carries, importable

import psutil  # isort: skip

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-the-tests-that-is-long-enough"
START_S = 240.0
RAY = (sys.executable, "-m", "ray.scripts.scripts")  # the `ray` of this environment, which need not be on the PATH


@dataclass(frozen=True)
class Head:
    """Where it listens, and the environment of a terminal that may talk to it."""

    gcs: int
    dashboard: int
    metrics: int
    env: Mapping[str, str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.dashboard}"

    def run(self, *command: str, timeout: float = 300, **env: str) -> subprocess.CompletedProcess[str]:
        """A command in such a terminal, from the repository's folder."""
        full = {**self.env, **env}
        return subprocess.run(command, cwd=ROOT, env=full, capture_output=True, text=True, timeout=timeout, check=False)

    def submit(
        self, *command: str, working_dir: tuple[str, ...] = ("--working-dir", "."), **env: str
    ) -> subprocess.CompletedProcess[str]:
        """`ray job submit ... -- python COMMAND`, until the job is over; again while the head still starts its agent."""
        submit = [*RAY, "job", "submit", "--address", self.address, *working_dir, "--", sys.executable, *command]
        until = time.monotonic() + START_S
        while "No available agent" in (done := self.run(*submit, **env)).stderr and time.monotonic() < until:
            time.sleep(2)
        return done

    def scraped(self) -> str:
        """What Prometheus reads."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def started(*arguments: str, ports: list[int] | None = None, **env: str) -> Iterator[Head]:
    """`ray start --head` with these arguments, ended by the ids of its processes (`ray stop` would end every Ray here).

    It has a temporary folder of its own, so that nobody else's `--address auto` finds it.
    """
    gcs, dashboard, metrics, client_server = ports or free_ports(4)
    folder = tempfile.mkdtemp(prefix="rl", dir="/tmp")  # short: Ray's sockets have paths of at most 107 characters
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    client = {**clean, "RAY_TMPDIR": folder, "HOME": folder, "PYTHONPATH": "", **env}
    server = {
        **client,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or Ray takes the machine's outside address
        "RAY_raylet_start_wait_time_s": str(int(START_S)),
        "RAY_agent_register_timeout_ms": str(int(START_S * 1000)),
        "RAY_metrics_report_interval_ms": "1000",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    command = [*RAY, "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address=127.0.0.1", f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--metrics-export-port={metrics}", f"--ray-client-server-port={client_server}"]
    command += ["--dashboard-agent-listen-port=0", *arguments]  # any free one: every Ray here wants 52365, and jobs need it
    log = Path(folder, "start.log")
    with log.open("w") as out:
        process = subprocess.Popen(command, env=server, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _wait_for(process, log)
        yield Head(gcs, dashboard, metrics, client)
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until Ray says that it runs."""
    until = time.monotonic() + START_S
    while "Ray runtime started" not in log.read_text():
        assert process.poll() is None and time.monotonic() < until, f"the head did not start:\n{log.read_text()}"
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started, so that none of them lives on."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()
