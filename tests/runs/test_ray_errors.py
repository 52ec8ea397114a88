"""What Ray says in pages becomes a sentence: who was concerned, what happened, what to do."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
import ray
from builders.command_line import run_command
from builders.dying import DeadlyRequest
from builders.running import quiet
from builders.studies import small
from ray import exceptions

from raylab.errors import RaylabError
from raylab.runs.cluster import check_resources, connect
from raylab.runs.dataset_check import check_dataset
from raylab.runs.prepare import prepare
from raylab.runs.ray_errors import boundary, check_temporary_folder, death_of, remote_result, sentence
from raylab.runs.run import start
from raylab.trials.resources import Resources

DIED = "Worker unexpectedly exits with a connection error code 2. End of file. There are some potential root causes."


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has no Ray yet; nothing is shut down."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)


# The start


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_temporary_folder_with_a_long_path(
    variable: str, unconnected: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that names the folder and the variable, before Ray is started."""
    folder = tmp_path / ("long" * 20)
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert 1 == run_command(monkeypatch, "prepare", "simulated", "--out", str(tmp_path / "w"))
    line = capsys.readouterr().err
    assert f"{folder} ({variable})" in line and "too long for a socket" in line and "RAY_TMPDIR=/tmp" in line
    assert 1 == len(line.splitlines())


def test_a_temporary_folder_of_usual_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """/tmp, and what leaves room for the session's name."""
    for folder in ("/tmp", "/scratch/users/somebody/tmp"):
        monkeypatch.setenv("RAY_TMPDIR", folder)
        check_temporary_folder()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Exception("The current node timed out during startup. This could happen because"), "the machine is very busy"),
        (OSError(28, "No space left on device"), "a disk with free space"),
        (OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x"), "RAY_TMPDIR"),
        (RuntimeError("\n\n  Failed to start GCS.\n  Last 50 lines of ...\n" + "line\n" * 50), "Failed to start GCS"),
        (AssertionError(), "AssertionError"),
        (exceptions.RaySystemError("System error: broken"), "System error"),
    ],
)
def test_a_start_that_fails(error: Exception, expected: str, unconnected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Ray raises: one line with the remedy, and the way without Ray."""

    def fails(**options: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(RaylabError, match="Ray did not start on this machine") as raised:
        connect()
    message = str(raised.value)
    assert expected in message and "run --local` need no Ray" in message and 1 == len(message.splitlines())


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Could not find any running Ray instance"),
        ValueError("not an address"),
        RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.9"),
    ],
)
def test_a_cluster_out_of_reach(error: Exception, unconnected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is named."""

    def fails(**options: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fails)
    with pytest.raises(RaylabError, match=r"Ray at 10\.0\.0\.1:6379 could not be reached: .*What to do: check the address"):
        connect("10.0.0.1:6379")


def test_a_start_that_is_ended_by_sigterm(unconnected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own handler leaves by SystemExit(15): it is a stop as any other."""

    def ends(**options: Any) -> None:
        raise SystemExit(int(signal.SIGTERM))

    monkeypatch.setattr(ray, "init", ends)
    with pytest.raises(KeyboardInterrupt) as stop:
        connect()
    assert (int(signal.SIGTERM),) == stop.value.args


@pytest.mark.parametrize("asked", [{"gpu": 1}, {"cpu": 64}, {"cpu": 2, "workers": 3}])
def test_what_this_machine_has_not_is_refused(cluster: None, asked: dict[str, Any], cohort: Path, tmp_path: Path) -> None:
    """A local Ray does not grow: a trial would wait for ever."""
    with pytest.raises(RaylabError, match=r"a trial needs .*does not grow. What to do: ask for less"):
        check_resources(Resources(**asked))
    with pytest.raises(RaylabError, match="does not grow"):
        start(small(resources=asked), str(cohort), str(tmp_path / "run"), log=quiet)
    assert "" == check_resources(Resources())


# Processes that die


@pytest.mark.slow
def test_participants_whose_process_died_are_named(cluster: None, tmp_path: Path) -> None:
    """By prepare, with the other problems in the same message, and by --check, which reads the others all the same."""
    request = DeadlyRequest(
        "simulated", ".", str(tmp_path / "windows"), options={"participants": 3, "minutes": 2}, deadly="P02"
    )
    with pytest.raises(RaylabError, match="nothing was prepared") as raised:
        prepare(request, say=quiet)
    message = str(raised.value)
    assert "participant P02: the process that read it died before it was done" in message and "--exclude" in message
    assert "P01" not in message and "P03" not in message
    assert not (tmp_path / "windows" / "card.json").exists()
    lines: list[str] = []
    assert 1 == check_dataset(request, lines.append)
    assert any(line.startswith("  - participant P02: its process died (") for line in lines)
    assert any("2 of 3 participants can be read" in line for line in lines)


def test_a_task_that_dies_is_named(cluster: None) -> None:
    """What a task raises itself passes as it is."""

    @ray.remote(max_retries=0)
    def work(error: Exception | None) -> None:
        if error:
            raise error
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RaylabError, match=r"^cohort shifted 3: its process died \("):
        remote_result(work.remote(None), "cohort shifted 3")
    with pytest.raises(KeyError):
        remote_result(work.remote(KeyError("p_1")), "cohort shifted 3")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."), "memory ran out"),
        (exceptions.ObjectStoreFullError("Failed to put object"), "are full. What to do: free disk space"),
        (exceptions.OutOfDiskError("x"), "are full"),
        (exceptions.WorkerCrashedError(), "its process died"),
        (exceptions.ActorDiedError(), "its process died"),
        (exceptions.LocalRayletDiedError(), "was lost"),
        (exceptions.RuntimeEnvSetupError("no pip"), "could not set up its environment"),
        (exceptions.RpcError("unavailable"), "RpcError: unavailable"),
    ],
)
def test_errors_of_rays_own(error: Exception, expected: str) -> None:
    """One line, with what was being done and a remedy; also when a task's error holds it."""
    with pytest.raises(RaylabError, match=r"^trial abc: ") as raised, boundary("trial abc"):
        raise error
    message = str(raised.value)
    assert expected in message and "What to do: " in message and 1 == len(message.splitlines())


@pytest.mark.parametrize("error", [ValueError("x"), RaylabError("y"), OSError("z")])
def test_other_errors_pass(error: Exception) -> None:
    """They are not Ray's."""
    assert "" == sentence(error)
    with pytest.raises(type(error)), boundary("a"):
        raise error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Worker exit detail: process killed by signal 11", "SIGSEGV"),
        ("SIGABRT received", "SIGABRT"),
        ("Task was killed due to the node running low on memory. Memory on the node was 15.2GB", "memory ran out"),
        (DIED, "killed from outside"),
        ("signal 9999", "killed from outside"),
    ],
)
def test_how_a_process_died(text: str, expected: str) -> None:
    """The signal, if Ray knows it."""
    assert expected in death_of(Exception(text))
