"""One driver per run folder: a lease that its holder renews, and that passes on when the holder falls silent.

``lease/000007.json`` says who holds the folder; its time of change is the last sign of life. Numbers only rise and the highest one
holds, so a driver that was suspended and taken over finds a higher number than its own, and stops. Creating a number is atomic on a
file system: of two drivers that start at once one wins. An object store has no such step: there the lease is advisory (the last of two
that write at once wins, both look again after a moment, and the loser of a slower race stops at its next renewal).
"""

import contextlib
import getpass
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raylab.errors import RaylabError
from raylab.files import Folder

FOLDER = "lease"
LEASE_TIMEOUT_S = 60.0  # a holder that was not heard of for so long has lost the folder
HEARTBEAT_S = 10.0
SETTLE_S = 1.0  # on an object store: how long a rival's write may take to show
ATTEMPTS = 5


class RunHeldError(RaylabError):
    """Another driver holds the run folder."""


class LeaseLostError(RaylabError):
    """Another driver took the run folder over."""


@dataclass(frozen=True)
class LeaseOwner:
    """Who holds, or held, a run folder.

    Attributes:
        since: UTC, ISO 8601.
        machine: equal where process numbers mean the same processes (one boot, one process namespace); empty where unknown.
        born: the process's start, so that a number used again is not taken for it.
        released: whether it let go by itself.
    """

    id: str
    host: str
    pid: int
    user: str
    since: str
    machine: str
    born: str
    released: bool = False

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since}"

    @property
    def gone(self) -> bool:
        """Whether its process is known to have ended: no need to wait for the silence then."""
        return bool(self.machine) and self.machine == _machine() and _born(self.pid) != self.born


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process of this machine started, in clock ticks since the boot; empty if there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        return str(os.getuid())


def _me() -> LeaseOwner:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return LeaseOwner(uuid.uuid4().hex, socket.gethostname(), os.getpid(), _user(), since, _machine(), _born(os.getpid()))


def _name(number: int) -> str:
    return f"{FOLDER}/{number:06d}.json"


def latest(folder: Folder) -> tuple[int, LeaseOwner | None]:
    """The highest number there is, and who wrote it (None: nobody ever, or one that is writing it just now)."""
    number = max((int(name.split(".")[0]) for name in folder.names(FOLDER, ".json")), default=0)
    try:
        return number, LeaseOwner(**json.loads(folder.read(_name(number))))
    except (FileNotFoundError, json.JSONDecodeError):
        return number, None


def driver(folder: Folder) -> LeaseOwner | None:
    """Who drives this folder, as far as its lease says; None where its last driver let go or is known to have ended."""
    holder = latest(folder)[1]
    return None if holder is None or holder.released or holder.gone else holder


def describe_holder(folder: Folder) -> str:
    """Who drives this folder, for people; it changes nothing there."""
    holder, number = driver(folder), latest(folder)[0]
    if holder is None:
        return "no driver"
    return f"driver: {holder}, last sign of life {max(0.0, time.time() - folder.changed(_name(number))):.0f} s ago"


class Lease:
    """Holds a run folder while the ``with`` block runs.

    Args:
        silence_s: after how much silence, by the storage's clock, a holder has lost the folder.
        beat_s: how often this one gives a sign of life.

    Raises:
        RunHeldError: on entry, naming the holder.
        LeaseLostError: from ``check`` and on leaving, if another driver took over meanwhile.
    """

    def __init__(
        self, folder: Folder, silence_s: float = LEASE_TIMEOUT_S, beat_s: float = HEARTBEAT_S, settle_s: float = SETTLE_S
    ) -> None:
        self.folder, self.silence_s, self.beat_s, self.settle_s = folder, silence_s, beat_s, settle_s
        self.me = _me()
        self.number = 0
        self.before: LeaseOwner | None = None  # whose place this one took without its having let go
        self._lost = False
        self._beaten = time.time()  # the wall clock goes on while a machine sleeps
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._go_on, daemon=True, name="lease")

    def __enter__(self) -> "Lease":
        for _ in range(ATTEMPTS):
            number, holder = latest(self.folder)
            self._refuse_if_held(number, holder)
            if self._claim(number + 1):
                self.before = holder if holder and not holder.released else None
                self._thread.start()
                return self
        raise RunHeldError(f"{self.folder.uri}: several drivers start on this run folder at once; try again")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._stop.set()
        self._thread.join()
        self._beat()
        if self._lost:
            raise LeaseLostError(self._loss()) from error
        with contextlib.suppress(OSError):  # a full disk, a store out of reach: the silence will say it
            self.folder.write_json(_name(self.number), {**asdict(self.me), "released": True})

    def check(self) -> None:
        """Refuse to go on where the folder was lost; to be called before anything is written. Costs nothing while the beat goes on."""
        if time.time() - self._beaten > self.silence_s:
            self._beat()
        if self._lost:
            raise LeaseLostError(self._loss())

    def _refuse_if_held(self, number: int, holder: LeaseOwner | None) -> None:
        if number == 0 or (holder and (holder.released or holder.gone)):
            return
        try:
            age = self.folder.age(_name(number))
        except FileNotFoundError:  # whoever took over a moment ago cleared it away: the claim will find out
            return
        if age > self.silence_s:
            return
        raise RunHeldError(
            f"{self.folder.uri} is held by {holder or 'a driver that starts just now'} (last sign of life {age:.0f} s ago); two drivers "
            f"would do the same work twice. What to do: watch it with raylab status, or stop that process; {self.silence_s:g} s after its last "
            "sign of life the same command takes over"
        )

    def _claim(self, number: int) -> bool:
        if not self.folder.create(_name(number), json.dumps(asdict(self.me)).encode()):
            return False
        if not self.folder.is_local:
            time.sleep(self.settle_s)
        self.number = number
        if not self._mine():
            return False
        for name in self.folder.names(FOLDER, ".json"):
            if int(name.split(".")[0]) < number:
                self.folder.remove(f"{FOLDER}/{name}")
        return True

    def _mine(self) -> bool:
        number, holder = latest(self.folder)
        return number == self.number and holder is not None and holder.id == self.me.id

    def _go_on(self) -> None:
        while not self._stop.wait(self.beat_s) and not self._lost:
            self._beat()

    def _beat(self) -> None:
        """A sign of life, unless the folder is another's by now. A storage that cannot be reached is tried again: nobody writes to it."""
        with self._lock:
            try:
                self._lost = self._lost or not self._mine()
                if not self._lost:
                    self.folder.touch(_name(self.number))
                self._beaten = time.time()
            except OSError:
                return

    def _loss(self) -> str:
        holder = latest(self.folder)[1]
        return (
            f"{self.folder.uri} was taken over by {holder or 'somebody who removed its lease'}; this driver (process {self.me.pid}) had not been "
            "heard of and has stopped. Nothing is lost: what its workers finished stays, and the other driver goes on"
        )
