"""Folders on a local path, a mount or an object store, behind one small class (pyarrow.fs).

All files of raylab's runs and datasets go through it, so that a run works on a laptop and in a bucket alike. Names of files are relative to
the folder, with ``/`` between parts.
"""

import contextlib
import copy
import errno
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raylab.errors import InvalidValueError
from raylab.names import printable

READERS = 16  # simultaneous requests to an object store
ANSWER_S = 20.0  # that an object store may take for an answer: pyarrow gives up after 3 s, which a busy one needs for a page of a long listing


@cache
def _file_system(uri: str) -> tuple[fs.FileSystem, str]:
    """File system and path of a URI; cached, because opening one may ask the store for its region."""
    parts = urlsplit(uri)
    if parts.scheme == "s3" and "allow_delayed_open" not in parts.query:
        # a small object is written by one request instead of three
        uri = urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, "allow_delayed_open=true"]))))
    try:
        system, path = fs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid as error:  # a scheme that pyarrow does not know
        raise InvalidValueError(f"{uri} is no path or URI that can be opened: {error}") from error
    return _patient(system), str(path)


def _patient(system: fs.FileSystem) -> fs.FileSystem:
    """An S3 file system that waits ``ANSWER_S`` for an answer; any other as it is.

    A URI cannot say so, so the file system is made again from its own options, as when it is pickled."""
    if system.type_name != "s3":
        return system
    make, (options,) = system.__reduce__()
    return make({**options, "request_timeout": ANSWER_S})


def _path_problem(path: str) -> str:
    """Why a path cannot be opened whatever is there; empty if it can. pyarrow takes UTF-8 only."""
    if not path:
        return "it is empty"
    if "\0" in path:
        return "it holds a NUL character"
    surrogates = any("\ud800" <= letter <= "\udfff" for letter in path)
    return "it holds bytes that are no UTF-8; rename the folder" if surrogates else ""


