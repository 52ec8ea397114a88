"""The index in one file, and signals that are mapped from a node's copy."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from builders.windows import make_windows, of_unequal_lengths, store, store_two_corpora, with_card

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.hashing import hash_array
from raylab.windows.cross_corpus import join_windows, map_source, read_source, source
from raylab.windows.dataset import Windows, fingerprint_of, read_card, read_index, read_windows, write_index
from raylab.windows.index_file import DIGEST, INDEX
from raylab.windows.mapped import copies_folder, is_checked, map_windows


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of copies that has none yet."""
    monkeypatch.setenv("RAYLAB_WINDOWS_CACHE", str(tmp_path / "copies"))
    return copies_folder()


@pytest.fixture
def stored(tmp_path: Path) -> Folder:
    """Windows of the old layout, without an index file."""
    return Folder(store(of_unequal_lengths("AB", 8, 1), tmp_path / "windows"))


def _equal(one: Windows, other: Windows) -> None:
    assert list(one.signals) == list(other.signals)
    for name, values in one.signals.items():
        np.testing.assert_array_equal(values, other.signals[name], strict=True)
    assert list(one.lengths) == list(other.lengths)
    for name, steps in one.lengths.items():
        np.testing.assert_array_equal(steps, other.lengths[name], strict=True)
    np.testing.assert_array_equal(one.index.window, other.index.window, strict=True)
    np.testing.assert_array_equal(one.index.participant_index, other.index.participant_index, strict=True)


def _is_mapped(values: np.ndarray) -> bool:
    base = values
    while isinstance(base.base, np.ndarray):
        base = base.base
    return isinstance(base, np.memmap)


def test_mapped_windows_are_those_that_were_prepared(stored: Folder, copies: Path) -> None:
    """Signals and index are equal to the bit to those read into memory; they are mapped, and nothing can write to them."""
    mapped, name = map_windows(stored)
    _equal(mapped, read_windows(stored))
    assert all(_is_mapped(values) and not values.flags.writeable for values in mapped.signals.values())
    assert name.place.parent.parent == copies


def test_a_copy_serves_again_and_is_made_anew_when_it_or_the_windows_change(stored: Folder, copies: Path) -> None:
    """A second reading changes nothing; a damaged copy is replaced; rewritten windows get another copy, and the old one goes."""
    before, name = map_windows(stored)
    files = {path: path.stat().st_mtime_ns for path in name.place.iterdir()}
    assert map_windows(stored)[1] == name
    assert files == {path: path.stat().st_mtime_ns for path in name.place.iterdir()}
    damaged = name.place / "0.samples"
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.unlink()
    damaged.write_bytes(content)
    _equal(map_windows(stored)[0], before)
    part = next(Path(stored.path).glob("participant=*/*.parquet"))
    pq.write_table(pq.read_table(part), part, compression="zstd")
    again, other = map_windows(stored)
    assert other != name
    assert not name.place.exists()
    _equal(again, before)


def test_copies_that_nobody_opens_are_removed(tmp_path: Path, copies: Path) -> None:
    """After 30 days, when another is made; and nobody else may read a copy."""
    for name in ("old", "recent", "new"):
        store(of_unequal_lengths("AB", 8, 1), tmp_path / name)
    old, recent = (map_windows(Folder(tmp_path / name))[1] for name in ("old", "recent"))
    for copy, days in ((old, 31), (recent, 29)):
        os.utime(copy.place.parent / "lock", (time.time() - days * 86400,) * 2)
    new = map_windows(Folder(tmp_path / "new"))[1]
    assert [False, True, True] == [copy.place.exists() for copy in (old, recent, new)]
    assert 0o700 == new.place.parent.stat().st_mode & 0o777


def test_a_check_is_made_once_for_a_start(stored: Folder, copies: Path) -> None:
    """A copy that was checked under a start's name is not read again for it, and is for the next start."""
    _, name = map_windows(stored, "one")
    assert is_checked(name, "one")
    assert not is_checked(name, "two")
    assert not is_checked(name, "")
    damaged = name.place / "0.samples"
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    changed, _ = map_windows(stored, "one")
    assert not np.array_equal(changed.signals["a"], read_windows(stored).signals["a"])
    _equal(map_windows(stored, "two")[0], read_windows(stored))


def test_changed_windows_are_refused(stored: Folder, copies: Path) -> None:
    """By the participant's name, and no copy stays."""
    part = next(Path(stored.path).glob("participant=B*/*.parquet"))
    table = pq.read_table(part)
    start = table.column_names.index("start_s")
    pq.write_table(table.set_column(start, "start_s", [[x + 1 for x in table["start_s"].to_pylist()]]), part)
    with pytest.raises(RaylabError, match="the windows of participant B are not the ones its card describes"):
        map_windows(stored)
    assert [] == [path for path in copies.rglob("*") if path.suffix == ".samples"]


def test_joined_windows_are_mapped(tmp_path: Path, copies: Path) -> None:
    """Two datasets together are equal to the two joined in memory."""
    store_two_corpora(tmp_path)
    one, two = (read_windows(Folder(tmp_path / name)) for name in ("here", "there"))
    mapped = read_source(str(tmp_path), source("here", "there"))
    _equal(mapped, join_windows(one, two))
    assert all(_is_mapped(values) for values in mapped.signals.values())
    assert map_source(str(tmp_path), source("here", "there"))[1].place.is_dir()


