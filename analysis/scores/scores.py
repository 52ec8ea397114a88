"""Predictions to scores per participant and seed (DESIGN, scores.csv).

``paired`` (default) scores non_personalized once per variant on the windows that the variant was tested on, so that both
sides of a difference saw the same windows. ``published`` scores it once on all of the target's windows, as the study's
code does. ``common`` scores everything on the windows that all variants of a (dataset, label, model) were tested on.
"""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.scores.chance_levels import GUESS, MAJORITY, TEXT, guesses, majority, text_ceiling
from analysis.scores.metrics import METRICS
from analysis.scores.run_folder import Frames
from analysis.scores.scored_windows import Ints, Numbers, Tested, tested

BASELINE = "non_personalized"
CELL = ["dataset", "label", "model"]
WHO = ["participant", "seed"]
NAMES = [*CELL, "technique", "variant", *WHO]
COLUMNS = [*NAMES, "scoring", "against", "n_test", *METRICS]

Scoring = Literal["paired", "published"]


def against_name(technique: str, variant: str) -> str:
    """How a baseline row names the variant whose windows it was scored on."""
    return f"{technique} {variant}".removesuffix(" -")


def _numbered(trials: pd.DataFrame, names: list[str]) -> Ints:
    """Which combination of these names each trial has, counted from 0 (n_trials,)."""
    return np.asarray(trials.groupby(names, observed=True, sort=False).ngroup(), dtype=np.int64)


def _one_of(of: Ints, which: npt.NDArray[np.bool_]) -> Ints:
    """For each trial, one of the trials ``which`` that has the same number, -1 if there is none (n_trials,)."""
    found = np.full(of.max(initial=0) + 1, -1, dtype=np.int64)
    found[of[which]] = np.flatnonzero(which)
    return found[of]


def _rows(trials: pd.DataFrame, numbers: Numbers, which: npt.NDArray[np.bool_], **names: Any) -> pd.DataFrame:
    """Rows of scores of the trials ``which``; ``names`` replace those of the trials."""
    return trials[NAMES].assign(**{"against": "", **numbers, **names})[which]


def _arranged(parts: list[pd.DataFrame], scoring: str) -> pd.DataFrame:
    every = pd.concat(parts, ignore_index=True).assign(scoring=scoring)[COLUMNS]
    return every.sort_values(COLUMNS[:9], ignore_index=True)


def score(frames: Frames, scoring: Scoring = "paired") -> pd.DataFrame:
    """One row per trial that came to an end (scores missing unless it is ``ok``); in ``paired`` scoring one more of the
    baseline per variant (column ``against``); and the majority class and a random guess for each baseline row."""
    trials = frames.trials
    if trials.empty or not trials["status"].eq("ok").any():
        return pd.DataFrame(columns=COLUMNS)
    windows = tested(frames.predictions, trials)
    everything = np.ones(len(trials), dtype=bool)
    ok = trials["status"].eq("ok").to_numpy()
    baseline = trials["technique"].eq(BASELINE).to_numpy()
    parts = [_rows(trials, windows.scores(len(trials)), everything)]
    if scoring == "paired":
        parts.append(_paired(windows, trials, ok, ok & baseline))
    parts += _references(windows, trials, ok & baseline, frames.transcripts)
    return _arranged(parts, scoring)


def _paired(windows: Tested, trials: pd.DataFrame, ok: npt.NDArray[np.bool_], baseline: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """The baseline on the windows of each trial of another technique."""
    base = _one_of(_numbered(trials, [*CELL, *WHO]), baseline)
    which = ok & ~baseline & (base >= 0)
    at = windows.twins(np.where(which, base, -1))
    seen = np.flatnonzero(at >= 0)
    same = replace(windows.take(at[seen]), trial=windows.trial[seen])
    against = [against_name(t, v) for t, v in zip(trials["technique"], trials["variant"], strict=True)]
    return _rows(trials, same.scores(len(trials)), which, technique=BASELINE, variant="-", against=against)


def _references(
    windows: Tested, trials: pd.DataFrame, baseline: npt.NDArray[np.bool_], transcripts: pd.DataFrame
) -> list[pd.DataFrame]:
    """The rows of ``analysis.scores.chance_levels``, on all windows of each held-out participant; what text can tell where there are transcripts."""
    held = windows.only(baseline)
    same = _numbered(trials, [*CELL, "seed"])
    who = [f"{participant} {seed}" for participant, seed in zip(trials["participant"], trials["seed"], strict=True)]
    scored = {MAJORITY: (majority(held, same), baseline), GUESS: (guesses(held, who), baseline)}
    speaking = baseline & trials["dataset"].isin(transcripts["dataset"]).to_numpy()
    if speaking.any():
        spoken = held.only(speaking)
        scored[TEXT] = text_ceiling(spoken, same, _transcript_of(spoken, trials, transcripts)), speaking
    return [_rows(trials, numbers, which, technique=name, variant="-") for name, (numbers, which) in scored.items()]


def _transcript_of(held: Tested, trials: pd.DataFrame, transcripts: pd.DataFrame) -> Ints:
    """The transcript's number of each window, -1 where it has none, (n,)."""
    known = pd.MultiIndex.from_frame(transcripts[["dataset", "window"]])
    at = known.get_indexer(pd.MultiIndex.from_arrays([trials["dataset"].to_numpy()[held.trial], held.window]))
    return np.where(at >= 0, transcripts["transcript"].to_numpy(dtype=np.int64)[at], -1)


def score_common(frames: Frames) -> pd.DataFrame:
    """Every technique and variant of a (dataset, label, model) on the same windows: of each participant and seed those on which all
    variants that have any were tested, the baseline included. What ranks variants against each other needs these.

    Returns:
        columns as ``score``'s, one row per trial that came to an end; ``scoring`` is ``common``.
    """
    trials = frames.trials
    if trials.empty or not trials["status"].eq("ok").any():
        return pd.DataFrame(columns=COLUMNS)
    windows = tested(frames.predictions, trials)
    unit = _numbered(trials, [*CELL, *WHO])
    has = np.bincount(windows.trial, minlength=len(trials)) > 0
    at = windows.twins(_one_of(unit, has))  # what is not in any one of them is not common to all
    seen = np.bincount(at[at >= 0], minlength=len(at))  # in how many trials of its unit each window of that one was tested
    common = (at >= 0) & (seen[at] == np.bincount(unit[has])[unit[windows.trial]])
    numbers = windows.take(np.flatnonzero(common)).scores(len(trials))
    return _arranged([_rows(trials, numbers, np.ones(len(trials), dtype=bool))], "common")
