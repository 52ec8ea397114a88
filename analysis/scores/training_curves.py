"""Training curves: one JSON object per training in a run folder, to one row per epoch.

On an object store the trainings that one trial alone needs are in the record of that trial, under ``trainings``; the others have files of their own.
"""

import contextlib
import os
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import fs

from analysis.errors import AnalysisError
from analysis.scores.keys import FOLD, VARIANT
from analysis.scores.run_folder import open_run
from analysis.scores.stored_files import read_all, read_object, read_parquet

NAMES = [*VARIANT, *FOLD, "stage"]
EPOCH = ("epoch", "loss", "val_loss", "learning_rate")
NEEDED = ("epoch", "loss")
COLUMNS = [*NAMES, "hash", *EPOCH]
SKIPPED = "skipped"  # in the attributes of the frame: a sentence on each training that was left out


def training_curves(run: str | os.PathLike[str]) -> pd.DataFrame:
    """The losses of every completed training of a run.

    A stage that several variants share was trained once and has its rows under the variant that trained it. A run without trainings has no
    rows. A training that is damaged, or that another version of raylab wrote, is left out; ``attrs["skipped"]`` has a sentence on each.

    Args:
        run: the run folder: a path, or a URI that ``pyarrow.fs`` knows.

    Returns:
        one row per epoch: its stage, ``loss`` and ``val_loss`` (NaN if nothing validates), and ``learning_rate``.

    Raises:
        AnalysisError: if ``run`` is no path or URI that can be opened.

    Units:
        losses in nats (cross-entropy) unless the stage's method has another; epochs count from 1.

    Source:
        docs/protocol.md, Training.
    """
    system, path = open_run(run)
    files = _json_files(system, f"{path}/trainings")
    rows: list[dict[str, Any]] = []
    skipped = []
    found = read_all(lambda file: _read(system, file), files, "trainings")
    trials = read_all(partial(_read_in_trial, system), _trials_with_own(system, path, files), "trials")
    found += list(chain.from_iterable(trials))
    for epochs, problem in found:
        rows += epochs
        skipped += [problem] if problem else []
    curves = pd.DataFrame(rows, columns=COLUMNS).astype({"val_loss": float})
    curves.attrs[SKIPPED] = skipped
    return curves


def _read(system: fs.FileSystem, path: str) -> tuple[list[dict[str, Any]], str]:
    """The epochs of a training in a file of its own; and a sentence if the file cannot be read."""
    name = f"trainings/{Path(path).name}"
    try:
        training = read_object(system, path)
    except AnalysisError as error:
        return [], f"The training curve {name} is left out: {error}."
    return _epochs(training, name)


def _json_files(system: fs.FileSystem, path: str) -> list[str]:
    infos = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return sorted(info.path for info in infos if info.base_name.endswith(".json"))


def _trials_with_own(system: fs.FileSystem, path: str, trainings: list[str]) -> list[str]:
    """Records of the trials of which a stage has no file of its training: only those can hold one. Those of trials that are not in trials.parquet are
    all named."""
    known, complete = {Path(file).name.split(".")[0] for file in trainings}, set()
    with contextlib.suppress(FileNotFoundError, AnalysisError):
        table = read_parquet(system, f"{path}/trials.parquet", ["trial", "stages"], "")
        rows = zip(table["trial"].to_pylist(), table["stages"].to_pylist(), strict=True)
        complete = {trial for trial, stages in rows if known.issuperset(stages or ())}
    return [file for file in _json_files(system, f"{path}/trials") if Path(file).name.removesuffix(".json") not in complete]


def _read_in_trial(system: fs.FileSystem, path: str) -> list[tuple[list[dict[str, Any]], str]]:
    """The same of every training in a trial's record. A damaged record is told by whoever reads the trials."""
    try:
        trainings = read_object(system, path).get("trainings")
    except AnalysisError:
        return []
    if not isinstance(trainings, list):
        return []
    name = f"in trials/{Path(path).name}"
    return [_epochs(training, name) for training in trainings if isinstance(training, dict)]


def _epochs(training: dict[str, Any], name: str) -> tuple[list[dict[str, Any]], str]:
    """The epochs of a training, none if it was not completed; and a sentence if it cannot be used."""
    if training.get("status") != "completed":
        return [], ""
    curve = training.get("curve") or []
    if problem := _problem(training, curve):
        return [], f"The training curve {name} is left out: {problem}; another version of raylab may have written it."
    names = {name: training.get(name) for name in NAMES} | {"stage": training.get("name"), "hash": training.get("stage")}
    return [{**names, **{column: epoch.get(column) for column in EPOCH}} for epoch in curve], ""


def _problem(training: dict[str, Any], curve: Any) -> str:
    """Why this is no completed training; empty if it is one."""
    if wrong := [name for name in (*VARIANT, "participant", "name", "stage") if not isinstance(training.get(name), str)]:
        return f"it has no {', '.join(wrong)}"
    if not isinstance(curve, list) or not all(isinstance(epoch, dict) for epoch in curve):
        return "its curve is no list of epochs"
    for epoch in curve:
        for column in EPOCH:
            value = epoch.get(column)
            if isinstance(value, bool) or not (isinstance(value, int | float) or (value is None and column not in NEEDED)):
                return f"the {column} of an epoch is {str(value)[:40]!r}"
    return ""


def loss_quartiles(curves: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles of the loss over the trainings of a stage (participants, seeds, variants), epoch by epoch.

    What was fitted at once (classical models, class means) is recorded as one epoch without a learning rate, has no curve, and is left out.

    Args:
        curves: as ``training_curves`` gives them.

    Returns:
        dataset, label, model, technique, stage, part (training or validation), epoch, median, low, high, trainings (that got so far).
    """
    curves = curves[~curves["learning_rate"].eq(0)] if "learning_rate" in curves else curves
    keys = [name for name in NAMES if name not in ("variant", *FOLD)]
    parts = [
        curves[[*keys, "epoch"]].assign(part=part, value=curves[column])
        for part, column in (("training", "loss"), ("validation", "val_loss"))
    ]
    losses = pd.concat(parts).dropna(subset=["value"])
    by_epoch = losses.groupby([*keys, "part", "epoch"], sort=True)["value"]
    return by_epoch.agg(
        median="median", low=lambda x: x.quantile(0.25), high=lambda x: x.quantile(0.75), trainings="size"
    ).reset_index()
