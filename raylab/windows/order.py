"""When each window was recorded, and in which run of its label: what a model could know without looking at a signal."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from raylab.windows.dataset import WindowIndex
from raylab.windows.segmentation import NO_LABEL

MANY_CLASSES = 3


@dataclass(frozen=True)
class WindowOrder:
    """The labelled windows of one label, in the order of the index.

    Attributes:
        rows: (n,) their rows in the index.
        person: (n,) position of the participant in the index.
        y: (n,) class index.
        start_s: (n,) seconds from the start of the participant's recording.
        segment_s: (n,) seconds from the start of the first window of its segment.
        run: (n,) number of the run, counted from 0 within each participant: a run is a stretch of windows of one segment and one class.
    """

    rows: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    start_s: npt.NDArray[np.float64]
    segment_s: npt.NDArray[np.float64]
    run: npt.NDArray[np.int64]


def window_order(index: WindowIndex, label: str) -> WindowOrder | None:
    """The order of a label's windows; None for utterances, whose files say nothing of when they were spoken."""
    if index.card.preprocessing.kind != "signals":
        return None
    labelled = np.flatnonzero(index.labels[label] != NO_LABEL)
    rows = labelled[np.lexsort((index.window[labelled], index.participant_index[labelled]))]
    person, segment = index.participant_index[rows].astype(np.int64), index.segment[rows]
    y, start = index.labels[label][rows].astype(np.int64), index.start_s[rows]
    changes = (
        [np.append(True, values[1:] != values[:-1]) for values in (person, segment, y)]
        if len(rows)
        else [np.zeros(0, bool)] * 3
    )
    new_person, new_segment, new_class = changes
    began = start[_last_true(new_person | new_segment)] if len(rows) else start
    run = np.cumsum(new_person | new_segment | new_class) - 1
    return WindowOrder(rows, person, y, start, start - began, run - run[_last_true(new_person)] if len(rows) else run)


def _last_true(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """For each place the last marked one up to it; the first place is marked."""
    return np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))


@dataclass(frozen=True)
class PairOrder:
    """How many people have all windows of one class before all of another, the other way round, and neither.

    Attributes:
        first, second: names of the classes.
        before: people with all of ``first`` before all of ``second``. ``after``: the other way round. ``both``: the two alternate.
    """

    first: str
    second: str
    before: int
    after: int
    both: int

    @property
    def fixed(self) -> bool:
        """Whether nobody has a pair of windows in the other order."""
        return min(self.before, self.after) + self.both == 0

    @property
    def sentence(self) -> str:
        """The counts in words, and what follows if there is one order only."""
        n = self.before + self.after + self.both
        if self.both == n:
            return f"{self.first} and {self.second} alternate within each of {n} people."
        if self.fixed:
            earlier, later = (self.first, self.second) if self.before else (self.second, self.first)
            return (
                f"{later} comes after {earlier} for all {n} people: this label is fixed by the clock, and nothing measured here can be told "
                "from drift."
            )
        counts = [(self.before, f"{self.first} first"), (self.after, f"{self.second} first"), (self.both, "both orders")]
        listed = ", ".join(f"{text} for {count}" for count, text in counts if count)
        return f"{self.first} and {self.second}: {listed} of {n} people."


def pair_orders(order: WindowOrder, classes: tuple[str, ...]) -> tuple[PairOrder, ...]:
    """The order of each pair of classes that anybody has both of."""
    found = []
    for second in range(len(classes)):
        for first in range(second):
            counts = [0, 0, 0]
            for person in np.unique(order.person):
                mine = order.person == person
                one, two = (order.start_s[mine & (order.y == k)] for k in (first, second))
                if len(one) and len(two):
                    counts[0 if one.max() < two.min() else 1 if two.max() < one.min() else 2] += 1
            if any(counts):
                found.append(PairOrder(classes[first], classes[second], *counts))
    return tuple(found)


def order_sentences(index: WindowIndex, label: str) -> tuple[str, ...]:
    """What came first, of every pair of a label's classes; of more than three classes only the pairs whose order is fixed. Nothing for
    utterances."""
    order = window_order(index, label)
    pairs = () if order is None else pair_orders(order, index.classes(label))
    return tuple(f"{label}: {pair.sentence}" for pair in pairs if pair.fixed or len(index.classes(label)) <= MANY_CLASSES)


def near_border(
    time: npt.NDArray[np.float64], run: npt.NDArray[np.int64], y: npt.NDArray[np.int64], border_s: float
) -> npt.NDArray[np.bool_]:
    """Which windows of one person lie within so many seconds of a change of class, in the run before it or in the run after it. Runs that lie
    further apart than that have no border.

    Args:
        time, run, y: (n,) in the order of time, as ``WindowOrder`` has them.
    """
    near = np.zeros(len(time), dtype=bool)
    for last in np.flatnonzero(np.diff(y)):
        before, after = time[last], time[last + 1]
        if after - before <= border_s:
            near |= (run == run[last]) & (time > before - border_s)
            near |= (run == run[last + 1]) & (time < after + border_s)
    return near


def restricted(index: WindowIndex, label: str, border_minutes: float) -> WindowIndex:
    """The index in which only windows within so many minutes of a change of the label carry it, so that nothing else is trained on or tested.

    The same index if it is restricted so already, or if ``border_minutes`` is 0. No window carries it if nothing is known of the order.
    """
    if border_minutes == index.border_minutes:
        return index
    key = ("restricted", label, border_minutes)
    if key not in index.derived:
        index.derived[key] = _restricted(index, label, border_minutes)
    kept: WindowIndex = index.derived[key]
    return kept


def _restricted(index: WindowIndex, label: str, border_minutes: float) -> WindowIndex:
    order, y = window_order(index, label), np.full_like(index.labels[label], NO_LABEL)
    if order is not None:
        for person in np.unique(order.person):
            mine = np.flatnonzero(order.person == person)
            near = near_border(order.start_s[mine], order.run[mine], order.y[mine], 60 * border_minutes)
            kept = order.rows[mine[near]]
            y[kept] = index.labels[label][kept]
    return replace(index, labels={**index.labels, label: y}, border_minutes=border_minutes)