def test_a_place_that_cannot_be_written_is_named(stored: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that gives another one."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAYLAB_WINDOWS_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        RaylabError, match=r"cannot be copied to .*name another folder on a disk of this node: RAYLAB_WINDOWS_CACHE=DIR"
    ):
        map_windows(stored)


def test_the_index_file_is_the_index(stored: Folder) -> None:
    """It gives the same index as the rows of the participants, and alone is opened."""
    rows, card = read_index(stored), read_card(stored)
    write_index(stored, card)
    for part in Path(stored.path).glob("participant=*"):
        part.rename(Path(stored.path) / f"gone-{part.name}")
    found = read_index(stored)
    assert (rows.card, rows.participants) == (found.card, found.participants)
    for name in ("window", "participant_index", "segment", "start_s"):
        np.testing.assert_array_equal(getattr(rows, name), getattr(found, name), strict=True)
    for name in rows.labels:
        np.testing.assert_array_equal(rows.labels[name], found.labels[name], strict=True)
    for name in rows.statistics:
        np.testing.assert_array_equal(rows.statistics[name], found.statistics[name], strict=True)


def _edit(folder: Folder, column: str, keep: bool) -> None:
    """Add 1 to a column of the index file; ``keep``: with the digest made anew, as who wants to deceive would."""
    path = Path(folder.path) / INDEX
    table = pq.read_table(path)
    values = [value + 1 for value in table[column].to_pylist()]
    at = table.column_names.index(column)
    edited = table.set_column(at, table.schema.field(column), [values])
    if keep:
        digest = fingerprint_of(edited, table.column_names).encode()
        edited = edited.replace_schema_metadata({**table.schema.metadata, DIGEST: digest})
    pq.write_table(edited, path)


def test_an_index_file_that_was_changed_is_refused(stored: Folder, copies: Path) -> None:
    """By its digest; one with a digest made anew when the signals are mapped, since the rows say otherwise."""
    write_index(stored, read_card(stored))
    _edit(stored, "start_s", keep=False)
    with pytest.raises(
        RaylabError, match=r"index.parquet was changed after it was written. What to do: remove .*index.parquet"
    ):
        read_index(stored)
    write_index(stored, read_card(stored))
    _edit(stored, "start_s", keep=True)
    read_index(stored)
    with pytest.raises(RaylabError, match=r"index.parquet is not that of the windows of participant A. What to do: remove"):
        map_windows(stored)
    (Path(stored.path) / INDEX).unlink()
    _equal(map_windows(stored)[0], read_windows(stored))


def test_an_index_of_other_windows_is_passed_over(stored: Folder) -> None:
    """Left over beside windows that were prepared again by an older raylab: the rows themselves are read."""
    card = read_card(stored)
    write_index(stored, card.changed(fingerprint="of others"))
    assert len(read_index(stored).window) == sum(entry.windows for entry in card.participants)


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
import pyarrow.dataset, pyarrow.parquet
from raylab.files import Folder
from raylab.hashing import hash_array
from raylab.windows.dataset import read_windows
from raylab.windows.mapped import map_windows

large, small, allowed_mib = sys.argv[1], sys.argv[2], int(sys.argv[3])
read_windows(Folder(small)), map_windows(Folder(small))  # what is loaded at the first use
status = Path("/proc/self/status").read_text()
baseline = int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (baseline + allowed_mib * 2**20,) * 2)
signals = map_windows(Folder(large))[0].signals["a"]
print(hash_array(np.array([x.sum(dtype=np.float64) for x in np.array_split(signals, len(signals) // 64)])), signals.nbytes)
try:
    read_windows(Folder(large))
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.slow
def test_windows_three_times_larger_than_the_memory_allowed(tmp_path: Path, copies: Path) -> None:
    """A process that may allocate 32 MiB copies, checks and maps 96 MiB of windows, and sums what this process sums; it cannot hold them."""
    allowed_mib, length, people = 32, 1024, 48
    count = 3 * allowed_mib * 2**20 // (4 * length * people)
    for name, windows in (("large", count), ("small", 4)):
        made = make_windows({f"P{k:02d}": [0, 1] * (windows // 2) for k in range(people)}, length=length)
        a = made.index.card.channels[0]
        store(with_card(replace(made, signals={"a": made.signals["a"]}), channels=(a,)), tmp_path / name)
    expected = read_windows(Folder(tmp_path / "large")).signals["a"]
    sums = hash_array(np.array([x.sum(dtype=np.float64) for x in np.array_split(expected, len(expected) // 64)]))
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "large"), str(tmp_path / "small"), str(allowed_mib)]
    # Arrow's own allocator reserves a GiB at once, and each thread a stack of 8 MiB: both count although nothing uses them
    own = {"ARROW_DEFAULT_MEMORY_POOL": "system", "ARROW_IO_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    environment = {**os.environ, **own}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    digest, size, held = done.stdout.split()
    assert (sums, expected.nbytes) == (digest, int(size))
    assert 3 * allowed_mib * 2**20 <= int(size)
    assert held in ("ArrowMemoryError", "MemoryError", "RaylabError")
