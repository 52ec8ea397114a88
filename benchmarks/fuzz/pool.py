"""A pool of processes that read damaged inputs, and the account of what came of them."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.fuzz.damage import Files, SeedInput, damaged
from benchmarks.fuzz.worker import OWN, ReadOutcome, work

START_S = 600.0  # a first start compiles for librosa: minutes on a busy machine
RESTART_AFTER = 5000  # inputs; a library that keeps a little of each does not fill the memory


@dataclass
class FuzzFinding:
    """A kind of fault, with the smallest input that shows it.

    Attributes:
        key: of the input: the seed of the command and its number.
        count: inputs that show it.
    """

    outcome: ReadOutcome
    key: str
    files: Files
    count: int = 1

    @property
    def size(self) -> int:
        """Bytes of the damaged files."""
        return sum(len(content or b"") for content in self.files.values())


@dataclass
class FuzzAccount:
    """The account of one reader's inputs.

    Attributes:
        stopped: whether somebody ended the command while they were read.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    findings: dict[tuple[str, str], FuzzFinding] = field(default_factory=dict)
    most_bytes: int = 0
    seconds: float = 0.0
    stopped: bool = False

    def add(self, outcome: ReadOutcome, key: str, files: Files) -> None:
        """Count an outcome; of a fault that was seen before the smaller input stays."""
        self.verdicts[outcome.verdict] += 1
        self.most_bytes = max(self.most_bytes, outcome.bytes)
        if outcome.verdict != "finding":
            return
        # The number of MB tells no fault from another.
        place = outcome.kind if outcome.kind == "memory" and " MB" in outcome.place else outcome.place
        new = FuzzFinding(outcome, key, files)
        earlier = self.findings.get((outcome.kind, place))
        if earlier is not None:
            new = replace(new if new.size < earlier.size else earlier, count=earlier.count + 1)
        self.findings[outcome.kind, place] = new

    def line(self, name: str) -> str:
        """The account in one line."""
        tried = sum(self.verdicts.values())
        return (
            f"{name:>16}  tried {tried:>7,}  accepted {self.verdicts['accepted']:>6,}  refused {self.verdicts['refused']:>7,}  "
            f"findings {self.verdicts['finding']:>5,} of {len(self.findings):>2} kinds  {self.seconds:7.1f} s  "
            f"largest memory {self.most_bytes / 1e6:5.0f} MB"
        )


class ReaderProcess:
    """A process that reads inputs of one reader, and is started again when one ends it.

    Args:
        timeout_s: how long an input may take.
    """

    def __init__(self, reader: str, seed: SeedInput, timeout_s: float) -> None:
        self._reader, self._seed, self.timeout_s = reader, seed, timeout_s
        self._folder = Path(tempfile.mkdtemp(prefix="raylab-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self._process: Any = None
        self._answered = 0

    def close(self) -> None:
        """End the process."""
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self) -> int | None:
        """End the process and all that it started, and how it had ended by itself; None if it had not."""
        if self._process is None:
            return None
        self._process.join(0.2)
        code: int | None = self._process.exitcode
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of its own
        self._process.join()
        self._pipe.close()
        self._process = None
        shutil.rmtree(self._folder / "inputs", ignore_errors=True)
        return code

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        place = self._folder / "inputs"
        place.mkdir()
        self._process = context.Process(
            target=work, args=(self._reader, self._seed, str(place), self._stack(), other), daemon=False
        )
        self._process.start()
        other.close()
        self._answered = 0
        if not self._pipe.poll(START_S):
            self._end()
            raise RuntimeError(f"{self._reader}: reading the seed takes longer than {START_S:g} s")
        try:
            outcome = self._pipe.recv()
        except EOFError:
            self._end()
            raise RuntimeError(f"{self._reader}: the process ends before it has read the seed") from None
        if outcome.verdict != "accepted":
            self._end()
            raise RuntimeError(f"{self._reader}: the seed is not accepted:\n{outcome.message}")

    def ready(self) -> None:
        """Start the process if there is none, and wait until it has read the seed."""
        if self._process is None:
            self._start()

    def _stack(self) -> str:
        return str(self._folder / "stack.txt")

    def read(self, order: str | Files) -> ReadOutcome:
        """The outcome of an input, given by its key or its files. An input that takes too long is tried once more, with twice the time."""
        outcome = self._read_once(order, self.timeout_s)
        return self._read_once(order, 2 * self.timeout_s) if outcome.kind == "hang" else outcome

    def _read_once(self, order: str | Files, timeout_s: float) -> ReadOutcome:
        if self._process is not None and self._answered >= RESTART_AFTER:
            self._end()
        self.ready()
        try:
            self._pipe.send(order)
            if not self._pipe.poll(timeout_s):
                self._end()
                return ReadOutcome("finding", "hang", f"no answer within {timeout_s:g} s")
            self._answered += 1
            outcome: ReadOutcome = self._pipe.recv()
        except (EOFError, OSError):
            code = self._end()
            stack = Path(self._stack()).read_text(encoding="utf-8", errors="replace")
            own = [line.strip() for line in stack.splitlines() if any(package in line for package in OWN)]
            how = f"signal {-code}" if code and code < 0 else f"exit code {code}"
            return ReadOutcome("finding", "crash", f"{how} at {own[0].split('/')[-1] if own else 'an unknown line'}", stack)
        return outcome


def fuzz(
    reader: str,
    seed: SeedInput,
    count: int,
    seconds: float,
    key: int,
    processes: int,
    timeout_s: float,
    on_progress: Callable[[FuzzAccount], None],
) -> FuzzAccount:
    """Read so many inputs, or as many as the seconds allow; the account of them.

    Args:
        key: the command's seed: the same key and count give the same inputs.
    """
    account, numbers, lock = FuzzAccount(), iter(range(count)), threading.Lock()
    problems: list[BaseException] = []

    def follow() -> None:
        worker = ReaderProcess(reader, seed, timeout_s)
        try:
            worker.ready()
            began = time.monotonic()  # loading libraries is none of an input's time
            while not problems and time.monotonic() - began < seconds:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                order = f"{key}/{number}"
                outcome = worker.read(order)
                with lock:
                    account.add(outcome, order, damaged(seed, order) if outcome.verdict == "finding" else {})
                    account.seconds = max(account.seconds, time.monotonic() - began)
                    on_progress(account)
        except BaseException as error:  # the other threads have to stop too
            problems.append(error)
        finally:
            worker.close()

    threads = [threading.Thread(target=follow) for _ in range(processes)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt as error:
        problems.append(error)
        account.stopped = True
        for thread in threads:
            thread.join()
    if problems and not isinstance(problems[0], KeyboardInterrupt):
        raise problems[0]
    return account
