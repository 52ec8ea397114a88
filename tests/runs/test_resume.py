"""A driver that is killed: the same command runs what is missing, once, and the result is the same to the bit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from builders.running import killed_at_half

from raylab.runs.folder import RunFolder
from raylab.runs.run import start
from raylab.trials.study import parse_study


def study_of(budgets: list[float], layers: list[str], seeds: list[int]) -> dict[str, Any]:
    """A base and its calibrations for each of the cohort's 5 people."""
    return {
        "name": "resume",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": layers, "budget": budgets}],
        "seeds": seeds,
        "protocol": {"epochs": 2, "batch_size": 16},
        "keep": "all",  # trainings are counted: none is repeated with its trial
    }


def files(run: Path) -> dict[str, tuple[int, int]]:
    """Every file but the lease: when it changed, its size."""
    found = [path for path in run.rglob("*") if path.is_file() and path.parent.name != "lease"]
    return {str(path.relative_to(run)): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def predictions(run: Path) -> dict[str, pa.Table]:
    return {
        path.stem: RunFolder(str(run)).folder.read_table(f"predictions/{path.name}") for path in (run / "predictions").iterdir()
    }


def killed_and_resumed(content: dict[str, Any], how: list[str], total: int, cohort: Path, tmp_path: Path) -> None:
    """Kill the command at half, run it again, and compare with a run that nobody interrupted."""
    study, run = tmp_path / "study.yaml", tmp_path / "run"
    study.write_text(yaml.safe_dump(content))
    command = [sys.executable, "-c", "from raylab.cli import main; main()", "run", str(study)]
    command += ["--windows", str(cohort), "--out", str(run), *how]
    killed_at_half(command, run, total)
    at_kill = {row["trial"]: row for row in RunFolder(str(run)).records()}
    assert total // 2 <= len(at_kill) < total
    before = files(run)
    subprocess.run(command, check=True, capture_output=True)
    records = {row["trial"]: row for row in RunFolder(str(run)).records()}
    assert total == len(records)
    assert {"ok"} == {row["status"] for row in records.values()}
    after = files(run)
    touched = [
        name for name in before if name.startswith(("trials/", "predictions/", "stages/")) and before[name] != after[name]
    ]
    assert [] == [name for name in touched if any(key in name for key in at_kill)]
    assert {key: row["ended"] for key, row in at_kill.items()} == {key: records[key]["ended"] for key in at_kill}
    for key, row in at_kill.items():
        stages = [t for t in RunFolder(str(run)).store.trainings() if t["stage"] == row["stages"][-1]]
        assert ["completed"] == [training["status"] for training in stages], key
    start(parse_study(content, "test"), str(cohort), str(tmp_path / "whole"), "local", log=lambda line: None)
    expected, found = predictions(tmp_path / "whole"), predictions(run)
    assert expected.keys() == found.keys()
    assert all(table.equals(found[key]) for key, table in expected.items())


def test_a_killed_driver_is_resumed(cohort: Path, tmp_path: Path) -> None:
    """20 trials in one process: half of them run before kill -9, the others after it, none twice."""
    killed_and_resumed(study_of([0.2, 0.3, 0.4], ["last"], [0]), ["--local"], 20, cohort, tmp_path)


@pytest.mark.slow
def test_a_killed_driver_of_60_trials_on_ray_is_resumed(cohort: Path, tmp_path: Path) -> None:
    """The same on a Ray of its own, whose workers die with it."""
    killed_and_resumed(study_of([0.2, 0.25, 0.3, 0.4, 0.5], ["last"], [0, 1]), [], 60, cohort, tmp_path)


def test_the_same_command_on_a_finished_run_changes_no_file(cohort: Path, tmp_path: Path) -> None:
    """Not even its time of change."""
    content = parse_study(study_of([0.2], ["last"], [0]), "test")
    start(content, str(cohort), str(tmp_path), "local", log=lambda line: None)
    before = files(tmp_path)
    start(content, str(cohort), str(tmp_path), "local", log=lambda line: None)
    assert before == files(tmp_path)


def test_what_another_version_began_is_named(cohort: Path, tmp_path: Path) -> None:
    """The provenance of the start before is kept beside that of the one that went on."""
    content = parse_study(study_of([0.2], ["last"], [0]), "test")
    start(content, str(cohort), str(tmp_path), "local", log=lambda line: None)
    folder = RunFolder(str(tmp_path)).folder
    first = folder.read_json("provenance.json")
    assert [] == first["earlier"]
    folder.write_json("provenance.json", {**first, "commit": "another"})
    start(content, str(cohort), str(tmp_path), "local", log=lambda line: None)
    now = folder.read_json("provenance.json")
    assert (first["commit"], ["another"]) == (now["commit"], [start["commit"] for start in now["earlier"]])


def test_a_failed_trial_is_tried_again_and_the_others_stay(cohort: Path, tmp_path: Path) -> None:
    """Its record goes from the table and from its object; the other predictions keep their time of change."""
    content = parse_study(study_of([0.2], ["last"], [0]), "test")
    start(content, str(cohort), str(tmp_path), "local", log=lambda line: None)
    run = RunFolder(str(tmp_path))
    failed = sorted(run.finished())[0]
    record = run.folder.read_json(f"trials/{failed}.json")
    run.folder.write_json(f"trials/{failed}.json", {**record, "status": "failed", "error": "a lost node"})
    run.folder.remove("trials.parquet")
    run.finalize(set(run.finished()))
    before = files(tmp_path)
    assert {"ok": 10} == start(content, str(cohort), str(tmp_path), "local", log=lambda line: None).statuses
    after = files(tmp_path)
    shown = "tensorboard/"  # written again whenever a trial ran
    changed = {name.split("/")[-1] for name in before if not name.startswith(shown) and before[name] != after[name]}
    assert {f"{failed}.json", f"{failed}.parquet", "trials.parquet"} == changed
