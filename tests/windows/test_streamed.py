"""Windows that are read person by person are, to whoever asks for rows, the windows that were prepared."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from builders.windows import make_windows, of_unequal_lengths, store, store_two_corpora

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.training.batches import Signals
from raylab.training.epoch_order import order_of_epoch
from raylab.training.job import CPU
from raylab.windows.cross_corpus import open_windows, read_source, source, streamed_source
from raylab.windows.dataset import Windows, read_windows, write_index
from raylab.windows.streamed import Part, WindowStream, _Pass, read_here, stream_of, streamed, with_checks

NAMES = "ABCDEF"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store(of_unequal_lengths(NAMES, 8, 1), tmp_path / "windows")
    folder = Folder(tmp_path / "windows")
    write_index(folder, read_windows(folder).index.card)
    return tmp_path


@pytest.fixture
def whole(root: Path) -> Windows:
    return read_windows(Folder(root / "windows"))


def _stream(windows: Windows) -> WindowStream:
    stream = stream_of(windows.signals)
    assert stream is not None
    return stream


def _noting(ended: list[list[int]]) -> Callable[..., Iterator]:
    """A reader that notes whom it was to read when it ends."""

    def reader(where, positions, channels) -> Iterator:
        try:
            yield from read_here(where, positions, channels)
        finally:
            ended.append(list(positions))

    return reader


def _part_of(root: Path, name: str) -> Path:
    return next((root / "windows").glob(f"participant={name}*/*.parquet"))


def test_rows_are_those_that_were_prepared(root: Path, whole: Windows) -> None:
    """In any order, more than once, cut to some steps; and the caller may change what it got."""
    found, rows = open_windows(str(root), "windows", "streamed"), np.array([30, 2, 2, 17, 0, 35])
    assert list(whole.signals) == list(found.signals)
    for name, values in whole.signals.items():
        array = found.signals[name]
        assert (values.shape, values.dtype, len(values)) == (array.shape, array.dtype, len(array))
        np.testing.assert_array_equal(values[rows], array[rows], strict=True)
        np.testing.assert_array_equal(values[rows, :3], part := array[rows, :3], strict=True)
        assert values[rows, :3].strides == part.strides and part.flags.writeable
        assert (0, *values.shape[1:]) == array[rows[:0]].shape
    for name, steps in whole.lengths.items():
        np.testing.assert_array_equal(steps, found.lengths[name], strict=True)
    assert list(whole.lengths) == list(found.lengths) == ["a"]


def test_an_epoch_holds_the_buffer_a_batch_and_one_person(root: Path, whole: Windows) -> None:
    """Batches of an epoch are equal to those of windows in memory, and each person is read once."""
    found, read = open_windows(str(root), "windows", "streamed"), list[int]()
    stream = _stream(found)

    def reader(where, positions, channels) -> Iterator:
        for part in read_here(where, positions, channels):
            read.append(len(part.rows))
            yield part

    stream.reader = reader
    rows, people = np.arange(len(whole.index.window)), whole.index.participant_index
    order = order_of_epoch(rows, people, 4, np.random.default_rng(3))
    signals, expected = Signals(found.signals, found.lengths), Signals(whole.signals, whole.lengths)
    signals.expect(order)
    for first in range(0, len(order), 5):
        one, other = (s.batch(order[first : first + 5], CPU) for s in (signals, expected))
        for name in whole.signals:
            np.testing.assert_array_equal(other.values[name], one.values[name], strict=True)
            assert other.values[name].is_contiguous() and one.values[name].is_contiguous()
    assert [6] * 6 == read
    assert 6 < stream.most_held <= 4 + 5 + 6  # buffer, batch, person
    assert stream.expected is None  # what was held is gone with the last batch


def test_other_windows_in_between_do_not_disturb(root: Path, whole: Windows) -> None:
    """Rows that nobody announced are read for themselves; a row that is announced twice is held until it was handed out twice."""
    found = open_windows(str(root), "windows", "streamed")
    signals, stream = Signals(found.signals, found.lengths), _stream(found)
    announced, others = np.array([3, 20, 3, 33, 8]), np.array([34, 3, 1])
    signals.expect(announced)
    for rows in (announced[:2], others, announced[2:4], others, announced[4:]):
        batch = signals.batch(rows, CPU)
        for name, values in batch.values.items():
            np.testing.assert_array_equal(whole.signals[name][rows, : values.shape[1]], values.numpy())
    assert stream.expected is None


def test_a_new_pass_ends_the_one_before(root: Path) -> None:
    """A training that ends early leaves no reader at work."""
    found, ended = open_windows(str(root), "windows", "streamed"), list[list[int]]()
    stream = _stream(found)
    stream.reader = _noting(ended)
    stream.expect(np.array([0, 12, 35]), ["b"])
    found.signals["b"][np.array([0])]
    stream.expect(np.array([20, 1]), ["b"])
    assert [[0, 2, 5]] == ended
    found.signals["b"][np.array([20])]
    stream.close()
    assert [[0, 2, 5], [3, 0]] == ended


def test_without_notice_two_people_are_held_and_no_more(root: Path) -> None:
    """Of however few channels."""
    found = open_windows(str(root), "windows", "streamed")
    for row in range(0, 36, 6):
        found.signals["b"][np.array([row])]
    found.signals["a"][np.array([35])]
    assert [4, 5] == list(_stream(found).read_last)
    assert [["b"], ["b", "a"]] == [list(channels) for channels in _stream(found).read_last.values()]


READS = """
import os, sys
import pyarrow as pa
from raylab.files import Folder
from raylab.windows.dataset import OWN_TYPES, WINDOW
from raylab.windows.stored_rows import VALUES, read_rows

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # another thread than that which reads has to wait
folder, pool, taken = Folder(sys.argv[1]), pa.default_memory_pool(), []
for _ in range(100):
    before = pool.bytes_allocated()
    table = read_rows(folder, "A", {WINDOW: OWN_TYPES[WINDOW], "a": VALUES})
    taken.append((pool.bytes_allocated() - before) / table.nbytes)
    del table
