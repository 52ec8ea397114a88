"""Loading a run folder, and the bench that times the analysis of one."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis
from analysis.scores import packed_predictions
from analysis.scores.scores import score
from benchmarks.analysis import bench, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A simulated run: 2 cells, a baseline and 2 variants, 3 people; 18 trials."""
    write_run(tmp_path / "run", rows=600, cells=2, variants=2, participants=3)
    return tmp_path / "run"


def test_load_says_what_is_not_a_run(tmp_path: Path) -> None:
    """A folder without a plan is named, with how to start a run."""
    with pytest.raises(FileNotFoundError, match="is no run folder"):
        analysis.load(str(tmp_path))


def test_predictions_are_those_of_the_files(run: Path) -> None:
    """Every row of every trial's file, in the order of the trials, in narrow types."""
    frames = analysis.load(run)
    files = [pq.read_table(run / "predictions" / f"{key}.parquet").to_pandas() for key in frames.trials["trial"]]
    expected = pd.concat(files, ignore_index=True)
    expected[["p_0", "p_1"]] = np.stack(expected.pop("p"))
    columns = ["trial", "participant", "window", "y_true", "purged", "p_0", "p_1"]
    assert ["category", "category", "int64", "int8", "bool", "float32", "float32"] == frames.predictions.dtypes.astype(
        str
    ).tolist()
    pd.testing.assert_frame_equal(expected[columns], frames.predictions, check_dtype=False, check_categorical=False)


def test_labels_with_other_numbers_of_classes_stand_in_one_frame(run: Path) -> None:
    """A trial of three classes beside those of two: p_2 is NaN for the others, and each is scored with its own classes."""
    key = analysis.load(run).trials["trial"].iloc[-1]
    path = run / "predictions" / f"{key}.parquet"
    table = pq.read_table(path)
    p = pa.array([[0.2, 0.3, 0.5]] * len(table), pa.list_(pa.float32()))
    pq.write_table(table.set_column(table.column_names.index("p"), "p", p), path)
    frames = analysis.load(run)
    third = frames.predictions["trial"] == key
    assert third.equals(frames.predictions["p_2"].notna()) and third.any()
    assert score(frames)["accuracy"].notna().all()


def test_records_since_the_last_compaction_are_read_too(run: Path) -> None:
    """A run still going has some trials in the table and some as small objects; those that the plan does not ask for are left out."""
    before = analysis.load(run)
    (run / "trials").mkdir()
    records = before.trials.to_dict("records")
    for record in [*records[5:], {**records[0], "trial": "stale"}]:
        (run / "trials" / f"{record['trial']}.json").write_text(json.dumps(record), encoding="utf-8")
    compacted = pa.Table.from_pylist([*records[:6], {**records[0], "trial": "stale too"}])
    pq.write_table(compacted, run / "trials.parquet")
    again = analysis.load(run)
    assert sorted(before.trials["trial"]) == sorted(again.trials["trial"])
    pd.testing.assert_frame_equal(score(before), score(again))


def test_a_run_in_which_nothing_has_ended_can_be_loaded(run: Path) -> None:
    """It has a plan, and no trials or predictions."""
    (run / "trials.parquet").unlink()
    frames = analysis.load(run)
    assert (18, 0, 0) == (len(frames.plan), len(frames.trials), len(frames.predictions))
    assert score(frames).empty


@pytest.mark.parametrize("damage", ["missing", "cut short", "another file"])
def test_predictions_that_cannot_be_read_are_named(run: Path, damage: str) -> None:
    """Which file, and what to do about it."""
    key = analysis.load(run).trials["trial"].iloc[3]
    path = run / "predictions" / f"{key}.parquet"
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:200] if damage == "cut short" else b"")
    with pytest.raises(ValueError, match=rf"predictions/{key}.parquet cannot be read .*; remove it, trials/{key}.json"):
        analysis.load(run)


def test_the_primary_metric_is_the_studys(run: Path) -> None:
    """As the run's provenance names it; a run of before there was one is about AUROC."""
    assert analysis.load(run).primary_metric == "auroc"
    origin = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    (run / "provenance.json").write_text(json.dumps(origin | {"primary_metric": "balanced_accuracy"}), encoding="utf-8")
    assert analysis.load(run).primary_metric == "balanced_accuracy"


@pytest.mark.parametrize("held", [True, False])
def test_the_bench_times_every_step(held: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each step with seconds and memory, after the machine's load and the size of the run."""
    monkeypatch.setattr(packed_predictions, "LARGEST_HELD", 564 if held else 563)
    bench(rows=600, cells=2, variants=2, participants=3)
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ processors, load [\d.]+", lines[0])
    assert f"18 trials, 564 tested windows (simulated), {'in memory' if held else 'in parts'}" in lines
    steps = [line[:14].strip() for line in lines if re.search(r"[\d.]+ s +[\d.]+ s of processor +[\d.]+ GB more$", line)]
    others = [] if held else ["against models", "within person", "confusion", "reliability"]
    assert ["load", "score", "score_common", "compare", *others] == steps
