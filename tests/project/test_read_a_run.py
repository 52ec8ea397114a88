"""docs/read-a-run.md: its code runs on a run folder, and it has a sentence for every column."""

import contextlib
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raylab.runs.run import Summary

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "read-a-run.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(run_on_ray: tuple[Path, Summary], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds ``run``: a baseline and two variants of fine-tuning for five targets, run on Ray."""
    where = tmp_path_factory.mktemp("page")
    shutil.copytree(run_on_ray[0], where / "run")
    return where


@pytest.fixture(scope="module")
def names(finished: Path) -> dict[str, Any]:
    """What the page's code makes, all of it run in order beside the folder ``run``."""
    made: dict[str, Any] = {}
    with contextlib.chdir(finished):
        for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(code, made)  # the page's own code
    return made


def test_the_pages_code_reads_a_run(names: dict[str, Any]) -> None:
    """Frames, scores, comparison, the report's other frames, and Tune's: all have the run's 15 trials or what is made of them."""
    assert (15, 15) == (len(names["frames"].trials), len(names["results"]))
    assert set(names["frames"].trials["trial"]) == set(names["results"]["trial"])
    assert (0, 15) == (len(names["errors"]), len(names["slowest"]))
    assert names["slowest"]["seconds"].is_monotonic_decreasing
    assert {"layers=all budget=0.2", "layers=last budget=0.2"} == set(names["comparison"]["variant"]) - {"-"}
    assert ["fine_tuning"] == names["columns"]["technique"].tolist()
    assert (10, 3, 1) == (len(names["each"]), len(names["who_loses"]), len(names["table"]))
    assert {"everyone_else", "calibration"} == set(names["losses"]["stage"])
    assert len(names["groups"]) > 0


def test_every_column_has_its_sentence(names: dict[str, Any]) -> None:
    """A column that the code gives and the page does not name is a column without a sentence."""
    frames = names["frames"]
    given = [frames.plan, frames.trials, frames.predictions, frames.participants, names["scores"], names["comparison"]]
    given += [names["against_best"], names["each_interval"]]
    columns = {
        re.sub(r"^(trait|count)_.*", lambda m: m[1] + "_" + {"trait": "NAME", "count": "CLASS"}[m[1]], name)
        for f in given
        for name in f
    }
    assert {"trait_NAME", "count_CLASS", "inflation", "detectable", "outcome", "trained_on", "brier", "ece"} <= columns
    assert [] == sorted(name for name in columns if f"`{name}`" not in PAGE)


def test_every_column_that_the_page_names_is_there(names: dict[str, Any]) -> None:
    """A sentence on a column that no frame has is out of date."""
    frames = names["frames"]
    given: list[pd.DataFrame] = [
        frames.plan,
        frames.trials,
        frames.predictions,
        frames.participants,
        names["scores"],
        names["comparison"],
        names["against_best"],
        names["each_interval"],
    ]
    known = {name for frame in given for name in frame} | {"trait_NAME", "count_CLASS"}
    told = {name for row in re.findall(r"^\| (`[^|]*`) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told <= known
    assert len(told) > 40


def test_tensorboard_shows_what_the_page_says(finished: Path) -> None:
    """The curves named on the page are tags of the event files under run/tune."""
    tags: set[str] = set()
    for file in (finished / "run" / "tune").rglob("events.*"):
        events = EventAccumulator(str(file.parent))
        events.Reload()
        tags |= set(events.Tags()["scalars"])
    variants = [file.parent for file in (finished / "run" / "tensorboard").rglob("events.*")]
    assert variants
    for folder in variants:
        events = EventAccumulator(str(folder))
        events.Reload()
        assert "_hparams_/session_start_info" in events.summary_metadata
        assert {"auroc", "participants", "seconds"} == set(events.Tags()["scalars"])
    assert {"everyone_else/loss", "everyone_else/val_loss", "calibration/loss", "final/auroc", "final/seconds"} <= tags
    assert "`everyone_else/loss`, `everyone_else/val_loss`, `calibration/loss`" in PAGE
