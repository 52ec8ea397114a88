"""The weights of a stage go when its trials are predicted, as the study says; bases stay, and a killed driver's leaves are found."""

from pathlib import Path

import pyarrow as pa
import pytest
from builders.running import predictions, quiet
from builders.studies import study
from builders.windows import make_windows, store

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease, RunHeldError
from raylab.runs.run import start
from raylab.runs.stage_lifetime import clean
from raylab.trials.study import parse_study

TECHNIQUES = [
    "non_personalized",
    {"name": "fine_tuning", "layers": "last", "budget": [0.2, 0.4], "unit": "window"},
    {"name": "user_dependent", "budget": 0.4, "unit": "window"},
]
PEOPLE = 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store(make_windows({f"P{i}": [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6 for i in range(PEOPLE)}), tmp_path / "windows" / "made")
    return tmp_path


def run_with(root: Path, keep: str, out: str = "run") -> RunFolder:
    content = study(techniques=TECHNIQUES, keep=keep, protocol={"epochs": 1, "batch_size": 16})
    summary = start(parse_study(content, "s"), str(root / "windows"), str(root / out), "local", log=lambda line: None)
    assert {"ok": PEOPLE * 4} == summary.statuses
    return RunFolder(str(root / out))


def test_leaves_go_and_bases_stay(root: Path) -> None:
    """Of a base, two calibrations of it and a training alone for each target, the base is left; all or nothing if the study says so."""
    counts = {keep: len(run_with(root, keep, keep).store.hashes()) for keep in ("all", "bases", "none")}
    assert {"all": PEOPLE * 4, "bases": PEOPLE, "none": 0} == counts
    tables = [RunFolder(str(root / keep)).folder.read_table("trials.parquet")["auroc"].to_pylist() for keep in counts]
    assert tables[0] == tables[1] == tables[2]


def test_a_start_removes_what_a_killed_driver_left(root: Path) -> None:
    """A leaf of a trial that has ended is removed by the next start, and nothing is trained again."""
    run = run_with(root, "bases")
    leaf = run.folder.read_table("plan.parquet")["stages"].to_pylist()[-1][0]
    run.store.save(leaf, {})
    before = len(run.store.trainings())
    run_with(root, "bases")
    assert not run.store.has(leaf)
    assert before == len(run.store.trainings())


def test_a_stack_is_trained_whole_when_its_bases_have_gone(root: Path) -> None:
    """Of one trial of a stack the record is lost, and no base is kept: those of the others, which have ended, are trained again with it."""
    content = study(techniques=TECHNIQUES[:2], keep="none", protocol={"epochs": 1, "batch_size": 16, "numerics": "stacked"})
    run = RunFolder(str(root / "run"))

    def run_again() -> dict[str, pa.Table]:
        summary = start(parse_study(content, "s"), str(root / "windows"), run.uri, "local", log=quiet)
        assert ({"ok": PEOPLE * 3}, set()) == (summary.statuses, run.store.hashes())
        return predictions(root / "run")

    before = run_again()
    lost = next(row["trial"] for row in run.records() if row["technique"] == "fine_tuning")
    for name in ("trials.parquet", f"trials/{lost}.json", f"predictions/{lost}.parquet"):
        run.folder.remove(name)
    assert before == run_again()


def test_clean_removes_what_no_trial_needs(root: Path) -> None:
    """Stages that trials have done with, stages of another plan and Tune's state go; tables and predictions stay, and a dry run removes nothing."""
    run = run_with(root, "all")
    run.store.save("0" * 20, {})
    (root / "run" / "tune").mkdir()
    (root / "run" / "tune" / "state").write_bytes(b"x" * 2**20)
    before = run.store.hashes()
    lines = clean(run.uri, "bases", dry=True)
    assert before == run.store.hashes()
    assert (
        f"{PEOPLE * 3} stages that their trials" in lines[0]
        and "1 stages of no trial" in lines[0]
        and "Tune, 1.0 MiB" in lines[0]
    )
    clean(run.uri, "bases")
    assert (PEOPLE, False) == (len(run.store.hashes()), (root / "run" / "tune").exists())
    clean(run.uri, "none")
    assert (0, PEOPLE * 4) == (len(run.store.hashes()), len(run.finished()))


def test_clean_keeps_what_a_trial_still_needs(root: Path) -> None:
    """The base of a trial that has no record stays, whatever is asked for."""
    run = run_with(root, "all")
    key, stages = (run.folder.read_table("plan.parquet")[name].to_pylist()[PEOPLE] for name in ("trial", "stages"))
    run.folder.remove("trials.parquet")
    run.folder.remove(f"trials/{key}.json")
    clean(run.uri, "none")
    assert set(stages) == run.store.hashes()


def test_clean_wants_a_run_that_nobody_drives(root: Path) -> None:
    """A folder without a plan, and one that a driver holds, are refused."""
    with pytest.raises(RaylabError, match="is no run folder"):
        clean(str(root))
    run = run_with(root, "bases")
    with Lease(Folder(run.uri)), pytest.raises(RunHeldError):
        clean(run.uri)
