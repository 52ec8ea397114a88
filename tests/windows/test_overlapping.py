"""Windows that overlap are copied as the samples that they were cut from, and give the same windows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.windows import make_windows, store

from raylab.files import Folder
from raylab.training.batches import Signals
from raylab.training.resident import Resident
from raylab.windows.dataset import Windows, read_windows
from raylab.windows.mapped import CopyWriter, map_windows, mapped_signals
from raylab.windows.overlapping import CutWindows, moved

LENGTH, STEP = 8, 4  # of channel a, in samples: windows of 10 s every 5 s; channel b has twice as many


def _overlapping(people: dict[str, list[int]]) -> Windows:
    """Made windows whose samples are those of one signal a person."""
    windows, rng = make_windows(people, length=LENGTH), np.random.default_rng(7)
    index, signals = windows.index, dict[str, np.ndarray]()
    for name, values in windows.signals.items():
        length = values.shape[1]
        made = np.empty_like(values)
        for person in range(len(people)):
            rows = np.flatnonzero(index.participant_index == person)
            long = rng.normal(0, 1, (length * len(rows), 1)).astype(np.float32)
            for k, row in enumerate(rows):
                made[row] = long[k * length // 2 : k * length // 2 + length]
        signals[name] = made
    return replace(windows, signals=signals)


@pytest.fixture
def made() -> Windows:
    return _overlapping({"A": [0, 1, 1, 0, 1], "B": [1, 0, 0], "C": [1]})


def _written(windows: Windows, folder: Path, at_once: int) -> dict[str, bytes]:
    """The files of a copy to which so many windows were given at once."""
    folder.mkdir()
    with CopyWriter(folder, windows.index) as writer:
        for first in range(0, len(windows.index.window), at_once):
            rows = slice(first, first + at_once)
            writer.add({name: values[rows] for name, values in windows.signals.items()}, {})
        writer.finish()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_two_windows_share_is_there_once(made: Windows, tmp_path: Path) -> None:
    """Nine windows of three people: six of them lie half on the one before. However many come at once, the files are the same."""
    files = _written(made, tmp_path / "all", 100)
    assert 4 * (9 * LENGTH - 6 * STEP) == len(files["0.samples"])
    assert 8 * (9 * LENGTH - 6 * STEP) == len(files["1.samples"])
    assert {"0.samples", "0.first.npy", "1.samples", "1.first.npy", "copy.json"} == set(files)
    assert files == _written(made, tmp_path / "one", 1) == _written(made, tmp_path / "two", 2)


def test_windows_that_share_nothing_are_an_array(tmp_path: Path) -> None:
    """As they were: one after the other."""
    windows = make_windows({"A": [0, 1, 1], "B": [1]}, length=LENGTH)
    assert {"0.samples", "1.samples", "copy.json"} == set(_written(windows, tmp_path / "copy", 100))
    mapped, name = map_windows(Folder(store(windows, tmp_path / "windows")))
    signals, _ = mapped_signals(name, mapped.index.card.channels)
    assert all(isinstance(values, np.ndarray) for values in signals.values())
    np.testing.assert_array_equal(signals["a"], windows.signals["a"], strict=True)


@pytest.mark.parametrize("value", [np.nan, -0.0, 1e-45])
def test_bits_decide(made: Windows, tmp_path: Path, value: float) -> None:
    """A window that differs from the one before in the bits of one sample is written whole; equal bits are shared, NaN too."""
    a = made.signals["a"]
    a[1, STEP], a[2, 0] = value, value  # of one sample, where both windows have it
    whole = _written(made, tmp_path / "shared", 100)["0.samples"]
    a[2, 0] = 0.0
    assert len(_written(made, tmp_path / "apart", 100)["0.samples"]) == len(whole) + 4 * STEP
    copy, _ = map_windows(Folder(store(made, tmp_path / "windows")))
    found = np.asarray(copy.signals["a"])
    assert a.tobytes() == found.tobytes()


ASKED: list[Any] = [
    3, -1, slice(2, 5), slice(None), slice(None, None, -2), [0, 8, 8, 4], np.array([], np.int64), np.array([-1, 0, 3]), np.arange(9) % 2 == 0,
    (np.array([5, 1]), slice(None, 3)), (slice(1, 4), slice(None, None)), (np.array([5, 1]), slice(None, None)), (2, slice(None, 5)),
]  # fmt: skip


@pytest.mark.parametrize("key", ASKED, ids=str)
def test_rows_are_those_of_the_array(made: Windows, tmp_path: Path, key: Any) -> None:
    """Whatever a trial asks an array for; what it gets it may change."""
    mapped, _ = map_windows(Folder(store(made, tmp_path / "windows")))
    for name, values in read_windows(Folder(tmp_path / "windows")).signals.items():
        cut: Any = mapped.signals[name]
        assert isinstance(cut, CutWindows) and cut.shape == values.shape and len(cut) == len(values)
        np.testing.assert_array_equal(cut[key], values[key], strict=True)
        if (
            isinstance(key, np.ndarray | tuple)
            and isinstance(rows := key[0] if isinstance(key, tuple) else key, np.ndarray)
            and len(rows)
        ):
            assert cut[key].flags.c_contiguous == values[key].flags.c_contiguous and cut[key].flags.writeable
    with pytest.raises(IndexError):
        cut[np.array([9])]


def test_nothing_writes_to_the_samples(made: Windows, tmp_path: Path) -> None:
    """Two windows would change at once: rows are copies, and the samples cannot be written to."""
    mapped, _ = map_windows(Folder(store(made, tmp_path / "windows")))
    cut: Any = mapped.signals["a"]
    for key in (0, slice(0, 2), np.array([0])):
        cut[key][:] = 1
    np.testing.assert_array_equal(np.asarray(cut), made.signals["a"], strict=True)
    with pytest.raises(ValueError, match="read-only"):
        cut.at[0] = 1


def test_resident_windows_take_the_room_of_the_samples(made: Windows, tmp_path: Path) -> None:
    """A stack gathers from them, each sample once on the device, and gets the same windows."""
    mapped, _ = map_windows(Folder(store(made, tmp_path / "windows")))
    rows = np.array([8, 0, 3, 3, 1])
    resident = Resident.of(Signals(mapped.signals, mapped.lengths), torch.device("cpu"))
    for name, values in resident.gather(rows).values.items():
        np.testing.assert_array_equal(values.numpy(), made.signals[name][rows], strict=True)
        samples = 9 * made.signals[name].shape[1] * 2 // 3
        assert 4 * samples == resident.values[name].untyped_storage().nbytes()


def test_where_windows_may_lie_on_the_one_before(made: Windows) -> None:
    """Not on one of another person, nor of another segment, nor on one that ended before."""
    index = made.index
    everything = slice(0, 9)
    assert [8, 4, 4, 4, 4, 8, 4, 4, 8] == moved(index, everything, LENGTH).tolist()
    assert [4, 4, 8] == moved(index, slice(3, 6), LENGTH).tolist()
    assert [8, 4, 4, 8, 4, 8, 4, 4, 8] == moved(
        replace(index, segment=np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])), everything, LENGTH
    ).tolist()
    late = index.start_s.copy()
    late[2] += 5.0  # a window between was left out
    assert [8, 4, 8, 8, 4, 8, 4, 4, 8] == moved(replace(index, start_s=late), everything, LENGTH).tolist()
    short = replace(index.card.preprocessing, step_s=2.5)  # what the card says does not matter
    assert (
        moved(index, everything, LENGTH).tolist()
        == moved(replace(index, card=index.card.changed(preprocessing=short)), everything, LENGTH).tolist()
    )
