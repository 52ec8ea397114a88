"""Signals on a node's own disk, one array a channel, mapped into memory: nobody holds them, and all processes of a node share the pages in use.

Prepared windows are Parquet, a file a participant: compressed, checked, read from anywhere. They cannot be mapped. So the first process of a
node that needs them writes a copy of their signals, one participant after the other, and checks each against the card; everybody after it maps
the copy. A copy is a folder with ``N.npy`` (n_windows, length, n_features) of the N-th channel, ``N.steps.npy`` if its length varies, and
``copy.json``, which has digests of these files. Why not Arrow's own files: docs/decisions/0031-scale.md.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.files import Folder, cache_folder
from raylab.hashing import hash_record
from raylab.windows.channel_card import ChannelCard
from raylab.windows.dataset import (
    WindowIndex,
    Windows,
    has_rows,
    lengths_of,
    read_index,
    read_participant,
    signals_of,
)
from raylab.windows.index_file import INDEX, remedy

LAYOUT = 1  # raised if a copy's files mean something else
DIGESTS = "copy.json"  # written last
LOCK = "lock"  # in the folder of the copies of some windows; its time says when they were last opened
UNUSED_S = 30 * 86400.0  # after which copies are removed when another is made
FOLDER = "RAYLAB_WINDOWS_CACHE"  # the environment variable that names the folder of copies

Array = npt.NDArray[Any]
WriteSignals = Callable[["CopyWriter"], None]


def copies_folder() -> Path:
    """The folder of this node's copies: ``RAYLAB_WINDOWS_CACHE``, or ``windows`` in raylab's cache; it should lie on a disk of the node's own."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else cache_folder() / "windows"


@dataclass(frozen=True)
class CopyName:
    """Which copy of which windows, the same on every node.

    Attributes:
        windows: digest of where the windows lie. A copy replaces earlier ones of the same windows.
        state: digest of what they are: their fingerprint, and sizes and times of their files.
    """

    windows: str
    state: str

    @property
    def place(self) -> Path:
        """The copy's folder on this node."""
        return copies_folder() / self.windows / self.state

    @property
    def checked(self) -> Path:
        """The file that says which copy was checked, and for which start."""
        return self.place.parent / "checked"


class _Column:
    """One ``.npy`` file that grows by rows."""

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        self.path, self.dtype, self.shape, self.rows = path, np.dtype(dtype), shape, 0
        self.digest, self.file, header = hashlib.sha256(), path.open("wb"), io.BytesIO()
        write_header: Any = np.lib.format.write_array_header_1_0  # it has no types
        write_header(header, {"descr": self.dtype.str, "fortran_order": False, "shape": shape})
        self._write(header.getbuffer())

    def add(self, values: Array) -> None:
        assert values.shape[1:] == self.shape[1:], self.path
        self._write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self.rows += len(values)

    def _write(self, data: memoryview) -> None:
        self.file.write(data)
        self.digest.update(data)

    def digest_of_all(self) -> str:
        assert self.rows == self.shape[0], self.path
        return self.digest.hexdigest()


class CopyWriter:
    """Takes the signals of all windows, in the order of the index, and writes them to a folder.

    Args:
        folder: that is there and empty.
        rows: number of windows.
        channels: of the windows.
    """

    def __init__(self, folder: Path, rows: int, channels: tuple[ChannelCard, ...]) -> None:
        self.folder, self.columns, self.files = folder, dict[str, _Column](), contextlib.ExitStack()
        for number, channel in enumerate(channels):
            shape = (rows, channel.length, channel.n_features)
            self.columns[channel.name] = _Column(folder / f"{number}.npy", "<f4", shape)
            if channel.variable:
                self.columns[f"n_{channel.name}"] = _Column(folder / f"{number}.steps.npy", "<i4", (rows,))
        for column in self.columns.values():
            self.files.enter_context(column.file)

    def __enter__(self) -> "CopyWriter":
        return self

    def __exit__(self, *failure: object) -> None:
        self.files.close()

    def add(self, signals: Mapping[str, Array], lengths: Mapping[str, Array]) -> None:
        """The next windows."""
        for name, values in signals.items():
            self.columns[name].add(values)
        for name, steps in lengths.items():
            self.columns[f"n_{name}"].add(steps)

    def finish(self) -> None:
        """All windows are there."""
        self.files.close()
        digests = {column.path.name: column.digest_of_all() for column in self.columns.values()}
        (self.folder / DIGESTS).write_text(json.dumps(digests), encoding="utf-8")


