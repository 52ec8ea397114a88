"""raylab's folds for estimators of scikit-learn: evaluate your own model on the very windows that a study would train and test it on.

    from raylab.sklearn import LeaveOneParticipantOut, labelled_windows
    windows = read_windows(Folder("windows/wesad"))
    data = labelled_windows(windows, "stress")
    p = cross_val_predict(pipeline, data.x, data.y, cv=LeaveOneParticipantOut(windows.index, "stress"), method="predict_proba")

``cross_val_predict`` refuses folds that leave windows untested (those that calibrate, or are purged); loop over ``split`` then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import InvalidValueError
from raylab.folds.fold import Draw, Fold, RowIds, Unit
from raylab.models.scikit_learn import ScikitLearnModel
from raylab.models.window_statistics import extended_statistics
from raylab.techniques.selection import Calibration, EveryoneElse, EveryoneElseAndCalibration, Selection
from raylab.training.batches import Signals
from raylab.windows.dataset import WindowIndex, Windows
from raylab.windows.segmentation import NO_LABEL

__all__ = [
    "LabelledWindows",
    "LeaveOneParticipantOut",
    "ScikitLearnModel",
    "known_channels",
    "labelled_rows",
    "labelled_windows",
]
BATCH = 1024  # windows whose statistics are computed at once, which bounds the memory


@dataclass(frozen=True)
class LabelledWindows:
    """The windows that carry a label, in the order of the index.

    Attributes:
        x: (n, n_statistics) ten statistics of each channel (``raylab.models.window_statistics``), as raylab's linear models see them; NaN where
            a feature is missing.
        y: (n,) class indexes.
        participants: (n,) who each window is of.
        window: (n,) window ids, as in a run's predictions.

    Units:
        statistics in those of the preprocessed signal, which is without a unit if the card says that it was normalized.

    Source:
        docs/own-estimator.md.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]
    participants: npt.NDArray[np.str_]
    window: npt.NDArray[np.int64]


def labelled_windows(windows: Windows, label: str, channels: Sequence[str] | None = None) -> LabelledWindows:
    """The windows that carry a label, as numbers for an estimator.

    Args:
        windows: prepared windows, as ``raylab.windows.dataset.read_windows`` gives them.
        label: one of the windows' labels.
        channels: names of channels; every channel of signals if None.

    Returns:
        the (n, n_statistics) numbers, their (n,) classes and whose they are.

    Raises:
        InvalidValueError: if the windows have no such label or channel; it names those that they have.

    Units:
        as ``LabelledWindows``.

    Source:
        docs/protocol.md, Models.
    """
    index, rows = windows.index, labelled_rows(windows.index, label)
    names = known_channels(windows, channels)
    signals = Signals(windows.signals, windows.lengths).channels(names)
    parts = [extended_statistics(signals.padded(rows[i : i + BATCH]), names) for i in range(0, len(rows), BATCH)]
    people = np.array(index.participants)[index.participant_index[rows]]
    return LabelledWindows(np.concatenate(parts), index.labels[label][rows].astype(np.int64), people, index.window[rows])


