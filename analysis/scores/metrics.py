"""Predictions to numbers: every metric of many trials at once, or of one; NaN if a metric is undefined.

Shapes: ``y`` (n,) class indices; ``p`` (n, n_classes) probabilities; ``trial_id`` (n,) which trial a window belongs to, from 0 to
``n_trials`` - 1; a metric is (n_trials,).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from analysis.arrays import Bools, Floats, Integers, Ints, Probabilities
from analysis.scores.order import auroc_halves, balanced

BINS = 10
LEAST_P = 1e-7


@dataclass(frozen=True)
class PredictionBatch:
    """True classes and predictions of ``n_trials`` trials with the same number of classes, and the counts that several metrics need.

    Attributes:
        threshold: (n_trials,) of the probability of class 1, from which on a window counts as class 1 (``analysis.scores.operating_point``);
            None if there are none.
        time: (n,) when each window was recorded (only the order within a trial matters), NaN where that is unknown; None if it is for all.
    """

    y: Integers
    p: Probabilities
    trial_id: Integers
    n_trials: int
    threshold: Floats | None = None
    time: Floats | None = None

    @cached_property
    def top(self) -> tuple[Integers, Probabilities]:
        """The most probable class of each window (the first of equal ones) and its probability, (n,) each."""
        guess, best = np.zeros(len(self.p), dtype=np.int64), self.p[:, 0]
        for k in range(1, self.p.shape[1]):  # quicker than argmax and max along a short axis
            guess, best = np.where(self.p[:, k] > best, k, guess), np.maximum(self.p[:, k], best)
        return guess, best

    @cached_property
    def confusion(self) -> Floats:
        """How many windows of each true class were guessed as each class, (n_trials, n_classes, n_classes)."""
        k = self.p.shape[1]
        cells = (self.trial_id * k + self.y) * k + self.top[0]
        return np.bincount(cells, minlength=self.n_trials * k * k).reshape(self.n_trials, k, k).astype(np.float64)

    @cached_property
    def halves(self) -> Floats:
        """AUROC of each trial among the pairs with the class later, and among those with it earlier, (n_trials, 2): of class 1, or the mean
        of each class against the rest if there are more than two; missing without times (``analysis.scores.order``)."""
        halves = np.full((self.n_trials, 2), np.nan)
        if self.time is None or np.isnan(self.time).all():
            return halves
        classes = [1] if self.p.shape[1] == 2 else list(range(self.p.shape[1]))
        first = np.flatnonzero(np.diff(self.trial_id, prepend=-1))
        for begin, end in pairwise([*first, len(self.y)]):
            rows = slice(begin, end)
            if not np.isnan(self.time[rows]).any():
                of_classes = [
                    auroc_halves(self.y[rows] == k, self.p[rows, k].astype(np.float64), self.time[rows]) for k in classes
                ]
                halves[self.trial_id[begin]] = np.mean(of_classes, axis=0)
        return halves

    @cached_property
    def n(self) -> Floats:
        """Windows of each trial (n_trials,)."""
        return np.asarray(self.confusion.sum(axis=(1, 2)))

    @cached_property
    def hits(self) -> Floats:
        """Windows of each class that were guessed right, (n_trials, n_classes)."""
        return np.diagonal(self.confusion, axis1=1, axis2=2)

    @cached_property
    def true(self) -> Floats:
        """Windows of each class, (n_trials, n_classes)."""
        return np.asarray(self.confusion.sum(axis=2))

    @cached_property
    def guessed(self) -> Floats:
        """Windows guessed as each class, (n_trials, n_classes)."""
        return np.asarray(self.confusion.sum(axis=1))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))


def precision(hits: Floats, guessed: Floats) -> Floats:
    """Of the windows guessed as a class, the share that has it; of any shape, missing if none is."""
    return _ratio(hits, guessed)


def recall(hits: Floats, true: Floats) -> Floats:
    """Of the windows of a class, the share that was found; missing if there is none."""
    return _ratio(hits, true)


def f1(hits: Floats, true: Floats, guessed: Floats) -> Floats:
    """Harmonic mean of precision and recall of a class; missing if neither the truth nor the guesses have it."""
    return _ratio(2 * hits, true + guessed)


def _macro(top: Floats, bottom: Floats, counted: Bools) -> Floats:
    """Mean of top / bottom over the classes that count; 0 if such a class has no denominator."""
    per_class = np.divide(top, bottom, out=np.zeros(top.shape), where=bottom > 0)
    return _ratio((per_class * counted).sum(axis=1), counted.sum(axis=1).astype(np.float64))


def _occurring_classes(batch: PredictionBatch) -> Bools:
    """The classes that occur in the truth or the guesses: over these scikit-learn takes its macro means."""
    return (batch.guessed + batch.true) > 0


def _accuracy(batch: PredictionBatch) -> Floats:
    """Share of windows whose most probable class is the true one."""
    return _ratio(batch.hits.sum(axis=1), batch.n)


def _f1_macro(batch: PredictionBatch) -> Floats:
    return _macro(2 * batch.hits, batch.guessed + batch.true, _occurring_classes(batch))


def _precision_macro(batch: PredictionBatch) -> Floats:
    return _macro(batch.hits, batch.guessed, _occurring_classes(batch))


def _recall_macro(batch: PredictionBatch) -> Floats:
    return _macro(batch.hits, batch.true, _occurring_classes(batch))


def _balanced_accuracy(batch: PredictionBatch) -> Floats:
    """Mean recall over the classes present in the truth; in the words of speech research the unweighted average recall (UAR).

    ``recall_macro`` differs if a class is guessed that the truth does not have: it counts that class as 0.
    """
    return _macro(batch.hits, batch.true, batch.true > 0)


def confidence_bin(confidence: Floats) -> Ints:
    """In which of ``BINS`` bins of equal width, each with its upper edge, these probabilities lie (n,)."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _ece(batch: PredictionBatch) -> Floats:
    """Expected calibration error: mean over windows of |accuracy - confidence| of their bin (Guo et al. 2017, equation 3).

    Confidence is the probability of the guessed class. Ten bins instead of the 15 of Guo et al.: a person has about a hundred windows.
    """
    guess, best = batch.top
    confidence = best.astype(np.float64)
    errors = (guess == batch.y) - confidence
    bins = batch.trial_id * BINS + confidence_bin(confidence)
    gaps = np.bincount(bins, weights=errors, minlength=batch.n_trials * BINS)
    return _ratio(np.abs(gaps.reshape(batch.n_trials, BINS)).sum(axis=1), batch.n)


