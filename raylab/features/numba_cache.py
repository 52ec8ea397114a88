"""What numba compiles for librosa: filled once per machine by one process, checked when it is used, and never written to after that.

numba writes an index and then the code that it names, in two steps: two processes that compile at once leave an index that names the other's
code, and every later process that loads it ends in a segmentation fault. So raylab does not use the cache that lies among librosa's
files. A child process fills a folder of its own, which gets its name when it is complete, with the SHA-256 of every file; processes that start
at once wait for one of them. A folder whose files do not match is removed and filled again. Whatever a process compiles besides stays in its memory.

The folder is ``NUMBA_CACHE_DIR`` or that of ``raylab.files.cache_folder``, ``numba-KEY``; KEY stands for the versions, the place of librosa and the
processor.
"""

import atexit
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from raylab.files import cache_folder

SEAL = "sha256.json"  # name of each file to its digest; the last file that is written
WAIT_S = 600.0  # for the process that fills the folder: seconds on an idle machine, minutes on a busy one
FILL = "raylab.features.fill_numba_cache"  # the program that fills a folder

_lock = threading.Lock()
_in_use: list[Path] = []


def root() -> Path:
    """The folder that the caches lie in."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    return Path(given) if given else cache_folder()


def folder() -> Path:
    """The cache of this machine and these versions; it need not exist."""
    return root() / f"numba-{_key()}"


def use() -> None:
    """Make numba read the checked cache, before the first import of librosa in this process; does nothing when called again.

    Without a folder that can be written, or if it cannot be filled, this process compiles for itself: slower, and as correct.
    """
    with _lock:
        if _in_use:
            return
        try:
            place = _filled(folder())
        except (OSError, subprocess.SubprocessError, RuntimeError):  # RuntimeError: no home folder
            place = Path(tempfile.mkdtemp(prefix="raylab-numba-"))
            atexit.register(shutil.rmtree, place, ignore_errors=True)
        read_only(place)


def read_only(place: Path, filling: bool = False) -> None:
    """Point numba at a folder; unless ``filling``, nothing is saved there."""
    config: Any = import_module("numba").config
    cache: Any = import_module("numba.core.caching").Cache
    _in_use.append(place)
    config.CACHE_DIR = str(place)
    if filling:
        return
    save = cache.save_overload

    def save_elsewhere_only(self: Any, sig: Any, data: Any) -> None:
        if not Path(self.cache_path).is_relative_to(place):
            save(self, sig, data)

    cache.save_overload = save_elsewhere_only


def is_sound(place: Path) -> bool:
    """Whether a folder is complete and every file is the one that was written."""
    try:
        sealed = json.loads((place / SEAL).read_bytes())
        return bool(sealed) and sealed == _digests(place)
    except (OSError, ValueError):
        return False


def seal(place: Path) -> None:
    """Write down the digest of every file."""
    (place / SEAL).write_text(json.dumps(_digests(place)), encoding="utf-8")


def _digests(place: Path) -> dict[str, str]:
    files = sorted(path for path in place.rglob("*.nb[ic]"))
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _key() -> str:
    """Hash of what compiled code depends on. numba would find out that code is not for this machine, and compile again in every process."""
    binding: Any = import_module("llvmlite.binding")
    spec = importlib.util.find_spec("librosa")
    source = Path(spec.origin).parent if spec and spec.origin else Path()
    changed = [
        file.stat().st_mtime_ns for file in (source / "core" / "pitch.py", source / "util" / "utils.py") if file.is_file()
    ]
    versions = [importlib.metadata.version(name) for name in ("librosa", "numba", "llvmlite", "numpy")]
    machine = [sys.version, binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()]
    return hashlib.sha256(repr((versions, str(source), changed, machine)).encode()).hexdigest()[:16]


def _filled(place: Path) -> Path:
    """The folder, filled by this process, by another one that it waits for, or long ago.

    Raises:
        OSError: if it cannot be written, or another process does not come to an end with it.
        SubprocessError: if the process that fills it fails.
    """
    if is_sound(place):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with _alone(place.with_suffix(".lock")):
        if is_sound(place):  # another process has filled it meanwhile
            return place
        for left in place.parent.glob(f"{place.name}.*/"):  # by processes that were killed while they filled it
            shutil.rmtree(left, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=place.parent))
        try:
            _fill(new)
            shutil.rmtree(place, ignore_errors=True)  # it is damaged
            new.rename(place)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return place


def _fill(place: Path) -> None:
    """Let a child process compile into an empty folder, and seal it."""
    search = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    environment = {**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", FILL, str(place)]
    subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=WAIT_S, check=True)
    if not is_sound(place):
        raise OSError(f"{place} was not filled")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a file's lock inside the block; the system gives it back if the process dies.

    Raises:
        OSError: if another process holds it for ``WAIT_S``, or the file system has no locks.
    """
    until = time.monotonic() + WAIT_S
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.1)
        yield
