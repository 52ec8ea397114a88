"""A run folder to frames."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
from pyarrow import fs

from analysis.constants import SMALLEST_EFFECT
from analysis.errors import AnalysisError, RunNotFoundError
from analysis.plain_text import printable, printable_frame
from analysis.scores import packed_predictions
from analysis.scores.metrics import PRIMARY_METRICS
from analysis.scores.packed_predictions import NotHeld, PackedPredictions, windows_tested
from analysis.scores.predictions import DIGEST, read_predictions
from analysis.scores.stored_files import NO_DIGESTS, read_json, read_object, read_parquet
from analysis.scores.trial_records import read_plan, read_records

REMEDY = "start the run again: it writes it anew and trains nothing"

SUMMARY_COLUMNS = ["dataset", "label", "participant", "position", "window", "y", "features"]
CHANNEL_COLUMNS = ["dataset", "label", "model", "participant", "auroc", "later", "earlier"]
ORDER_COLUMNS = ["dataset", "label", "participant", "window", "y", "start_s", "segment_s", "run"]
TRANSCRIPT_COLUMNS = ["dataset", "window", "transcript"]


@dataclass(frozen=True)
class PrimaryQuestion:
    """What a study declares before it is run.

    Attributes:
        technique: that the primary comparison is about; empty: every technique, Holm over them.
        smallest_effect: of interest, in units of the primary metric.
        references: ``model`` and ``dataset`` to what the others are set against (``analysis.statistics.model_comparison``).
    """

    technique: str = ""
    smallest_effect: float = SMALLEST_EFFECT
    references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunTables:
    """Everything that a run stores for the analysis.

    Attributes:
        plan: one row per trial that the study asks for.
        trials: one row per trial that came to an end and that the plan still asks for (columns: docs/read-a-run.md).
        predictions: trial, participant, window, y_true, purged, and p_0, p_1, ... (NaN beyond a label's classes).
        notes: sentences every table made from this run must carry.
        primary_metric: the one metric that the verdict is about; the study names it.
        question: the study's primary comparison.
        participants: one row per (dataset, label, participant): ``trait_age``, ``trait_gender``, ... and ``count_<class>`` windows of
            each class (missing if the dataset has no such trait or class); no rows for a run that stored none.
        transcripts: dataset, window, transcript (its number) of windows in which something is said; no rows for other data.
        window_summaries: dataset, label, participant, position, window, y, features of labelled windows
            (``raylab.runs.window_summaries``); no rows for a run that stored none.
        window_order: dataset, label, participant, window, y, start_s, segment_s, run of labelled windows (``raylab.windows.order``); no rows
            for utterances, nor for a run that stored none.
        channel_scores: dataset, label, model, participant, auroc, later, earlier of single channels (``raylab.runs.channel_scores``); no rows for a
            run that stored none.
        sources: dataset to the windows that it is of; entries of a study may have several names for one.
        classes: dataset to label to the names of its classes, in order; empty for a run that stored none.
        packed: the predictions of a run that has too many to be held (``analysis.scores.packed_predictions``), and then ``predictions`` refuses to be
            read; None if they are held.

    Units:
        ``seconds``, ``start_s`` and ``segment_s`` in seconds, ``ended`` in Unix seconds, ``trait_age`` in years, probabilities from 0 to 1.

    Source:
        docs/read-a-run.md, Frames.
    """

    plan: pd.DataFrame
    trials: pd.DataFrame
    predictions: pd.DataFrame
    notes: tuple[str, ...]
    primary_metric: str = "auroc"
    question: PrimaryQuestion = field(default_factory=PrimaryQuestion)
    participants: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["dataset", "participant", "label"]))
    transcripts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TRANSCRIPT_COLUMNS))
    window_summaries: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=SUMMARY_COLUMNS))
    window_order: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=ORDER_COLUMNS))
    channel_scores: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CHANNEL_COLUMNS))
    sources: dict[str, str] = field(default_factory=dict)
    classes: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    packed: PackedPredictions | None = None

    def with_trials(self, trials: pd.DataFrame) -> "RunTables":
        """The same run with these trials only, and their predictions.

        Args:
            trials: rows of ``trials``.

        Returns:
            the other tables are as they were.

        Units:
            as this run's.

        Source:
            docs/read-a-run.md, Frames.
        """
        return replace(self, trials=trials, predictions=self.predictions if self.packed else self.of_trials(trials))

    def of_trials(self, trials: pd.DataFrame) -> pd.DataFrame:
        """The predictions of some trials.

        Args:
            trials: rows of ``trials``.

        Returns:
            one row per window of a trial, with the columns of ``predictions``.

        Units:
            probabilities from 0 to 1.

        Source:
            docs/read-a-run.md, Frames.
        """
        if self.packed:
            return self.packed.of(trials)
        return self.predictions[self.predictions["trial"].isin(set(trials["trial"]))]

    def parts(self, names: Sequence[str]) -> Iterator["RunTables"]:
        """The run in parts whose predictions are in memory, one after the other.

        Args:
            names: columns of ``trials``; the trials of a part agree in them.

        Returns:
            the run itself if its predictions are held; else a run for each combination of these columns, with the window order of its datasets and
            labels.

        Units:
            as this run's.

        Source:
            docs/read-a-run.md, Frames.
        """
        if self.packed is None:
            yield self
            return
        order = self.window_order
        for rows in self.trials.groupby(list(names), sort=False, observed=True).indices.values():
            trials = self.trials.iloc[rows]
            near = order["dataset"].isin(set(trials["dataset"])) & order["label"].isin(set(trials["label"]))
            yield replace(self, trials=trials, predictions=self.packed.of(trials), packed=None, window_order=order[near])


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


def _participants(system: fs.FileSystem, path: str) -> pd.DataFrame:
    """The participants that a run holds out; no rows if an older run did not store them."""
    file = f"{path}/participants.json"
    if system.get_file_info(file).type == fs.FileType.NotFound:
        return pd.DataFrame(columns=["dataset", "label", "participant"])
    stored = read_json(system, file)
    try:
        rows = [
            {name: row[name] for name in ("dataset", "label", "participant")}
            | {f"trait_{name}": value for name, value in row["traits"].items()}
            | {f"count_{name}": count for name, count in row["windows"].items()}
            | {f"quality_{name}": mean for name, mean in row.get("quality", {}).items()}
            for row in stored
        ]
    except (TypeError, KeyError, AttributeError) as error:
        raise AnalysisError(f"{file} is damaged, or of another version of raylab ({error!r}); {REMEDY}") from error
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["dataset", "label", "participant"])


def _table(system: fs.FileSystem, path: str, columns: list[str]) -> pd.DataFrame:
    """A table that not every run has; no rows if it has none."""
    if system.get_file_info(path).type == fs.FileType.NotFound:
        return pd.DataFrame(columns=columns)
    table: pd.DataFrame = printable_frame(read_parquet(system, path, columns, REMEDY).to_pandas())
    return table


def _provenance(system: fs.FileSystem, path: str) -> dict[str, Any]:
    """The run's origin, as far as the analysis needs it.

    Raises:
        AnalysisError: if it is damaged, or of another version of raylab.
    """
    file = f"{path}/provenance.json"
    origin = read_object(system, file)
    notes, metric, classes = origin.get("notes", []), origin.get("primary_metric", "auroc"), origin.get("classes", {})
    primary, datasets = origin.get("primary", {}), origin.get("datasets", {})
    problem = ""
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        problem = "its notes are no sentences"
    elif metric not in PRIMARY_METRICS:
        problem = f"its primary_metric {metric!r} is none of {', '.join(PRIMARY_METRICS)}"
    elif not _is_question(primary):
        problem = "its primary comparison has other fields than a technique, a smallest effect and references"
    elif not isinstance(datasets, dict) or not all(isinstance(card, dict) for card in datasets.values()):
        problem = "its datasets are no cards by name"
    elif not _are_classes(classes):
        problem = "its classes are no names of classes by dataset and label"
    if problem:
        raise AnalysisError(f"{file} is damaged, or of another version of raylab: {problem}; {REMEDY}")
    sources = {str(name): str(card.get("windows", name)) for name, card in datasets.items()}
    # runs of before version 0.2 have no metric but AUROC
    return {
        "notes": notes,
        "primary_metric": metric,
        "classes": classes,
        "sources": sources,
        "question": PrimaryQuestion(**primary),
    }


def _is_question(primary: Any) -> bool:
    """Whether these are the fields of a primary question; none are those of an older run."""
    kinds = {"technique": str, "smallest_effect": float, "references": dict}
    return isinstance(primary, dict) and all(isinstance(value, kinds.get(name, bytes)) for name, value in primary.items())


def _are_classes(classes: Any) -> bool:
    labels = list(classes.values()) if isinstance(classes, dict) else [None]
    names = [value for label in labels for value in (label.values() if isinstance(label, dict) else [None])]
    return all(isinstance(value, list) and all(isinstance(name, str) for name in value) for value in names)


def _without_digest(trials: pd.DataFrame) -> list[str]:
    """The sentence on trials that ended well and whose predictions have no digest."""
    digests = trials[DIGEST] if DIGEST in trials else pd.Series([None] * len(trials))
    count = int(digests.isna().sum())
    return [NO_DIGESTS.format(count=f"{count} of {len(trials)}", files="predictions")] if count else []


def load(run: str | os.PathLike[str]) -> RunTables:
    """The frames of a run, finished or still going.

    Args:
        run: the run folder: a path, or a URI that ``pyarrow.fs`` knows.

    Returns:
        the tables of the folder, one row per trial, per window of a trial, and so on.

    Raises:
        RunNotFoundError: if the folder is not a run's.
        AnalysisError: if a file of it is damaged or was changed; it names the trials and the remedy.

    Units:
        ``seconds`` and ``start_s`` in seconds, ``ended`` in Unix seconds, probabilities from 0 to 1.

    Source:
        docs/read-a-run.md, Frames.
    """
    system, path = open_run(run)
    if system.get_file_info(f"{path}/plan.parquet").type == fs.FileType.NotFound:
        raise RunNotFoundError(
            f"{run} is no run folder (it has no plan.parquet); start one with: raylab run STUDY.yaml --out {run}"
        )
    plan = read_plan(system, path)
    trials, skipped = read_records(system, path, plan)
    ended_well = trials[trials["status"].eq("ok")] if len(trials) else pd.DataFrame(columns=["trial", "participant"])
    origin = _provenance(system, path)
    read = system, f"{path}/predictions", ended_well, origin["classes"]
    packed = PackedPredictions(*read) if windows_tested(ended_well) > packed_predictions.LARGEST_HELD else None
    return RunTables(
        plan=plan,
        trials=trials,
        predictions=cast(pd.DataFrame, NotHeld()) if packed else read_predictions(*read),
        notes=(*origin["notes"], *skipped, *_without_digest(ended_well)),
        primary_metric=origin["primary_metric"],
        question=origin["question"],
        participants=_participants(system, path),
        transcripts=_table(system, f"{path}/transcripts.parquet", TRANSCRIPT_COLUMNS),
        window_summaries=_table(system, f"{path}/window_summaries.parquet", SUMMARY_COLUMNS),
        window_order=_table(system, f"{path}/window_order.parquet", ORDER_COLUMNS),
        channel_scores=_table(system, f"{path}/channel_scores.parquet", CHANNEL_COLUMNS),
        sources=origin["sources"],
        classes=origin["classes"],
        packed=packed,
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
