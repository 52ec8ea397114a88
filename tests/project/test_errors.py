"""Errors: one root, a sentence for what a user can act on, and a stack to report for a fault in raylab."""

import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import ray
import torch

import analysis
import raylab
from analysis.errors import AnalysisError, RunNotFoundError
from raylab import cli
from raylab.cli.failures import REPORT_IT
from raylab.errors import InvalidValueError, RaylabError, RecordingError, StudyError, memory_ran_out
from raylab.folds.fold import FoldError
from raylab.training.loop import TrainingError

SENTENCE = RecordingError("is cut", file="a.csv", participant="P1", remedy="download it again")


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not entry.name.endswith("__main__"):
            yield importlib.import_module(entry.name)


@pytest.mark.parametrize(("package", "root"), [(raylab, RaylabError), (analysis, AnalysisError)])
def test_errors_have_one_root(package: ModuleType, root: type[Exception]) -> None:
    """Every exception that a package defines is one of its root's."""
    defined = {
        kind
        for module in _modules(package)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, BaseException) and kind.__module__.startswith(package.__name__)
    }
    assert root in defined and 2 <= len(defined)
    assert {kind for kind in defined if not issubclass(kind, root)} == set()


def _ends(monkeypatch: pytest.MonkeyPatch, error: BaseException, *options: str) -> int:
    """Exit code of `raylab OPTIONS models` if the command raises this."""

    def raises(line: str) -> None:
        raise error

    monkeypatch.setattr("raylab.cli.commands.models.say", raises)
    monkeypatch.setattr(sys, "argv", ["raylab", *options, "models"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    "error",
    [
        SENTENCE,
        StudyError(["no name", "no techniques"]),
        InvalidValueError("path '..' leaves its folder"),
        FoldError("nobody to train on"),
        TrainingError("the loss is NaN"),
        AnalysisError("no metric 'auc'"),
        RunNotFoundError("x is no run folder"),
        FileNotFoundError(2, "No such file or directory", "s2.raylab"),
        OSError("AWS error ACCESS_DENIED"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_user_can_act_on_is_a_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its message alone, and exit code 1."""
    importlib.import_module("raylab.cli.commands.models")
    assert 1 == _ends(monkeypatch, error)
    assert f"raylab: {error}\n" == capsys.readouterr().err


@pytest.mark.parametrize("asked", ["option", "variable"])
def test_the_stack_of_a_users_error_is_shown_if_asked_for(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `--traceback` or by RAYLAB_TRACEBACK=1; the sentence comes last."""
    importlib.import_module("raylab.cli.commands.models")
    if asked == "variable":
        monkeypatch.setenv("RAYLAB_TRACEBACK", "1")
    assert 1 == _ends(monkeypatch, SENTENCE, *(["--traceback"] if asked == "option" else []))
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):") and "in raises" in printed
    assert f"raylab: {SENTENCE}" == printed.splitlines()[-1]


@pytest.mark.parametrize("error", [ValueError("shapes (3,) (2,)"), TypeError("odd"), KeyError("p_1"), RuntimeError("stop")])
def test_a_fault_is_reported_with_its_stack(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in raylab is not told as one of the user's."""
    importlib.import_module("raylab.cli.commands.models")
    assert 70 == _ends(monkeypatch, error)
    printed = capsys.readouterr().err
    assert f"raylab: {REPORT_IT}" == printed.splitlines()[0]
    assert "in raises" in printed and f"{type(error).__name__}: {error}" == printed.splitlines()[-1]


NO_MEMORY = """
import resource
from pathlib import Path
import numpy as np, pyarrow as pa, torch
from raylab.errors import memory_ran_out

def large_convolution(windows):
    return torch.nn.functional.conv1d(torch.zeros(windows, 2, 640), torch.zeros(2, 2, 8))

large_convolution(1)
status = Path("/proc/self/status").read_text()
now = int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (now + 4 * 2**20,) * 2)
asking = [
    lambda: bytearray(2**30),
    lambda: np.empty(2**30),
    lambda: pa.allocate_buffer(2**30, memory_pool=pa.system_memory_pool()),
    lambda: torch.empty(2**28),
    lambda: large_convolution(512),
]
for ask in asking:
    try:
        ask()
        print("had")
    except Exception as error:
        print(memory_ran_out(error), type(error).__name__, str(error).splitlines()[:1])
"""


def test_what_libraries_say_when_memory_runs_out_is_known() -> None:
    """Python, numpy, Arrow, torch and oneDNN, each in a process that may not allocate more."""
    done = subprocess.run([sys.executable, "-c", NO_MEMORY], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert 5 == len(lines) and all(line.startswith("True") for line in lines), lines


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution"), True),
        (RaylabError("windows of participant P1 do not fit (Cannot allocate memory); give it more"), False),
        (TrainingError("the loss is NaN"), False),
        (OSError(28, "No space left on device"), False),
        (ValueError("out of memory"), False),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    """By type or by the library's words; what raylab has put into words has its remedy already."""
    assert expected == memory_ran_out(error)


def test_a_command_whose_memory_ran_out_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no fault in raylab, whatever library asked for it."""
    importlib.import_module("raylab.cli.commands.models")
    for error in (MemoryError(), OSError(12, "Cannot allocate memory"), RuntimeError("could not create a primitive")):
        assert 1 == _ends(monkeypatch, error)
        printed = capsys.readouterr().err
        assert "memory ran out" in printed and "What to do: use a machine with more memory" in printed


def test_an_interrupted_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, and the usual exit code of Ctrl-C."""
    importlib.import_module("raylab.cli.commands.models")
    assert 130 == _ends(monkeypatch, KeyboardInterrupt())
    assert "raylab: interrupted before it was done.\n" == capsys.readouterr().err


def test_an_error_of_a_task_is_the_users_own(
    cluster: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray wraps what a task raises: the sentence is printed, not the task's stack."""
    importlib.import_module("raylab.cli.commands.models")

    @ray.remote
    def task() -> None:
        raise SENTENCE

    with pytest.raises(RecordingError) as wrapped:
        ray.get(task.remote())
    assert 1 == _ends(monkeypatch, wrapped.value)
    assert f"raylab: {SENTENCE}\n" == capsys.readouterr().err


@pytest.mark.parametrize("error", [SENTENCE, StudyError(["a", "b"]), FoldError("x"), RaylabError("y")])
def test_errors_travel_between_processes(error: RaylabError) -> None:
    """Kind, message and attributes."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(error), str(error), vars(error)) == (type(again), str(again), vars(again))


def test_a_sentence_about_a_name_without_end_can_be_read() -> None:
    """A damaged file has names of any length: the middle of a name, and of a sentence, is left out."""
    name = "x" * 20_000
    message = str(RecordingError(f"column {name!r} goes steadily", file="a.csv", remedy=f"rename {name}"))
    assert message.startswith("file a.csv: column 'xxx") and "xxx' goes steadily. What to do: rename xxx" in message
    assert "(19,802 characters)" in message and len(message) < 600
    listed = str(RecordingError("has the columns " + "ab, " * 10_000 + "last", file="a.csv", remedy="name them"))
    assert listed.endswith("last. What to do: name them") and len(listed) < 2200
    assert str(RecordingError("it is short", remedy="none")) == "recording: it is short. What to do: none"
