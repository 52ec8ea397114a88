"""The process that reads damaged inputs: one after the other, each within a bound of memory, with the outcome as a message."""

import contextlib
import faulthandler
import os
import resource
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from analysis.errors import AnalysisError
from benchmarks.fuzz.damage import Files, SeedInput, damaged
from benchmarks.fuzz.reader import FuzzedReader, UnlikeSeedError, reader_of
from raylab.errors import RaylabError

Verdict = Literal["accepted", "refused", "finding"]
FACTOR, SPARE_BYTES = 10, 200_000_000  # memory that an input may take: times its size, and bytes
SLACK_BYTES = 1_000_000_000  # of addresses, not of memory: threads reserve stacks that they do not use
LONGEST_MESSAGE = 6000
OWN = tuple(str(Path(__file__).resolve().parents[2] / package) for package in ("raylab", "analysis"))


@dataclass(frozen=True)
class ReadOutcome:
    """What reading an input came to.

    Attributes:
        kind: of a finding: ``error``, ``memory``, ``unnamed`` (a refusal that names no file), ``long`` (a message that nobody reads),
            ``unlike`` (accepted, with another content than was written), ``hang``, ``crash``.
        place: of a finding: type of the error, and the line of raylab that it left.
        bytes: memory that it took beyond what the process had.
    """

    verdict: Verdict
    kind: str = ""
    place: str = ""
    message: str = ""
    bytes: int = 0


def _memory(field: str) -> int:
    """Bytes of a field of this process's status: ``VmRSS`` now, ``VmHWM`` at most since ``_forget_peak``, ``VmSize`` of addresses."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def _bounded(n_bytes: int) -> Iterator[None]:
    """At most so many more bytes of addresses than now: what asks for more gets a MemoryError."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _own_line(error: BaseException) -> str:
    """The last line of raylab that the error passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(OWN)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else "outside of raylab"


def _outcome_of(error: BaseException, names: list[str]) -> ReadOutcome:
    """What an error of a reader is: a sentence is a refusal if it names a file and can be read; anything else is a finding."""
    message, place = str(error), f"{type(error).__name__} at {_own_line(error)}"
    if isinstance(error, OSError) and error.filename is not None:
        names = [*names, str(error.filename)]
    named = any(name in message for name in names)
    if isinstance(error, UnlikeSeedError):
        return ReadOutcome("finding", "unlike", "", message)
    if isinstance(error, RaylabError | AnalysisError) or (
        isinstance(error, OSError) and named
    ):  # the command line prints them as sentences
        if named and len(message) <= LONGEST_MESSAGE:
            return ReadOutcome("refused", message=message)
        return ReadOutcome("finding", "long" if named else "unnamed", place, message)
    stack = "".join(traceback.format_exception(error))
    return ReadOutcome("finding", "memory" if isinstance(error, MemoryError) else "error", place, stack)


def read_input(reader: FuzzedReader, folder: Path, names: list[str], expected: object = None) -> ReadOutcome:
    """Read the input in a folder; what it says is compared with the seed's if the reader is to notice every change."""
    try:
        content = reader.read(folder)
        if reader.notices_all and content is not None and expected is not None and content != expected:
            raise UnlikeSeedError(f"it was accepted as {content!s:.200}")
    except (Exception, SystemExit) as error:
        return _outcome_of(error, names)
    return ReadOutcome("accepted")


class InputFolder:
    """A folder that holds the seed, of which some files are replaced for each input. Every change has a time of its own: readers keep
    tables by the time of the file."""

    def __init__(self, seed: SeedInput, folder: Path) -> None:
        self.seed, self.folder, self._clock = seed, folder, 1_700_000_000_000_000_000
        self._write(dict(seed.files))

    def _write(self, files: Files) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.unlink(missing_ok=True)
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                self._clock += 1_000_000_000
                os.utime(path, ns=(self._clock, self._clock))

    @contextlib.contextmanager
    def holding(self, files: Files) -> Iterator[None]:
        """The folder with these files within the block."""
        self._write(files)
        try:
            yield
        finally:
            self._write({name: self.seed.files.get(name) for name in files})


def measured(reader: FuzzedReader, folder: InputFolder, files: Files, expected: object) -> ReadOutcome:
    """Read one input within its bound of memory; a peak beyond it is a finding, whatever the reader says."""
    bound = FACTOR * folder.seed.size(files) + SPARE_BYTES
    names = [
        *{Path(name).name for name in folder.seed.files},
        *{Path(name).name for name in files},
        str(folder.folder),
    ]
    with folder.holding(files):
        before = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts again from now
        with _bounded(bound + SLACK_BYTES):
            outcome = read_input(reader, folder.folder, names, expected)
        taken = max(0, _memory("VmHWM") - before)
    if taken > bound and outcome.kind != "memory":
        return ReadOutcome("finding", "memory", f"{taken / 1e6:.0f} MB, then {outcome.verdict}", outcome.message, taken)
    return ReadOutcome(outcome.verdict, outcome.kind, outcome.place, outcome.message, taken)


def work(reader_name: str, seed: SeedInput, place: str, stack: str, connection: Connection) -> None:
    """Answer keys of inputs, or their files, with outcomes until the connection is closed.

    Args:
        place: an empty folder for the inputs.
        stack: the file into which a crash writes its lines.
    """
    os.setsid()
    reader = reader_of(reader_name)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, KeyboardInterrupt, BrokenPipeError), Path(stack).open("w", encoding="utf-8") as lines:
        faulthandler.enable(lines)
        folder = InputFolder(seed, Path(place) / reader.folder)
        expected: object = None
        try:
            for _ in range(2):  # the second time nothing is loaded any more
                expected = reader.read(folder.folder)
        except Exception:
            connection.send(ReadOutcome("finding", "error", "the seed", traceback.format_exc()))
            return
        connection.send(ReadOutcome("accepted"))
        while True:
            order = connection.recv()
            files = damaged(seed, order) if isinstance(order, str) else order
            connection.send(measured(reader, folder, files, expected))
