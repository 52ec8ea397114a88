"""A run with more predictions than are held has the tables of one whose predictions are held."""

import gc
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.run import VARIANTS, write_run
from builders.running import quiet
from builders.studies import small

import analysis
from analysis.errors import AnalysisError
from analysis.report.write import report_data
from analysis.scores import packed_predictions
from analysis.scores.packed_predictions import PART
from raylab.runs.run import start

PLAIN = {"lda": 0.3, "mlp": -0.2}
FAILED = {("hybrid", "S3"): "failed", ("cluster_specific", "S2"): "", ("non_personalized", "S10"): "failed"}


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on no run's predictions are held."""
    return lambda: monkeypatch.setattr(packed_predictions, "LARGEST_HELD", -1)


def _frames(run: Path) -> dict[str, pd.DataFrame]:
    return {name: frame for name, frame in report_data(run, best=True).frames.items() if isinstance(frame, pd.DataFrame)}


def _fail_all_of(run: Path, model: str) -> None:
    """A part in which no trial ended well."""
    for path in (run / "trials").iterdir():
        record = json.loads(path.read_text())
        if record["model"] == model:
            path.write_text(json.dumps({**record, "status": "failed"}))
            (run / "predictions" / f"{path.stem}.parquet").unlink(missing_ok=True)


@pytest.mark.parametrize("statuses", [{}, FAILED], ids=["all ended well", "some failed"])
def test_every_table_of_a_report_is_the_same(tmp_path: Path, no_room: Callable[[], None], statuses: dict) -> None:
    """Three models, seven variants, six people."""
    run = write_run(tmp_path / "run", plain_models=PLAIN, statuses=statuses)
    if statuses:
        _fail_all_of(run, "mlp")
    held = _frames(run)
    no_room()
    packed = _frames(run)
    assert list(held) == list(packed) and 20 < len(held)
    for name, frame in held.items():
        pd.testing.assert_frame_equal(frame, packed[name], rtol=1e-12, obj=name)


def test_the_clock_and_seeds_are_the_same(cohort: Path, tmp_path: Path, no_room: Callable[[], None]) -> None:
    """Of trainings, with the order of windows, two models and two seeds."""
    models, run = [{"encoder": "lda"}, {"encoder": "logistic"}], tmp_path / "run"
    datasets = [{"windows": "simulated", "label": "stress", "name": name} for name in ("one", "other")]
    techniques = ["non_personalized", {"name": "hybrid", "budget": 0.2, "unit": "window"}]
    study = small(models=models, datasets=datasets, techniques=techniques, seeds=[0, 1])
    assert start(study, str(cohort), str(run), "local", log=quiet).complete
    held = _frames(run)
    assert {"clock", "run_identity"} <= set(held["scores"]["technique"])
    no_room()
    for name, frame in _frames(run).items():
        pd.testing.assert_frame_equal(held[name], frame, rtol=1e-12, obj=name)


def test_no_more_than_a_part_is_read(tmp_path: Path, no_room: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """And the files of the run once, however often they are scored; the place on the disk is given back."""
    run, read = write_run(tmp_path / "run", plain_models=PLAIN), list[int]()
    reads = packed_predictions.read_predictions
    monkeypatch.setattr(packed_predictions, "read_predictions", lambda *a: [read.append(len(a[2])), reads(*a)][1])
    no_room()
    tables = analysis.load(run)
    sizes = tables.trials.groupby(PART).size()
    assert sorted(sizes) == sorted(read) and 3 == len(read)
    analysis.score(tables), analysis.score_common(tables)
    assert 3 == len(read)
    parts = list(tables.parts(PART))
    assert sorted(sizes) == sorted(len(part.trials) for part in parts)
    assert [set(part.predictions["trial"]) for part in parts] == [set(part.trials["trial"]) for part in parts]
    place = Path(tables.packed._place)
    assert 3 == len(list(place.iterdir()))
    del tables, parts
    gc.collect()
    assert not place.exists()


def test_the_predictions_of_some_trials(tmp_path: Path, no_room: Callable[[], None]) -> None:
    """Of several parts, in any order, with every column; those of a trial that failed are none."""
    run = write_run(tmp_path / "run", plain_models=PLAIN, statuses=FAILED)
    held = analysis.load(run)
    chosen = held.trials.iloc[::-3]
    expected = held.of_trials(chosen).astype({"trial": str, "participant": str}).sort_values(["trial", "window"])
    no_room()
    tables = analysis.load(run)
    found = tables.of_trials(chosen)
    assert ["category", "category", "int64", "int8", "bool", "float32", "float32"] == found.dtypes.astype(str).tolist()
    found = found.astype({"trial": str, "participant": str}).sort_values(["trial", "window"])
    pd.testing.assert_frame_equal(expected.reset_index(drop=True), found.reset_index(drop=True))
    assert 0 == len(tables.of_trials(tables.trials.iloc[:0]))
    for ask in (lambda: tables.predictions["p_1"], lambda: tables.predictions.p_1, lambda: len(tables.predictions)):
        with pytest.raises(AnalysisError, match=r"more than -?[\d,]+ predictions.*tables.parts.*tables.of_trials"):
            ask()


def test_damage_is_found_before_anything_is_scored(tmp_path: Path, no_room: Callable[[], None]) -> None:
    """As in a run that is held, by the trial's name."""
    run = write_run(tmp_path / "run", variants=VARIANTS[:2])
    path = sorted((run / "predictions").iterdir())[3]
    path.write_bytes(path.read_bytes()[:-20])
    no_room()
    with pytest.raises(AnalysisError, match=path.stem):
        analysis.load(run)


def test_classes_that_a_part_does_not_have_are_missing(tmp_path: Path, no_room: Callable[[], None]) -> None:
    """Parts of two and of three classes in one frame."""
    run = write_run(tmp_path / "run", plain_models=PLAIN)
    no_room()
    tables = analysis.load(run)
    keys = tables.trials.loc[tables.trials["model"].eq("lda"), "trial"]
    part = tables.packed.of(tables.trials[tables.trials["model"].eq("lda")])
    wide = part.assign(p_2=np.float32(0.5), trial=pd.Categorical(part["trial"].astype(str)))
    tables.packed._write(tables.packed._of_trial[keys.iloc[0]][0], wide)
    found = tables.of_trials(tables.trials)
    assert ["p_0", "p_1", "p_2"] == list(found.columns[-3:])
    assert found["p_2"].notna().equals(found["trial"].isin(set(keys)))
