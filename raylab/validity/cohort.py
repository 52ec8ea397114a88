"""One cohort of one case: made, prepared, run and compared by the commands that real data go through, in a folder of its own."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import analysis
from analysis.report.comparison_table import gains
from analysis.statistics.paired_tests import wilcoxon
from raylab import __version__
from raylab.errors import RaylabError
from raylab.hashing import hash_record
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.trials.study import parse_study
from raylab.validity.cases import MODEL, STEP_S, ValidityCase
from raylab.validity.probes import probe
from raylab.windows.preprocess import Preprocessing

KEPT = ["technique", "variant", "n_participants", "n_missing", "mean", "sd", "baseline_mean", "difference", "p", "p_adjusted"]


def settings_of(case: ValidityCase, seed: int, people: int) -> dict[str, Any]:
    """Everything that decides a cohort's result."""
    return {
        "raylab": __version__,
        "case": case.name,
        "seed": seed,
        "options": {**case.options, "truth": case.truth, "seed": seed, "participants": people},
        "shuffled": case.shuffled,
        "techniques": case.techniques,
        "model": MODEL,
        "protocol": case.protocol,
        "step_s": STEP_S,
    }


def study_of(case: ValidityCase, seed: int) -> dict[str, Any]:
    """The study of a cohort: its own seed, so that cohorts share no draw."""
    return {
        "name": f"{case.name} {seed}",
        "datasets": [{"windows": "cohort", "label": "stress"}],
        "models": [MODEL],
        "techniques": case.techniques,
        "seeds": [seed],
        "protocol": case.protocol,
    }


def _quiet(line: str) -> None:
    """The driver says what there is to say, a line a cohort."""


def run_cohort(case: ValidityCase, seed: int, people: int) -> dict[str, Any]:
    """Make a cohort, evaluate it, and return its settings and one row per variant (and one for the contrast, if any)."""
    began = time.monotonic()
    settings = settings_of(case, seed, people)
    with tempfile.TemporaryDirectory(prefix="raylab-cohort-") as place:
        made = Path(place) / ("made" if case.shuffled else "cohort")
        order = PrepareRequest(
            "known_truth", ".", str(made), preprocessing=Preprocessing(step_s=STEP_S), options=dict(settings["options"])
        )
        prepare(order, say=_quiet, where="local")
        if case.shuffled:
            probe("shuffled_labels", str(made), str(Path(place) / "cohort"), seed=seed)
        summary = start(parse_study(study_of(case, seed), case.name), place, str(Path(place) / "run"), "local", say=_quiet)
        if not summary.complete:
            raise RaylabError(f"{case.name} {seed}: " + "; ".join(summary.lines()))
        scores = analysis.score(analysis.load(Path(place) / "run"))
    compared = analysis.compare(scores)[KEPT].astype(object)
    rows = compared.where(compared.notna(), None).to_dict("records")  # JSON has no NaN
    done: dict[str, Any] = {"settings": settings, "hash": hash_record(settings), "rows": rows}
    if case.contrast:
        done["contrast"] = contrast(scores, *case.contrast)
    return done | {"seconds": round(time.monotonic() - began, 1)}


def contrast(scores: pd.DataFrame, first: str, second: str) -> dict[str, Any]:
    """Gain of one variant against gain of another, paired over participants; two-sided Wilcoxon, one test a cohort."""
    table = gains(scores).droplevel(["dataset", "label", "model"]).astype(float)
    d = np.asarray((table.loc[first] - table.loc[second]).dropna(), dtype=np.float64)
    p, _ = wilcoxon(d)
    return {"first": first, "second": second, "n_participants": len(d), "difference": float(d.mean()), "p": p}