@dataclass(frozen=True)
class LeaveOneParticipantOut:
    """A splitter of scikit-learn (its ``cv``) over raylab's folds: one participant is held out at a time.

    The windows that validate in a study are trained on, as by raylab's models without a network, which have no early stopping.

    Args:
        index: of the prepared windows.
        label: the label that is learned.
        seed: of the study.
        calibration: a share of the held-out participant's windows of each label, or a number of them, that are trained on as well (``hybrid``);
            0 for none.
        alone: train on the calibration windows alone (``user_dependent``).
        draw, unit: which windows calibrate (``raylab.techniques.selection.Calibration``).
        purge: leave out test windows that share samples with calibration windows.
        channels: the channels in use; features that look further back than a window widen the purge. All if None.

    Raises:
        InvalidValueError: on ``alone`` without calibration.

    Units:
        ``calibration`` is a share below 1 and a number of windows from 1 on; positions count labelled windows from 0.

    Source:
        docs/protocol.md, Folds; the interface is scikit-learn's, of a cross-validation splitter.
    """

    index: WindowIndex
    label: str
    seed: int = 0
    calibration: float = 0
    alone: bool = False
    draw: Draw = "initial"
    unit: Unit = "window"
    purge: bool = True
    channels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.alone and not self.calibration:
            raise InvalidValueError("alone=True trains on calibration windows alone; give a calibration above 0")

    def get_n_splits(self, x: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of participants to hold out.

        Args:
            x, y, groups: not read; scikit-learn gives them.

        Returns:
            the number of folds.

        Raises:
            InvalidValueError: if the windows have no such label.

        Source:
            scikit-learn's interface of a splitter.
        """
        return len(self.participants)

    @property
    def participants(self) -> tuple[str, ...]:
        """The participants who are held out in turn, in the order of the folds: all who have the label."""
        with_label = np.unique(self.index.participant_index[labelled_rows(self.index, self.label)])
        return tuple(name for k, name in enumerate(self.index.participants) if k in with_label and name in self.index.tested)

    def split(self, x: Any = None, y: Any = None, groups: Any = None) -> Iterator[tuple[RowIds, RowIds]]:
        """The folds, in the order of ``participants``.

        Args:
            x: the labelled windows or anything as long, to compare its length; not read otherwise.
            y, groups: not read; scikit-learn gives them.

        Yields:
            for each fold, positions among the labelled windows (``labelled_windows``): those trained on (n_train,), and those tested (n_test,).

        Raises:
            FoldError: if a participant has too few windows to calibrate with.
            InvalidValueError: if ``x`` has another number of rows than there are labelled windows, or the windows have no such label.

        Units:
            positions count labelled windows from 0.

        Source:
            docs/protocol.md, Folds.
        """
        rows = labelled_rows(self.index, self.label)
        if x is not None and len(x) != len(rows):
            raise InvalidValueError(
                f"x has {len(x)} rows, {len(rows)} windows carry {self.label}: give labelled_windows(...).x, or rows like it"
            )
        for target in self.participants:
            fold = Fold(self.index, self.label, target, self.seed, channels=self.channels)
            chosen = self._selection.choose(fold)
            train = np.union1d(chosen.train, chosen.validation)
            test = np.setdiff1d(fold.target_windows, train)
            if self.purge:
                test = np.setdiff1d(test, fold.overlapping(test, train))
            yield np.searchsorted(rows, train), np.searchsorted(rows, test)

    @property
    def _selection(self) -> Selection:
        if not self.calibration:
            return EveryoneElse()
        return (Calibration if self.alone else EveryoneElseAndCalibration)(self.calibration, self.draw, self.unit)


def known_channels(windows: Windows, channels: Sequence[str] | None) -> list[str]:
    """These channels, or every channel of signals if None.

    Args:
        windows: prepared windows.
        channels: names, or None.

    Returns:
        the names, in their order.

    Raises:
        InvalidValueError: naming what the windows lack, and what they have.

    Units:
        none: names alone.

    Source:
        docs/own-estimator.md.
    """
    names = list(windows.index.card.signal_channels if channels is None else channels)
    unknown = [name for name in names if name not in windows.signals]
    if unknown or not names:
        asked = f"has no channel {', '.join(unknown)}" if unknown else "is asked for no channel at all"
        raise InvalidValueError(f"{windows.index.name} {asked}; it has {', '.join(windows.signals)}")
    return names


def labelled_rows(index: WindowIndex, label: str) -> RowIds:
    """The windows that carry a label.

    Args:
        index: of prepared windows.
        label: one of their labels.

    Returns:
        (n,) row numbers of the index, ascending.

    Raises:
        InvalidValueError: if there is no such label.

    Units:
        rows count from 0.

    Source:
        docs/own-estimator.md.
    """
    if label not in index.labels:
        raise InvalidValueError(f"{index.name} has no label {label}; it has {', '.join(index.labels)}")
    return np.flatnonzero(index.labels[label] != NO_LABEL)
