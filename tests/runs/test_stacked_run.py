"""Stacks of folds on Ray: the bits of a run in process, one row a fold in Tune's results, and curves of every fold."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from builders.running import killed_at_half, predictions, quiet
from builders.studies import small
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import analysis
from raylab.runs.run import start
from raylab.trials.study import Study

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "read-a-run.md").read_text(encoding="utf-8")


def stacked(**changes: Any) -> Study:
    protocol = {"epochs": 2, "batch_size": 8, "numerics": "stacked"}
    return small(**{"protocol": protocol, "resources": {"stack": 3}, **changes})


@pytest.fixture(scope="module")
def in_process(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stacked") / "run"
    start(stacked(), str(cohort), str(out), "local", log=quiet)
    return out


@pytest.fixture(scope="module")
def on_ray(cluster: None, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On Ray, with two workers."""
    out = tmp_path_factory.mktemp("stacked-ray") / "run"
    summary = start(stacked(), str(cohort), str(out), log=quiet)
    assert (summary.statuses, summary.stages_needed, summary.trainings_completed) == ({"ok": 15}, 15, 15)
    return out


def equal(expected: Path, found: Path) -> bool:
    one, other = predictions(expected), predictions(found)
    return len(one) == 15 and one.keys() == other.keys() and all(table.equals(other[key]) for key, table in one.items())


def test_every_way_to_run_gives_the_same_bits(in_process: Path, on_ray: Path, cohort: Path, tmp_path: Path) -> None:
    """Two workers, one worker, in process."""
    assert equal(in_process, on_ray)
    start(stacked(resources={"stack": 3, "cpu": 2}), str(cohort), str(tmp_path / "one"), log=quiet)
    assert equal(in_process, tmp_path / "one")


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(in_process: Path, cohort: Path, tmp_path: Path) -> None:
    """kill -9 when half of the trials have a record; the same command again ends the study, and trains no stage twice but an interrupted one."""
    out, file = tmp_path / "killed", tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(stacked().as_dict()), encoding="utf-8")
    command = [sys.executable, "-m", "raylab.cli", "run", str(file), "--out", str(out), "--windows", str(cohort), "--local"]
    killed_at_half(command, out, 15)
    left = 15 - len(list((out / "trials").glob("*.json")))
    summary = start(stacked(), str(cohort), str(out), "local", log=quiet)
    assert left > 0
    assert (summary.statuses, summary.trainings_completed) == ({"ok": 15}, 15)
    assert equal(in_process, out)


def test_tunes_results_have_a_row_for_each_fold(on_ray: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of docs/read-a-run.md on a run of stacks."""
    shutil.copytree(on_ray, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    exec(next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "ResultGrid" in code), made)
    results = made["results"]
    assert len(made["grid"]) == 6
    assert set(predictions(on_ray)) == set(results["trial"])
    assert len(results) == 15
    assert results["auroc"].between(0, 1).all()
    assert {f"P0{k}" for k in range(1, 6)} == set(results["row/participant"])


def test_tensorboard_has_the_curves_of_each_fold(on_ray: Path) -> None:
    """A folder for each fold in its stack's, with every epoch of its own trainings."""
    found = {}
    plan = analysis.load(on_ray).plan
    for file in next((on_ray / "tune").iterdir()).rglob("events.*"):
        events = EventAccumulator(str(file.parent))
        events.Reload()
        found[tuple(map(unquote, file.parts[-8:-1]))] = {tag: len(events.Scalars(tag)) for tag in events.Tags()["scalars"]}
    names = ["dataset", "label", "model", "technique", "variant", "participant", "seed"]
    assert set(plan[names].astype(str).itertuples(index=False, name=None)) == set(found)
    for tags in found.values():
        assert "final/auroc" in tags
        assert {2} == {tags[name] for name in tags if name.endswith("/loss")}
    assert 5 == sum("everyone_else/val_loss" in tags for tags in found.values())
