"""The benchmark of what the driver's own code costs a trial: it makes Tune's events, and every record of them is gathered."""

from pathlib import Path

from benchmarks.scale.driver import measure
from raylab.runs.folder import RunFolder


def test_every_trial_goes_through_all_parts(tmp_path: Path) -> None:
    """Each part has its time, and at the end the table has a row for each trial and its training, and each trial has its curves."""
    row = measure(tmp_path, 60)
    assert {
        "trials",
        "scheduler_ms",
        "progress_ms",
        "records_ms",
        "tensorboard_ms",
        "memory_ms",
        "all_ms",
        "kib_a_trial",
    } == row.keys()
    assert 60 == row["trials"]
    folder = RunFolder(str(tmp_path / "run")).folder
    assert [60, 60] == [len(folder.read_table(f"{name}.parquet")) for name in ("trials", "trainings")]
    assert 60 == len(list((tmp_path / "run" / "tune").rglob("events.*")))
