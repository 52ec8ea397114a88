"""Predictions to scores per participant and seed (columns of scores.csv: docs/read-a-run.md).

``paired`` (default) scores non_personalized once per variant on the windows that the variant was tested on, so that both
sides of a difference saw the same windows. ``published`` scores it once on all of the target's windows, as the study's
code does. ``common`` scores everything on the windows that all variants of a (dataset, label, model) were tested on.
``score_against_models`` sets each trial of a technique beside every model of the study without personalization, on the same windows.
"""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.arrays import Bools, Floats, Ints, NamedArrays
from analysis.scores.chance_levels import (
    CLOCK,
    MAJORITY_CLASS,
    PERSON_PRIOR,
    RANDOM_GUESS,
    RUN_IDENTITY,
    TEXT_CEILING,
    ceiling,
    majority_class,
    random_guess,
)
from analysis.scores.clock import FittedClocks, clock_of_all, with_time
from analysis.scores.keys import CELL, FOLD, REFERENCE_TECHNIQUE, VARIANT, is_bound, variant_label
from analysis.scores.metrics import METRICS
from analysis.scores.operating_point import thresholds
from analysis.scores.run_folder import RunTables
from analysis.scores.scored_windows import ScoredWindows, scored_windows

NAMES = [*VARIANT, *FOLD]
SCORED = [*NAMES, "scoring", "against"]
AGAINST_MODELS = [*NAMES, "reference", "score", "reference_score", "auroc", "reference_auroc"]

Scoring = Literal["paired", "published"]


def columns() -> list[str]:
    """Columns of scores, those of added metrics too."""
    return [*SCORED, "n_test", *METRICS]


def _combination_number(trials: pd.DataFrame, names: list[str]) -> Ints:
    """Which combination of these names each trial has, counted from 0 (n_trials,)."""
    return np.asarray(trials.groupby(names, observed=True, sort=False).ngroup(), dtype=np.int64)


def _representative(numbers: Ints, eligible: Bools) -> Ints:
    """For each trial, an eligible trial that has the same number, -1 if there is none (n_trials,)."""
    trials = np.full(numbers.max(initial=0) + 1, -1, dtype=np.int64)
    trials[numbers[eligible]] = np.flatnonzero(eligible)
    return trials[numbers]


def _rows(trials: pd.DataFrame, metrics: NamedArrays, chosen: Bools, **names: Any) -> pd.DataFrame:
    """Rows of scores of the chosen trials; ``names`` replace those of the trials."""
    return trials[NAMES].assign(**{"against": "", **metrics, **names})[chosen]


def _sorted_scores(parts: list[pd.DataFrame], scoring: str) -> pd.DataFrame:
    scores = pd.concat(parts, ignore_index=True).assign(scoring=scoring)[columns()]
    return scores.sort_values(SCORED, ignore_index=True)


def score(frames: RunTables, scoring: Scoring = "paired") -> pd.DataFrame:
    """The metrics of every trial.

    Args:
        frames: as ``analysis.load`` gives them.
        scoring: ``paired``: the reference technique is scored on the windows of each variant; ``published``: once, on all its windows.

    Returns:
        one row per trial that came to an end (scores missing unless it is ``ok``); in ``paired`` scoring one more of the reference
        technique per variant (column ``against``); and the chance levels for each row of the reference technique. No rows for a run in
        which nothing ended.

    Units:
        ``n_test`` in windows; shares from 0 to 1, but ``mcc`` (-1 to 1) and ``log_loss`` (nats).

    Source:
        docs/protocol.md, Scores.
    """
    if not _any_ended_well(frames.trials):
        return pd.DataFrame(columns=columns())
    fitted: FittedClocks = {}
    parts = [rows for part in frames.parts([*CELL, "seed"]) for rows in _score(part, scoring, fitted)]
    return _sorted_scores(parts, scoring)


def _any_ended_well(trials: pd.DataFrame) -> bool:
    return bool(len(trials) and trials["status"].eq("ok").any())


def _score(frames: RunTables, scoring: Scoring, fitted: FittedClocks) -> list[pd.DataFrame]:
    """The rows of a part of a run that has all trials of its datasets, labels, models and seeds."""
    trials = frames.trials
    windows, order_rows = with_time(scored_windows(frames.predictions, trials), trials, frames.window_order)
    ok = trials["status"].eq("ok").to_numpy()
    reference = trials["technique"].eq(REFERENCE_TECHNIQUE).to_numpy()
    cuts = thresholds(windows, _combination_number(trials, [*VARIANT, "seed"]))
    parts = [_rows(trials, windows.scores(len(trials), cuts), np.ones(len(trials), dtype=bool))]
    if not ok.any():
        return parts
    if scoring == "paired":
        parts.append(_paired(windows, trials, ok, ok & reference, cuts))
    parts += _chance_rows(windows, trials, ok & reference, frames.transcripts)
    return parts + _order_rows(windows, trials, ok & reference, frames.window_order, order_rows, fitted)


