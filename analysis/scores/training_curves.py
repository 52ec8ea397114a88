"""Training curves: one JSON file per training in a run folder, to one row per epoch."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
from pyarrow import fs

from analysis.constants import READERS
from analysis.plain_text import printable_values
from analysis.scores.keys import FOLD, VARIANT
from analysis.scores.run_folder import open_run

NAMES = [*VARIANT, *FOLD, "stage"]
COLUMNS = [*NAMES, "hash", "epoch", "loss", "val_loss", "learning_rate"]


def training_curves(run: str | os.PathLike[str]) -> pd.DataFrame:
    """One row per epoch of every completed training of a run: its stage, ``loss`` and ``val_loss`` (NaN if nothing validates).

    A stage that several variants share was trained once and has its rows under the variant that trained it. A run without trainings has no
    rows.
    """
    system, path = open_run(run)
    infos = system.get_file_info(fs.FileSelector(f"{path}/trainings", allow_not_found=True))
    files = sorted(info.path for info in infos if info.base_name.endswith(".json"))
    with ThreadPoolExecutor(READERS) as pool:
        trainings = list(pool.map(lambda file: _read(system, file), files))
    rows = [row for training in trainings if training.get("status") == "completed" for row in _epochs(training)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"val_loss": float})


def _read(system: fs.FileSystem, path: str) -> dict[str, Any]:
    with system.open_input_stream(path) as stream:
        training: dict[str, Any] = printable_values(json.loads(stream.read()))
    return training


def _epochs(training: dict[str, Any]) -> list[dict[str, Any]]:
    names = {name: training.get(name) for name in NAMES} | {"stage": training.get("name"), "hash": training.get("stage")}
    return [{**names, **epoch} for epoch in training.get("curve") or []]


def loss_quartiles(curves: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles of the loss over the trainings of a stage (participants, seeds, variants), epoch by epoch.

    Args:
        curves: as ``training_curves`` gives them.

    Returns:
        dataset, label, model, technique, stage, part (training or validation), epoch, median, low, high, trainings (that got so far).
    """
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
