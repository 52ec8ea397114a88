"""A run folder keeps digests of its results, repeats trials whose results were lost or changed, and passes over what another raylab wrote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.running import quiet
from builders.studies import small

import analysis
from analysis.errors import AnalysisError
from analysis.scores.attention import attention_weights
from analysis.scores.stored_files import file_digest
from analysis.scores.training_curves import training_curves
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease, RunHeldError, describe_holder, latest
from raylab.runs.run import Summary, start
from raylab.runs.status import status_lines
from raylab.trials.study import Study


def _study() -> Study:
    """Five trials with attention weights."""
    return small(
        models=[{"encoder": "fcn", "fusion": "attention", "width": 1 / 64}],
        techniques=["non_personalized"],
        protocol={"epochs": 1},
    )


@pytest.fixture(scope="module")
def finished(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("stored") / "run"
    assert _run(cohort, out).complete
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _run(cohort: Path, out: Path, log: Callable[[str], None] = quiet) -> Summary:
    return start(_study(), str(cohort), str(out), "local", log=log)


def _keys(run: Path) -> list[str]:
    return sorted(path.stem for path in (run / "trials").glob("*.json"))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def test_every_result_has_its_digest_in_the_record(run: Path) -> None:
    """In the small files and in the gathered table; nothing is noted of a run that has all."""
    for record in pq.read_table(run / "trials.parquet").to_pylist():
        own = json.loads((run / "trials" / f"{record['trial']}.json").read_text())
        for part in ("predictions", "attention"):
            digest = file_digest((run / part / f"{record['trial']}.parquet").read_bytes())
            assert digest == record[f"{part}_digest"] == own[f"{part}_digest"]
    assert not any("digest" in note for note in analysis.load(run).notes)


def test_a_start_repeats_what_was_lost_or_changed(run: Path, cohort: Path) -> None:
    """The report refuses; the same command names the trials, repeats them, trains nothing, and ends with the same predictions."""
    before = analysis.load(run).predictions
    lost, changed, attended, _, _ = _keys(run)
    (run / "predictions" / f"{lost}.parquet").unlink()
    _flip(run / "predictions" / f"{changed}.parquet")
    _flip(run / "attention" / f"{attended}.parquet")
    with pytest.raises(AnalysisError, match="2 files of predictions cannot be used"):
        analysis.load(run)
    lines: list[str] = []
    trainings = len(RunFolder(str(run)).store.trainings())
    assert _run(cohort, run, lines.append).complete
    text = "\n".join(lines)
    assert f"predictions/{lost}.parquet is missing; the trial is run again" in text
    assert f"predictions/{changed}.parquet is not the file that was written; the trial is run again" in text
    assert f"attention/{attended}.parquet is not the file that was written; the trial is run again" in text
    assert "2 done already" in text
    assert trainings == len(RunFolder(str(run)).store.trainings())
    after = analysis.load(run).predictions
    order = ["trial", "window"]
    assert (
        before.astype({"trial": str})
        .sort_values(order, ignore_index=True)
        .drop(columns="participant")
        .equals(after.astype({"trial": str}).sort_values(order, ignore_index=True).drop(columns="participant"))
    )


def test_changed_attention_weights_are_refused(run: Path) -> None:
    """With digest: any change, or a file that is gone. Without: weights that are none."""
    trials = analysis.load(run).trials
    key = trials["trial"].iloc[0]
    path = run / "attention" / f"{key}.parquet"
    table = pq.read_table(path)
    _flip(path)
    with pytest.raises(AnalysisError, match=rf"attention/{key}.parquet of participant .* is not the file"):
        attention_weights(run, trials)
    path.unlink()
    with pytest.raises(AnalysisError, match=rf"attention/{key}.parquet cannot be read"):
        attention_weights(run, trials)
    older = trials.drop(columns="attention_digest")
    for values, problem in (
        ([2.0] * len(table), "a weight that is not between 0 and 1"),
        ([float("nan")] * len(table), "a weight that is not between 0 and 1"),
        ([0.9] * len(table), "weights that do not sum to 1 in each window"),
    ):
        pq.write_table(table.set_column(table.column_names.index("weight"), "weight", pa.array(values, pa.float32())), path)
        with pytest.raises(AnalysisError, match=rf"attention/{key}.parquet of participant .* has {problem}"):
            attention_weights(run, older)


def _with_record(run: Path, content: Any, folder: str = "trials") -> str:
    """Write another record for one trial or training, as if it had not been gathered yet; its name."""
    name = sorted(path.name for path in (run / folder).glob("*.json"))[0]
    whole = json.loads((run / folder / name).read_text())
    (run / folder / name).write_text(json.dumps({**whole, **content} if isinstance(content, dict) else content))
    (run / f"{folder}.parquet").unlink()
    return name


@pytest.mark.parametrize(
    "content", [{"status": "paused"}, {"seed": "a"}, {"epochs": 10**30}, {"label": None}, {"stages": "x"}, [1], "x", None]
)
def test_a_trial_of_a_newer_raylab_is_skipped_with_a_sentence(run: Path, cohort: Path, content: Any) -> None:
    """By status, and by the next start, which runs it again."""
    name = _with_record(run, content)
    assert any(line.startswith(f"trials/{name} is skipped: ") for line in status_lines(str(run)))
    assert any(line.startswith("4/5 ended") for line in status_lines(str(run)))
    assert _run(cohort, run).complete
    folder = RunFolder(str(run))
    assert (5, []) == (len(folder.records()), folder.skipped)
    assert 5 == len(analysis.load(run).trials)


@pytest.mark.parametrize(
    ("content", "by_status", "by_curves"),
    [
        ({"status": "paused"}, True, False),
        ({"stage": 5}, True, True),
        ({"epochs": "many"}, True, False),
        ({"curve": 3}, False, True),
        ({"curve": [{"epoch": 1}]}, False, True),
        ([1], True, True),
        (None, True, True),
    ],
)
def test_a_training_of_a_newer_raylab_is_skipped_with_a_sentence(
    run: Path, content: Any, by_status: bool, by_curves: bool
) -> None:
    """By status, and by the report's curves, whichever reads the field."""
    name = _with_record(run, content, "trainings")
    curves = training_curves(run)
    assert by_status == any(line.startswith(f"trainings/{name} is skipped: ") for line in status_lines(str(run)))
    assert by_curves == bool(curves.attrs["skipped"])
    assert (4 if by_curves or content == {"status": "paused"} else 5) == len(curves)