def _paired(windows: ScoredWindows, trials: pd.DataFrame, ok: Bools, reference: Bools, cuts: Floats) -> pd.DataFrame:
    """The reference technique on the windows of each trial of another technique."""
    partner = _representative(_combination_number(trials, [*CELL, *FOLD]), reference)
    paired = ok & ~reference & (partner >= 0)
    partner_rows = windows.match_windows(np.where(paired, partner, -1))
    matched = np.flatnonzero(partner_rows >= 0)
    same_windows = replace(windows.take(partner_rows[matched]), trial=windows.trial[matched])
    against = [variant_label(t, v) for t, v in zip(trials["technique"], trials["variant"], strict=True)]
    metrics = same_windows.scores(len(trials), np.where(paired, cuts[partner], np.nan))
    return _rows(trials, metrics, paired, technique=REFERENCE_TECHNIQUE, variant="-", against=against)


def _chance_rows(
    windows: ScoredWindows, trials: pd.DataFrame, reference: Bools, transcripts: pd.DataFrame
) -> list[pd.DataFrame]:
    """The rows of ``analysis.scores.chance_levels``, on all windows of each target; the ceiling of text if the dataset has transcripts."""
    target_windows = windows.filter_trials(reference)
    cell_seed = _combination_number(trials, [*CELL, "seed"])
    targets = [f"{participant} {seed}" for participant, seed in zip(trials["participant"], trials["seed"], strict=True)]
    levels = {
        MAJORITY_CLASS: (majority_class(target_windows, cell_seed), reference),
        RANDOM_GUESS: (random_guess(target_windows, targets), reference),
    }
    has_transcripts = reference & trials["dataset"].isin(transcripts["dataset"]).to_numpy()
    if has_transcripts.any():
        spoken = target_windows.filter_trials(has_transcripts)
        levels[TEXT_CEILING] = ceiling(spoken, cell_seed, _transcript_of(spoken, trials, transcripts)), has_transcripts
    return [_rows(trials, metrics, chosen, technique=name, variant="-") for name, (metrics, chosen) in levels.items()]


def _order_rows(
    windows: ScoredWindows,
    trials: pd.DataFrame,
    reference: Bools,
    order: pd.DataFrame,
    order_rows: Ints,
    fitted: FittedClocks,
) -> list[pd.DataFrame]:
    """What knows no signal (``analysis.scores.clock``): the person's class shares, the clock, and which run a window is of; on all windows of
    each target whose order is known."""
    known = np.flatnonzero(reference[windows.trial] & (order_rows >= 0))
    if not len(known):
        return []
    timed, rows = windows.take(known), order_rows[known]
    cell_seed = _combination_number(trials, [*CELL, "seed"])
    person = pd.factorize(order["participant"])[0].astype(np.int64)
    run = person * (int(order["run"].max()) + 1) + order["run"].to_numpy(dtype=np.int64)
    p = clock_of_all(order, windows.p.shape[1], fitted)[rows]
    p[np.isnan(timed.p)] = np.nan
    levels = {
        PERSON_PRIOR: ceiling(timed, cell_seed, person[rows]),
        CLOCK: replace(timed, p=p).scores(len(trials)),
        RUN_IDENTITY: ceiling(timed, cell_seed, run[rows]),
    }
    has_order = np.isin(np.arange(len(trials)), timed.trial)
    return [_rows(trials, metrics, has_order, technique=name, variant="-") for name, metrics in levels.items()]


def _transcript_of(windows: ScoredWindows, trials: pd.DataFrame, transcripts: pd.DataFrame) -> Ints:
    """The transcript's number of each window, -1 if it has none, (n,)."""
    with_transcript = pd.MultiIndex.from_frame(transcripts[["dataset", "window"]])
    window_keys = pd.MultiIndex.from_arrays([trials["dataset"].to_numpy()[windows.trial], windows.window])
    rows = with_transcript.get_indexer(window_keys)
    return np.where(rows >= 0, transcripts["transcript"].to_numpy(dtype=np.int64)[rows], -1)


