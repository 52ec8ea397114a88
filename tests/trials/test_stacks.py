"""Which stages share a stack, and that a stack of trials gives what its plan says however it is run."""

import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from builders.running import predictions, quiet
from builders.studies import small

from raylab.runs.folder import RunFolder
from raylab.runs.run import indexes_of, start
from raylab.training import stacked as loop
from raylab.trials.plan import plan, stages_of
from raylab.trials.stacks import Unit, unit_key, units_of
from raylab.trials.study import Study
from raylab.trials.trial import Trial

STACKED = {"epochs": 2, "batch_size": 8, "numerics": "stacked"}


def stacked(**changes: Any) -> Study:
    """15 trials: of each of 3 cells a unit of 2 folds and one of 3."""
    return small(**{"protocol": STACKED, "resources": {"stack": 3}, **changes})


def reference(**changes: Any) -> Study:
    """The same study without stacks."""
    return small(**{"protocol": {**STACKED, "numerics": "reference"}, **changes})


def planned(study: Study, cohort: Path) -> list[Trial]:
    return list(plan(study, indexes_of(study, str(cohort))))


def test_stages_of_one_shape_share_a_stack(cohort: Path) -> None:
    """The base trainings of three folds are one composition, which all techniques share; each calibration has its own."""
    trials = planned(stacked(), cohort)
    units = units_of(trials, trials)
    assert {2: 3, 3: 3} == Counter(len(unit.trials) for unit in units)
    bases = {trial.stacks[0] for trial in trials}
    assert len(bases) == 2
    assert len({trial.stacks[1] for trial in trials if len(trial.stacks) > 1}) == 4
    assert all(unit.company == unit.trials for unit in units)
    assert trials == [Trial.from_config(trial.as_config()) for trial in trials]
    assert units == [Unit.from_config(unit.as_config()) for unit in units]


def test_a_composition_is_part_of_a_stages_hash(cohort: Path) -> None:
    """Another size, or another numerics, gives other hashes; the reference's are what they are without any of this."""
    alone, three = planned(reference(), cohort), planned(stacked(), cohort)
    two, one = planned(stacked(resources={"stack": 2}), cohort), planned(stacked(resources={"stack": 1}), cohort)
    sets = [{stage for trial in trials for stage in trial.stages} for trials in (alone, three, two)]
    assert not sets[0] & sets[1]
    assert not sets[1] & sets[2]
    assert [trial.stages for trial in one] == [trial.stages for trial in alone]


def test_a_large_stack_has_a_small_config(cohort: Path) -> None:
    """Tune keeps several copies of each config for as long as a run lasts: the trials of a stack are packed."""
    trials = planned(stacked(seeds=list(range(4)), resources={"stack": 20}), cohort)
    unit = max(units_of(trials, trials), key=lambda unit: len(unit.company))
    alone = json.dumps([trial.as_config() for trial in unit.company])
    assert 20 == len(unit.company) and len(json.dumps(unit.as_config())) < len(alone) / 4
    assert unit == Unit.from_config(json.loads(json.dumps(unit.as_config()))) and unit.key == unit_key(unit.as_config())


def test_what_cannot_be_stacked_keeps_its_hash(cohort: Path) -> None:
    """A classical model, and a stage of another method: the first has its reference hashes, the second follows a stacked base."""
    lda: dict[str, Any] = {"models": [{"encoder": "lda"}], "techniques": ["non_personalized"]}
    expected = planned(reference(**lda), cohort)
    assert [trial.stages for trial in planned(stacked(**lda), cohort)] == [trial.stages for trial in expected]
    trials = planned(stacked(techniques=["non_personalized", "head_map"]), cohort)
    assert all(trial.stacks[0] and not trial.stacks[1] for trial in trials if trial.technique == "head_map")


def run(study: Study, cohort: Path, out: Path, **more: Any) -> Any:
    return start(study, str(cohort), str(out), "local", log=quiet, **more)