def _auroc_of(batch: PredictionBatch, k: int) -> Floats:
    """AUROC of class k against the rest by its probability: the share of pairs that stand in order, ties count half (Mann-Whitney);
    NaN if k or the rest is absent.

    All trials are ranked at once, ten times quicker than by ``np.lexsort``, as whole numbers: the trial, then the probability as it is
    stored, since the bits of a float32 order as the number does (if it is not negative; -0.0 is made 0.0).
    """
    bits = (batch.p[:, k].astype(np.float32) + np.float32(0)).view(np.uint32)
    key = (batch.trial_id.astype(np.uint64) << np.uint64(32)) | bits
    of_class = batch.y == k
    positive, negative = np.sort(key[of_class]), np.sort(key[~of_class])
    n1, n0 = batch.true[:, k], batch.n - batch.true[:, k]
    trial_id = (positive >> np.uint64(32)).astype(np.int64)
    below = np.searchsorted(negative, positive) + np.searchsorted(negative, positive, side="right")  # twice: ties count half
    earlier = n1 * (np.cumsum(n0) - n0)  # the rest of other trials, which stands below every positive
    return _ratio(np.bincount(trial_id, weights=below, minlength=batch.n_trials) / 2 - earlier, n1 * n0)


def _auroc(batch: PredictionBatch) -> Floats:
    """Two classes: of the probability of class 1. More: one-vs-rest, macro over the classes, undefined if one is absent.

    Never 0.5 or 0 if the test windows hold one class only: that is missing (NaN).
    """
    if batch.p.shape[1] == 2:
        return _auroc_of(batch, 1)
    return np.asarray(np.mean([_auroc_of(batch, k) for k in range(batch.p.shape[1])], axis=0))


def _auroc_later(batch: PredictionBatch) -> Floats:
    return np.asarray(batch.halves[:, 0])


def _auroc_earlier(batch: PredictionBatch) -> Floats:
    return np.asarray(batch.halves[:, 1])


def _auroc_balanced(batch: PredictionBatch) -> Floats:
    """Order-balanced AUROC: both halves count alike; missing for a participant whose classes came in one order only."""
    return balanced(batch.halves[:, 0], batch.halves[:, 1])


def _sums(batch: PredictionBatch, values: Floats) -> Floats:
    """Of values (n,) the sum of each trial."""
    return np.bincount(batch.trial_id, weights=values, minlength=batch.n_trials).astype(np.float64)


