"""One driver per run folder: who is refused, who takes over, and who notices that it was taken over."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from raylab.files import Folder
from raylab.runs.lease import Lease, LeaseLostError, LeaseOwner, RunHeldError, describe_holder, latest

# Holds the folder of its first argument; says so, then ends when it is told to by a line.
HOLDS = """
import sys
from raylab.files import Folder
from raylab.runs.lease import Lease, RunHeldError
try:
    with Lease(Folder(sys.argv[1]), timeout_s=float(sys.argv[2]), heartbeat_s=0.05) as lease:
        print("holds", flush=True)
        sys.stdin.readline()
        lease.check()
        print("still", flush=True)
except Exception as error:
    print(type(error).__name__, flush=True)
"""


def driver(folder: Path, timeout_s: float) -> "subprocess.Popen[str]":
    """A second process that takes the lease; its first line says whether it holds it."""
    command = [sys.executable, "-c", HOLDS, str(folder), str(timeout_s)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def finish(process: "subprocess.Popen[str]") -> str:
    """Let the driver go on to its end; its last line."""
    return process.communicate("\n", timeout=30)[0].strip()


def as_left_behind(folder: Folder, age_s: float) -> None:
    """The lease of a driver on another machine that fell silent a while ago."""
    with Lease(folder) as lease:
        pass
    number = latest(folder)[0]
    elsewhere = replace(lease.owner, host="far", machine="another", released=False)
    folder.write_json(f"lease/{number:06d}.json", vars(elsewhere))
    then = time.time() - age_s
    os.utime(folder.at(f"lease/{number:06d}.json"), (then, then))


def test_the_second_driver_is_refused_with_who_holds_the_folder(tmp_path: Path) -> None:
    """User, machine, process, since when, and what to do; when the first has ended, the second may start."""
    first = driver(tmp_path, timeout_s=60)
    assert "holds" == line(first)
    with pytest.raises(RunHeldError) as refused, Lease(Folder(tmp_path)):
        pass
    holder = latest(Folder(tmp_path))[1]
    assert isinstance(holder, LeaseOwner)
    for expected in (f"process {first.pid}", holder.user, holder.host, holder.since, "60 s after its last sign of life"):
        assert expected in str(refused.value)
    assert f"process {first.pid}" in describe_holder(Folder(tmp_path))
    assert "still" == finish(first)
    with Lease(Folder(tmp_path)) as lease:
        assert lease.replaced is None
    assert "no driver" == describe_holder(Folder(tmp_path))


def test_a_killed_driver_of_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    """kill -9 leaves a lease behind; its process is known to be gone, so nobody waits for the silence."""
    first = driver(tmp_path, timeout_s=60)
    assert "holds" == line(first)
    first.kill()
    while "no driver" != describe_holder(
        Folder(tmp_path)
    ):  # the signal takes its time; the process stays a zombie until it is waited for
        time.sleep(0.01)
    with Lease(Folder(tmp_path)) as lease:
        assert lease.replaced and lease.replaced.pid == first.pid
    first.communicate()


def test_a_silent_driver_of_another_machine_is_taken_over_after_60_s(tmp_path: Path) -> None:
    """Whether its process lives cannot be known: before the 60 s are over it holds the folder, after them not."""
    folder = Folder(tmp_path)
    as_left_behind(folder, age_s=50)
    with pytest.raises(RunHeldError, match="far"), Lease(folder):
        pass
    as_left_behind(Folder(tmp_path / "later"), age_s=61)
    with Lease(Folder(tmp_path / "later")) as lease:
        assert lease.replaced and lease.replaced.host == "far"


def test_a_suspended_driver_notices_that_it_was_taken_over_and_stops(tmp_path: Path) -> None:
    """SIGSTOP stops the beat; another takes over; after SIGCONT the first one raises before it would write."""
    first = driver(tmp_path, timeout_s=0.5)
    assert "holds" == line(first)
    os.kill(first.pid, signal.SIGSTOP)
    time.sleep(0.7)
    with Lease(Folder(tmp_path), timeout_s=0.5, heartbeat_s=0.05) as lease:
        assert lease.replaced and lease.replaced.pid == first.pid
        os.kill(first.pid, signal.SIGCONT)
        assert "LeaseLostError" == finish(first)
        lease.check()


def test_a_holder_goes_on_beating(tmp_path: Path) -> None:
    """A driver that lives is not taken over, however long it works."""
    with Lease(Folder(tmp_path), timeout_s=1.5, heartbeat_s=0.05):
        time.sleep(2.0)
        with pytest.raises(RunHeldError), Lease(Folder(tmp_path), timeout_s=1.5):
            pass


def test_removing_the_lease_by_hand_ends_the_holder(tmp_path: Path) -> None:
    """It stops at its next beat, and says why on leaving too."""
    lease = Lease(Folder(tmp_path), heartbeat_s=0.01)
    lease.__enter__()
    Folder(tmp_path).remove("lease")
    time.sleep(0.1)
    with pytest.raises(LeaseLostError, match="removed its lease"):
        lease.check()
    with pytest.raises(LeaseLostError):
        lease.__exit__(None, None, None)


@pytest.mark.parametrize("left", ["", "released", "silent"])
def test_of_drivers_that_start_at_once_one_wins(left: str, tmp_path: Path) -> None:
    """Six at the same moment, again and again: on a fresh folder, on a released one, on one that was left behind."""
    for n in range(30):
        folder = Folder(tmp_path / str(n))
        if left == "released":
            with Lease(folder):
                pass
        if left == "silent":
            as_left_behind(folder, age_s=61)
        starts, ends = Barrier(6, timeout=20), Barrier(6, timeout=20)

        def drive(folder: Folder = folder, starts: Barrier = starts, ends: Barrier = ends) -> str:
            starts.wait()
            try:
                with Lease(folder) as lease:
                    ends.wait()
                    lease.check()
                    return "holds"
            except RunHeldError:
                ends.wait()
                return "refused"

        with ThreadPoolExecutor(6) as pool:
            outcomes = [future.result() for future in [pool.submit(drive) for _ in range(6)]]
        assert ["holds"] + ["refused"] * 5 == sorted(outcomes)
