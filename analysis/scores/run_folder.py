"""A run folder to frames."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from analysis.constants import READERS
from analysis.errors import AnalysisError, RunNotFoundError
from analysis.plain_text import printable, printable_frame, printable_values
from analysis.scores.predictions import read_predictions


@dataclass(frozen=True)
class RunTables:
    """Everything that a run stores for the analysis.

    Attributes:
        plan: one row per trial that the study asks for.
        trials: one row per trial that came to an end and that the plan still asks for (columns: docs/read-a-run.md).
        predictions: trial, participant, window, y_true, purged, and p_0, p_1, ... (NaN beyond a label's classes).
        notes: sentences every table made from this run must carry.
        primary_metric: the one metric that the verdict is about; the study names it.
        participants: one row per (dataset, label, participant): ``trait_age``, ``trait_gender``, ... and ``count_<class>`` windows of
            each class (missing if the dataset has no such trait or class); no rows for a run that stored none.
        transcripts: dataset, window, transcript (its number) of windows in which something is said; no rows for other data.
        classes: dataset to label to the names of its classes, in order; empty for a run that stored none.
    """

    plan: pd.DataFrame
    trials: pd.DataFrame
    predictions: pd.DataFrame
    notes: tuple[str, ...]
    primary_metric: str = "auroc"
    participants: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["dataset", "participant", "label"]))
    transcripts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["dataset", "window", "transcript"]))
    classes: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def open_run(run: str | os.PathLike[str]) -> tuple[fs.FileSystem, str]:
    """File system and path of a run folder, a local path or a URI.

    Raises:
        AnalysisError: if it is no path or URI that can be opened: pyarrow takes UTF-8 only.
    """
    text = os.fspath(run)
    if not text or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise AnalysisError(f"{printable(text)!r} is no path that can be opened: it is empty, or its bytes are no UTF-8")
    if "://" in text:
        try:
            system, path = fs.FileSystem.from_uri(text)
        except pa.ArrowInvalid as error:  # a scheme that pyarrow does not know
            raise AnalysisError(f"{text} is no path or URI that can be opened: {error}") from error
        return system, str(path)
    return fs.LocalFileSystem(), str(Path(text).absolute())


def _read_json(system: fs.FileSystem, path: str) -> Any:
    with system.open_input_stream(path) as stream:
        try:
            return printable_values(json.loads(stream.read()))
        except ValueError as error:  # also of bytes that are no text
            raise AnalysisError(f"{path} is damaged: {error}") from error


def _finished_trials(system: fs.FileSystem, path: str, keys: set[str]) -> pd.DataFrame:
    """Finished trials: the compacted table, and the small objects written since."""
    rows: dict[str, dict[str, Any]] = {}
    if system.get_file_info(f"{path}/trials.parquet").type != fs.FileType.NotFound:
        with system.open_input_file(f"{path}/trials.parquet") as file:
            rows = {row["trial"]: printable_values(row) for row in pq.read_table(file).to_pylist() if row["trial"] in keys}
    infos = system.get_file_info(fs.FileSelector(f"{path}/trials", allow_not_found=True))
    names = {f"{key}.json" for key in keys - rows.keys()}
    files = [info.path for info in infos if info.base_name in names]
    with ThreadPoolExecutor(READERS) as pool:
        return pd.DataFrame([*rows.values(), *pool.map(lambda name: _read_json(system, name), files)])


def _participants(system: fs.FileSystem, path: str) -> pd.DataFrame:
    """The participants that a run holds out; no rows if an older run did not store them."""
    stored = system.get_file_info(f"{path}/participants.json").type != fs.FileType.NotFound
    rows = [
        {name: row[name] for name in ("dataset", "label", "participant")}
        | {f"trait_{name}": value for name, value in row["traits"].items()}
        | {f"count_{name}": count for name, count in row["windows"].items()}
        for row in (_read_json(system, f"{path}/participants.json") if stored else [])
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["dataset", "label", "participant"])


def _transcripts(system: fs.FileSystem, path: str) -> pd.DataFrame:
    if system.get_file_info(f"{path}/transcripts.parquet").type == fs.FileType.NotFound:
        return pd.DataFrame(columns=["dataset", "window", "transcript"])
    with system.open_input_file(f"{path}/transcripts.parquet") as file:
        table: pd.DataFrame = pq.read_table(file).to_pandas()
    return table


def load(run: str | os.PathLike[str]) -> RunTables:
    """The frames of a run, finished or still going.

    Raises:
        RunNotFoundError: if the folder is not a run's.
    """
    system, path = open_run(run)
    if system.get_file_info(f"{path}/plan.parquet").type == fs.FileType.NotFound:
        raise RunNotFoundError(
            f"{run} is no run folder (it has no plan.parquet); start one with: raylab run STUDY.yaml --out {run}"
        )
    with system.open_input_file(f"{path}/plan.parquet") as file:
        plan = printable_frame(pq.read_table(file).to_pandas())
    trials = _finished_trials(system, path, set(plan["trial"]))
    ended_well = trials[trials["status"].eq("ok")] if len(trials) else pd.DataFrame(columns=["trial", "participant"])
    origin = _read_json(system, f"{path}/provenance.json")
    return RunTables(
        plan=plan,
        trials=trials,
        predictions=read_predictions(system, f"{path}/predictions", ended_well),
        notes=tuple(origin.get("notes", [])),
        primary_metric=origin.get("primary_metric", "auroc"),  # runs of before version 0.2 have no other
        participants=_participants(system, path),
        transcripts=_transcripts(system, path),
        classes=origin.get("classes", {}),
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
