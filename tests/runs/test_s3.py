"""Windows and the run folder on an S3 server (moto's, on loopback): what works on a path works on a URI."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs
from ray import tune

import analysis
from analysis.report.write import write_report
from raylab.files import Folder
from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease, LeaseLostError, RunHeldError
from raylab.runs.run import start
from raylab.runs.status import status_lines
from raylab.trials.study import Study, parse_study


def tiny() -> Study:
    """Two trials on the simulated cohort."""
    content = {
        "name": "tiny",
        "datasets": [{"windows": "simulated", "label": "stress", "participants": ["P01", "P02"]}],
        "models": [{"encoder": "fcn", "width": 1 / 64}],
        "techniques": ["non_personalized"],
        "protocol": {"epochs": 1, "batch_size": 32},
    }
    return parse_study(content, "test")


def quiet(line: str) -> None:
    """Progress goes nowhere in tests."""


@pytest.fixture(scope="module")
def windows(cohort: Path, bucket: Callable[[str], str]) -> str:
    """The cohort's windows in the bucket."""
    folder = Folder(bucket("windows"))
    fs.copy_files(str(cohort), folder.path, destination_filesystem=folder.system, use_threads=False)
    return folder.uri


def test_a_run_on_s3_equals_one_on_a_path(windows: str, cohort: Path, bucket: Callable[[str], str], tmp_path: Path) -> None:
    """Run on Ray, lose a record, resume, status, report, ResultGrid: all on the URI; the predictions are those of a local run, to the bit."""
    uri = bucket("run")
    assert {"ok": 2} == start(tiny(), windows, uri, log=quiet).statuses
    run = RunFolder(uri)
    lost = run.records()[0]["trial"]
    run.folder.remove(f"trials/{lost}.json")
    run.folder.remove("trials.parquet")
    before = {name: run.folder.changed(f"predictions/{name}") for name in run.folder.names("predictions")}
    again = start(tiny(), windows, uri, "local", log=quiet)
    assert ({"ok": 2}, 2) == (again.statuses, again.trainings_completed)
    assert {f"{lost}.parquet"} >= {name for name, then in before.items() if run.folder.changed(f"predictions/{name}") != then}
    assert "2/2 ended: 2 ok" == status_lines(uri)[0]
    start(tiny(), str(cohort), str(tmp_path / "run"), "local", log=quiet)
    found, expected = analysis.load(uri), analysis.load(tmp_path / "run")
    assert expected.predictions.equals(found.predictions)
    write_report(uri)
    assert run.folder.read("report/scores.csv")
    grid = tune.ExperimentAnalysis(run.folder.at(f"tune/{run.folder.folders('tune')[0]}"), storage_filesystem=run.folder.system)
    assert 2 == len(grid.trials) == grid.dataframe()["auroc"].notna().sum()


def test_the_lease_on_s3(bucket: Callable[[str], str]) -> None:
    """The second driver is refused; one that a later number took the folder from stops at its next beat."""
    folder = Folder(bucket("held"))
    first = Lease(folder, settle_s=0.1, heartbeat_s=0.1).__enter__()
    with pytest.raises(RunHeldError, match="is held by"):
        Lease(folder, settle_s=0.1).__enter__()
    folder.write_json("lease/000002.json", {**vars(first.owner), "id": "another"})
    time.sleep(0.5)
    with pytest.raises(LeaseLostError):
        first.check()
    with pytest.raises(LeaseLostError):
        first.__exit__(None, None, None)
