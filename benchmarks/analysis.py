"""``python -m benchmarks analysis``: the analysis of a simulated run of ten million predictions, and the plain way (Linux only).

The plain way is a loop over pandas' groups that calls scikit-learn's metrics. It is timed on some of the trials; its scores are compared with ours.
With more predictions than a run may have in memory (``--rows 100000000``) every table that is made of predictions is timed part by part.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from sklearn import metrics

from analysis.figures.figure_data import reliability
from analysis.scores.keys import REFERENCE_TECHNIQUE
from analysis.scores.packed_predictions import PART
from analysis.scores.run_folder import RunTables, load
from analysis.scores.scored_windows import scored_windows
from analysis.scores.scores import score, score_against_models, score_common
from analysis.statistics.comparison import compare
from analysis.statistics.confusion import confusion_counts
from analysis.statistics.within_person import within_person
from benchmarks.results import append

T = TypeVar("T")

# A study of the paper's size, 10,206 trials; a cell is a dataset, label and model, more than 27 are those of further seeds.
CELLS, VARIANTS, PARTICIPANTS = 27, 20, 18


def _trials(cells: int, variants: int, participants: int) -> pd.DataFrame:
    """One row per trial of a run in which nothing failed."""
    rows = [
        {
            "trial": f"{cell:04x}{variant:06x}{participant:06x}",
            "dataset": f"simulated{cell % 3}",
            "label": f"label{cell // 3 % 3}",
            "model": f"model{cell // 9 % 3}",
            "technique": "fine_tuning" if variant else REFERENCE_TECHNIQUE,
            "variant": f"budget={variant}" if variant else "-",
            "participant": f"P{participant}",
            "seed": cell // CELLS,
            "status": "ok",
        }
        for cell in range(cells)
        for variant in range(variants + 1)
        for participant in range(participants)
    ]
    return pd.DataFrame(rows)


def write_run(folder: Path, rows: int, cells: int = CELLS, variants: int = VARIANTS, participants: int = PARTICIPANTS) -> None:
    """Write a run folder with about ``rows`` predictions: the reference technique on all windows, and variants that leave out the first ones."""
    trials = _trials(cells, variants, participants)
    count = max(rows // len(trials), 2 * variants)
    first = np.arange(len(trials)) // participants % (variants + 1)  # the variant's number of calibration windows
    trials["n_test"] = count - first - (first > 0)
    (folder / "predictions").mkdir(parents=True)
    pq.write_table(pa.Table.from_pandas(trials), folder / "trials.parquet")
    pq.write_table(pa.Table.from_pandas(trials.drop(columns=["status", "n_test"])), folder / "plan.parquet")
    (folder / "provenance.json").write_text(json.dumps({"notes": ["Simulated predictions."]}), encoding="utf-8")
    for position, (key, participant, begin) in enumerate(zip(trials["trial"], trials["participant"], first, strict=True)):
        label_rng, rng = np.random.default_rng(int(participant[1:])), np.random.default_rng(position)
        window, y = np.arange(begin, count), label_rng.integers(0, 2, count)[begin:]
        p = 1 / (1 + np.exp(rng.normal(0.5 - y, 2))).astype(np.float32)
        columns = {
            "trial": [key] * len(window),
            "participant": [participant] * len(window),
            "window": window,
            "y_true": y.astype(np.int8),
            "p": pa.ListArray.from_arrays(2 * np.arange(len(window) + 1, dtype=np.int32), np.stack([1 - p, p], axis=1).ravel()),
            "purged": (window == begin) & (begin > 0),
        }
        pq.write_table(pa.table(columns), folder / "predictions" / f"{key}.parquet")


def _memory(field: str) -> float:
    """A line of /proc/self/status in GB: VmRSS is the memory now, VmHWM the peak since it was last reset."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1e6 for line in lines if line.startswith(field))


