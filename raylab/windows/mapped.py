"""Signals on a node's own disk, one array a channel, mapped into memory: nobody holds them, and all processes of a node share the pages in use.

Prepared windows are Parquet, a file a participant: compressed, checked, read from anywhere. They cannot be mapped. So the first process of a
node that needs them writes a copy of their signals, one participant after the other, and checks each against the card; everybody after it maps
the copy. A copy is a folder with ``N.samples`` of the N-th channel, float32 (n_samples, n_features): its windows one after the other, and what two
of them share once (``raylab.windows.overlapping``), with ``N.first.npy`` if any do; ``N.steps.npy`` if its length varies; and ``copy.json``, which
has digests of these files. Why not Arrow's own files: docs/decisions/0031-scale.md.
"""

import contextlib
import fcntl
import hashlib
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
from raylab.windows.overlapping import CutWindows, SamplesWriter, moved

LAYOUT = 2  # raised if a copy's files mean something else
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


class CopyWriter:
    """Takes the signals of all windows, in the order of the index, and writes them to a folder.

    Args:
        folder: that is there and empty.
        index: of the windows.
    """

    def __init__(self, folder: Path, index: WindowIndex) -> None:
        self.folder, self.index, self.row = folder, index, 0
        self.files = contextlib.ExitStack()
        self.samples, self.steps = dict[str, SamplesWriter](), dict[str, list[Array]]()
        for number, channel in enumerate(index.card.channels):
            writer = SamplesWriter(folder / f"{number}.samples", channel.length, channel.n_features)
            self.samples[channel.name] = writer
            self.files.enter_context(writer.file)

    def __enter__(self) -> "CopyWriter":
        return self

    def __exit__(self, *failure: object) -> None:
        self.files.close()

    def add(self, signals: Mapping[str, Array], lengths: Mapping[str, Array]) -> None:
        """The next windows."""
        rows = slice(self.row, self.row + len(next(iter(signals.values()))))
        for name, values in signals.items():
            self.samples[name].add(values, moved(self.index, rows, self.samples[name].length))
        for name, steps in lengths.items():
            self.steps.setdefault(name, []).append(steps)
        self.row = rows.stop

    def finish(self) -> None:
        """All windows are there."""
        assert self.row == len(self.index.window), self.folder
        self.files.close()
        digests = {}
        for number, (name, writer) in enumerate(self.samples.items()):
            digests[writer.path.name] = writer.digest.hexdigest()
            arrays = {"first": writer.places()} | (
                {"steps": np.concatenate(self.steps[name]).astype("<i4")} if name in self.steps else {}
            )
            for kind, values in arrays.items():
                if values is not None:
                    path = self.folder / f"{number}.{kind}.npy"
                    np.save(path, values)
                    digests[path.name] = _digest(path)
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
    """Signals and lengths (as ``Windows`` has them) of a copy that is there. Signals are read when they are used, and cannot be written to. Where
    windows overlap ``CutWindows`` stand for their array."""
    signals, lengths = dict[str, Any](), dict[str, Array]()
    for number, channel in enumerate(channels):
        samples = np.asarray(np.memmap(name.place / f"{number}.samples", "<f4", "r")).reshape(-1, channel.n_features)
        if (first := name.place / f"{number}.first.npy").exists():
            signals[channel.name] = CutWindows(samples, np.load(first, mmap_mode="r"), channel.length)
        else:
            signals[channel.name] = samples.reshape(-1, channel.length, channel.n_features)
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
    everything = slice(0, len(index.window))
    needed = sum(
        4 * channel.n_features * int(moved(index, everything, channel.length).sum()) for channel in index.card.channels
    )
    free = shutil.disk_usage(name.place.parent).free
    if needed > free:
        raise RaylabError(
            f"the signals of {index.name} take at least {needed / 2**30:.1f} GiB on the disk of this node, and {name.place.parent} has "
            f"{free / 2**30:.1f} GiB left; name a folder with more room: {FOLDER}=DIR"
        )
    partial = name.place.with_name(f"{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir()
    try:
        with CopyWriter(partial, index) as writer:
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
