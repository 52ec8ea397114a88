"""Folders on a local path, a mount or an object store, behind one small class (pyarrow.fs)."""

import contextlib
import copy
import errno
import json
import os
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raylab.errors import InvalidValueError

READERS = 16  # requests to an object store under way at once


@cache
def _opened(uri: str) -> tuple[fs.FileSystem, str]:
    """File system and path of a URI; kept, because opening one may ask the store where it lives."""
    try:
        system, path = fs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid as error:  # a scheme that pyarrow does not know
        raise InvalidValueError(f"{uri} is no path or URI that can be opened: {error}") from error
    return system, str(path)


def join(where: str, name: str) -> str:
    """``where``/``name`` for a path or a URI; options behind a ``?`` stay at the end."""
    if "://" not in where:
        return f"{where.rstrip('/')}/{name}"
    parts = urlsplit(where)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


class Folder:
    """A folder at a local path or a URI that pyarrow.fs knows (s3://, gs://, file://).

    A write is never seen half done: on a local path it goes to a temporary name and is renamed; an object store
    shows an object only when it is complete.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        text = os.fspath(where)
        if "://" in text:
            self.system, self.path = _opened(text)
            self.uri = text
        else:
            self.system, self.path = fs.LocalFileSystem(), str(Path(text).absolute())
            self.uri = self.path

    def __repr__(self) -> str:
        return f"Folder({self.uri})"

    @property
    def is_local(self) -> bool:
        return isinstance(self.system, fs.LocalFileSystem)

    def at(self, name: str) -> str:
        return f"{self.path}/{name}" if name else self.path

    def sub(self, name: str) -> "Folder":
        inner = copy.copy(self)
        inner.path, inner.uri = self.at(name), join(self.uri, name)
        return inner

    def exists(self, name: str) -> bool:
        return bool(self.system.get_file_info(self.at(name)).type != fs.FileType.NotFound)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Names of the files directly in a sub-folder that end in suffix, sorted; none where the sub-folder is absent."""
        return sorted(i.base_name for i in self._inside(folder) if i.type == fs.FileType.File and i.base_name.endswith(suffix))

    def folders(self, folder: str) -> list[str]:
        """Names of the sub-folders directly in a sub-folder, sorted."""
        return sorted(i.base_name for i in self._inside(folder) if i.type == fs.FileType.Directory)

    def _inside(self, folder: str) -> list[fs.FileInfo]:
        try:
            return list(self.system.get_file_info(fs.FileSelector(self.at(folder), allow_not_found=True)))
        except FileNotFoundError:  # a folder that comes into being while it is looked for: pyarrow finds it half the time
            return []

    def read(self, name: str) -> bytes:
        with self.system.open_input_stream(self.at(name)) as stream:
            return bytes(stream.read())

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Many small files, several at once where each is a request; one that vanished meanwhile is left out."""

        def read(name: str) -> bytes | None:
            with contextlib.suppress(FileNotFoundError):
                return self.read(name)
            return None

        wanted = list(names)
        if self.is_local:
            contents = [read(name) for name in wanted]
        else:
            with ThreadPoolExecutor(READERS) as pool:
                contents = list(pool.map(read, wanted))
        return {name: content for name, content in zip(wanted, contents, strict=True) if content is not None}

    def write(self, name: str, data: bytes) -> None:
        with self._complete(name) as path, self.system.open_output_stream(path) as stream:
            stream.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one; False if there is. Atomic on a file system; an object store is only looked at first."""
        if not self.is_local:
            if self.exists(name):
                return False
            self.write(name, data)
            return True
        path = Path(self.at(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def touch(self, name: str) -> None:
        """Renew a file's time of change. On a file system this works on a full disk too."""
        if self.is_local:
            os.utime(self.at(name))
        else:
            self.write(name, self.read(name))

    def changed(self, name: str) -> float:
        """When a file was last written: unix time, by the storage's clock."""
        info = self.system.get_file_info(self.at(name))
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, "is gone", join(self.uri, name))
        return float(info.mtime_ns) / 1e9

    def age(self, name: str) -> float:
        """Seconds since a file was last written, measured against a file written now: the clocks of machines differ."""
        probe = f"{name}.{uuid.uuid4().hex[:8]}.probe"
        self.write(probe, b"now")
        try:
            return self.changed(probe) - self.changed(name)
        finally:
            self.remove(probe)

    def read_json(self, name: str) -> Any:
        """A JSON file's content.

        Raises:
            InvalidValueError: naming the file, if it is damaged.
        """
        try:
            return json.loads(self.read(name))
        except ValueError as error:  # also of bytes that are no text
            raise InvalidValueError(f"{join(self.uri, name)} is damaged: {error}") from error

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())

    def read_table(self, name: str) -> pa.Table:
        with self.system.open_input_file(self.at(name)) as file:
            return pq.read_table(file)

    def write_table(self, name: str, table: pa.Table) -> None:
        with self._complete(name) as path:
            pq.write_table(table, path, filesystem=self.system)

    def remove(self, name: str) -> None:
        """Remove a file or a whole sub-folder; nothing happens where it is absent."""
        info = self.system.get_file_info(self.at(name))
        if info.type == fs.FileType.Directory:
            self.system.delete_dir(self.at(name))
        elif info.type == fs.FileType.File:
            self.system.delete_file(self.at(name))

    @contextlib.contextmanager
    def _complete(self, name: str) -> Any:
        """A path to write to; what is written stands under its name only when it is complete.

        Raises:
            OSError: naming the file.
        """
        try:
            with self._unseen(name) as path:
                yield path
        except OSError as error:
            raise OSError(error.errno, f"cannot write {join(self.uri, name)}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _unseen(self, name: str) -> Any:
        target = self.at(name)
        if not self.is_local:
            yield target
            return
        self.system.create_dir(str(Path(target).parent), recursive=True)
        temporary = f"{target}.{uuid.uuid4().hex[:8]}.partial"
        try:
            yield temporary
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)


def within(root: str | os.PathLike[str], name: str) -> str:
    """``root``/``name``, refused where the name is absolute, climbs with ``..`` or follows a link out of the root.

    Raises:
        InvalidValueError: naming the path and the remedy.
    """
    text = os.fspath(root)
    if Path(name).is_absolute() or "://" in name or ".." in Path(name).parts:
        raise InvalidValueError(
            f"path {name!r} leaves its folder; give a path inside {text}, or another root on the command line"
        )
    if "://" in text:
        return join(text, name)
    base = Path(text).resolve()
    if not (base / name).resolve().is_relative_to(base):
        raise InvalidValueError(
            f"path {name!r} is a link out of {base}; give a path inside it, or another root on the command line"
        )
    return str(base / name)
