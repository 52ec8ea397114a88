"""Statistics of each window: what the classical models that know no time see of it."""

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch

from raylab.errors import InvalidValueError
from raylab.models.batch import Batch, WindowRows
from raylab.models.estimators import Array, windows_of

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMES = (
    "mean",
    "SD",
    *(f"{share:.0%} quantile" for share in QUANTILES),
    "mean step",
    "slope",
    "range",
)  # of each feature of a channel
N_STATISTICS = 8  # the first of them
N_EXTENDED = len(NAMES)  # all, with slope and range


def statistics(batch: Batch, channels: list[str]) -> Array:
    """Statistics of each window, (n, n_statistics), the channels one after the other; NaN for a channel that a window lacks.

    For each feature of a channel there are 8, over the valid steps: mean, standard deviation, the 5, 25, 50, 75 and 95% quantiles, and the
    mean absolute step. A channel of a single step gives its features as they are. How these statistics were chosen:
    docs/decisions/0015-masks-and-fusion.md.
    """
    return _of_channels(batch, channels, extended=False)


def extended_statistics(batch: Batch, channels: list[str]) -> Array:
    """``statistics``, and after those of each channel the slope (of the least-squares line, per step) and the range (maximum minus minimum).

    Slow signals, such as skin conductance, tell by their trend within a window. Why the SVM has no such features:
    docs/decisions/0020-classical-models.md.
    """
    return _of_channels(batch, channels, extended=True)


def n_columns(shapes: dict[str, tuple[int, int]], per_feature: int) -> int:
    """Number of statistics of all channels, from their lengths and numbers of features."""
    return sum(n_features * (1 if length == 1 else per_feature) for length, n_features in shapes.values())


def column_names(
    shapes: dict[str, tuple[int, int]], feature_names: Mapping[str, Sequence[str]], per_feature: int
) -> list[tuple[str, str]]:
    """(channel, statistic) of each column of ``statistics`` (8 per feature) or ``extended_statistics`` (10).

    Args:
        feature_names: names of the features of a channel; their numbers where it has none.
    """
    columns = []
    for channel, (length, n_features) in shapes.items():
        features = list(feature_names.get(channel, ())) or (
            [""] if n_features == 1 else [str(i + 1) for i in range(n_features)]
        )
        names = ("",) if length == 1 else NAMES[:per_feature]
        columns += [(channel, f"{name} {feature}".strip()) for name in names for feature in features]
    return columns


def _of_channels(batch: Batch, channels: list[str], extended: bool) -> Array:
    of = _known if isinstance(batch.values, WindowRows) else _of_channel
    return np.concatenate([of(batch, name, extended) for name in channels], axis=1)


def _of_channel(batch: Batch, name: str, extended: bool) -> Array:
    """(n, n_statistics) of one channel. A window's numbers are its own to the bit: they do not depend on which others are in the batch."""
    x, valid = windows_of(batch, name)
    if x.shape[1] == 1:
        return np.asarray(np.where(valid, x[:, 0], np.nan))
    mask, count = valid[:, :, None], valid.sum(axis=1)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = x.sum(axis=1, where=mask) / count
        sd = np.sqrt(np.square(x - mean[:, None]).sum(axis=1, where=mask) / count)
        steps = np.abs(np.diff(x, axis=1)).sum(axis=1, where=mask[:, 1:]) / np.maximum(count - 1, 1)
        more = [_slope(x, mean, valid), _range(x, mask)] if extended else []
    features: Array = np.concatenate([mean, sd, *_quantiles(x, valid), steps, *more], axis=1)
    features[count[:, 0] == 0] = np.nan
    return features


BLOCK = 256  # windows that are described at once: what a block takes in double precision is small beside the dataset


@dataclass
class _KnownStatistics:
    """Statistics of the windows of one array of a dataset that were computed so far, by blocks of rows.

    Attributes:
        array: whose they are; a number of an array that is gone can be that of another one.
        blocks: number of a block to (``BLOCK``, n_statistics).
    """

    array: "weakref.ref[npt.NDArray[np.floating]]"
    blocks: dict[int, Array] = field(default_factory=dict)


# By array and whether they are the extended ones. In a study each window is in all folds but its own person's, and is described once in a process.
_KNOWN: dict[tuple[int, bool], _KnownStatistics] = {}
_LOCK = Lock()


def _known(batch: Batch, name: str, extended: bool) -> Array:
    """``_of_channel`` of windows of a dataset, from what this process has computed before. It takes a few percent of the memory of the signals.

    Blocks reach beyond the asked rows; if another window of a block cannot be described, the asked ones are computed by themselves.
    """
    source = batch.values
    assert isinstance(source, WindowRows)
    array, lengths = source.arrays[name], source.lengths.get(name)
    with _LOCK:
        for gone in [key for key, known in _KNOWN.items() if known.array() is None]:
            del _KNOWN[gone]
        blocks = _KNOWN.setdefault((id(array), extended), _KnownStatistics(weakref.ref(array))).blocks
    of_row, within = np.divmod(source.rows, BLOCK)
    try:
        for number in np.unique(of_row).tolist():
            if number not in blocks:
                rows = np.arange(number * BLOCK, min((number + 1) * BLOCK, len(array)))
                own = {} if lengths is None else {name: torch.from_numpy(lengths[rows].astype(np.int64))}
                blocks[number] = _of_channel(Batch({name: torch.from_numpy(array[rows])}, own), name, extended)
    except InvalidValueError:
        return _of_channel(batch, name, extended)
    if not len(of_row):
        return _of_channel(batch, name, extended)
    result = np.empty((len(of_row), blocks[int(of_row[0])].shape[1]))
    for number in np.unique(of_row).tolist():
        mine = of_row == number
        result[mine] = blocks[number][within[mine]]
    return result


def _slope(x: Array, mean: Array, valid: npt.NDArray[np.bool_]) -> Array:
    """Slope of the least-squares line through the valid steps, (n, n_features), per step; 0 for a single step."""
    time = np.arange(x.shape[1]) - (np.maximum(valid.sum(axis=1), 1)[:, None] - 1) / 2
    time = np.where(valid, time, 0.0)  # steps beyond the end have no weight
    products = (time[:, :, None] * (x - mean[:, None])).sum(axis=1, where=valid[:, :, None])
    return np.asarray(products / np.maximum(np.square(time).sum(axis=1), np.finfo(float).tiny)[:, None])


def _range(x: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Largest minus smallest valid step, (n, n_features)."""
    return np.asarray(x.max(axis=1, where=mask, initial=-np.inf) - x.min(axis=1, where=mask, initial=np.inf))


def _quantiles(x: Array, valid: npt.NDArray[np.bool_]) -> list[Array]:
    """Each quantile over the valid steps, (n, n_features), interpolated between order statistics as ``numpy.quantile`` does.

    Windows have different numbers of valid steps, so one sort and a position per window replace a call for each window.
    """
    ordered = np.sort(np.where(valid[:, :, None], x, np.inf), axis=1)
    ordered[np.isinf(ordered)] = 0.0  # beyond the last valid step, where no quantile lies
    last = np.maximum(valid.sum(axis=1) - 1, 0)
    quantiles = []
    for share in QUANTILES:
        position = share * last
        below = np.floor(position).astype(int)
        low, high = (ordered[np.arange(len(x)), rank] for rank in (below, np.minimum(below + 1, last)))
        quantiles.append(low + (position - below)[:, None] * (high - low))
    return quantiles
