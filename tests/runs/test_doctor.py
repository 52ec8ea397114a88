"""`raylab doctor`: it finds what is broken, names the remedy in one line, and always comes to an end."""

import shutil
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from builders.command_line import run_command

from raylab.runs import doctor
from raylab.runs.doctor import MachineCheck, run_child

SEGFAULT = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"


def _gb(free: float, total: float = 100.0) -> Any:
    return lambda folder: shutil._ntuple_diskusage(total * 1e9, (total - free) * 1e9, free * 1e9)  # type: ignore[attr-defined]


@pytest.mark.slow  # half a minute: torch and librosa in processes of their own
def test_a_machine_that_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each thing, the storage left as it was, exit code 0."""
    assert 0 == run_command(monkeypatch, "doctor", "--out", str(tmp_path / "new" / "runs"), "--local"), capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    names = {line.split(":")[0].split(maxsplit=1)[1] for line in lines[:-1]}
    assert {
        "cores",
        "memory",
        "clock",
        "disk for runs",
        "packages",
        "part speech",
        "part live",
        "GPUs",
        "storage",
        "numba",
    } <= names
    assert not {"Ray", "RAY_TMPDIR"} & names and lines[-1].startswith("ready") and not list(tmp_path.iterdir())
    assert all(line.split()[0] in ("ok", "note") and ("What to do" in line or line.startswith("ok")) for line in lines[:-1])


@pytest.mark.slow
def test_ray_is_started_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a child process, which ends it again."""
    finding = doctor.ray_starts()
    assert ("Ray", "ok") == (finding.name, finding.state) and "starts on 127.0.0.1" in finding.text


def test_what_is_broken_is_named_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cache that ends every process, a storage that is a file, a path that is too long: all of them, each with its remedy; Ray is not tried."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(doctor, "NUMBA_CODE", SEGFAULT)
    monkeypatch.setattr(doctor, "RAY_CODE", "raise SystemExit('Ray was started')")
    monkeypatch.setattr(doctor, "_existing", lambda path: path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", _gb(50))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 100)
    assert 1 == run_command(monkeypatch, "doctor", "--out", str(tmp_path / "taken"))
    lines = {line.split(":")[0].split(maxsplit=1)[1]: line for line in capsys.readouterr().out.splitlines() if ":" in line}
    assert "bytes too long for a socket. What to do: set RAY_TMPDIR to a short path" in lines["RAY_TMPDIR"]
    assert "was ended by SIGSEGV" in lines["numba"] and "delete the files *.nbi and *.nbc in" in lines["numba"]
    assert "cannot be written" in lines["storage"] and "with --out" in lines["storage"] and "Ray" not in lines
    assert all(lines[name].startswith("broken") for name in ("RAY_TMPDIR", "numba", "storage"))
    assert lines["ready"].startswith("not ready: RAY_TMPDIR") if "ready" in lines else True


def test_children_that_crash_hang_or_say_nothing_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in words, within its time."""
    began = time.monotonic()
    assert "was ended by SIGSEGV" == run_child(SEGFAULT, 30).problem
    assert "did not end within 1 s" == run_child("import time; time.sleep(60)", 1).problem
    assert "OSError: no" == run_child("raise OSError('no')", 30).problem
    assert "ended with exit code 3" == run_child("raise SystemExit(3)", 30).problem
    assert run_child("print('no json')", 30).problem and run_child("print(3)", 30).problem and run_child("", 30).problem
    assert {"a": [1]} == run_child("print('noise'); print('{\"a\": [1]}')", 30).values
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(("free", "state"), [(0.5, "broken"), (3.0, "note"), (50.0, "ok")])
def test_disks_and_memory(free: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is free; also of a container's limit. A disk that is nearly full is told, however large it is."""
    monkeypatch.setattr(doctor.shutil, "disk_usage", _gb(free))
    findings = list(doctor.disks(str(tmp_path), Path("/tmp")))
    assert ["disk for runs", "disk for Ray"] == [finding.name for finding in findings]
    assert {state} == {finding.state for finding in findings}
    assert ["disk for Ray"] == [finding.name for finding in doctor.disks("s3://bucket/runs", Path("/tmp"))]
    monkeypatch.setattr(
        doctor, "_memory_limit_gb", lambda: (100.0 if state == "ok" else 1.9, 0.0 if state == "ok" else 1.9 - free / 2)
    )
    if state != "ok":
        assert ("broken" if free / 2 < 1 else "note") == doctor.memory().state
    monkeypatch.setattr(doctor.shutil, "disk_usage", _gb(40, 1000))
    (ray,) = doctor.disks("s3://bucket/runs", Path("/tmp"))
    assert "note" == ray.state and "more than 95% are in use" in ray.text


@pytest.mark.parametrize(("now_s", "state"), [(0.0, "broken"), (1.75e9, "broken"), (9e9, "broken"), (None, "ok")])
def test_a_clock_that_cannot_be_is_told(now_s: float | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before raylab was written, or in another century."""
    if now_s == 1.75e9 and Path(doctor.__file__).stat().st_mtime < 1.76e9:
        pytest.skip("raylab's files have no date of their own")
    if now_s is not None:
        monkeypatch.setattr(doctor.time, "time", lambda: now_s)
    finding = doctor.clock()
    assert state == finding.state and bool(finding.remedy) == (state != "ok")


def test_packages_that_are_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A need is broken, an optional part is a note with the command that installs it."""
    needs = ["numpy<1", "no-such-package>=2", "torch", 'no-such-part; extra == "live"', "raylab-affect[live]; extra == 'dev'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: needs)
    found = {finding.name: finding for finding in doctor.packages()}
    assert "broken" == found["packages"].state and "numpy is" in found["packages"].text
    assert "no-such-package is missing" in found["packages"].text and "torch" not in found["packages"].text
    assert (
        "note" == found["part live"].state
        and "raylab-affect[live]" in found["part live"].remedy
        and "ok" == found["part speech"].state
    )

    def missing(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", missing)
    assert ["note"] == [finding.state for finding in doctor.packages()]


def test_the_temporary_folder_of_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that sets it is named, and one that fits is good."""
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert "ok" == doctor.temporary_path(doctor.temporary_folder()).state
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", "/tmp/" + "ü" * 60)
    finding = doctor.temporary_path(doctor.temporary_folder())
    assert "broken" == finding.state and "(TMPDIR)" in finding.text


def test_storage_of_every_kind(tmp_path: Path) -> None:
    """A URI that no store has is refused in one line, a folder is left as it was."""
    assert "ok" == doctor.storage_writable(str(tmp_path)).state and not list(tmp_path.iterdir())
    finding = doctor.storage_writable("nosuch://bucket/runs")
    assert "broken" == finding.state and "\n" not in finding.line and "credentials" in finding.remedy


def test_a_finding_is_one_line() -> None:
    """Whatever a library says."""
    assert "broken  Ray: a b. What to do: c d" == MachineCheck("Ray", "broken", "a\n  b", "c\nd").line
