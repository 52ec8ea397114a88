"""Real faults during runs: nothing is lost, nothing stands twice, every failure is named, and the numbers do not change by a bit."""

import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from builders.faults import Saboteur, cut_short, fill, say, small_disk, with_a_nan
from builders.nodes import Nodes, named, nodes, wait_until
from builders.running import every, predictions, processes, quiet
from builders.studies import small

from raylab.files import Folder
from raylab.runs.folder import RunFolder
from raylab.runs.run import indexes_of, start
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import read_windows

NAMED = re.compile(
    r"is nan in epoch|predicts NaN|No space left on device|its worker died|stage \w+ was not trained: trial \w+ failed"
)
OWN = re.compile(
    r"(\w+: \d+ trials|\d+/\d+ done|run again|failed|blocked|trials:|trainings|stages|  |raylab)"
)  # lines that are not Ray's
DURING = ("killed_worker", "full_disk", "truncated_stage", "killed_raylet")  # methods of Saboteur
DATASET = {"windows": "simulated", "label": "stress"}


def check(run: Path, trials: list[Trial], expected: dict[str, Any], spoilt: set[str]) -> Counter[str]:
    """What must hold of a run folder after any start, whatever happened: one record per planned trial and no other; a prediction
    file where the record says ok, equal to the bit to the undisturbed run's; a cause that is one of the faults where it does not; and
    of the trials that a NaN reaches, none is ok."""
    records = RunFolder(str(run)).records()
    assert sorted(trial.key for trial in trials) == sorted(record["trial"] for record in records)
    found = predictions(run)
    for record in records:
        if record["status"] == "ok":
            assert expected[record["trial"]].equals(found[record["trial"]]), record
        else:
            assert record["status"] in ("failed", "blocked") and NAMED.search(record["error"]), record
    fine = {record["trial"] for record in records if record["status"] == "ok"}
    assert not fine & spoilt
    return Counter(record["status"] for record in records)


# A few faults, on the session's Ray


def test_a_run_survives_a_killed_worker_a_cut_stage_and_a_nan(cluster: None, cohort: Path, tmp_path: Path) -> None:
    """Bases are trained, one file is cut short; while the other trials run a worker process is killed; a second dataset has a NaN. The
    cut stage is trained again and counted as repaired, what the killed worker did is done again, the NaN's trials are named."""
    root, out = tmp_path / "windows", tmp_path / "run"
    with_a_nan(cohort / "simulated", root / "spoilt", np.random.default_rng(1))
    shutil.copytree(cohort / "simulated", root / "simulated")
    study = small(datasets=[DATASET, {"windows": "spoilt", "label": "stress", "name": "spoilt", "participants": ["P02"]}])
    start(small(), str(cohort), str(tmp_path / "undisturbed"), "local", log=quiet)
    start(small(techniques=["non_personalized"]), str(cohort), str(out), "local", log=quiet)
    trials = list(plan(study, indexes_of(study, str(root))))
    cut = next(trial for trial in trials if trial.technique == "fine_tuning")
    cut_short(out, cut.stages[0], 0.6)
    killed: list[int] = []

    def kill() -> None:
        workers = named("ray::ImplicitFunc", processes())
        if not killed and workers and len(list((out / "trials").glob("*.json"))) > 7:
            killed.append(workers[0].pid)
            workers[0].kill()

    with every(0.1, kill):
        summary = start(study, str(root), str(out), log=quiet)

    spoilt = {trial.key for trial in trials if trial.dataset == "spoilt"}
    counts = check(out, trials, predictions(tmp_path / "undisturbed"), spoilt)
    assert killed
    assert 15 == counts["ok"] and 3 == counts["failed"] + counts["blocked"]
    assert summary.repaired >= 1
    assert cut.stages[0] in {row["stage"] for row in RunFolder(str(out)).store.trainings() if row.get("repairs")}


@pytest.mark.parametrize(("left", "what"), [(0, "/trainings/"), (8 * 1024, "/stages/")], ids=["nothing", "some"])
def test_a_full_disk_fails_the_trial_by_name(cohort: Path, tmp_path: Path, left: int, what: str) -> None:
    """With no space for the note of a training, or for the note but not for the stage: the trial fails with the file and the cause, and
    nothing half-written stands there."""
    trial = next(plan(small(), indexes_of(small(), str(cohort))))
    windows = read_windows(Folder(str(cohort / "simulated")))
    with small_disk(tmp_path / "disk", 1) as disk:
        filler = fill(disk)
        os.truncate(filler, filler.stat().st_size - left)
        outcome = run_trial(trial, windows, StageStore(Folder(disk)))
        written = [path.parent.name for path in disk.rglob("*") if path.is_file() and path != filler]

    assert "failed" == outcome.status
    assert what in outcome.record["error"] and "No space left on device" in outcome.record["error"]
    assert written == (["trainings"] if left else [])


# Many faults, on a cluster of three nodes


def _prepare(made: Nodes, root: Path, **options: int) -> None:
    chosen = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    log = root / "prepare.log"
    done = made.raylab("prepare", "simulated", "--out", str(root / "simulated"), *chosen, log=log)
    assert 0 == done.wait(600), log.read_text()


