"""A reader with every fault that there is, by which the fuzzer itself is tested."""

import os
import signal
import time
from pathlib import Path

from benchmarks.fuzz.reader import FuzzedReader
from raylab.errors import RaylabError


def _write(folder: Path) -> None:
    (folder / "input.txt").write_text("fine", encoding="utf-8")


def _read(folder: Path) -> str:
    """Do what the file says."""
    path = folder / "input.txt"
    word = path.read_bytes().split()[:1]
    if word == [b"crash"]:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == [b"hang"]:
        time.sleep(1000)
    elif word == [b"memory"]:
        bytearray(os.urandom(1)) * 300_000_000
    elif word == [b"more"]:
        bytearray(b"x") * 3_000_000_000
    elif word == [b"error"]:
        raise TypeError("a fault in raylab")
    elif word == [b"unnamed"]:
        raise RaylabError("something is wrong somewhere")
    elif word == [b"long"]:
        raise RaylabError(f"{path} is wrong: " + "x" * 10_000)
    elif word == [b"refused"]:
        raise RaylabError(f"{path} is wrong")
    return str(word)


READERS = {"faults": FuzzedReader("a reader with every fault", _write, ("input.txt",), _read, notices_all=True)}
