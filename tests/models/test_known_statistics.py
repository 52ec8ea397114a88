"""What a process knows of a window's statistics is what would be computed anew, to the bit, whichever windows are asked for."""

import gc

import numpy as np
import pytest
import torch

from raylab.errors import InvalidValueError
from raylab.models import window_statistics
from raylab.models.batch import Batch
from raylab.models.window_statistics import BLOCK, extended_statistics, statistics
from raylab.training.batches import Signals

N = 3 * BLOCK + 17


def _signals(seed: int) -> Signals:
    """Two channels, one of variable length with windows that lack it, and one of a single step."""
    draw = np.random.default_rng(seed)
    values = {
        "eda": draw.normal(size=(N, 40, 1)).astype(np.float32),
        "acc": draw.normal(size=(N, 30, 3)).astype(np.float32),
        "rating": draw.normal(size=(N, 1, 2)).astype(np.float32),
    }
    return Signals(values, {"acc": draw.integers(0, 31, size=N)})


def _plain(signals: Signals, rows: np.ndarray) -> Batch:
    return Batch(
        {name: torch.from_numpy(values[rows]) for name, values in signals.values.items()},
        {name: torch.from_numpy(steps[rows].astype(np.int64)) for name, steps in signals.lengths.items()},
    )


@pytest.mark.parametrize("describe", [statistics, extended_statistics])
def test_known_statistics_are_those_of_the_windows(describe: object) -> None:
    """For folds in turn, any order, some channels, repeated and no rows."""
    signals, draw, names = _signals(0), np.random.default_rng(1), ["eda", "acc", "rating"]
    for rows in (
        draw.permutation(N)[: N // 2],
        np.arange(N),
        np.arange(BLOCK - 2, BLOCK + 2),
        np.array([5, 5, 700, 5]),
        np.array([], int),
    ):
        expected = describe(_plain(signals, rows), names)  # type: ignore[operator]
        assert np.array_equal(expected, describe(signals.padded(rows), names), equal_nan=True)  # type: ignore[operator]
        alone = describe(signals.channels(["acc"]).padded(rows), ["acc"])  # type: ignore[operator]
        assert np.array_equal(alone, describe(_plain(signals, rows), ["acc"]), equal_nan=True)  # type: ignore[operator]


def test_a_window_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever folds it is in."""
    signals, described = _signals(0), []
    plain = window_statistics._of_channel
    monkeypatch.setattr(
        window_statistics,
        "_of_channel",
        lambda batch, name, extended: described.append(len(batch.values[name])) or plain(batch, name, extended),
    )
    for left_out in range(0, N, 100):
        extended_statistics(signals.padded(np.setdiff1d(np.arange(N), np.arange(left_out, left_out + 100))), ["eda"])
    assert N == sum(described)


def test_a_damaged_window_is_refused_where_it_is_used() -> None:
    """Not where another window of its block is."""
    signals = _signals(0)
    signals.values["eda"][10, 3] = np.nan
    with pytest.raises(InvalidValueError, match="eda"):
        statistics(signals.padded(np.arange(20)), ["eda"])
    rows = np.arange(11, 20)
    assert np.array_equal(statistics(_plain(signals, rows), ["eda"]), statistics(signals.padded(rows), ["eda"]))


def test_what_is_known_goes_with_its_windows() -> None:
    """Other windows never get the statistics of windows that are gone, and nothing stays of these."""
    rows = np.arange(N)
    for seed in range(5):
        signals = _signals(seed)
        assert np.array_equal(statistics(_plain(signals, rows), ["eda"]), statistics(signals.padded(rows), ["eda"]))
        del signals
        gc.collect()
    statistics(_signals(9).padded(rows), ["eda"])
    assert 1 >= sum(
        known.array() is not None and known.array().shape == (N, 40, 1) for known in window_statistics._KNOWN.values()
    )  # type: ignore[union-attr]
