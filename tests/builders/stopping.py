"""A raylab command in a child process that is stopped by a signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ray

from raylab.runs.stop import SIGNALS

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300.0


@dataclass(frozen=True)
class Stopped:
    """How the command ended: its exit code, and what it printed."""

    code: int
    printed: str


def session_address() -> list[str]:
    """The options that let another process use the session's Ray, which keeps to loopback."""
    return ["--address", ray.get_runtime_context().gcs_address]


def _as_from_a_terminal() -> None:
    """A shell's job in the background ignores Ctrl-C, and so would a command that tests in the background start."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def stopped(arguments: list[str], when: Callable[[], object], number: signal.Signals, repeats: int = 1) -> Stopped:
    """Run `raylab ARGUMENTS`, and send it the signal as soon as ``when`` says so; several times if a user is impatient."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "raylab.cli", *arguments],
        env={**os.environ, "PYTHONPATH": path, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=_as_from_a_terminal,  # noqa: PLW1509  no thread of ours holds a lock
    )  # fmt: skip
    try:
        until = time.monotonic() + LIMIT_S
        while process.poll() is None and not when():
            assert time.monotonic() < until, "the moment for the signal did not come"
            time.sleep(0.05)
        for _ in range(repeats):
            process.send_signal(number)
            time.sleep(0.1)
        printed, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return Stopped(process.returncode, printed)
