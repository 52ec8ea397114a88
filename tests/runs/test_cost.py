"""What a study will cost: counted exactly, timed on a few steps, and given as a range where training may stop early."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from raylab import cli
from raylab.runs.cost import START_S, estimate
from raylab.runs.folder import RunFolder
from raylab.runs.run import start
from raylab.runs.stage_timing import survey, time_stage
from raylab.techniques.registry import TECHNIQUES
from raylab.trials.plan import plan
from raylab.trials.study import Study, parse_study
from raylab.windows.dataset import Windows


def study(people: list[str] | None = None, **protocol: Any) -> Study:
    """A base and two calibrations for each of the cohort's 5 people, or of those named."""
    content = {
        "name": "cost",
        "datasets": [{"windows": "simulated", "label": "stress", "participants": people}],
        "models": [{"encoder": "fcn", "width": 1 / 16}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": ["all", "last"], "budget": 0.2}],
        "protocol": {"epochs": 2, "batch_size": 8, **protocol},
    }
    return parse_study(content, "test")


def test_the_counts_are_those_of_the_run(cohort: Path, tmp_path: Path) -> None:
    """Trials, trainings and window-epochs before the run are what its records say after it; then nothing is left to do."""
    before = estimate(study(), str(cohort), str(tmp_path), "local")
    assert (15, 15, 15) == (before.trials, before.pending, len(before.needed))
    start(study(), str(cohort), str(tmp_path), "local", log=lambda line: None)
    records = RunFolder(str(tmp_path)).records()
    assert sum(row["windows_trained"] for row in records) == sum(i.epochs * len(i.stage.train) for i in before.needed)
    after = estimate(study(), str(cohort), str(tmp_path), "local")
    assert (15, 0, []) == (after.trials, after.pending, after.needed)
    assert 0 == after.seconds(lambda item: item.epochs)


def test_stages_without_epochs_are_counted_and_timed(made: Windows) -> None:
    """Every stage of every technique can be timed, whatever its method, on a network and a classical model; what is computed at once counts once."""
    techniques = [
        {"name": name, **({"budget": 2} if "budget" in {a.name for a in t.axes} else {})} for name, t in TECHNIQUES.items()
    ]
    asked = {
        "name": "cost",
        "datasets": [{"windows": "made", "label": "stress", "participants": ["P1"]}],
        "models": [{"encoder": "fcn", "width": 1 / 64}, {"encoder": "ridge", "techniques": ["non_personalized", "prototypes"]}],
        "techniques": [t for t in techniques if t["name"] not in ("cluster_specific", "multi_task", "similarity_weighting")],
        "protocol": {"epochs": 4, "batch_size": 16},
    }
    needed, _ = survey(list(plan(parse_study(asked, "test"), {"made": made.index})), {"made": made.index})
    at_once = {item.shape.stage for item in needed.values() if item.epochs == 1 and item.trial.model.encoder == "fcn"}
    assert {"prototypes", "norm_statistics", "head_map", "tent"} == at_once  # tent has one epoch
    for stage in {item.shape: item for item in needed.values()}.values():
        timing = time_stage(stage.trial, stage.shape.stage, made, "cpu")
        assert timing.step_s >= 0
        assert timing.window_s > 0
        assert ("frees" in str(stage.shape)) != stage.shape.at_once  # nothing is freed where there are no steps


def test_what_is_computed_in_one_go_has_no_steps(cohort: Path) -> None:
    """A model without a network: the line says what one fit takes."""
    classical = parse_study(
        {**study(["P01", "P02"]).as_dict(), "models": [{"encoder": "lda"}], "techniques": ["non_personalized"]}, "test"
    )
    (line,) = (line for line in estimate(classical, str(cohort), None, "local").lines() if " x " in line)
    assert line.lstrip().startswith("2 x simulated / lda / everyone_else (in one go): ") and line.endswith(" ms")


def test_stages_of_a_stack_are_timed_side_by_side(cohort: Path) -> None:
    """Shapes say how many stand side by side, each training is counted, and the longest one lasts as long as its stack."""
    stacked = study(["P01", "P02", "P03"], numerics="stacked")
    found, alone = (estimate(asked, str(cohort), None, "local") for asked in (stacked, study(["P01", "P02", "P03"])))

    assert {1} == {shape.members for shape in alone.timings}
    assert {3} == {shape.members for shape in found.timings}
    assert len(alone.needed) == len(found.needed)
    assert any("batch 8, 3 side by side)" in line for line in found.lines())
    assert all(timing.step_s > 0 for timing in found.timings.values())
    shares = [stage.epochs * stage.steps * found.timings[stage.shape].step_s for stage in found.needed]
    on_many = replace(found, slots=1000).seconds(lambda stage: stage.epochs)
    assert on_many == pytest.approx(START_S + 3 * max(shares))


@pytest.mark.slow  # it measures time, which a busy machine spoils
def test_the_time_is_that_of_the_run(cohort: Path, tmp_path: Path) -> None:
    """Processor time of a run in process, within a half of what was predicted: no training of it can stop early."""
    asked = study(["P01", "P02"], epochs=12)
    predicted = estimate(asked, str(cohort), None, "local").seconds(lambda item: item.epochs) - START_S
    began = time.process_time()
    start(asked, str(cohort), str(tmp_path), "local", log=lambda line: None)
    assert 0.5 < predicted / (time.process_time() - began) < 1.5


def test_early_stopping_makes_it_a_range(cohort: Path, tmp_path: Path) -> None:
    """From as early as the patience allows to all epochs; with trainings in the folder, what those took lies between."""
    asked = study(epochs=15, patience=2)
    fresh = estimate(asked, str(cohort), None, "local")
    assert {3, 15} == {item.earliest for item in fresh.needed}  # a calibration has nothing to validate on
    assert "if every training stops as early as its patience allows" in fresh.lines()[-2]
    start(study(["P01"], epochs=15, patience=2), str(cohort), str(tmp_path), "local", log=lambda line: None)
    known = estimate(asked, str(cohort), str(tmp_path), "local")
    share, count = known.shares["everyone_else"]
    assert (12, 1) == (len(known.needed), count)
    assert 3 / 15 <= share <= 1
    low, high = known.seconds(lambda item: item.earliest), known.seconds(lambda item: item.epochs)
    assert low <= known.seconds(lambda item: item.epochs * known.shares[item.shape.stage][0]) <= high
    assert known.lines()[-2].startswith("expected: ")


def test_the_command_prints_it_and_runs_nothing(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`raylab run STUDY --plan` needs no run folder; without --plan one is asked for."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study().as_dict()))
    monkeypatch.setattr(sys, "argv", ["raylab", "run", str(path), "--windows", str(cohort), "--plan", "--local"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert 0 == end.value.code
    printed = capsys.readouterr().out
    assert "trials: 15 of 15 to run; trainings: 15; window-epochs: at most " in printed
    assert "time on 1 slot: " in printed
    monkeypatch.setattr(sys, "argv", ["raylab", "run", str(path), "--windows", str(cohort)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert 1 == end.value.code
    assert "--out" in capsys.readouterr().err


@pytest.mark.slow  # as many processes as the machine has cores
def test_steps_are_timed_on_ray_as_many_at_once_as_trials_run(cluster: None, cohort: Path) -> None:
    """Two slots on two CPUs; the same counts as in process."""
    there, here = (estimate(study(), str(cohort), None, where) for where in ("ray", "local"))  # type: ignore[arg-type]
    assert (2, 1) == (there.slots, here.slots)
    assert there.timings.keys() == here.timings.keys()
    assert all(timing.step_s > 0 and timing.window_s > 0 for timing in there.timings.values())