def _measured(name: str, call: Callable[[], T]) -> T:
    """Result of the call; its seconds, processor seconds and additional peak memory are printed."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets VmHWM
    before, began, cpu = _memory("VmRSS"), time.perf_counter(), time.process_time()
    result = call()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    more = max(_memory("VmHWM") - before, 0.0)  # freed memory may go back to the system meanwhile
    sys.stdout.write(f"{name:14} {seconds:7.2f} s {cpu:7.2f} s of processor {more:6.2f} GB more\n")
    return result


def plain_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row of scores for each trial (the index), each metric by a call of scikit-learn's."""
    rows = {}
    for trial, of_trial in predictions[~predictions["purged"]].groupby("trial", observed=True, sort=False):
        y, p = of_trial["y_true"].to_numpy(), of_trial[["p_0", "p_1"]].to_numpy(dtype=np.float64)
        guess, macro = (p[:, 1] > p[:, 0]).astype(int), {"average": "macro", "zero_division": 0}
        rows[str(trial)] = {
            "accuracy": metrics.accuracy_score(y, guess),
            "f1_macro": metrics.f1_score(y, guess, **macro),
            "precision_macro": metrics.precision_score(y, guess, **macro),
            "recall_macro": metrics.recall_score(y, guess, **macro),
            "auroc": metrics.roc_auc_score(y, p[:, 1]),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, guess),
            "mcc": metrics.matthews_corrcoef(y, guess),
            "brier": metrics.brier_score_loss(y, p[:, 1]),
            "log_loss": metrics.log_loss(y, p / p.sum(axis=1, keepdims=True)),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def against_plain(tables: RunTables, n_trials: int) -> dict[str, float]:
    """Milliseconds of processor time for a trial's scores in the plain way (measured on ``n_trials`` of them) and in ours (on all), their ratio, and
    the largest difference of any score.

    Ours are all metrics, more than the plain way's, and the checks of every prediction.
    """
    trials = tables.trials
    chosen = trials["trial"].iloc[:: max(1, len(trials) // n_trials)]
    sample = tables.predictions[tables.predictions["trial"].isin(chosen)]
    began = time.process_time()
    plain = plain_scores(sample)
    plain_ms = 1e3 * (time.process_time() - began) / len(plain)
    began = time.process_time()
    ours = pd.DataFrame(scored_windows(tables.predictions, trials).scores(len(trials)), index=trials["trial"])
    ours_ms = 1e3 * (time.process_time() - began) / len(trials)
    apart = (plain - ours.loc[plain.index, plain.columns]).abs().to_numpy().max()
    return {"plain": plain_ms, "ours": ours_ms, "ratio": plain_ms / ours_ms, "largest_difference": float(apart)}


def bench(
    rows: int,
    cells: int = CELLS,
    variants: int = VARIANTS,
    participants: int = PARTICIPANTS,
    sample: int = 300,
) -> dict[str, float]:
    """Time every step of the analysis on a simulated run in a temporary folder; what ``against_plain`` found, or the windows of the largest part."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        write_run(run, rows, cells, variants, participants)
        sys.stdout.write(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
        tables = _measured("load", lambda: load(run))
        held = "in parts" if tables.packed else "in memory"
        sys.stdout.write(f"{len(tables.trials)} trials, {tables.trials['n_test'].sum()} tested windows (simulated), {held}\n")
        scores = _measured("score", lambda: score(tables))
        _measured("score_common", lambda: score_common(tables))
        _measured("compare", lambda: compare(scores))
        if tables.packed is None:
            return against_plain(tables, sample)
        _measured("against models", lambda: score_against_models(tables, "auroc"))
        _measured("within person", lambda: within_person(tables))
        _measured("confusion", lambda: confusion_counts(tables))
        _measured("reliability", lambda: reliability(tables))
        return {"largest_part": float(tables.trials.groupby(PART)["n_test"].sum().max())}


def analysis(
    rows: Annotated[int, typer.Option(help="predictions, about")] = 10_000_000,
    cells: Annotated[int, typer.Option(help="datasets, labels, models and seeds, with 378 trials each")] = CELLS,
    sample: Annotated[int, typer.Option(help="trials that the plain way is timed on")] = 300,
    results: Annotated[Path, typer.Option(help="a line is added")] = Path("build/benchmarks.jsonl"),
) -> None:
    """Reading, scoring and comparing a simulated run; a trial's scores against pandas' groups with scikit-learn's metrics."""
    append(results, "analysis", {"rows": rows, "cells": cells, "sample": sample}, bench(rows, cells, sample=sample))
