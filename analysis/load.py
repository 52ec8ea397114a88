"""A run folder to frames. The only place of the analysis that touches files of a run."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyarrow import fs


@dataclass(frozen=True)
class Frames:
    """What a run holds.

    Attributes:
        plan: one row per trial that the study asks for.
        trials: one row per trial that came to an end and that the plan still asks for (columns: DESIGN, a run folder).
        predictions: trial, participant, window, y_true, purged, and p_0, p_1, ... (NaN beyond a label's classes).
        notes: sentences every table made from this run must carry.
        primary_metric: the one metric that the verdict is about; the study names it.
        participants: one row per (dataset, label, participant): ``trait_age``, ``trait_gender``, ... and ``count_<class>`` windows of
            each class (missing where a dataset has no such trait or class); no rows for a run that stored none.
    """

    plan: pd.DataFrame
    trials: pd.DataFrame
    predictions: pd.DataFrame
    notes: tuple[str, ...]
    primary_metric: str = "auroc"
    participants: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["dataset", "participant", "label"]))


def open_run(run: str | os.PathLike[str]) -> tuple[fs.FileSystem, str]:
    """File system and path of a run folder, a local path or a URI."""
    text = os.fspath(run)
    if "://" in text:
        system, path = fs.FileSystem.from_uri(text)
        return system, str(path)
    return fs.LocalFileSystem(), str(Path(text).absolute())


def _read_json(system: fs.FileSystem, path: str) -> Any:
    with system.open_input_stream(path) as stream:
        return json.loads(stream.read())


def _ends(system: fs.FileSystem, path: str, keys: set[str]) -> pd.DataFrame:
    """Finished trials: the compacted table, and the small objects written since."""
    rows: dict[str, dict[str, Any]] = {}
    if system.get_file_info(f"{path}/trials.parquet").type != fs.FileType.NotFound:
        with system.open_input_file(f"{path}/trials.parquet") as file:
            rows = {row["trial"]: row for row in pq.read_table(file).to_pylist()}
    for info in system.get_file_info(fs.FileSelector(f"{path}/trials", allow_not_found=True)):
        key = info.base_name.removesuffix(".json")
        if info.base_name.endswith(".json") and key in keys and key not in rows:
            rows[key] = _read_json(system, info.path)
    return pd.DataFrame([row for key, row in rows.items() if key in keys])


def _predictions(system: fs.FileSystem, path: str, keys: list[str]) -> pd.DataFrame:
    files = [f"{path}/predictions/{key}.parquet" for key in keys]
    if not files:
        columns: dict[str, list[Any]] = {
            name: [] for name in ("trial", "participant", "window", "y_true", "purged", "p_0", "p_1")
        }
        return pd.DataFrame(columns)
    table = pads.dataset(files, filesystem=system, format="parquet").to_table()
    frame: pd.DataFrame = table.drop_columns(["p"]).to_pandas(strings_to_categorical=True)
    lists = table["p"].combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy())
    p = np.full((len(frame), int(lengths.max())), np.nan, dtype=np.float32)
    at = np.arange(lengths.sum()) - np.repeat(lists.offsets.to_numpy()[:-1], lengths)
    p[np.repeat(np.arange(len(frame)), lengths), at] = lists.flatten().to_numpy()
    return pd.concat([frame, pd.DataFrame(p, columns=[f"p_{k}" for k in range(p.shape[1])])], axis=1)


def _participants(system: fs.FileSystem, path: str) -> pd.DataFrame:
    """The people that a run holds out; no rows where an older run did not store them."""
    stored = system.get_file_info(f"{path}/participants.json").type != fs.FileType.NotFound
    rows = [
        {name: row[name] for name in ("dataset", "label", "participant")}
        | {f"trait_{name}": value for name, value in row["traits"].items()}
        | {f"count_{name}": count for name, count in row["windows"].items()}
        for row in (_read_json(system, f"{path}/participants.json") if stored else [])
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["dataset", "label", "participant"])


def load(run: str | os.PathLike[str]) -> Frames:
    """The frames of a run, finished or still going.

    Raises:
        FileNotFoundError: where the folder is not a run's.
    """
    system, path = open_run(run)
    if system.get_file_info(f"{path}/plan.parquet").type == fs.FileType.NotFound:
        raise FileNotFoundError(
            f"{run} is no run folder (it has no plan.parquet); start one with: raylab run STUDY.yaml --out {run}"
        )
    with system.open_input_file(f"{path}/plan.parquet") as file:
        plan = pq.read_table(file).to_pandas()
    trials = _ends(system, path, set(plan["trial"]))
    done = [] if trials.empty else list(trials.loc[trials["status"] == "ok", "trial"])
    origin = _read_json(system, f"{path}/provenance.json")
    return Frames(
        plan=plan,
        trials=trials,
        predictions=_predictions(system, path, done),
        notes=tuple(origin.get("notes", [])),
        primary_metric=origin.get("primary_metric", "auroc"),  # runs of before version 0.2 have no other
        participants=_participants(system, path),
    )


def read_text(run: str | os.PathLike[str], name: str) -> str:
    """A small file of the run folder, such as ``study.yaml``."""
    system, path = open_run(run)
    with system.open_input_stream(f"{path}/{name}") as stream:
        return bytes(stream.read()).decode()


def write_bytes(run: str | os.PathLike[str], name: str, content: bytes) -> None:
    """Write a file of the report into the run folder."""
    system, path = open_run(run)
    system.create_dir(f"{path}/{Path(name).parent}", recursive=True)
    with system.open_output_stream(f"{path}/{name}") as stream:
        stream.write(content)


def write_text(run: str | os.PathLike[str], name: str, text: str) -> None:
    """``write_bytes`` of text."""
    write_bytes(run, name, text.encode())
