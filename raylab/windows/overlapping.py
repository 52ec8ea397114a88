"""Windows that overlap, held as the samples that they were cut from: what two of them share is there once.

Windows of 10 s that begin every 5 s hold each sample twice. Whether two neighbours share samples is asked of their bits, not of their settings:
with ``--normalization past`` each window is scaled by what came before its own end, so the same sample may be another number in the next one.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.windows.dataset import WindowIndex

AT_ONCE = 4 * 2**20  # bytes of windows that are compared at once

Array = npt.NDArray[Any]


def moved(index: WindowIndex, rows: slice, length: int) -> npt.NDArray[np.int64]:
    """(n,) samples from the start of the window before to the start of each of these windows; ``length`` where they share none.

    Args:
        length: samples of a window.
    """
    if index.card.kind != "signals":  # utterances share nothing
        return np.full(rows.stop - rows.start, length)
    before = slice(max(0, rows.start - 1), rows.stop)
    starts = np.round(index.start_s[before] * (length / index.window_s)).astype(np.int64)
    same = (np.diff(index.participant_index[before]) == 0) & (np.diff(index.segment[before]) == 0)
    steps = np.diff(starts)
    steps = np.where(same & (steps > 0) & (steps < length), steps, length)
    return steps if rows.start else np.concatenate([[length], steps])


class SamplesWriter:
    """Writes the samples of windows to a file, those that a window shares with the one before it once.

    Attributes:
        first: lists of the place of each window's first sample in the file.
    """

    def __init__(self, path: Path, length: int, n_features: int) -> None:
        self.path, self.length, self.file, self.digest = path, length, path.open("wb"), hashlib.sha256()
        self.first: list[npt.NDArray[np.int64]] = []
        self.last, self.samples = np.empty((0, length, n_features), "<f4"), 0
        self.at_once = max(1, AT_ONCE // max(1, self.last.itemsize * length * n_features))

    def add(self, windows: Array, steps: npt.NDArray[np.int64]) -> None:
        """The next windows.

        Args:
            windows: (n, length, n_features).
            steps: (n,) as ``moved`` gives them.
        """
        for begin in range(0, len(windows), self.at_once):
            part = slice(begin, begin + self.at_once)
            self._add(np.ascontiguousarray(windows[part], "<f4"), steps[part])

    def _add(self, windows: Array, steps: npt.NDArray[np.int64]) -> None:
        assert windows.shape[1:] == self.last.shape[1:], self.path
        before = np.concatenate([self.last if len(self.last) else windows[:1], windows[:-1]])
        new = np.full(len(windows), self.length)
        for step in np.unique(steps[steps < self.length]):
            rows = np.flatnonzero(steps == step)
            shared = before[rows, step:].view("<u4") == windows[rows, : self.length - step].view("<u4")
            new[rows[shared.all(axis=(1, 2))]] = step
        data = np.ascontiguousarray(windows[np.arange(self.length) >= self.length - new[:, None]]).data
        self.file.write(data)
        self.digest.update(data)
        ends = self.samples + np.cumsum(new)
        self.first.append(ends - self.length)
        self.last, self.samples = windows[-1:].copy(), int(ends[-1])

    def places(self) -> npt.NDArray[np.int64] | None:
        """(n_windows,) place of each window's first sample; None if the windows lie one after the other."""
        first = np.concatenate([np.empty(0, np.int64), *self.first])
        return None if np.array_equal(first, self.length * np.arange(len(first))) else first


class CutWindows:
    """Stands for a channel's (n_windows, length, n_features) wherever rows of it are asked for: ``array[rows]`` and ``array[rows, :steps]``.

    Attributes:
        samples: (n_samples, n_features), which nothing writes to.
        first: (n_windows,) place of each window's first sample.
        length: samples of a window.
    """

    def __init__(self, samples: Array, first: npt.NDArray[np.int64], length: int) -> None:
        self.samples, self.first, self.length = samples, np.asarray(first), length
        self.shape, self.dtype, self.nbytes = (len(first), length, samples.shape[1]), samples.dtype, samples.nbytes
        places, step = max(0, len(samples) - length + 1), samples.strides[0]
        strides = (step, step, samples.itemsize)
        self.at = np.lib.stride_tricks.as_strided(
            samples, (places, *self.shape[1:]), strides, writeable=False
        )  # (place, sample, feature)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, *arguments: Any, **options: Any) -> Array:
        return np.asarray(self[:], *arguments)

    def __getitem__(self, key: Any) -> Array:
        rows, steps = key if isinstance(key, tuple) else (key, slice(None))
        found: Array = self.at[:, steps][np.asarray(self.first[rows])]  # an array of places, even of one: numpy copies
        return found


def overlapping(signals: Mapping[str, object]) -> dict[str, CutWindows]:
    """The channels whose windows overlap."""
    return {name: values for name, values in signals.items() if isinstance(values, CutWindows)}
