"""Read a file of a complicated format in another process, with bounds on memory and time: a damaged file ends that process at most.

One process is kept for all files that this one reads; it makes a copy of itself for each file. Its answers are JSON and the bytes of arrays,
so nothing that it says is run here either.
"""

import atexit
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError

_PROGRAM = Path(__file__).with_name("library_process.py")
_FACTOR, _SPARE_BYTES = 10, 128_000_000
_SPARE_S, _BYTES_PER_S = 60, 1_000_000
_MOST_HEADER = 64_000_000
# A library's pool of threads reserves memory for each of them.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class ContainedReadError(RaylabError, ValueError):
    """A file that could not be read; the message says why.

    Attributes:
        kind: name of the library's error; empty if the process ended.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(f"{kind}: {message}" if kind else message)
        self.kind = kind


@dataclass(frozen=True)
class OtherValue:
    """A value that is no array, cell or text, as a message describes it."""

    description: str

    def __str__(self) -> str:
        return self.description


class _Bounds:
    """How much memory and time a file gets: in proportion to its size."""

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        self.n_bytes = _FACTOR * size + _SPARE_BYTES
        self.seconds = _SPARE_S + size // _BYTES_PER_S


class LibraryProcess:
    """The other process; it starts with the first file."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._one_at_a_time = Lock()

    def read(
        self, kind: Literal["mat", "xlsx"], path: Path, **details: object
    ) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
        """The header of the answer, and its arrays, in the order in which the header names them.

        Raises:
            ContainedReadError: if the file cannot be read within its bounds.
        """
        bounds = _Bounds(path)
        request = {"kind": kind, "path": os.fspath(path), "bytes": bounds.n_bytes, "seconds": bounds.seconds, **details}
        with self._one_at_a_time:
            process = self._running()
            try:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                header, arrays = _read_answer(process.stdout, bounds)
            except (OSError, EOFError, ValueError, RecursionError) as error:
                raise ContainedReadError(_end_of(self._stop(), bounds, f" ({type(error).__name__} {error})")) from error
            except BaseException:  # Ctrl-C in the middle of an answer: the rest of it must not become the next one
                self._stop()
                raise
            if "ended" in header:
                raise ContainedReadError(_end_of(int(header["ended"]), bounds))
            if "error" in header:
                raise ContainedReadError(*_library_error(header, bounds))
        return header, arrays

    def close(self) -> None:
        """End the process."""
        with self._one_at_a_time:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and (self._owner != os.getpid() or self._process.poll() is not None):
            self._stop()
        if self._process is None:
            # -P: a folder that this process was started in has no say in what is imported.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD},
            )
            self._owner = os.getpid()
        return self._process

    def _stop(self) -> int:
        """End the process, and how it ended."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if self._owner != os.getpid():  # a copy made by fork: the process is its parent's
            process.returncode = 0
            return 0
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # what could not be sent to a process that has ended
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _read_answer(pipe: IO[bytes], bounds: _Bounds) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
    """Header and arrays.

    Raises:
        EOFError: if the process ends before.
        ValueError: if it is larger than the bounds, or no answer.
    """
    length = int.from_bytes(_exactly(pipe, 8), "little")
    if length > _MOST_HEADER:
        raise ValueError("it holds too many values")
    header = json.loads(_exactly(pipe, length))
    arrays: list[npt.NDArray[Any]] = []
    left = bounds.n_bytes
    for described in _described_arrays(header.get("values", {}).values()):
        dtype, shape = np.dtype(described["array"]), tuple(map(int, described["shape"]))
        left -= math.prod(shape) * dtype.itemsize
        if dtype.kind not in "biufcSU" or left < 0:
            raise ValueError("its arrays are larger than the file allows")
        array = np.empty(shape, dtype=dtype, order="F" if described["order"] == "F" else "C")
        if array.nbytes:
            _fill(pipe, array.reshape(-1, order="A").view(np.uint8).data)
        arrays.append(array)
    return header, arrays


def _described_arrays(values: Any) -> Any:
    """The descriptions of arrays in a header, those in cells too."""
    for value in values:
        if "array" in value:
            yield value
        yield from _described_arrays(value.get("cell", ()))


def decoded(values: Mapping[str, Any], arrays: list[npt.NDArray[Any]]) -> dict[str, Any]:
    """The values of a header with its arrays in their places: arrays, cells (arrays of objects), texts, and ``OtherValue``."""
    remaining = iter(arrays)

    def value_of(described: Mapping[str, Any]) -> Any:
        if "array" in described:
            return next(remaining)
        if "cell" in described:
            cell: npt.NDArray[Any] = np.empty(len(described["cell"]), dtype=object)
            for place, item in enumerate(described["cell"]):
                cell[place] = value_of(item)
            return cell.reshape(tuple(map(int, described["shape"])))
        return described["text"] if "text" in described else OtherValue(str(described["other"]))

    return {name: value_of(described) for name, described in values.items()}


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _fill(pipe: IO[bytes], target: memoryview) -> None:
    """Read as many bytes as the target has."""
    while len(target):
        count: int = pipe.readinto(target)  # type: ignore[attr-defined]  # a pipe has it
        if not count:
            raise EOFError
        target = target[count:]


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.0f} MB, {_FACTOR} times the file and {_SPARE_BYTES / 1e6:.0f} MB"


def _library_error(header: Mapping[str, Any], bounds: _Bounds) -> tuple[str, str]:
    """The message and the kind of the library's error."""
    kind, message = str(header["error"]), str(header.get("message", ""))
    if kind == "MemoryError":
        message = f"it asks for more memory than {_megabytes(bounds.n_bytes)}"
    return message, kind


def _end_of(code: int, bounds: _Bounds, details: str = "") -> str:
    """Why there is no answer: the exit code of the process or of its copy; if negative, the signal that ended it."""
    if code == -getattr(signal, "SIGALRM", 0):
        return f"reading it takes longer than {bounds.seconds} s"
    if code < 0:
        return f"reading it ends the process that reads ({signal.strsignal(-code)}, signal {-code})"
    return f"the process that reads it gave no answer{details}"


LIBRARIES = LibraryProcess()
atexit.register(LIBRARIES.close)
