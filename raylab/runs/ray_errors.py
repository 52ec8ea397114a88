"""Ray's errors in words that a user can act on: what happened, to which part of the work, and what to do."""

import contextlib
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import ray
from ray import exceptions

from raylab.errors import RaylabError

DEATH = "killed from outside, often by the system when memory runs out, or by a crash inside a library"
MEMORY = "use a machine with more memory, or do less at once (a study: a larger resources.cpu)"
STORE = "free disk space, set RAY_TMPDIR to a larger disk, or run with less at once; `raylab prepare --local` and `raylab run --local` need no Ray"
AGAIN = "run the same command again; if it happens again, look into Ray's logs"
OOM = re.compile(r"memory (on the node|usage|pressure)|\bOOM\b|out of memory", re.IGNORECASE)
MAX_LENGTH = 300  # characters of a library's own words: Ray's explanations take pages
SOCKET_LENGTH = 107  # bytes of a socket's path, by Linux
SESSION, SOCKET = (
    "/ray/session_2026-01-01_00-00-00_000000_",
    "/sockets/plasma_store",
)  # what Ray adds to its folder, the process number between


def first_line(error: BaseException) -> str:
    """The first line of an error that says something, cut to a readable length; the error's type if it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:MAX_LENGTH]


def cause_of(error: BaseException) -> BaseException:
    """The exception that a task raised, if Ray wraps one; the error itself otherwise."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error


def death_of(error: BaseException) -> str:
    """How a process ended, in a few words: by which signal, if Ray knows."""
    text = str(error)
    if OOM.search(text):
        return "the machine's memory ran out, and Ray ended it"
    if found := re.search(r"signal (\d+)|SIG(SEGV|KILL|ABRT|BUS|FPE|TERM)", text):
        names = {str(one.value): one.name for one in signal.Signals}
        name = f"SIG{found[2]}" if found[2] else names.get(found[1], "")
        return f"by {name}: a crash inside a library, or somebody ended it" if name else DEATH
    return DEATH


def sentence(error: BaseException, what: str = "a task on Ray") -> str:
    """What went wrong with this part of the work, and the remedy; empty if it is no error of Ray's own.

    Args:
        what: the part of the work, as ``participant P03``.
    """
    if isinstance(error, exceptions.RayTaskError) or not isinstance(error, exceptions.RayError):
        return ""
    problem, remedy = f"Ray failed ({type(error).__name__}: {first_line(error)})", AGAIN
    if isinstance(error, exceptions.OutOfMemoryError):
        problem, remedy = "its process was ended because the machine's memory ran out", MEMORY
    elif isinstance(error, exceptions.ObjectStoreFullError | exceptions.OutOfDiskError):
        problem, remedy = "Ray's object store, and the disk that it spills to, are full", STORE
    elif isinstance(error, exceptions.WorkerCrashedError | exceptions.RayActorError):
        problem, remedy = f"its process died ({death_of(error)})", f"{AGAIN}; if memory is short, {MEMORY}"
    elif isinstance(error, exceptions.NodeDiedError | exceptions.LocalRayletDiedError | exceptions.ObjectLostError):
        problem = f"the node that it ran on, or that held its data, was lost ({first_line(error)})"
    elif isinstance(error, exceptions.RuntimeEnvSetupError):
        problem, remedy = f"Ray could not set up its environment ({first_line(error)})", "check the job's working directory"
    return f"{what}: {problem}. What to do: {remedy}"


@contextlib.contextmanager
def boundary(what: str) -> Iterator[None]:
    """Inside the block an error of Ray's own becomes a sentence about this part of the work; what a task raised passes.

    Raises:
        RaylabError: with that sentence.
    """
    try:
        yield
    except Exception as error:
        if message := sentence(cause_of(error), what):
            raise RaylabError(message) from error
        raise


def check_temporary_folder() -> None:
    """Refuse a folder for temporary files in which Ray cannot make its sockets; Ray itself would find out seconds later.

    Raises:
        RaylabError: naming the variable that sets the folder.
    """
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "")
    folder = os.environ.get(variable) or tempfile.gettempdir()
    if excess := max(0, len(os.fsencode(f"{folder}{SESSION}{os.getpid()}{SOCKET}")) - SOCKET_LENGTH):
        raise RaylabError(
            f"Ray cannot start: the path of its temporary folder {folder} ({variable or 'the default'}) is {excess} bytes too long for a socket. "
            "What to do: set RAY_TMPDIR to a short path, as RAY_TMPDIR=/tmp; `raylab prepare --local` and `raylab run --local` need no Ray"
        )


@contextlib.contextmanager
def starting(address: str | None) -> Iterator[None]:
    """Inside the block Ray starts, or is connected to at ``address``: whatever it raises becomes a sentence.

    Raises:
        RaylabError: with that sentence; what was started is ended.
    """
    try:
        yield
    except SystemExit as end:  # Ray's own handler of SIGTERM, which it sets as it starts
        if end.code == signal.SIGTERM:
            raise KeyboardInterrupt(int(signal.SIGTERM)) from None
        raise
    except RaylabError:
        raise
    except Exception as error:
        _end_what_started()
        raise RaylabError(_starting_failed(error, address)) from error


def _end_what_started() -> None:
    with contextlib.suppress(Exception):
        ray.shutdown()


def _starting_failed(error: Exception, address: str | None) -> str:
    text = first_line(error).rstrip(".")
    if address:
        remedy = "check the address (`ray status` on the cluster), that Ray and Python are of the same version there, and RAY_AUTH_TOKEN"
        return f"Ray at {address} could not be reached: {text}. What to do: {remedy}"
    if "timed out" in str(error):
        remedy = "the machine is very busy: try again when it is less so"
    elif isinstance(error, OSError):
        remedy = "check that RAY_TMPDIR (or /tmp) is a folder of yours on a disk with free space"
    else:
        remedy = "try again, look into the logs in RAY_TMPDIR/ray (or /tmp/ray)"
    return f"Ray did not start on this machine: {text}. What to do: {remedy}; `raylab prepare --local` and `raylab run --local` need no Ray"


def remote_result(reference: Any, what: str) -> Any:
    """The result of a task; see ``boundary``."""
    with boundary(what):
        return ray.get(reference)
