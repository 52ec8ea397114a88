"""Predictions beside real runs: what the machine takes because trainings run beside each other is in them. The runs here are made up."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cluster_model.plans import Plan
from benchmarks.cluster_model.real_runs import STUDY, Measured, compared, crowding, validation_plan
from raylab.trials.study import Study

STEP_S = 0.01


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study, Plan]:
    """The folder, study and plan of a validation."""
    folder = tmp_path_factory.mktemp("validation")
    return folder, *validation_plan(folder, STUDY)


def _run(plan: Plan, slots: int) -> Measured:
    """A run whose trials take nothing but their trainings."""
    trained = STEP_S * sum(stage.epochs * stage.steps for stage in plan.stages.values())
    return Measured(
        slots, 0, trained / slots, 1.0, 1.0, worker_s=trained, trained_s=trained, first_s=0.0, trials=len(plan.trials), load=1.0
    )


def test_trainings_that_slow_each_other_are_predicted_so(planned: tuple[Path, Study, Plan]) -> None:
    """One and a half times the processor time of a step takes so much longer, but for what the driver takes, where so many run at once."""
    _, _, plan = planned
    runs = [_run(plan, slots) for slots in (1, 2, 3)]
    steps = {stage.shape: STEP_S for stage in plan.stages.values()}
    plain = compared(plan, steps, runs)["runs"]
    crowded = compared(plan, steps, runs, {1: 1.0, 2: 1.5, 3: 1.5})["runs"]
    assert [1.0, 1.0, 1.0] == [row["crowding"] for row in plain]
    assert [1.0, 1.5, 1.5] == [row["crowding"] for row in crowded]
    assert crowded[0]["predicted_s"] == plain[0]["predicted_s"]
    for one, other in zip(plain[1:], crowded[1:], strict=True):
        assert 1.4 < other["predicted_s"] / one["predicted_s"] <= 1.5
        assert other["ratio"] == pytest.approx(other["predicted_s"] / other["trials_s"])


def test_each_worker_pays_for_its_imports(planned: tuple[Path, Study, Plan]) -> None:
    """What the first trial takes beyond the others on one slot is predicted for every slot once."""
    _, _, plan = planned
    plain, slow = [_run(plan, slots) for slots in (1, 2)], []
    for run in plain:
        slow.append(replace(run, first_s=4.0, worker_s=run.worker_s + 4.0 * run.slots, trials_s=run.trials_s + 4.0))
    steps = {stage.shape: STEP_S for stage in plan.stages.values()}
    before, after = (compared(plan, steps, runs)["runs"] for runs in (plain, slow))
    for one, other in zip(before, after, strict=True):
        assert other["predicted_s"] == pytest.approx(one["predicted_s"] + 4.0, abs=0.2)
        assert other["waited_s"] == pytest.approx(one["waited_s"], abs=0.1)


@pytest.mark.slow
def test_crowding_is_measured(planned: tuple[Path, Study, Plan]) -> None:
    """By real trainings in processes of their own: of one beside none it is 1 but for noise."""
    folder, study, _ = planned
    assert 0.5 < crowding(str(folder / "windows"), study, 1, rounds=3) < 2.0
    assert 0.5 < crowding(str(folder / "windows"), study, 2, rounds=3) < 4.0
