"""One cohort of one case: simulated, prepared, run and compared by the same functions as real data, in a temporary folder."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import analysis
from analysis.figures.figure_data import gain_table
from analysis.scores.paired_scores import paired_scores
from analysis.statistics.dependence import retrained_bound
from analysis.statistics.paired_tests import mean_test
from raylab import __version__
from raylab.errors import RaylabError
from raylab.hashing import hash_record
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import parse_study
from raylab.validity.cases import MODEL, STEP_S, ValidityCase
from raylab.validity.probes import probe
from raylab.windows.preprocess import Preprocessing

STORED_COLUMNS = [
    "technique",
    "variant",
    "n_participants",
    "n_missing",
    "mean",
    "sd",
    "baseline_mean",
    "difference",
    "p",
    "p_adjusted",
]


def settings_of(case: ValidityCase, seed: int, n_participants: int) -> dict[str, Any]:
    """All settings that determine a cohort's result; their hash says whether a stored result is current."""
    return {
        "raylab": __version__,
        "case": case.name,
        "seed": seed,
        "options": {**case.options, "truth": case.truth, "seed": seed, "participants": n_participants},
        "shuffled": case.shuffled,
        "techniques": case.techniques,
        "model": MODEL,
        "protocol": case.protocol,
        "step_s": STEP_S,
    }


def study_of(case: ValidityCase, seed: int) -> dict[str, Any]:
    """The study of a cohort, as read from a study file; each cohort has its own seed, so that cohorts share no random draw."""
    return {
        "name": f"{case.name} {seed}",
        "datasets": [{"windows": "cohort", "label": "stress"}],
        "models": [MODEL],
        "techniques": case.techniques,
        "seeds": [seed],
        "protocol": case.protocol,
    }


def _quiet(line: str) -> None:
    """Drop a line: the driver prints one line per cohort instead."""


def run_cohort(case: ValidityCase, seed: int, n_participants: int) -> dict[str, Any]:
    """Simulate a cohort and evaluate it.

    Returns:
        settings, their hash, one row per variant, the contrast if the case has one, and seconds; fit for JSON.

    Raises:
        RuntimeError: if a trial failed.
    """
    began = time.monotonic()
    settings = settings_of(case, seed, n_participants)
    with tempfile.TemporaryDirectory(prefix="raylab-cohort-") as root:
        windows = Path(root) / ("made" if case.shuffled else "cohort")
        request = PrepareRequest(
            "known_truth", ".", str(windows), preprocessing=Preprocessing(step_s=STEP_S), options=dict(settings["options"])
        )
        prepare(request, say=_quiet, where="local")
        if case.shuffled:
            probe("shuffled_labels", str(windows), str(Path(root) / "cohort"), seed=seed)
        summary = start(parse_study(study_of(case, seed), case.name), root, str(Path(root) / "run"), "local", log=_quiet)
        if not summary.complete:
            raise RaylabError(f"{case.name} {seed}: " + "; ".join(summary.lines()))
        tables = analysis.load(Path(root) / "run")
        scores, inflations = analysis.score(tables), analysis.variance_inflations(tables)
    comparison = analysis.compare(scores, inflations=inflations)[STORED_COLUMNS].astype(object)
    rows = comparison.where(comparison.notna(), None).to_dict("records")  # JSON has no NaN
    result: dict[str, Any] = {"settings": settings, "hash": hash_record(settings), "rows": rows}
    if case.contrast:
        result["contrast"] = contrast(scores, *case.contrast)
    return result | {"seconds": round(time.monotonic() - began, 1)}


def contrast(scores: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
    """Difference of the gains of two variants, paired over participants, with one two-sided test per cohort."""
    gains = gain_table(paired_scores(scores, "auroc"))
    d = np.asarray((gains.loc[first] - gains.loc[second]).sort_index().dropna(), dtype=np.float64)
    p = mean_test(d, retrained_bound(len(d))).p
    return {"first": first, "second": second, "n_participants": len(d), "difference": float(d.mean()), "p": p}
