"""Runs of the tests: what they predicted, and the processes that the session's Ray runs them in."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from raylab.runs.folder import RunFolder


def predictions(run: Path) -> dict[str, pa.Table]:
    """Every table of predictions, by its trial."""
    return {
        path.stem: RunFolder(str(run)).folder.read_table(f"predictions/{path.name}") for path in (run / "predictions").iterdir()
    }


def killed_at_half(command: list[str], run: Path, total: int) -> None:
    """Start the command in a process of its own, and kill -9 it when half of its trials have a record."""
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        while not (run / "trials").exists() or len(list((run / "trials").glob("*.json"))) < total // 2:
            assert driver.poll() is None, driver.stderr and driver.stderr.read().decode()
            time.sleep(0.02)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()


def quiet(line: str) -> None:
    """Progress goes nowhere in tests."""


def processes() -> list[Any]:
    """What Ray started for this process."""
    import psutil  # noqa: PLC0415  Ray carries it, importable once ray is

    return list(psutil.Process().children(recursive=True))


@contextmanager
def every(seconds: float, look: Callable[[], None]) -> Iterator[None]:
    """Look again and again in a thread until the block is left."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(seconds):
            look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
