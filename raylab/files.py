"""Folders on a local path, a mount or an object store, behind one small class (pyarrow.fs)."""

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs


class Folder:
    """A folder at a local path or a URI that pyarrow.fs knows (s3://, gs://, file://).

    A write is never seen half done: on a local path it goes to a temporary name and is renamed; an object store
    shows an object only when it is complete.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        text = os.fspath(where)
        if "://" in text:
            self.system, self.path = fs.FileSystem.from_uri(text)
            self.uri = text.rstrip("/")
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
        return Folder(f"{self.uri}/{name}")

    def exists(self, name: str) -> bool:
        return bool(self.system.get_file_info(self.at(name)).type != fs.FileType.NotFound)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Names of the files directly in a sub-folder that end in suffix, sorted; none where the sub-folder is absent."""
        selector = fs.FileSelector(self.at(folder), allow_not_found=True)
        infos = self.system.get_file_info(selector)
        return sorted(i.base_name for i in infos if i.type == fs.FileType.File and i.base_name.endswith(suffix))

    def folders(self, folder: str) -> list[str]:
        """Names of the sub-folders directly in a sub-folder, sorted."""
        infos = self.system.get_file_info(fs.FileSelector(self.at(folder), allow_not_found=True))
        return sorted(i.base_name for i in infos if i.type == fs.FileType.Directory)

    def read(self, name: str) -> bytes:
        with self.system.open_input_stream(self.at(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        with self._complete(name) as path, self.system.open_output_stream(path) as stream:
            stream.write(data)

    def read_json(self, name: str) -> Any:
        return json.loads(self.read(name))

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
        ValueError: naming the path and the remedy.
    """
    text = os.fspath(root)
    if Path(name).is_absolute() or "://" in name or ".." in Path(name).parts:
        raise ValueError(f"path {name!r} leaves its folder; give a path inside {text}, or another root on the command line")
    if "://" in text:
        return f"{text.rstrip('/')}/{name}"
    base = Path(text).resolve()
    if not (base / name).resolve().is_relative_to(base):
        raise ValueError(f"path {name!r} is a link out of {base}; give a path inside it, or another root on the command line")
    return str(base / name)
