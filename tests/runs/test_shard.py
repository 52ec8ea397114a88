"""Several drivers share a run folder by shards of the plan: disjoint, each with a lease of its own, and one table at the end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from builders.running import predictions, quiet
from builders.studies import study
from builders.windows import make_windows, store

from raylab.errors import InvalidValueError, StudyError
from raylab.files import Folder
from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease, RunHeldError
from raylab.runs.run import start
from raylab.runs.shard import Shard
from raylab.trials.plan import plan
from raylab.trials.study import parse_study

PEOPLE = 4
TECHNIQUES = ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 0.4, "unit": "window"}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store(make_windows({f"P{i}": [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6 for i in range(PEOPLE)}), tmp_path / "windows" / "made")
    return tmp_path


def content(**changes: object) -> dict[str, object]:
    return study(**{"techniques": TECHNIQUES, "protocol": {"epochs": 1, "batch_size": 16}, **changes})


@pytest.mark.parametrize("folds", ["leave_one_participant_out", {"group_k_fold": 2}], ids=["one out", "groups"])
@pytest.mark.parametrize("of", [1, 2, 3, 9])
def test_shards_are_disjoint_and_whole(folds: object, of: int) -> None:
    """Every trial is in one shard, and all trials that share a base are in the same one."""
    windows = make_windows({f"P{i}": [0, 1] * 8 for i in range(7)})
    trials = list(plan(parse_study(content(seeds=[0, 1], folds=folds), "s"), {"made": windows.index}))
    shards = [Shard(number, of).trials(trials) for number in range(1, of + 1)]
    assert sorted(t.key for t in trials) == sorted(t.key for shard in shards for t in shard)
    bases = [{trial.stages[0] for trial in shard} for shard in shards]
    assert sum(map(len, bases)) == len(set().union(*bases))


@pytest.mark.parametrize("of", [2, 3, 5])
def test_a_stack_is_in_one_shard(of: int) -> None:
    """No two drivers train a composition, whatever the sizes of stacks and cells; without stacks there is a group for each fold."""
    windows = make_windows({f"P{i}": [0, 1] * 8 for i in range(11)})
    asked = content(
        models=[{"encoder": "fcn", "width": 1 / 64}, {"encoder": "fcn", "width": 0.5}],
        seeds=[0, 1],
        protocol={"epochs": 1, "batch_size": 16, "numerics": "stacked"},
    )
    trials = list(plan(parse_study(asked, "s"), {"made": windows.index}))
    assert any(filter(None, trial.stacks) for trial in trials)
    shards = [Shard(number, of).trials(trials) for number in range(1, of + 1)]
    assert sorted(t.key for t in trials) == sorted(t.key for shard in shards for t in shard)
    for what in ("stages", "stacks"):
        per_shard = [{each for trial in shard for each in getattr(trial, what) if each} for shard in shards]
        assert sum(map(len, per_shard)) == len(set().union(*per_shard))
    assert min(map(len, shards[:2])) > 0


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", "1 /2", "٣/8"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """A message says what one looks like."""
    with pytest.raises(InvalidValueError, match="such as 3/8"):
        Shard.parse(text)


def test_a_search_has_no_shards(root: Path) -> None:
    """It chooses from all inner trials."""
    searched = parse_study(content(search={"width": [1 / 64, 1 / 32]}, techniques=["non_personalized"]), "s")
    with pytest.raises(StudyError, match="--shard"):
        start(searched, str(root / "windows"), str(root / "run"), "local", log=quiet, shard=Shard(1, 2))


def test_leases_of_shards_stand_beside_each_other(tmp_path: Path) -> None:
    """Two shards of as many go together; the same one twice, the whole run, and shards of another number do not."""
    folder = Folder(tmp_path)
    with Lease(folder, name="1-of-2"), Lease(folder, name="2-of-2"):
        for other in ("1-of-2", "", "1-of-3"):
            with pytest.raises(RunHeldError), Lease(folder, name=other):
                pass
    with Lease(folder), pytest.raises(RunHeldError, match="the whole run"), Lease(folder, name="1-of-2"):
        pass
    with Lease(folder, name="1-of-3"):
        pass


def test_two_shards_make_the_table_of_one_run(root: Path) -> None:
    """Run one after the other, they leave the predictions and the table of a single driver; each says what of its own is done."""
    asked = parse_study(content(), "s")
    start(asked, str(root / "windows"), str(root / "one"), "local", log=quiet)
    for number in (1, 2):
        summary = start(asked, str(root / "windows"), str(root / "two"), "local", log=quiet, shard=Shard(number, 2))
        assert ({"ok": PEOPLE}, ()) == (summary.statuses, summary.stale)
    one, two = (RunFolder(str(root / name)).folder.read_table("trials.parquet") for name in ("one", "two"))
    same = [name for name in one.column_names if name not in ("seconds", "ended")]
    assert one.select(same).equals(two.select(same))
    assert predictions(root / "one") == predictions(root / "two")


@pytest.mark.slow
def test_a_killed_shard_is_resumed_beside_another(root: Path) -> None:
    """Two drivers at once, one of them killed and started again: every trial once, and the predictions of a single driver to the bit."""
    file = root / "study.yaml"
    file.write_text(yaml.safe_dump(content(seeds=list(range(5)), protocol={"epochs": 12, "patience": 12, "batch_size": 4})))
    command = [sys.executable, "-m", "raylab.cli", "run", str(file), "--windows", str(root / "windows"), "--local", "--out"]

    def driver(number: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*command, str(root / "two"), "--shard", f"{number}/2"], stdout=subprocess.DEVNULL)

    drivers = [driver(1), driver(2)]
    while len(list((root / "two").glob("trials/*.json"))) < 8:
        assert drivers[0].poll() is None
        time.sleep(0.05)
    os.kill(drivers[0].pid, signal.SIGKILL)
    drivers[0].wait()
    assert len(list((root / "two").glob("trials/*.json"))) < PEOPLE * 10
    again = driver(1)
    assert [0, 0] == [drivers[1].wait(), again.wait()]
    subprocess.run([*command, str(root / "one")], stdout=subprocess.DEVNULL, check=True)
    one, two = (RunFolder(str(root / name)).folder.read_table("trials.parquet") for name in ("one", "two"))
    same = [name for name in one.column_names if name not in ("seconds", "ended", "epochs", "windows_trained", "stages_reused")]
    assert one.select(same).equals(two.select(same))
    assert predictions(root / "one") == predictions(root / "two")
