"""A stop is a stop: nothing that did not fail is written as failed, the run folder is given back, and the same command goes on."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.nodes import named, wait_until
from builders.running import processes, quiet
from builders.stopping import session_address, stopped
from builders.studies import small

from raylab.runs.folder import RunFolder
from raylab.runs.lease import driver
from raylab.runs.run import start
from raylab.runs.stop import RunStoppedError, exit_code, kept_handlers, noted, stoppable
from raylab.trials.study import Study

INT, TERM = signal.SIGINT, signal.SIGTERM
CODES = {INT: 130, TERM: 143}


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Neither signal is ignored during a test, also where the tests run in the background of a shell."""
    before = {INT: signal.signal(INT, signal.default_int_handler), TERM: signal.signal(TERM, signal.SIG_DFL)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _long(tmp_path: Path) -> tuple[Study, Path]:
    """15 trials, most of which take half a second or more each, as an object and as a file."""
    study = small(name="stopped", protocol={"epochs": 12, "patience": 12, "batch_size": 8})
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study.as_dict()))
    return study, path


def _check_stopped_run(study: Study, cohort: Path, out: Path) -> None:
    """What ended is ok, the rest has no record, nobody drives the folder, and the next start runs what is missing, once each."""
    finished = RunFolder(str(out)).finished()
    assert 0 < len(finished) < 15 and {"ok"} == set(finished.values())
    assert driver(RunFolder(str(out)).folder) is None
    assert [json.loads(file.read_text())["released"] for file in (out / "lease").glob("*.json")] == [True]
    summary = start(study, str(cohort), str(out), "local", log=quiet)
    assert ({"ok": 15}, 15) == (summary.statuses, summary.trainings_completed)


def _one_ended(out: Path) -> Any:
    return lambda: list((out / "trials").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [INT, TERM], ids=["ctrl-c", "sigterm"])
def test_a_stopped_run_on_ray_goes_on(cluster: None, cohort: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The workers end before the command does; a user who presses Ctrl-C again and again changes nothing."""
    (study, file), out = _long(tmp_path), tmp_path / "run"
    arguments = ["run", str(file), "--windows", str(cohort), "--out", str(out), *session_address()]
    ended = stopped(arguments, _one_ended(out), number, repeats=3)

    assert CODES[number] == ended.code, ended.printed
    assert "raylab: interrupted before it was done; the same command resumes it" in ended.printed.splitlines()[-1]
    assert "Traceback" not in ended.printed and "failed:" not in ended.printed
    wait_until(lambda: not named("ray::ImplicitFunc", processes()), "the workers' end")
    _check_stopped_run(study, cohort, out)


@pytest.mark.slow
@pytest.mark.parametrize("number", [INT, TERM], ids=["ctrl-c", "sigterm"])
def test_a_stopped_run_on_its_own_ray_goes_on(cohort: Path, tmp_path: Path, number: signal.Signals) -> None:
    """As above, with a Ray that the command started itself."""
    (study, file), out = _long(tmp_path), tmp_path / "run"
    ended = stopped(["run", str(file), "--windows", str(cohort), "--out", str(out)], _one_ended(out), number)
    assert CODES[number] == ended.code, ended.printed
    assert "the same command resumes it" in ended.printed.splitlines()[-1] and "Traceback" not in ended.printed
    _check_stopped_run(study, cohort, out)


@pytest.mark.parametrize("number", [pytest.param(INT, marks=pytest.mark.slow), TERM], ids=["ctrl-c", "sigterm"])
def test_a_stopped_run_in_one_process_goes_on(cohort: Path, tmp_path: Path, number: signal.Signals) -> None:
    """The same without Ray."""
    (study, file), out = _long(tmp_path), tmp_path / "run"
    ended = stopped(
        ["run", str(file), "--windows", str(cohort), "--out", str(out), "--local"], _one_ended(out), number, repeats=2
    )
    assert CODES[number] == ended.code, ended.printed
    assert "the same command resumes it" in ended.printed.splitlines()[-1] and "Traceback" not in ended.printed
    _check_stopped_run(study, cohort, out)


@pytest.mark.slow
def test_a_stopped_prepare_leaves_no_card(cluster: None, tmp_path: Path) -> None:
    """Half-written windows are none, and the same command makes room for itself."""
    out = tmp_path / "windows"
    arguments = ["prepare", "simulated", "--out", str(out), "--option", "participants=40", *session_address()]
    ended = stopped(arguments, (out / "making" / "started.json").exists, TERM)
    assert 143 == ended.code, ended.printed
    assert "no card was written" in ended.printed.splitlines()[-1] and "Traceback" not in ended.printed
    assert not (out / "card.json").exists()


@pytest.mark.slow
def test_a_stopped_validation_resumes(cluster: None, tmp_path: Path) -> None:
    """The workers' errors, which follow the stop, are not told as a fault."""
    out = tmp_path / "validity"
    arguments = ["validate", "--out", str(out), "--case", "shifted", "--cohorts", "2", *session_address()]
    ended = stopped(arguments, lambda: named("ray::_run_and_store", processes()), INT)
    assert 130 == ended.code, ended.printed
    assert "the cohorts that ended are stored" in ended.printed.splitlines()[-1] and "Traceback" not in ended.printed


# The signals themselves


def test_a_signal_is_an_interrupt_with_its_number() -> None:
    """Both signals, each with its exit code; the handlers from before are there again after a block without a stop."""
    before = [signal.getsignal(number) for number in CODES]
    with stoppable():
        pass
    assert before == [signal.getsignal(number) for number in CODES]
    for number, code in CODES.items():
        try:
            with pytest.raises(KeyboardInterrupt) as stop, stoppable():
                signal.raise_signal(number)
            assert code == exit_code(stop.value)
            signal.raise_signal(number)  # while the process ends: not heard
        finally:
            for old, handler in zip(CODES, before, strict=True):
                signal.signal(old, handler)
    assert 130 == exit_code(KeyboardInterrupt())


def test_a_noted_signal_waits_for_the_next_check() -> None:
    """The work goes on until then; afterwards it is an interrupt, whatever error it led to; without a signal errors pass."""
    done: list[str] = []

    def stopped_in_the_middle() -> None:
        with noted() as request:
            signal.raise_signal(TERM)
            signal.raise_signal(TERM)
            done.append("after the signal")
            with pytest.raises(RunStoppedError):
                request.check()
            raise ValueError("a consequence")

    def fails() -> None:
        with noted() as request:
            request.check()
            raise ValueError("its own")

    with pytest.raises(KeyboardInterrupt) as stop:
        stopped_in_the_middle()
    assert (["after the signal"], 143) == (done, exit_code(stop.value))
    with pytest.raises(ValueError, match="its own"):
        fails()


def test_other_threads_and_ignored_signals_are_left_alone() -> None:
    """Python hands signals to the main thread alone; what a shell made a background job ignore stays ignored; Ray's handler goes."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with stoppable(), noted() as request, kept_handlers():
                request.check()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [] == errors
    before = signal.signal(INT, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), INT)
    finally:
        signal.signal(INT, before)
    with stoppable():
        ours = signal.getsignal(TERM)
        with kept_handlers():
            signal.signal(TERM, lambda number, frame: None)
        assert ours is signal.getsignal(TERM)
