"""Predictions to scores per participant and seed (DESIGN, scores.csv).

``paired`` (default) scores non_personalized once per variant on the windows that the variant was tested on, so that both
sides of a difference saw the same windows. ``published`` scores it once on all of the target's windows, as the study's
code does.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.load import Frames
from analysis.metrics import METRICS
from analysis.references import GUESS, MAJORITY, guesses, majority

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
    """One row per trial that came to an end (scores missing unless it is ``ok``); in ``paired`` scoring one more of the
    baseline per variant (column ``against``); and the majority class and a random guess for each baseline row."""
    if frames.trials.empty or not (frames.trials["status"] == "ok").any():
        return pd.DataFrame(columns=COLUMNS)
    ended = frames.trials
    tested = {str(trial): _Tested(rows) for trial, rows in frames.predictions.groupby("trial", observed=True)}
    ok = ended[ended["status"] == "ok"]
    baseline = {tuple(row[[*CELL, *WHO]]): tested[row["trial"]] for _, row in ok[ok["technique"] == BASELINE].iterrows()}
    rows = []
    for _, trial in ended.iterrows():
        mine = tested.get(trial["trial"])
        names = {name: trial[name] for name in [*CELL, "technique", "variant", *WHO]} | {"scoring": scoring}
        rows.append({**names, "against": "", **(mine.on(None) if mine else {"n_test": 0})})
        base = baseline.get(tuple(trial[[*CELL, *WHO]]))
        if scoring == "paired" and mine and base and trial["technique"] != BASELINE:
            against = against_name(trial["technique"], trial["variant"])
            rows.append({**names, "technique": BASELINE, "variant": "-", "against": against, **base.on(mine.window)})
    rows += _references(baseline, scoring)
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:9], ignore_index=True)


def _means(y: npt.NDArray[np.int64], draws: npt.NDArray[np.float64]) -> dict[str, float]:
    """Every metric, averaged over draws of probabilities (n_draws, n, n_classes)."""
    return {name: float(np.mean([metric(y, p) for p in draws])) for name, metric in METRICS.items()}


def _references(baseline: dict[tuple[Any, ...], _Tested], scoring: str) -> list[dict[str, Any]]:
    """The rows of ``analysis.references``, on all windows of each held-out participant."""
    rows = []
    for key, mine in baseline.items():
        cell, (participant, seed) = key[: len(CELL)], key[len(CELL) :]
        k = mine.p.shape[1]
        same = [
            t for other, t in baseline.items() if other[: len(CELL)] == cell and other[-1] == seed and other[-2] != participant
        ]
        others = np.sum([np.bincount(t.y, minlength=k) for t in same] or [np.zeros(k, dtype=np.int64)], axis=0)
        made = {MAJORITY: majority(others, len(mine.y))[None], GUESS: guesses(k, len(mine.y), f"{participant} {seed}")}
        for name, draws in made.items():
            names = dict(zip([*CELL, *WHO], key, strict=True)) | {
                "technique": name,
                "variant": "-",
                "scoring": scoring,
                "against": "",
            }
            rows.append({**names, "n_test": len(mine.y), **_means(mine.y, draws)})
    return rows
