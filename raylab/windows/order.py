"""When each window was recorded, and in which run of its label: what a model could know without looking at a signal."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.windows.dataset import WindowIndex
from raylab.windows.segmentation import NO_LABEL


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
