"""What a prepared dataset can show: whether its labels follow the clock, and what single channels tell without any network.

Linear models only (``lda`` on statistics of each window), every participant held out in turn. Nothing here depends on a study.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from analysis.scores.channel_scores import ALL, balanced_mean
from analysis.scores.clock import clock_probabilities
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.models.batch import Batch
from raylab.models.estimators import Array, Classes
from raylab.models.window_statistics import extended_statistics
from raylab.trials.channel_scores import Times, auroc_of, channel_predictions, scores_of_people
from raylab.windows.context import circumstance_sentences, session_groups
from raylab.windows.dataset import WindowIndex, Windows, read_windows
from raylab.windows.order import PairOrder, near_border, pair_orders, window_order
from raylab.windows.segmentation import NO_LABEL

CLOCK = "clock"
BORDER_S = 180.0  # of a change of label, on each side
LEAST_RUN = 5  # windows of a run in which a trend is looked for


@dataclass(frozen=True)
class LabelAudit:
    """The audit of one label.

    Attributes:
        label: its name. ``classes``: names of its classes.
        participants: names of the people who have windows of at least two classes.
        runs: (n_people, n_classes) runs of each class, a stretch of windows of one class without a gap; None if their order is unknown.
        orders: which class came first, for each pair; empty if the order is unknown.
        sessions_tied: whether every person has several segments and each of them holds one class only.
        context: sentences on people who share a session, and on what else is tied to the label (``raylab.windows.context``).
        scores: ``model``, ``participant``, ``auroc``, ``later``, ``earlier``, ``border`` (AUROC among windows within three minutes of a change
            of label); halves are of the pairs in which the class came later or earlier, missing where there are none.
        trend: mean over people of the correlation (Spearman) of time and the score of ``lda`` inside runs of one class; NaN if there are none.
    """

    label: str
    classes: tuple[str, ...]
    participants: tuple[str, ...]
    runs: npt.NDArray[np.int64] | None
    orders: tuple[PairOrder, ...]
    sessions_tied: bool
    context: tuple[str, ...]
    scores: pd.DataFrame
    trend: float

    def mean(self, model: str, column: str = "auroc") -> float:
        """Mean of a column over the people who have one; NaN if nobody has."""
        values = self.scores.loc[self.scores["model"].eq(model), column]
        return float(values.mean())

    def balanced(self, model: str) -> float:
        """Mean of both halves, each the mean over the people who have such pairs; NaN if nobody has one of them."""
        return balanced_mean(self.scores[self.scores["model"].eq(model)])

    @property
    def fixed(self) -> bool:
        """Whether one order is all that there is: no person has a pair of windows of the other."""
        return bool(self.orders) and all(pair.fixed for pair in self.orders)


def audits_of(source: str, wanted: Sequence[str] | None) -> list[LabelAudit]:
    """The audits of these labels (all if None) of the prepared windows of a folder.

    Raises:
        RaylabError: if the windows cannot be read, or do not have a label.
    """
    prepared = read_windows(Folder(source))
    offered = [declared.name for declared in prepared.index.card.labels]
    if unknown := [name for name in wanted or [] if name not in offered]:
        raise RaylabError(f"{source} has no label {', '.join(unknown)}; it has {', '.join(offered)}")
    return [audit(prepared, name) for name in wanted or offered]


def audit(windows: Windows, label: str) -> LabelAudit:
    """The audit of a label of prepared windows."""
    index = windows.index
    order = window_order(index, label)
    rows = np.flatnonzero(index.labels[label] != NO_LABEL) if order is None else order.rows
    y, person = index.labels[label][rows].astype(np.int64), index.participant_index[rows].astype(np.int64)
    two_classes = [k for k in np.unique(person) if len(np.unique(y[person == k])) > 1]
    classes = index.classes(label)
    predictions = _predictions(windows, rows, y, person, len(classes))
    time, run = (None, None) if order is None else (order.start_s, order.run)
    if order is not None:
        frame = pd.DataFrame({"participant": person, "y": y, "start_s": order.start_s, "segment_s": order.segment_s})
        predictions = {CLOCK: clock_probabilities(frame, len(classes)), **predictions}
    names = {k: index.participants[k] for k in two_classes}
    return LabelAudit(
        label=label,
        classes=classes,
        participants=tuple(names.values()),
        runs=None if run is None else _runs(person, run, y, two_classes, len(classes)),
        orders=() if order is None else pair_orders(order, classes),
        sessions_tied=order is not None and _sessions_tied(person, index.segment[rows], y, two_classes),
        context=_context(index, label),
        scores=_scores(predictions, y, person, names, time, run),
        trend=np.nan if time is None or run is None else _trend(predictions[ALL], y, person, time, run),
    )


def _context(index: WindowIndex, label: str) -> tuple[str, ...]:
    groups, shared = list(session_groups(index).values()), []
    if groups:
        shared = [
            f"{sum(map(len, groups))} people were recorded in {len(groups)} sessions together (session_group; for example "
            f"{' and '.join(groups[0])}): holding out one of them leaves the others to train and to validate on, and what a session shares can "
            f"pass for {label}."
        ]
    return (*shared, *circumstance_sentences(index, label))


def _predictions(
    windows: Windows, rows: npt.NDArray[np.int64], y: Classes, person: Classes, n_classes: int
) -> dict[str, Array]:
    """``channel_predictions`` of the ten statistics of classical models."""
    channels = [channel.name for channel in windows.index.card.channels if not channel.features]
    features = {name: _features(windows, name, rows) for name in channels}
    means = {
        name: x[:, :1] for name, x in features.items() if windows.signals[name].shape[2] == 1 < windows.signals[name].shape[1]
    }
    return channel_predictions(features, means, y, person, n_classes)


def _features(windows: Windows, channel: str, rows: npt.NDArray[np.int64]) -> Array:
    lengths = windows.lengths.get(channel)
    values = {channel: torch.from_numpy(windows.signals[channel][rows])}
    return extended_statistics(
        Batch(values, {} if lengths is None else {channel: torch.from_numpy(lengths[rows]).long()}), [channel]
    )


def _scores(
    predictions: dict[str, Array],
    y: Classes,
    person: Classes,
    names: dict[int, str],
    time: Times | None,
    run: npt.NDArray[np.int64] | None,
) -> pd.DataFrame:
    """``scores_of_people``, and of each the AUROC of the windows near a change of label."""
    scores = scores_of_people(predictions, y, person, names, time)
    if time is None or run is None:
        return scores.assign(border=np.nan)
    near = {k: (person == k).nonzero()[0] for k in names}
    near = {k: mine[near_border(time[mine], run[mine], y[mine], BORDER_S)] for k, mine in near.items()}
    return scores.assign(border=[auroc_of(y[near[k]], p[near[k]]) for p in predictions.values() for k in names])


def _runs(person: Classes, run: npt.NDArray[np.int64], y: Classes, people: list[int], n_classes: int) -> npt.NDArray[np.int64]:
    counts = [[len(np.unique(run[(person == k) & (y == c)])) for c in range(n_classes)] for k in people]
    return np.array(counts, dtype=np.int64).reshape(len(people), n_classes)


def _sessions_tied(person: Classes, segment: npt.NDArray[np.int32], y: Classes, people: list[int]) -> bool:
    for k in people:
        mine = person == k
        segments = np.unique(segment[mine])
        if len(segments) < 2 or any(len(np.unique(y[mine & (segment == s)])) > 1 for s in segments):
            return False
    return bool(people)


def _trend(p: Array, y: Classes, person: Classes, time: Times, run: npt.NDArray[np.int64]) -> float:
    """Whether the score of class 1 (of the windows' own class, if there are more than two) rises inside a run of one class."""
    from scipy.stats import spearmanr

    of_people = []
    score = p[:, 1] if p.shape[1] == 2 else p[np.arange(len(y)), y]
    for k in np.unique(person):
        mine = np.flatnonzero(person == k)
        borders = [0, *(np.flatnonzero(np.diff(run[mine])) + 1), len(mine)]
        found = [
            spearmanr(time[mine[a:b]], score[mine[a:b]]).statistic
            for a, b in pairwise(borders)
            if b - a >= LEAST_RUN and np.ptp(score[mine[a:b]]) > 0
        ]
        if found:
            of_people.append(np.mean(found))
    return float(np.mean(of_people)) if of_people else np.nan