def join(root: str, name: str) -> str:
    """``root``/``name`` for a path or a URI; the options of a URI, after its ``?``, stay at the end."""
    if "://" not in root:
        return f"{root.rstrip('/')}/{name}"
    parts = urlsplit(root)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def _damaged(path: str, error: Exception) -> str:
    """The sentence for a file that cannot be read."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{path} is damaged: {reason}. What to do: restore the file, or remove it and give the command that wrote it again"


class Folder:
    """A folder at a local path or a URI that pyarrow.fs knows (s3://, gs://, file://).

    A file is never seen half written: on a local path it is written under a temporary name and then renamed, and an object store shows an
    object only when it is complete. So readers need no locks, and a process that is killed leaves no damaged file.

    Attributes:
        uri: the folder as text, from which it can be opened again.
        path: its path within ``system``.
        system: pyarrow's file system.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        text = os.fspath(location)
        if problem := _path_problem(text):
            raise InvalidValueError(f"{printable(text)} is no path that can be opened: {problem}")
        if "://" in text:
            self.system, self.path = _file_system(text)
            self.uri = text
        else:
            self.system, self.path = fs.LocalFileSystem(), str(Path(text).absolute())
            self.uri = self.path

    def __repr__(self) -> str:
        return f"Folder({self.uri})"

    @property
    def is_local(self) -> bool:
        """Whether it is a path of this machine (a mount included), not an object store."""
        return isinstance(self.system, fs.LocalFileSystem)

    def at(self, name: str) -> str:
        """Path of a file within the file system; that of the folder itself for an empty name."""
        return f"{self.path}/{name}" if name else self.path

    def sub(self, name: str) -> "Folder":
        """A folder inside this one; it need not exist."""
        inner = copy.copy(self)
        inner.path, inner.uri = self.at(name), join(self.uri, name)
        return inner

    def exists(self, name: str) -> bool:
        """Whether there is a file or a folder of this name."""
        return bool(self.system.get_file_info(self.at(name)).type != fs.FileType.NotFound)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Names of the files directly in a sub-folder that end in ``suffix``, sorted; none if there is no such sub-folder."""
        return sorted(name for name, kind in self._entries(folder) if kind == fs.FileType.File and name.endswith(suffix))

    def sizes(self, folder: str, suffix: str = "") -> dict[str, int]:
        """Bytes of the files directly in a sub-folder that end in ``suffix``, by name; one request for a thousand of them."""
        infos = self.system.get_file_info(fs.FileSelector(self.at(folder), allow_not_found=True))
        return {
            info.base_name: int(info.size)
            for info in infos
            if info.type == fs.FileType.File and info.base_name.endswith(suffix)
        }

    def file_size(self, name: str) -> int:
        """Bytes of a file; 0 if there is none."""
        info = self.system.get_file_info(self.at(name))
        return int(info.size) if info.type == fs.FileType.File else 0

    def size(self, folder: str) -> int:
        """Bytes of all files in a sub-folder and below."""
        infos = self.system.get_file_info(fs.FileSelector(self.at(folder), allow_not_found=True, recursive=True))
        return sum(int(info.size) for info in infos if info.type == fs.FileType.File)

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Bytes and modification time (ns) of every file in the folder and below, by name."""
        infos = self.system.get_file_info(fs.FileSelector(self.path, allow_not_found=True, recursive=True))
        files = (info for info in infos if info.type == fs.FileType.File)
        return {info.path.removeprefix(f"{self.path}/"): (int(info.size), int(info.mtime_ns)) for info in files}

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly in a sub-folder, sorted; none if there is no such sub-folder."""
        return sorted(name for name, kind in self._entries(folder) if kind == fs.FileType.Directory)

    def _entries(self, folder: str) -> list[tuple[str, fs.FileType]]:
        """Names and kinds of files and folders directly in a sub-folder; none if it is absent.

        Raises:
            InvalidValueError: if a name is no UTF-8: raylab did not write it.
        """
        try:
            infos = self.system.get_file_info(fs.FileSelector(self.at(folder), allow_not_found=True))
            return [(info.base_name, info.type) for info in infos]
        except UnicodeDecodeError as error:
            where = join(self.uri, folder) if folder else self.uri
            raise InvalidValueError(f"{where} holds a file or a folder whose name is no UTF-8; rename or remove it") from error
        except FileNotFoundError:  # pyarrow can raise it all the same, if the folder is being created at this moment
            return []

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: if there is none.
        """
        with self._readable(name), self.system.open_input_stream(self.at(name)) as stream:
            return bytes(stream.read())

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """The contents of many small files by name, with several requests at once to an object store.

        A file that was removed in the meantime is left out.
        """

        def read(name: str) -> bytes | None:
            with contextlib.suppress(FileNotFoundError):
                return self.read(name)
            return None

        files = list(names)
        if self.is_local:
            contents = [read(name) for name in files]
        else:
            with ThreadPoolExecutor(READERS) as pool:
                contents = list(pool.map(read, files))
        return {name: content for name, content in zip(files, contents, strict=True) if content is not None}

    def write(self, name: str, data: bytes) -> None:
        """Write a file, and the folders that it is in; an existing file is replaced.

        Raises:
            OSError: if it cannot be written; it names the file.
        """
        with self._writable(name) as path, self.system.open_output_stream(path) as stream:
            stream.write(data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one; False if there is.

        Atomic on a file system: of two processes one gets True. An object store is only looked at first, so there both may.
        """
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
        """Set a file's modification time to now. On a file system this works on a full disk too."""
        if self.is_local:
            os.utime(self.at(name))
        else:
            self.write(name, self.read(name))

    def changed(self, name: str) -> float:
        """Modification time of a file: unix time in seconds, by the clock of the storage.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        info = self.system.get_file_info(self.at(name))
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, "is gone", join(self.uri, name))
        return float(info.mtime_ns) / 1e9

    def age(self, name: str) -> float:
        """Seconds since a file was last written. Clocks of machines differ, so it is compared with a file that is written now.

        Raises:
            FileNotFoundError: if there is no such file.
        """
        probe = f"{name}.{uuid.uuid4().hex[:8]}.probe"
        self.write(probe, b"now")
        try:
            return self.changed(probe) - self.changed(name)
        finally:
            self.remove(probe)

    def read_json(self, name: str) -> Any:
        """The value in a JSON file.

        Raises:
            InvalidValueError: naming the file, if it is damaged.
        """
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:  # also of bytes that are no text
            raise InvalidValueError(f"{join(self.uri, name)} is damaged: {error}") from error

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON with sorted keys, so that equal values give equal files.

        Raises:
            ValueError: if it holds NaN or infinity, which JSON has not.
        """
        self.write(name, (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())

    def read_table(self, name: str) -> pa.Table:
        """The table in a Parquet file, its pages checked against their checksums if it has any.

        Raises:
            FileNotFoundError: if there is none.
            InvalidValueError: naming the file, if it is damaged or none of Parquet.
        """
        with self._readable(name), self.system.open_input_file(self.at(name)) as file:
            # by this thread alone: Arrow's own free what they decoded at some later time
            stored = pq.ParquetFile(file, pre_buffer=not self.is_local, page_checksum_verification=True)
            return stored.read(use_threads=False)

    @contextlib.contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        """Inside the block a file is read; an error that does not name it becomes one that does.

        Raises:
            InvalidValueError: if pyarrow cannot make sense of the content.
            OSError: if the storage fails.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            path = join(self.uri, name)
            if error.errno is not None:
                raise OSError(error.errno, f"cannot read {path}: {error.strerror or error}") from error
            raise InvalidValueError(
                _damaged(path, error)
            ) from error  # so pyarrow says of a Parquet file that is cut or flipped
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise InvalidValueError(_damaged(join(self.uri, name), error)) from error

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table as a Parquet file."""
        with self._writable(name) as path:
            pq.write_table(table, path, filesystem=self.system, write_page_checksum=True)

    def remove(self, name: str) -> None:
        """Remove a file or a whole sub-folder; no error if there is none."""
        info = self.system.get_file_info(self.at(name))
        if info.type == fs.FileType.Directory:
            self.system.delete_dir(self.at(name))
        elif info.type == fs.FileType.File:
            self.system.delete_file(self.at(name))

    @contextlib.contextmanager
    def _writable(self, name: str) -> Any:
        """A path to write to inside the block; the file appears under its name at the end of the block.

        Raises:
            OSError: if it cannot be written; pyarrow's own message does not always name the file.
        """
        try:
            with self._temporary(name) as path:
                yield path
        except OSError as error:
            raise OSError(error.errno, f"cannot write {join(self.uri, name)}: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _temporary(self, name: str) -> Any:
        """The path of a temporary file, which is renamed at the end of the block and removed after an error; on an object store the
        path itself, which shows the object only when it is complete."""
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


def cache_folder() -> Path:
    """The folder of what can be made again on this machine, ``raylab`` among the user's caches; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raylab"


def within(root: str | os.PathLike[str], name: str) -> str:
    """``root``/``name``, for a name that comes from a file or a user and must stay inside the root.

    Raises:
        InvalidValueError: if the name is absolute, has ``..`` in it or is a link out of the root; it names the path and the remedy.
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