def test_fields_that_this_raylab_does_not_know_are_passed_over(run: Path, cohort: Path) -> None:
    """In a record, a training, the provenance and a lease."""
    _with_record(run, {"energy_j": 4, "more": {"a": 1}})
    _with_record(run, {"energy_j": 4}, "trainings")
    origin = json.loads((run / "provenance.json").read_text())
    (run / "provenance.json").write_text(json.dumps(origin | {"signature": "x"}))
    lease = next((run / "lease").glob("*.json"))
    lease.write_text(json.dumps(json.loads(lease.read_text()) | {"port": 1}))
    assert not [line for line in status_lines(str(run)) if "skipped" in line or "unknown" in line]
    assert 5 == len(analysis.load(run).trials)
    assert {"ok": 5} == _run(cohort, run).statuses


@pytest.mark.parametrize("name", ["trials.parquet", "trainings.parquet"])
def test_a_damaged_table_of_records_is_named_with_the_remedy(run: Path, name: str) -> None:
    """The remedy loses nothing."""
    (run / name).write_bytes(b"PAR1")
    with pytest.raises(
        RaylabError, match=rf"{name} is damaged: .*; remove it: the same records are in {name.split('.', maxsplit=1)[0]}/"
    ):
        status_lines(str(run))
    (run / name).unlink()
    assert any(line.startswith("5/5 ended") for line in status_lines(str(run)))


def test_what_a_start_writes_anew_may_be_damaged(run: Path, cohort: Path) -> None:
    """The plan and the participants; the report refuses them until then."""
    (run / "plan.parquet").write_bytes(b"PAR1")
    (run / "participants.json").write_text("{")
    with pytest.raises(RaylabError, match=r"plan.parquet is damaged"):
        status_lines(str(run))
    assert _run(cohort, run).complete
    assert 5 == len(analysis.load(run).participants)


def test_a_plan_of_another_raylab_is_named(run: Path) -> None:
    """It has no column of stages."""
    pq.write_table(pa.table({"trial": ["a"]}), run / "plan.parquet")
    with pytest.raises(RaylabError, match=r"plan.parquet is no plan that this raylab reads .*start the run again"):
        status_lines(str(run))


# Leases


@pytest.mark.parametrize(
    "content",
    [
        {"pid": "7"}, {"pid": True}, {"since": "yesterday"}, {"since": 5}, {"host": None}, {"released": "no"}, [1], "x", None, 5,
    ],
)  # fmt: skip
def test_a_lease_that_cannot_be_read_is_named_and_runs_out(tmp_path: Path, content: Any) -> None:
    """Whose it is cannot be known, so its folder is held until it has been silent for long enough."""
    with Lease(Folder(tmp_path)) as lease:
        whole = vars(lease.owner)
    (path,) = (tmp_path / "lease").glob("*.json")
    path.write_text(json.dumps({**whole, **content} if isinstance(content, dict) else content))
    assert (1, None) == latest(Folder(tmp_path))
    assert "driver: unknown, lease/000001.json cannot be read (" in describe_holder(Folder(tmp_path))
    with pytest.raises(RunHeldError, match="with a lease of another version of raylab"), Lease(Folder(tmp_path)):
        pass
    with Lease(Folder(tmp_path), timeout_s=-1):
        pass


def test_a_lease_without_a_field_is_named(tmp_path: Path) -> None:
    """By the field that is missing; a file of another name is no lease."""
    with Lease(Folder(tmp_path)) as lease:
        whole = vars(lease.owner)
    (path,) = (tmp_path / "lease").glob("*.json")
    path.write_text(json.dumps({name: value for name, value in whole.items() if name != "born"}))
    for name in ("notes.json", "7.json", "-00001.json"):
        (tmp_path / "lease" / name).write_text("{}")
    assert "(it has no born)" in describe_holder(Folder(tmp_path))
