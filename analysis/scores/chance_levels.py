"""The scores of no model at all: rows that stand in every table, untested."""

import zlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from analysis.arrays import Floats, Ints, NamedArrays
from analysis.scores.metrics import METRICS
from analysis.scores.scored_windows import ScoredWindows

MAJORITY_CLASS, RANDOM_GUESS, TEXT_CEILING = "majority_class", "random_guess", "text_ceiling"
PERSON_PRIOR, CLOCK, RUN_IDENTITY = "person_prior", "clock", "run_identity"
CHANCE_LEVELS = (MAJORITY_CLASS, RANDOM_GUESS, PERSON_PRIOR, CLOCK, RUN_IDENTITY, TEXT_CEILING)
MEANINGS = {  # of the rows in a table, in its order
    CLOCK: "the seconds since the start",
    MAJORITY_CLASS: "the most frequent class of the other people",
    PERSON_PRIOR: "an oracle of each person's shares of the classes",
    RANDOM_GUESS: "a coin",
    RUN_IDENTITY: "an oracle of which run a window is of, and of each run's shares: 1 where a run has one class",
}
GUESS_DRAWS = 20
RECALLS = ("balanced_accuracy", "recall_macro")


def legend(techniques: Iterable[str]) -> str:
    """A sentence on the rows of a table that know no signal; empty if it has none. A text ceiling has its own, in the caption."""
    present = set(techniques)
    rows = [f"{name} ({meaning})" for name, meaning in MEANINGS.items() if name in present]
    return f"No model, and no signal: {', '.join(rows)}." if rows else ""


def majority_class(windows: ScoredWindows, cell_seed: Ints) -> NamedArrays:
    """Scores of always guessing the class that most windows of the other targets have: if a study trains on another corpus or on other
    groups, the targets are not the participants whom it trains on.

    Args:
        windows: of one trial for each target.
        cell_seed: (n_trials,) number of the (dataset, label, model, seed) of each trial: among these the others are.
    """
    counts = windows.class_counts(len(cell_seed))
    totals = np.zeros((cell_seed.max() + 1, counts.shape[1]), dtype=np.int64)
    np.add.at(totals, cell_seed, counts)
    majority = (totals[cell_seed] - counts).argmax(axis=1)
    p = (np.arange(counts.shape[1]) == majority[windows.trial, None]).astype(np.float32)
    p[np.isnan(windows.p)] = np.nan
    return replace(windows, p=p).scores(len(cell_seed))


def ceiling(windows: ScoredWindows, cell_seed: Ints, group: Ints) -> NamedArrays:
    """Scores of an oracle that knows, of each group of windows (a transcript, a run, a person), how many of the tested ones have each class.

    It guesses the most frequent one, and for recalls the one of which the group has the largest share: over all windows together no model
    of the group alone has a higher accuracy, or a higher unweighted average recall. It is fitted on the test: a ceiling, not a result.

    Args:
        windows, cell_seed: as ``majority_class``'s.
        group: (n,) number of each window's group, below 0 if it has none.
    """
    spoken = windows.take(np.flatnonzero(group >= 0))
    pairs = np.stack([cell_seed[spoken.trial], group[group >= 0]], axis=1)
    _, text = np.unique(pairs, axis=0, return_inverse=True)
    text = text.reshape(-1)
    counts = np.zeros((text.max(initial=-1) + 1, windows.p.shape[1]))
    np.add.at(counts, (text, spoken.y), 1)
    totals = np.zeros((cell_seed.max() + 1, windows.p.shape[1]))
    np.add.at(totals, (cell_seed[spoken.trial], spoken.y), 1)

    def score_weights(weights: Floats) -> NamedArrays:
        p = (weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)).astype(np.float32)
        p[np.isnan(spoken.p)] = np.nan
        return replace(spoken, p=p).scores(len(cell_seed))

    class_shares = score_weights(counts[text] / np.maximum(totals[cell_seed[spoken.trial]], 1))
    return score_weights(counts[text]) | {name: class_shares[name] for name in RECALLS}


def _first_equal_trial(windows: ScoredWindows, targets: list[str]) -> Ints:
    """For each trial, the first one with the same target, seed, classes and truth (n_trials,): the models of a dataset share them."""
    n_classes, sizes = windows.n_classes(len(targets)), np.bincount(windows.trial, minlength=len(targets))
    truth = [y.tobytes() for y in np.split(windows.y, np.cumsum(sizes)[:-1])]
    first: dict[tuple[str, int, bytes], int] = {}
    return np.array([first.setdefault((targets[t], n_classes[t], truth[t]), t) for t in range(len(targets))])


def random_guess(windows: ScoredWindows, targets: list[str]) -> NamedArrays:
    """Scores of probabilities drawn at random, the same for the same ``targets``; the mean over 20 draws, since one alone is noisy.

    Args:
        targets: for each trial, its target and its seed, in one string.
    """
    first_equal = _first_equal_trial(windows, targets)
    distinct = windows.filter_trials(first_equal == np.arange(len(targets)))
    n_classes, sizes = distinct.n_classes(len(targets)), np.bincount(distinct.trial, minlength=len(targets))
    ends = np.cumsum(sizes)
    generators = [(np.random.default_rng(zlib.crc32(targets[t].encode())), t) for t in np.flatnonzero(sizes)]
    draws = []
    for _ in range(GUESS_DRAWS):
        p = np.full(distinct.p.shape, np.nan, dtype=np.float32)
        for rng, t in generators:
            p[ends[t] - sizes[t] : ends[t], : n_classes[t]] = rng.dirichlet(np.ones(n_classes[t]), sizes[t])
        draws.append(replace(distinct, p=p).scores(len(targets)))
    means = {name: np.mean([scores[name] for scores in draws], axis=0)[first_equal] for name in METRICS}
    return {"n_test": sizes[first_equal]} | means
