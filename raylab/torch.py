"""Prepared windows for PyTorch: a map-style dataset of one label's windows, and loaders over one of raylab's folds."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from raylab.errors import InvalidValueError
from raylab.folds.fold import Fold, RowIds
from raylab.sklearn import known_channels, labelled_rows
from raylab.techniques.selection import EveryoneElse
from raylab.windows.dataset import Windows
from raylab.windows.segmentation import NO_LABEL

Item = tuple[dict[str, Tensor], int]


class WindowsDataset(Dataset[Item]):
    """Windows that carry a label: ``(channel to tensor (length, n_features) float32, class index)``.

    A channel of variable length is padded with zeros to its longest; ``lengths`` has its valid steps.

    Args:
        windows: prepared windows.
        label: the label.
        rows: row numbers of the index; every labelled row if None.
        channels: names of channels; every channel of signals if None.

    Raises:
        InvalidValueError: if there is no such label or channel, or a row has no label.

    Units:
        signals in those of the preprocessed signal, which is without a unit if the card says that it was normalized; lengths in steps.

    Source:
        docs/own-estimator.md; the interface is PyTorch's, of a map-style dataset.
    """

    def __init__(self, windows: Windows, label: str, rows: RowIds | None = None, channels: Sequence[str] | None = None) -> None:
        index = windows.index
        labelled, names = labelled_rows(index, label), known_channels(windows, channels)
        y = index.labels[label]
        self.rows = labelled if rows is None else np.asarray(rows)
        if (y[self.rows] == NO_LABEL).any():
            raise InvalidValueError(f"{int((y[self.rows] == NO_LABEL).sum())} of the rows carry no {label}")
        self.signals = {name: windows.signals[name] for name in names}
        self.lengths = {name: windows.lengths[name][self.rows] for name in names if name in windows.lengths}
        self.y = y[self.rows].astype(np.int64)
        self.participants = np.array(index.participants)[index.participant_index[self.rows]]
        self.window = index.window[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Item:
        row = self.rows[position]
        return {name: torch.from_numpy(values[row].copy()) for name, values in self.signals.items()}, int(self.y[position])


def fold_loaders(
    windows: Windows, label: str, participant: str, batch_size: int = 32, seed: int = 0
) -> tuple[DataLoader[Item], DataLoader[Item], DataLoader[Item]]:
    """Loaders of the fold that holds out a participant, as ``non_personalized`` has it.

    Args:
        windows: prepared windows, as ``raylab.windows.dataset.read_windows`` gives them.
        label: one of the windows' labels.
        participant: who is held out.
        batch_size: windows of a batch; the last one may have fewer.
        seed: of the study; it draws who validates and the order of the training windows.

    Returns:
        loaders of training (shuffled), validation and test windows. A batch is a dictionary of channel to tensor (batch_size, length, n_features)
        float32, and a tensor (batch_size,) of class indexes.

    Raises:
        InvalidValueError: if there is no such label, or nobody is called so.
        FoldError: if there are too few others.

    Units:
        as ``WindowsDataset``.

    Source:
        docs/protocol.md, Folds.
    """
    labelled_rows(windows.index, label)
    if participant not in windows.index.tested:
        raise InvalidValueError(
            f"{windows.index.name} has no participant {participant}; it has {', '.join(windows.index.tested)}"
        )
    fold = Fold(windows.index, label, participant, seed)
    split = EveryoneElse().choose(fold)
    train, validation, test = (
        WindowsDataset(windows, label, rows) for rows in (split.train, split.validation, fold.target_windows)
    )
    generator = torch.Generator().manual_seed(fold.draws.integer("shuffle"))
    return (
        DataLoader(train, batch_size, shuffle=True, generator=generator),
        DataLoader(validation, batch_size),
        DataLoader(test, batch_size),
    )