@contextmanager
def _command(made: Nodes, study: Study, root: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The one command that runs and resumes; what it said follows when it is over, and it does not outlive the block."""
    path, log = root / f"{study.name}.yaml", root / f"{out.name}.log"
    path.write_text(yaml.safe_dump(study.as_dict()))
    log.unlink(missing_ok=True)
    driver = made.raylab("run", str(path), "--windows", str(root), "--out", str(out), log=log)
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait()
        for line in log.read_text().splitlines():
            if OWN.match(line):
                say(f"    | {line}")


@pytest.mark.slow
def test_a_lost_node_and_the_heads_workers(tmp_path: Path) -> None:
    """Three nodes: one raylet is killed at a third of 60 trials, all worker processes of the head's node at two thirds. The run completes by
    itself, and its predictions are those of an undisturbed run, to the bit."""
    out = tmp_path / "run"
    with nodes(2) as made:
        _prepare(made, tmp_path, participants=5, minutes=3)
        study = small(name="nodes", seeds=[0, 1, 2, 3])
        start(study, str(tmp_path), str(tmp_path / "undisturbed"), "local", log=quiet)
        saboteur = Saboteur(made, out, [], np.random.default_rng(0))
        with _command(made, study, tmp_path, out) as driver:
            wait_until(lambda: len(saboteur.ended()) >= 20, "20 trials")
            made.raylets(head=False)[0].kill()
            wait_until(lambda: len(saboteur.ended()) >= 40, "40 trials")
            victims = made.workers(made.raylets(head=True))
            for victim in victims:
                victim.kill()
            code = driver.wait(600)

    assert 0 == code and victims
    assert {"ok": 60} == check(
        out, list(plan(study, indexes_of(study, str(tmp_path)))), predictions(tmp_path / "undisturbed"), set()
    )


@pytest.mark.slow
def test_fifty_faults_of_five_kinds(tmp_path: Path) -> None:
    """Five runs of 200 trials, each with ten faults at random: two NaN in the data (a fifth of the trials), and, while it runs on three nodes
    into a folder on a disk of its own, two each of a killed worker, a full disk, a cut stage, a killed raylet.

    After each, every trial has one record, and every failure its cause; the same command again then makes everything good but what
    the NaN reach, with predictions equal to the bit to an undisturbed run's.
    """
    seed = int(os.environ.get("RAYLAB_FAULTS_SEED", "20261"))
    say(f"seed {seed}")
    rng = np.random.default_rng(seed)
    with nodes(2) as made:
        _prepare(made, tmp_path, participants=8, minutes=3)
        variants = ["non_personalized", {"name": "fine_tuning", "layers": ["all", "last"], "budget": [0.2, 0.3]}]
        basic = {"techniques": variants, "seeds": [0, 1, 2, 3], "protocol": {"epochs": 1, "batch_size": 16}}
        start(small(**basic), str(tmp_path), str(tmp_path / "undisturbed"), "local", log=quiet)
        expected = predictions(tmp_path / "undisturbed")
        total = sum((_one_run(number, made, tmp_path, basic, expected, rng) for number in range(1, 6)), Counter[str]())
    say(f"all runs: {dict(total)}")
    assert dict.fromkeys(("a NaN", *DURING), 10) == total


def _one_run(
    number: int, made: Nodes, root: Path, basic: dict[str, Any], expected: dict[str, Any], rng: np.random.Generator
) -> Counter[str]:
    """One run of 200 trials with its faults, and the same command again; how many faults of each kind there were."""
    copies = [f"spoilt{number}{letter}" for letter in "ab"]
    where = [with_a_nan(root / "simulated", root / name, rng) for name in copies]
    people = [str(rng.choice([f"P{i:02d}" for i in range(1, 9)])) for _ in copies]
    entries = [
        {"windows": name, "label": "stress", "name": name, "participants": [p]} for name, p in zip(copies, people, strict=True)
    ]
    study = small(name=f"faults{number}", datasets=[DATASET, *entries], **basic)
    trials = list(plan(study, indexes_of(study, str(root))))
    assert 200 == len(trials)
    spoilt = {trial.key for trial in trials if trial.dataset in copies}
    say(f"\nrun {number}: NaN in {'; '.join(where)}")
    kinds = list(rng.permutation([*DURING, *DURING]))
    marks = sorted(rng.integers(5, 120, len(kinds)))
    with small_disk(root / f"run{number}", 200) as out:
        began, saboteur = time.monotonic(), Saboteur(made, out, trials, rng)
        with _command(made, study, root, out) as driver:
            for mark, kind in zip(marks, kinds, strict=True):
                wait_until(lambda mark=mark: len(saboteur.ended()) >= mark or driver.poll() is not None, f"{mark} ended trials")
                assert driver.poll() is None, f"it ended before its faults came: {kind}"
                say(f"  {time.monotonic() - began:6.1f} s, {len(saboteur.ended()):3d} ended: {getattr(saboteur, kind)()}")
            assert 1 == driver.wait(1200)
        say(f"  {time.monotonic() - began:6.1f} s: {dict(check(out, trials, expected, spoilt))}")
        with _command(made, study, root, out) as driver:
            assert 1 == driver.wait(1200)
        after = check(out, trials, expected, spoilt)
        say(f"  {time.monotonic() - began:6.1f} s, the same command again: {dict(after)}")
        assert 160 == after["ok"] and 40 == after["failed"] + after["blocked"]
    return Counter([*kinds, "a NaN", "a NaN"])