def map_windows(folder: Folder, check: str = "") -> tuple[Windows, CopyName]:
    """The windows, their signals mapped from this node's copy, which is made if there is none of these files, and checked if there is.

    Args:
        check: see ``ensure_copy``.

    Raises:
        RaylabError: as ``raylab.windows.dataset.read_windows``, or if the copy cannot be written.
    """
    index = read_index(folder)
    state = hash_record([LAYOUT, index.fingerprint, sorted(folder.stamps().items())])
    name = CopyName(hash_record(folder.uri), state)
    ensure_copy(name, index, lambda writer: _write(folder, index, writer), check)
    return mapped(name, index), name


def _write(folder: Folder, index: WindowIndex, writer: CopyWriter) -> None:
    card, first = index.card, 0
    for entry in card.participants:
        table = read_participant(folder, card, entry)
        rows = slice(first, first + entry.windows)
        if not has_rows(index, rows, table):
            raise RaylabError(f"{folder.uri}/{INDEX} is not that of the windows of participant {entry.name}. {remedy(folder)}")
        writer.add(signals_of(folder, table, card), lengths_of(table, card))
        first = rows.stop


def mapped(name: CopyName, index: WindowIndex) -> Windows:
    """The windows of an index, their signals mapped from a copy that is there."""
    return Windows(index, *mapped_signals(name, index.card.channels))


def mapped_signals(name: CopyName, channels: tuple[ChannelCard, ...]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Signals and lengths (as ``Windows`` has them) of a copy that is there. Signals are read when they are used, and cannot be written to."""
    signals, lengths = {}, {}
    for number, channel in enumerate(channels):
        signals[channel.name] = np.asarray(np.load(name.place / f"{number}.npy", mmap_mode="r"))
        if channel.variable:
            lengths[channel.name] = np.load(name.place / f"{number}.steps.npy")
    return signals, lengths


def is_checked(name: CopyName, check: str) -> bool:
    """Whether a process of this node has made or checked the copy under this name of a check."""
    with contextlib.suppress(OSError):
        return bool(check) and name.checked.read_text(encoding="utf-8") == f"{name.state} {check}" and name.place.is_dir()
    return False


def ensure_copy(name: CopyName, index: WindowIndex, write: WriteSignals, check: str = "") -> None:
    """Make the copy unless there is a sound one. Of the processes of a node that want it at once, one makes it and the others wait.

    Args:
        write: gives the signals of all windows to the copy.
        check: name of a run's start; a copy that was made or checked for it is not read again. Empty: it is.

    Raises:
        RaylabError: if there is no room, or the folder cannot be written; it says how to give another one.
    """
    try:
        with _alone(name):
            if is_checked(name, check):
                return
            if not is_sound(name):
                _replace(name, index, write)
            if check:
                name.checked.write_text(f"{name.state} {check}", encoding="utf-8")
    except OSError as error:
        raise RaylabError(
            f"the signals of {index.name} cannot be copied to {name.place.parent} ({error.strerror or error}); name another folder on a disk of this "
            f"node: {FOLDER}=DIR"
        ) from error


def _replace(name: CopyName, index: WindowIndex, write: WriteSignals) -> None:
    _remove_unused()
    for older in [path for path in name.place.parent.iterdir() if path.is_dir()]:
        shutil.rmtree(older)  # of files that have changed since, or left half written; who maps it keeps its pages
    needed = sum(4 * len(index.window) * channel.length * channel.n_features for channel in index.card.channels)
    free = shutil.disk_usage(name.place.parent).free
    if needed > free:
        raise RaylabError(
            f"the signals of {index.name} take {needed / 2**30:.1f} GiB on the disk of this node, and {name.place.parent} has "
            f"{free / 2**30:.1f} GiB left; name a folder with more room: {FOLDER}=DIR"
        )
    partial = name.place.with_name(f"{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir()
    try:
        with CopyWriter(partial, len(index.window), index.card.channels) as writer:
            write(writer)
            writer.finish()
        partial.rename(name.place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_unused() -> None:
    """Remove the copies of windows that nobody has opened for long: they may be gone themselves, and they hold people's signals."""
    for lock in copies_folder().glob(f"*/{LOCK}"):
        if time.time() - lock.stat().st_mtime > UNUSED_S:
            shutil.rmtree(lock.parent, ignore_errors=True)


@contextlib.contextmanager
def _alone(name: CopyName) -> Iterator[None]:
    """Inside the block no other process of this node makes a copy of these windows."""
    name.place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # signals are nobody else's to read
    with (name.place.parent / LOCK).open("w") as file:
        os.utime(file.fileno())  # when it was last used
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_sound(name: CopyName) -> bool:
    """Whether the copy is there, and its files are those that were written: all bytes are read."""
    with contextlib.suppress(OSError, ValueError):
        digests = json.loads((name.place / DIGESTS).read_text(encoding="utf-8"))
        return all(_digest(name.place / file) == digest for file, digest in digests.items())
    return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
