"""What no model at all would score: rows that stand in every table, untested."""

import zlib
from dataclasses import replace

import numpy as np

from analysis.scores.metrics import METRICS, Floats
from analysis.scores.scored_windows import Ints, Numbers, ScoredWindows

MAJORITY_CLASS, RANDOM_GUESS, TEXT_CEILING = "majority_class", "random_guess", "text_ceiling"
CHANCE_LEVELS = (MAJORITY_CLASS, RANDOM_GUESS, TEXT_CEILING)
GUESS_DRAWS = 20
RECALLS = ("balanced_accuracy", "recall_macro")


def majority_class(held: ScoredWindows, same: Ints) -> Numbers:
    """Scores of always saying the class that most windows of the other people have, of those who are tested: where one trains on another corpus or
    on other groups, they are not those whom one trains on.

    Args:
        held: the windows of one trial for each held-out person.
        same: (n_trials,) number of the (dataset, label, model, seed) of each trial: among these the others are.
    """
    own = held.counts(len(same))
    everyone = np.zeros((same.max() + 1, own.shape[1]), dtype=np.int64)
    np.add.at(everyone, same, own)
    class_of = (everyone[same] - own).argmax(axis=1)
    said = (np.arange(own.shape[1]) == class_of[held.trial, None]).astype(np.float32)
    said[np.isnan(held.p)] = np.nan
    return replace(held, p=said).scores(len(same))


def text_ceiling(held: ScoredWindows, same: Ints, transcript: Ints) -> Numbers:
    """Scores of an oracle that knows, of each transcript, how many of the tested windows have each class.

    It says the most frequent one, and for recalls the one of which the transcript has the largest share: over all windows together no model of
    the text alone has a higher accuracy, or a higher unweighted average recall. It is fitted on the test: a ceiling, not a result.

    Args:
        held, same: as ``majority_class``'s.
        transcript: (n,) number of each window's transcript, below 0 where it has none.
    """
    told = held.take(np.flatnonzero(transcript >= 0))
    pairs = np.stack([same[told.trial], transcript[transcript >= 0]], axis=1)
    _, spoken = np.unique(pairs, axis=0, return_inverse=True)
    spoken = spoken.reshape(-1)
    counts = np.zeros((spoken.max(initial=-1) + 1, held.p.shape[1]))
    np.add.at(counts, (spoken, told.y), 1)
    totals = np.zeros((same.max() + 1, held.p.shape[1]))
    np.add.at(totals, (same[told.trial], told.y), 1)

    def scored(weights: Floats) -> Numbers:
        p = (weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)).astype(np.float32)
        p[np.isnan(told.p)] = np.nan
        return replace(told, p=p).scores(len(same))

    fair = scored(counts[spoken] / np.maximum(totals[same[told.trial]], 1))
    return scored(counts[spoken]) | {name: fair[name] for name in RECALLS}


def _first_equal_trial(held: ScoredWindows, who: list[str]) -> Ints:
    """For each trial, the first one with the same person, seed, classes and truth (n_trials,): the models of a dataset share them."""
    classes, sizes = held.classes(len(who)), np.bincount(held.trial, minlength=len(who))
    truth = [y.tobytes() for y in np.split(held.y, np.cumsum(sizes)[:-1])]
    first: dict[tuple[str, int, bytes], int] = {}
    return np.array([first.setdefault((who[t], classes[t], truth[t]), t) for t in range(len(who))])


def random_guess(held: ScoredWindows, who: list[str]) -> Numbers:
    """Scores of probabilities drawn at random, the same for the same ``who``; the mean over 20 draws, since one alone is noisy.

    Args:
        who: for each trial, whom it holds out and with which seed.
    """
    alike = _first_equal_trial(held, who)
    once = held.filter_trials(alike == np.arange(len(who)))
    classes, sizes = once.classes(len(who)), np.bincount(once.trial, minlength=len(who))
    ends = np.cumsum(sizes)
    people = [(np.random.default_rng(zlib.crc32(who[t].encode())), t) for t in np.flatnonzero(sizes)]
    made = []
    for _ in range(GUESS_DRAWS):
        p = np.full(once.p.shape, np.nan, dtype=np.float32)
        for rng, t in people:
            p[ends[t] - sizes[t] : ends[t], : classes[t]] = rng.dirichlet(np.ones(classes[t]), sizes[t])
        made.append(replace(once, p=p).scores(len(who)))
    return {"n_test": sizes[alike]} | {name: np.mean([scores[name] for scores in made], axis=0)[alike] for name in METRICS}