def score_common(frames: RunTables, across: str = "") -> pd.DataFrame:
    """Every technique and variant of a (dataset, label, model) on the same windows: of each participant and seed those on which all
    variants that have any were tested, the reference technique included. Ranking variants against each other needs these.

    Args:
        frames: as ``analysis.load`` gives them.
        across: ``model`` or ``dataset``: windows are then common to all of these as well. Datasets must be of the same windows.

    Returns:
        columns as ``score``'s, one row per trial that came to an end; ``scoring`` is ``common``.

    Units:
        as ``score``'s.

    Source:
        docs/protocol.md, Scores.
    """
    if not _any_ended_well(frames.trials):
        return pd.DataFrame(columns=columns())
    names = [name for name in (*CELL, *FOLD) if name != across]
    parts = frames.parts([name for name in names if name != "participant"])
    return _sorted_scores([_score_common(part, names) for part in parts], "common")


def _score_common(frames: RunTables, names: list[str]) -> pd.DataFrame:
    """The rows of a part of a run; trials that agree in ``names`` are scored on the windows that are common to them."""
    trials = frames.trials
    windows, _ = with_time(scored_windows(frames.predictions, trials), trials, frames.window_order)
    unit = _combination_number(trials, names)
    has_windows = np.bincount(windows.trial, minlength=len(trials)) > 0
    rows = windows.match_windows(_representative(unit, has_windows))  # a window that any one of them lacks is not common to all
    times_tested = np.bincount(
        rows[rows >= 0], minlength=len(rows)
    )  # in how many trials of its unit each window of that one is
    common = (rows >= 0) & (times_tested[rows] == np.bincount(unit[has_windows])[unit[windows.trial]])
    metrics = windows.take(np.flatnonzero(common)).scores(len(trials))
    return _rows(trials, metrics, np.ones(len(trials), dtype=bool))


def score_against_models(frames: RunTables, metric: str) -> pd.DataFrame:
    """Each trial of a technique beside every model without personalization of its dataset, label, participant and seed.

    A trial and all models that have a trial beside it are scored on the windows that all of these were tested on: those that the technique left
    to test, unless a model lacks some.

    Returns:
        columns ``AGAINST_MODELS``; one row per trial of a technique that ended well and model (``reference``) that has a trial beside it, models
        in the plan's order. ``score`` and ``reference_score``, and the AUROC of both, are missing if the metric is not defined on these windows.
    """
    if not _any_ended_well(frames.trials):
        return pd.DataFrame(columns=AGAINST_MODELS)
    rows = [_score_against_models(part, metric) for part in frames.parts(["dataset", "label", "seed"])]
    return pd.concat(rows, ignore_index=True)


def _score_against_models(frames: RunTables, metric: str) -> pd.DataFrame:
    """The rows of a part of a run that has all trials of its datasets, labels and seeds."""
    trials = frames.trials
    windows = scored_windows(frames.predictions, trials)
    ok = trials["status"].eq("ok").to_numpy()
    is_reference = ok & trials["technique"].eq(REFERENCE_TECHNIQUE).to_numpy()
    of_technique = ok & ~is_reference & ~trials["technique"].map(is_bound).to_numpy(dtype=bool)
    cuts = thresholds(windows, _combination_number(trials, [*VARIANT, "seed"]))
    fold = _combination_number(trials, ["dataset", "label", *FOLD])
    partners = {}
    for model in dict.fromkeys(frames.plan["model"].astype(str)):
        partner = _representative(fold, is_reference & trials["model"].eq(model).to_numpy())
        partners[model] = np.where(of_technique, partner, -1)
    rows = {model: windows.match_windows(partner) for model, partner in partners.items()}
    common = of_technique[windows.trial]
    for model, partner in partners.items():
        common &= (partner[windows.trial] < 0) | (rows[model] >= 0)
    own = windows.take(np.flatnonzero(common)).scores(len(trials), cuts)
    parts = []
    for model, partner in partners.items():
        shared = np.flatnonzero(common & (rows[model] >= 0))
        same_windows = replace(windows.take(rows[model][shared]), trial=windows.trial[shared])
        beside = same_windows.scores(len(trials), np.where(partner >= 0, cuts[partner], np.nan))
        part = trials[NAMES].assign(reference=model, score=own[metric], reference_score=beside[metric])
        parts.append(part.assign(auroc=own["auroc"], reference_auroc=beside["auroc"])[partner >= 0])
    return pd.concat(parts, ignore_index=True)[AGAINST_MODELS]
