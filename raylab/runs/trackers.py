"""What a tracker shows of a run: each technique and variant with its parameters and its mean over participants, written when a start ends.

TensorBoard gets them always (``tensorboard/`` of the run folder); MLflow and Weights & Biases if ``raylab run --track`` names them. A tracker is a
convenience: it gets nothing that the run folder does not hold, and no test is made of what it shows.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import fs
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from raylab.errors import RaylabError
from raylab.names import folder_part
from raylab.runs.folder import RunFolder

CELL = ["dataset", "label", "model", "technique", "variant"]
FOLDER = "tensorboard"
HINT = "--track takes mlflow:URI (such as mlflow:http://127.0.0.1:5000, or mlflow:sqlite:///mlflow.db) or wandb:offline (or wandb:online)"


@dataclass(frozen=True)
class VariantSummary:
    """A technique and variant of a (dataset, label, model).

    Attributes:
        parts: dataset, label, model, technique, variant.
        parameters: the names above, and each axis of the variant (``budget`` 0.2) under its own name.
        metrics: ``auroc`` the mean over participants, each the mean of its seeds; ``participants`` with an AUROC; ``seconds`` of all its trials.
    """

    parts: tuple[str, ...]
    parameters: dict[str, str | float]
    metrics: dict[str, float]


Tracker = Callable[[str, Sequence[VariantSummary]], None]  # a run's name, its variants


def _parameter(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def variant_summaries(records: Sequence[dict[str, Any]]) -> Iterator[VariantSummary]:
    """One for each variant that has a trial with an AUROC, in the order of their names."""
    columns = [*CELL, "participant", "seed", "auroc", "seconds"]
    frame = pd.DataFrame([record for record in records if record["status"] == "ok"], columns=columns)
    frame["auroc"] = frame["auroc"].astype(float)
    for names, part in frame.groupby(CELL, sort=True):
        people = part.groupby("participant")["auroc"].mean().dropna()
        if len(people):
            parts = tuple(map(str, names))
            axes = {name: _parameter(value) for name, _, value in (axis.partition("=") for axis in parts[-1].split()) if value}
            metrics = {"auroc": people.mean(), "participants": float(len(people)), "seconds": float(part["seconds"].sum())}
            parameters: dict[str, str | float] = {**dict(zip(CELL, parts, strict=True)), **axes}
            yield VariantSummary(parts, parameters, metrics)


def _write_tensorboard(run: RunFolder, summaries: Sequence[VariantSummary]) -> None:
    """Event files with HParams, in folders dataset/label/model/technique/variant; those of an earlier start are replaced."""
    with tempfile.TemporaryDirectory() as temporary:
        for summary in summaries:
            folder = Path(temporary).joinpath(*map(folder_part, summary.parts))
            with SummaryWriter(str(folder)) as writer:
                for part in hparams(summary.parameters, summary.metrics):
                    writer.file_writer.add_summary(part)
                for name, value in summary.metrics.items():
                    writer.add_scalar(name, value)
        if run.folder.exists(FOLDER):
            run.folder.system.delete_dir(run.folder.at(FOLDER))
        if run.folder.is_local:
            shutil.copytree(temporary, run.folder.at(FOLDER))
        else:
            fs.copy_files(temporary, run.folder.at(FOLDER), destination_filesystem=run.folder.system)


def _mlflow(uri: str) -> Tracker:
    try:
        import mlflow
    except ImportError as error:
        raise RaylabError("--track mlflow needs MLflow, which is not installed: pip install mlflow-skinny") from error

    def write(name: str, summaries: Sequence[VariantSummary]) -> None:
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(name)
        for summary in summaries:
            with mlflow.start_run(run_name=" / ".join(summary.parts)):
                mlflow.log_params(summary.parameters)
                mlflow.log_metrics(summary.metrics)

    return write


def _wandb(mode: str) -> Tracker:
    if mode not in ("offline", "online"):
        raise RaylabError(f"wandb:{mode} is no mode of Weights & Biases; {HINT}")
    try:
        import wandb
    except ImportError as error:
        raise RaylabError("--track wandb needs Weights & Biases, which is not installed: pip install wandb") from error

    def write(name: str, summaries: Sequence[VariantSummary]) -> None:
        project = re.sub(r"[/\\#?%:]", "-", name)
        quiet = wandb.Settings(silent=True)  # it prints 25 lines for each variant
        for summary in summaries:
            with wandb.init(
                project=project, name=" / ".join(summary.parts), config=summary.parameters, mode=mode, settings=quiet
            ) as run:
                run.log(summary.metrics)

    return write


def tracker(text: str) -> Tracker:
    """The tracker that ``--track`` names.

    Raises:
        RaylabError: if it names none, or its package is not installed; with the remedy.
    """
    kind, _, where = text.partition(":")
    known = {"mlflow": _mlflow, "wandb": _wandb}
    if kind not in known or not where:
        raise RaylabError(f"{text} names no tracker; {HINT}")
    return known[kind](where)


def track(name: str, run: RunFolder, trackers: Sequence[Tracker], changed: bool, log: Callable[[str], None]) -> None:
    """Write the summaries of all that the run folder holds; a tracker that fails is named, and the run is none the worse.

    Args:
        changed: whether this start ran a trial; if not, what TensorBoard shows stays as it is.
    """
    board = [lambda name, rows: _write_tensorboard(run, rows)] if changed or not run.folder.exists(FOLDER) else []
    summaries = list(variant_summaries(run.records()))
    for write in (*board, *trackers):
        try:
            write(name, summaries)
        except Exception as error:  # another's code, and a server out of reach, may raise anything
            log(f"a tracker was not written ({type(error).__name__}: {str(error)[:300]}); the run folder has everything")