@pytest.fixture(scope="module")
def finished(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stacked study, run in this process in the plan's order; beside it the processor seconds that it took."""
    out = tmp_path_factory.mktemp("stacked") / "run"
    began = time.process_time()
    summary = run(stacked(), cohort, out)
    (out.parent / "cpu_s").write_text(str(time.process_time() - began), encoding="ascii")
    assert (summary.statuses, summary.stages_needed, summary.trainings_completed) == ({"ok": 15}, 15, 15)
    return out


def equal(expected: Path, found: Path) -> bool:
    """Equal predictions, to the bit."""
    one, other = predictions(expected), predictions(found)
    return one.keys() == other.keys() and all(table.equals(other[key]) for key, table in one.items())


def test_records_are_those_of_single_trials(finished: Path) -> None:
    """Each training is counted for one trial, and its curve is stored."""
    folder = RunFolder(str(finished))
    records = folder.records()
    assert sum(row["stages_reused"] for row in records) == 10
    assert {row["epochs"] for row in records} == {2}
    assert all(row["windows_trained"] > 0 and row["seconds"] > 0 for row in records)
    curves = [folder.folder.read_json(f"trainings/{name}") for name in folder.folder.names("trainings", ".json")]
    assert all(len(training["curve"]) == 2 for training in curves)


def test_every_training_says_what_it_cost(finished: Path) -> None:
    """Each member of a stack its share of the processor time, so that the sum is what the trainings took, not a multiple of it."""
    trainings = RunFolder(str(finished)).store.trainings()

    assert all(row["cpu_s"] > 0 for row in trainings)
    assert sum(row["cpu_s"] for row in trainings) < float((finished.parent / "cpu_s").read_text(encoding="ascii"))


def test_another_order_gives_the_same_bits(finished: Path, cohort: Path, tmp_path: Path) -> None:
    shuffled = random.Random(1)
    run(stacked(), cohort, tmp_path / "order", reorder=lambda trials: shuffled.sample(trials, len(trials)))
    assert equal(finished, tmp_path / "order")


def test_what_is_lost_or_damaged_comes_back_to_the_bit(finished: Path, cohort: Path, tmp_path: Path) -> None:
    """A fold's base is damaged, its trials are lost: its stack is trained again, and only what was lost is stored."""
    out = tmp_path / "lost"
    shutil.copytree(finished, out)
    trial = planned(stacked(), cohort)[1]
    base = out / "stages" / f"{trial.stages[0]}.safetensors"
    content = base.read_bytes()
    base.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    others = {path: path.stat().st_mtime_ns for path in (out / "stages").iterdir() if path != base}
    (out / "trials" / f"{trial.key}.json").unlink()
    (out / "trials.parquet").unlink()
    summary = run(stacked(), cohort, out)
    assert (summary.trainings_completed, summary.repaired) == (16, 1)
    assert base.read_bytes() == content
    assert all(path.stat().st_mtime_ns == when for path, when in others.items())
    assert equal(finished, out)


def test_a_run_that_ends_in_the_middle_goes_on(finished: Path, cohort: Path, tmp_path: Path) -> None:
    """The calibrations are lost: they continue from stored bases."""
    out = tmp_path / "half"
    run(stacked(techniques=["non_personalized"]), cohort, out)
    summary = run(stacked(), cohort, out)
    assert (summary.statuses, summary.trainings_completed) == ({"ok": 15}, 15)
    assert equal(finished, out)


def test_a_fold_that_fails_leaves_its_stack(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is not finite in one fold's base: its trials fail, each with the cause, and the others of the stack end well."""
    out, study = (
        tmp_path / "nan",
        stacked(
            techniques=[
                "non_personalized",
                {"name": "head_map", "budget": 0.2},
                {"name": "fine_tuning", "layers": "last", "budget": 0.2},
            ]
        ),
    )
    broken, index = planned(study, cohort)[1], next(iter(indexes_of(study, str(cohort)).values()))
    stage = stages_of(broken, index)[1][0]
    plain = loop.refuse_nonfinite

    def refuse(record: dict[str, float], of: Any) -> None:
        plain({**record, "loss": float("nan")} if of.hash == stage.hash else record, of)

    monkeypatch.setattr(loop, "refuse_nonfinite", refuse)
    summary = run(study, cohort, out)
    assert summary.statuses == {"failed": 3, "ok": 12}
    assert all("loss is nan in epoch 1 of stage everyone_else" in line for line in summary.failures)
    monkeypatch.undo()
    again = run(study, cohort, out)
    assert again.statuses == {"ok": 15}
