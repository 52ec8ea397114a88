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

from analysis.scores.chance_levels import MAJORITY_CLASS, RANDOM_GUESS, TEXT_CEILING, majority_class, random_guess, text_ceiling
from analysis.scores.metrics import METRICS
from analysis.scores.run_folder import RunTables
from analysis.scores.scored_windows import Ints, Numbers, ScoredWindows, scored_windows

REFERENCE_TECHNIQUE = "non_personalized"
CELL = ["dataset", "label", "model"]
FOLD = ["participant", "seed"]
NAMES = [*CELL, "technique", "variant", *FOLD]
COLUMNS = [*NAMES, "scoring", "against", "n_test", *METRICS]

Scoring = Literal["paired", "published"]


def variant_label(technique: str, variant: str) -> str:
    """How a baseline row names the variant whose windows it was scored on."""
    return f"{technique} {variant}".removesuffix(" -")


def _combination_number(trials: pd.DataFrame, names: list[str]) -> Ints:
    """Which combination of these names each trial has, counted from 0 (n_trials,)."""
    return np.asarray(trials.groupby(names, observed=True, sort=False).ngroup(), dtype=np.int64)


def _representative(of: Ints, which: npt.NDArray[np.bool_]) -> Ints:
    """For each trial, one of the trials ``which`` that has the same number, -1 if there is none (n_trials,)."""
    found = np.full(of.max(initial=0) + 1, -1, dtype=np.int64)
    found[of[which]] = np.flatnonzero(which)
    return found[of]


def _rows(trials: pd.DataFrame, numbers: Numbers, which: npt.NDArray[np.bool_], **names: Any) -> pd.DataFrame:
    """Rows of scores of the trials ``which``; ``names`` replace those of the trials."""
    return trials[NAMES].assign(**{"against": "", **numbers, **names})[which]


def _sorted_scores(parts: list[pd.DataFrame], scoring: str) -> pd.DataFrame:
    every = pd.concat(parts, ignore_index=True).assign(scoring=scoring)[COLUMNS]
    return every.sort_values(COLUMNS[:9], ignore_index=True)


def score(frames: RunTables, scoring: Scoring = "paired") -> pd.DataFrame:
    """One row per trial that came to an end (scores missing unless it is ``ok``); in ``paired`` scoring one more of the
    baseline per variant (column ``against``); and the majority class and a random guess for each baseline row."""
    trials = frames.trials
    if trials.empty or not trials["status"].eq("ok").any():
        return pd.DataFrame(columns=COLUMNS)
    windows = scored_windows(frames.predictions, trials)
    everything = np.ones(len(trials), dtype=bool)
    ok = trials["status"].eq("ok").to_numpy()
    baseline = trials["technique"].eq(REFERENCE_TECHNIQUE).to_numpy()
    parts = [_rows(trials, windows.scores(len(trials)), everything)]
    if scoring == "paired":
        parts.append(_paired(windows, trials, ok, ok & baseline))
    parts += _chance_rows(windows, trials, ok & baseline, frames.transcripts)
    return _sorted_scores(parts, scoring)


def _paired(
    windows: ScoredWindows, trials: pd.DataFrame, ok: npt.NDArray[np.bool_], baseline: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    """The baseline on the windows of each trial of another technique."""
    base = _representative(_combination_number(trials, [*CELL, *FOLD]), baseline)
    which = ok & ~baseline & (base >= 0)
    at = windows.match_windows(np.where(which, base, -1))
    seen = np.flatnonzero(at >= 0)
    same = replace(windows.take(at[seen]), trial=windows.trial[seen])
    against = [variant_label(t, v) for t, v in zip(trials["technique"], trials["variant"], strict=True)]
    return _rows(trials, same.scores(len(trials)), which, technique=REFERENCE_TECHNIQUE, variant="-", against=against)


def _chance_rows(
    windows: ScoredWindows, trials: pd.DataFrame, baseline: npt.NDArray[np.bool_], transcripts: pd.DataFrame
) -> list[pd.DataFrame]:
    """The rows of ``analysis.scores.chance_levels``, on all windows of each held-out participant; what text can tell where there are transcripts."""
    held = windows.filter_trials(baseline)
    same = _combination_number(trials, [*CELL, "seed"])
    who = [f"{participant} {seed}" for participant, seed in zip(trials["participant"], trials["seed"], strict=True)]
    scored = {MAJORITY_CLASS: (majority_class(held, same), baseline), RANDOM_GUESS: (random_guess(held, who), baseline)}
    speaking = baseline & trials["dataset"].isin(transcripts["dataset"]).to_numpy()
    if speaking.any():
        spoken = held.filter_trials(speaking)
        scored[TEXT_CEILING] = text_ceiling(spoken, same, _transcript_of(spoken, trials, transcripts)), speaking
    return [_rows(trials, numbers, which, technique=name, variant="-") for name, (numbers, which) in scored.items()]


def _transcript_of(held: ScoredWindows, trials: pd.DataFrame, transcripts: pd.DataFrame) -> Ints:
    """The transcript's number of each window, -1 where it has none, (n,)."""
    known = pd.MultiIndex.from_frame(transcripts[["dataset", "window"]])
    at = known.get_indexer(pd.MultiIndex.from_arrays([trials["dataset"].to_numpy()[held.trial], held.window]))
    return np.where(at >= 0, transcripts["transcript"].to_numpy(dtype=np.int64)[at], -1)


def score_common(frames: RunTables) -> pd.DataFrame:
    """Every technique and variant of a (dataset, label, model) on the same windows: of each participant and seed those on which all
    variants that have any were tested, the baseline included. What ranks variants against each other needs these.

    Returns:
        columns as ``score``'s, one row per trial that came to an end; ``scoring`` is ``common``.
    """
    trials = frames.trials
    if trials.empty or not trials["status"].eq("ok").any():
        return pd.DataFrame(columns=COLUMNS)
    windows = scored_windows(frames.predictions, trials)
    unit = _combination_number(trials, [*CELL, *FOLD])
    has = np.bincount(windows.trial, minlength=len(trials)) > 0
    at = windows.match_windows(_representative(unit, has))  # what is not in any one of them is not common to all
    seen = np.bincount(at[at >= 0], minlength=len(at))  # in how many trials of its unit each window of that one was tested
    common = (at >= 0) & (seen[at] == np.bincount(unit[has])[unit[windows.trial]])
    numbers = windows.take(np.flatnonzero(common)).scores(len(trials))
    return _sorted_scores([_rows(trials, numbers, np.ones(len(trials), dtype=bool))], "common")
