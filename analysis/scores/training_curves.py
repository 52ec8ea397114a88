"""Training curves: one JSON file per training in a run folder, to one row per epoch."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import fs

from analysis.errors import AnalysisError
from analysis.scores.keys import FOLD, VARIANT
from analysis.scores.run_folder import open_run
from analysis.scores.stored_files import read_all, read_object

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
    infos = system.get_file_info(fs.FileSelector(f"{path}/trainings", allow_not_found=True))
    files = sorted(info.path for info in infos if info.base_name.endswith(".json"))
    rows: list[dict[str, Any]] = []
    skipped = []
    for epochs, problem in read_all(lambda file: _read(system, file), files, "trainings"):
        rows += epochs
        skipped += [problem] if problem else []
    curves = pd.DataFrame(rows, columns=COLUMNS).astype({"val_loss": float})
    curves.attrs[SKIPPED] = skipped
    return curves


def _read(system: fs.FileSystem, path: str) -> tuple[list[dict[str, Any]], str]:
    """The epochs of a training, none if it was not completed; and a sentence if the file cannot be read."""
    name = f"trainings/{Path(path).name}"
    try:
        training = read_object(system, path)
    except AnalysisError as error:
        return [], f"The training curve {name} is left out: {error}."
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