def _brier(batch: PredictionBatch) -> Floats:
    """Mean squared error of the probabilities: of class 1 if there are two classes, summed over the classes of more (as scikit-learn has it).

    Unlike the expected calibration error it has no bias of small samples, and it is least for the true probabilities (a proper score).
    """
    errors = batch.p.astype(np.float64)
    errors[np.arange(len(errors)), batch.y] -= 1
    squares = (errors**2).sum(axis=1) / (2 if batch.p.shape[1] == 2 else 1)
    return _ratio(_sums(batch, squares), batch.n)


def _log_loss(batch: PredictionBatch) -> Floats:
    """Mean of -ln p of the true class; p at least ``LEAST_P``, which is what a float32 tells from 1."""
    p = batch.p[np.arange(len(batch.y)), batch.y].astype(np.float64)
    losses = -np.log(np.clip(p, LEAST_P, 1))
    return _ratio(_sums(batch, losses), batch.n)


def _mcc(batch: PredictionBatch) -> Floats:
    """Matthews' correlation coefficient (Gorodkin 2004 for more than two classes); missing if the truth has one class, 0 if the guesses do."""
    n, true, guessed = batch.n, batch.true, batch.guessed
    top = batch.hits.sum(axis=1) * n - (true * guessed).sum(axis=1)
    spread_true, spread_guessed = n**2 - (true**2).sum(axis=1), n**2 - (guessed**2).sum(axis=1)
    bottom = np.sqrt(spread_true * np.where(spread_guessed > 0, spread_guessed, 1))
    return _ratio(top, bottom)


def _share_above(batch: PredictionBatch, k: int) -> Floats:
    """Of the windows of class k, the share with a probability of class 1 at the trial's threshold or above; missing without a threshold."""
    if batch.p.shape[1] != 2 or batch.threshold is None:
        return np.full(batch.n_trials, np.nan)
    above = (batch.p[:, 1] >= batch.threshold[batch.trial_id]) & (batch.y == k)
    share = _ratio(_sums(batch, above.astype(np.float64)), batch.true[:, k])
    return np.where(np.isnan(batch.threshold), np.nan, share)


def _sensitivity(batch: PredictionBatch) -> Floats:
    return _share_above(batch, 1)


def _specificity(batch: PredictionBatch) -> Floats:
    return 1 - _share_above(batch, 0)


METRICS: dict[str, Callable[[PredictionBatch], Floats]] = {
    "accuracy": _accuracy,
    "f1_macro": _f1_macro,
    "precision_macro": _precision_macro,
    "recall_macro": _recall_macro,
    "auroc": _auroc,
    "auroc_balanced": _auroc_balanced,
    "auroc_later": _auroc_later,
    "auroc_earlier": _auroc_earlier,
    "balanced_accuracy": _balanced_accuracy,
    "mcc": _mcc,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "brier": _brier,
    "log_loss": _log_loss,
    "ece": _ece,
}
ORDER_METRICS = ("auroc_balanced", "auroc_later", "auroc_earlier")  # that need to know when windows were recorded
METRIC_ALIASES = {"uar": "balanced_accuracy"}  # speech says unweighted average recall
LESS_IS_BETTER = ["brier", "log_loss", "ece"]
# What a study's verdict may be about: not the expected calibration error, which is mostly bias at a participant's number of windows (0.11 for
# probabilities that are right, at 40 windows), nor sensitivity or specificity, each of which alone is won by saying one class, nor one half of
# the pairs, which drift alone wins.
PRIMARY_METRICS = [
    name for name in METRICS if name not in ("ece", "sensitivity", "specificity", "auroc_later", "auroc_earlier")
]


@dataclass(frozen=True)
class Metric:
    """A metric that is added to the table (docs/extend.md).

    Attributes:
        name: its column.
        function: from predictions to (n_trials,), NaN where it is undefined.
        less_is_better: whether a smaller value is the better one.
        primary: whether a study's verdict may be about it.
    """

    name: str
    function: Callable[[PredictionBatch], Floats]
    less_is_better: bool = False
    primary: bool = True


def add_metric(metric: Metric) -> None:
    """Enter a metric; every table, figure and command knows it from then on."""
    METRICS[metric.name] = metric.function
    if metric.less_is_better:
        LESS_IS_BETTER.append(metric.name)
    if metric.primary:
        PRIMARY_METRICS.append(metric.name)


def evaluate(y: Integers, p: Probabilities) -> dict[str, float]:
    """Every metric of one trial."""
    batch = PredictionBatch(y, p, np.zeros(len(y), dtype=np.int64), 1)
    return {name: float(metric(batch)[0]) for name, metric in METRICS.items()}


def auroc(y: Integers, p: Probabilities) -> float:
    """The AUROC of one trial."""
    return float(_auroc(PredictionBatch(y, p, np.zeros(len(y), dtype=np.int64), 1))[0])
