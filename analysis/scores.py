"""Predictions to scores per participant and seed (DESIGN, scores.csv).

``paired`` (default) scores non_personalized once per variant on the windows that the variant was tested on, so that both
sides of a difference saw the same windows. ``published`` scores it once on all of the target's windows, as the study's
code does.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.load import Frames
from analysis.metrics import METRICS

BASELINE = "non_personalized"
CELL = ["dataset", "label", "model"]
WHO = ["participant", "seed"]
COLUMNS = [*CELL, "technique", "variant", *WHO, "scoring", "against", "n_test", *METRICS]

Scoring = Literal["paired", "published"]


def against_name(technique: str, variant: str) -> str:
    """How a baseline row names the variant whose windows it was scored on."""
    return f"{technique} {variant}".removesuffix(" -")


class _Tested:
    """The scored windows of one trial and participant: window ids, classes, probabilities."""

    def __init__(self, frame: pd.DataFrame) -> None:
        kept = frame[~frame["purged"].to_numpy(dtype=bool)]
        p = kept[[name for name in kept.columns if name.startswith("p_")]].to_numpy(dtype=np.float64)
        self.window: npt.NDArray[np.int64] = kept["window"].to_numpy(dtype=np.int64)
        self.y: npt.NDArray[np.int64] = kept["y_true"].to_numpy(dtype=np.int64)
        self.p = p[:, ~np.isnan(p).all(axis=0)] if len(p) else p

    def on(self, windows: npt.NDArray[np.int64] | None) -> dict[str, float]:
        """Every metric on these windows (all where None)."""
        keep = np.ones(len(self.y), dtype=bool) if windows is None else np.isin(self.window, windows)
        scores = {name: metric(self.y[keep], self.p[keep]) for name, metric in METRICS.items()}
        return {"n_test": int(keep.sum()), **scores}


def score(frames: Frames, scoring: Scoring = "paired") -> pd.DataFrame:
    """One row per finished trial, and in ``paired`` scoring one more of the baseline per variant (column ``against``)."""
    if frames.trials.empty or not (frames.trials["status"] == "ok").any():
        return pd.DataFrame(columns=COLUMNS)
    ok = frames.trials[frames.trials["status"] == "ok"]
    tested = {str(trial): _Tested(rows) for trial, rows in frames.predictions.groupby("trial", observed=True)}
    baseline = {tuple(row[[*CELL, *WHO]]): row["trial"] for _, row in ok[ok["technique"] == BASELINE].iterrows()}
    rows = []
    for _, trial in ok.iterrows():
        mine = tested[trial["trial"]]
        names = {name: trial[name] for name in [*CELL, "technique", "variant", *WHO]}
        rows.append({**names, "scoring": scoring, "against": "", **mine.on(None)})
        base = baseline.get(tuple(trial[[*CELL, *WHO]]))
        if scoring == "paired" and base is not None and trial["technique"] != BASELINE:
            against = against_name(trial["technique"], trial["variant"])
            names = {**names, "technique": BASELINE, "variant": "-"}
            rows.append({**names, "scoring": scoring, "against": against, **tested[base].on(mine.window)})
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:9], ignore_index=True)