print(min(taken), max(taken))
"""


def test_a_person_that_was_read_takes_no_more_than_its_windows(tmp_path: Path) -> None:
    """Nothing of what was decoded is freed at some later time, or people who are read one after the other would pile up on a busy processor."""
    noise = np.random.default_rng(0).normal(size=(400, 2048, 1)).astype(np.float32)
    made = make_windows({"A": [0, 1] * 200}, length=2048)
    store(replace(made, signals={**made.signals, "a": noise}), tmp_path / "windows")
    command = [sys.executable, "-c", READS, str(tmp_path / "windows")]
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    least, most = map(float, done.stdout.split())
    assert 0.99 < least <= most < 1.01


def test_a_pass_that_fails_leaves_nothing(root: Path) -> None:
    """Neither windows in memory nor a reader at work."""
    found, ended = open_windows(str(root), "windows", "streamed"), list[list[int]]()
    stream = _stream(found)
    stream.reader = _noting(ended)
    _part_of(root, "C").unlink()
    stream.expect(np.array([0, 12, 35]), ["b"])
    with pytest.raises(RaylabError, match="participant C were written again, or are gone"):
        found.signals["b"][np.array([0, 12])]
    assert stream.expected is None and [[0, 2, 5]] == ended


def test_a_batch_costs_the_same_however_many_windows_are_expected() -> None:
    """16 times the windows take 16 times as long, and not 80 times, as when each batch looked at all of them."""

    def seconds(count: int) -> float:
        parts = (Part(np.arange(k, k + 1000), {"a": np.zeros((1000, 1, 1), np.float32)}) for k in range(0, count, 1000))
        expected, began = _Pass(np.arange(count), parts, {"a": (1, 1)}), time.process_time()
        for first in range(0, count, 16):
            expected.take("a", np.arange(first, first + 16))
            assert expected.is_done == (first + 16 == count)
        return time.process_time() - began

    assert seconds(320_000) < 40 * min(seconds(20_000) for _ in range(3))


def test_a_reader_that_ends_early_is_an_error(root: Path) -> None:
    """Rather than windows of nothing."""
    where = streamed_source(str(root), "windows")
    found = streamed(where, {}, lambda where, positions, channels: read_here(where, positions[:1], channels))
    _stream(found).expect(np.array([0, 12]), ["b"])
    with pytest.raises(RaylabError, match="ended before it gave all"):
        found.signals["b"][np.array([0, 12])]


def test_files_that_are_not_what_the_card_describes_are_refused_at_the_start(root: Path) -> None:
    """By the participant's name."""
    part = _part_of(root, "D")
    table = pq.read_table(part)
    place = table.column_names.index("y_stress")
    column = table["y_stress"].to_pylist()
    pq.write_table(table.set_column(place, "y_stress", [[1 - max(0, column[0]), *column[1:]]]), part)
    with pytest.raises(RaylabError, match="participant D"):
        open_windows(str(root), "windows", "streamed")


def test_files_that_change_during_a_run_are_refused(root: Path) -> None:
    """Also if they hold the same windows: who reads on cannot know."""
    found = open_windows(str(root), "windows", "streamed")
    rows = np.array([0, 20])
    found.signals["a"][rows]
    part = _part_of(root, "F")
    pq.write_table(pq.read_table(part), part, compression="zstd")
    found.signals["a"][rows]
    with pytest.raises(RaylabError, match="participant F were written again, or are gone, since this run has begun"):
        found.signals["a"][np.array([35])]


@pytest.mark.parametrize("theirs", ["a", "x"])
def test_corpora_that_are_joined(tmp_path: Path, theirs: str) -> None:
    """Windows are filled up to the other's length; each is read where it lies, under the name that the channel has there."""
    store_two_corpora(tmp_path, theirs)
    both = source("here", "there")
    mapped, found = read_source(str(tmp_path), both), open_windows(str(tmp_path), both, "streamed")
    assert mapped.index.participants == found.index.participants == ("A", "B", "there A", "there C", "there D")
    rows = np.arange(len(mapped.index.window))
    assert list(mapped.signals) == list(found.signals) == ["a"]
    np.testing.assert_array_equal(mapped.signals["a"][rows], found.signals["a"][rows], strict=True)
    np.testing.assert_array_equal(mapped.lengths["a"], found.lengths["a"], strict=True)
    np.testing.assert_array_equal(mapped.index.window, found.index.window)


def test_checks_know_every_file(root: Path) -> None:
    """Stamps of each participant, in the order of the index."""
    where = streamed_source(str(root), "windows")
    checked, _ = with_checks(where, [where.checked(k) for k in range(len(NAMES))])
    assert checked.stamps is not None
    assert [_part_of(root, name).stat().st_size for name in NAMES] == [next(iter(s.values()))[0] for s in checked.stamps]


def test_streamed_arrays_cannot_be_taken_for_arrays(root: Path) -> None:
    """Nothing reads all of them by mistake."""
    found = open_windows(str(root), "windows", "streamed")
    for read_all in (np.asarray, np.mean, list):
        with pytest.raises(RaylabError, match="b are streamed"):
            read_all(found.signals["b"])
