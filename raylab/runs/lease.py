"""One driver per run folder: a lease that its holder renews, and that another driver takes over when the holder stops renewing it.

``lease/000007.json`` names the holder; its modification time is the last sign of life. Numbers only rise and the highest one counts, so
a driver that was suspended and replaced finds a higher number than its own, and stops. Creating a number is atomic on a file system: of
two drivers that start at the same time one wins. An object store has no such step, so the lease is advisory there: the last of two
simultaneous writers wins, both read the lease again after a moment, and the loser of a slower race stops at its next renewal.
"""

import contextlib
import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raylab.errors import RaylabError
from raylab.files import Folder

FOLDER = "lease"
LEASE_TIMEOUT_S = 60.0  # a holder without a sign of life for so long has lost the folder
HEARTBEAT_S = 10.0
SETTLE_S = 1.0  # on an object store: how long a rival's write may take to show
ATTEMPTS = 5
NO_DRIVER = "no driver"
UNREAD = "a driver that starts just now, or with a lease of another version of raylab"


class RunHeldError(RaylabError):
    """Another driver holds the run folder."""


class LeaseLostError(RaylabError):
    """Another driver took the run folder over."""


@dataclass(frozen=True)
class LeaseOwner:
    """The driver process that holds, or held, a run folder; the content of a lease file.

    Attributes:
        id: random, different for every lease.
        since: when the lease was taken, UTC, ISO 8601.
        machine: boot and process namespace, so that equal values mean that equal process numbers are the same process; empty if unknown.
        born: start of the process, so that a process number that is used again is not mistaken for it.
        released: whether the process gave the lease back itself.
        running: on an object store the keys of the trials that ran at the last sign of life, since a worker does not record there that a training
            starts.
    """

    id: str
    host: str
    pid: int
    user: str
    since: str
    machine: str
    born: str
    released: bool = False
    running: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since}"

    @classmethod
    def from_json(cls, content: bytes) -> "LeaseOwner":
        """The owner in a lease file. Fields that this raylab does not know, of a newer one, are passed over.

        Raises:
            ValueError: naming the field, if it is no lease.
        """
        values = json.loads(content)
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        for name, kind in LEASE_FIELDS.items():
            if name not in values and name not in OPTIONAL:
                raise ValueError(f"it has no {name}")
            if name in values and type(values[name]) is not kind:
                raise ValueError(f"its {name} is {str(values[name])[:40]!r}")
        datetime.fromisoformat(values["since"])  # ValueError if it is no time
        found = {name: values[name] for name in LEASE_FIELDS if name in values}
        return cls(**{**found, "running": tuple(map(str, found.get("running", ())))})

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended, so that the timeout need not pass first."""
        return bool(self.machine) and self.machine == _machine_id() and _process_start(self.pid) != self.born


LEASE_FIELDS = {
    "id": str, "host": str, "pid": int, "user": str, "since": str, "machine": str, "born": str, "released": bool, "running": list,
}  # fmt: skip
OPTIONAL = ("released", "running")  # of later versions


def _machine_id() -> str:
    """Boot and process namespace of this machine; empty on a system that does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """When a process of this machine started, in clock ticks since the boot; empty if it does not exist or is a zombie."""
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


def _this_process() -> LeaseOwner:
    """A new owner: this process, from now on."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return LeaseOwner(
        uuid.uuid4().hex, socket.gethostname(), os.getpid(), _user(), since, _machine_id(), _process_start(os.getpid())
    )


def _path(number: int, where: str = FOLDER) -> str:
    return f"{where}/{number:06d}.json"


def _numbers(folder: Folder, where: str = FOLDER) -> list[int]:
    """Numbers of the leases in a folder; files of other names are no leases."""
    stems = [name.removesuffix(".json") for name in folder.names(where, ".json")]
    return [int(stem) for stem in stems if stem.isascii() and stem.isdecimal() and f"{int(stem):06d}" == stem]


def _read(folder: Folder, where: str = FOLDER) -> tuple[int, LeaseOwner | None, str]:
    """The highest lease number, its owner, and what is wrong with its file if that cannot be read."""
    number = max(_numbers(folder, where), default=0)
    try:
        return number, LeaseOwner.from_json(folder.read(_path(number, where))), ""
    except FileNotFoundError:
        return number, None, ""
    except (ValueError, RecursionError) as error:  # also of a file that is being written
        return number, None, str(error)


def latest(folder: Folder, where: str = FOLDER) -> tuple[int, LeaseOwner | None]:
    """The highest lease number and its owner.

    The number is 0 if there is no lease; the owner is None then, while the file is being written, and if it is no lease that this raylab reads.
    """
    return _read(folder, where)[:2]


def driver(folder: Folder, where: str = FOLDER) -> LeaseOwner | None:
    """The driver of this folder, according to its lease; None if its last driver released it or is known to have ended."""
    holder = latest(folder, where)[1]
    return None if holder is None or holder.released or holder.has_ended else holder


def _place(name: str) -> str:
    """Folder of the lease of this name; of a shard ``3-of-8`` it is ``lease-3-of-8``."""
    return f"{FOLDER}-{name}" if name else FOLDER


def _excluded(place: str, other: str) -> bool:
    """Whether drivers with leases in these folders would do the same work: all but two different shards of as many."""
    shards = [name.removeprefix(f"{FOLDER}-").partition("-of-")[::2] for name in (place, other)]
    return shards[0][1] != shards[1][1] or not shards[0][1]


def lease_places(folder: Folder) -> list[str]:
    """Folders of leases in a run folder: of the whole run, and of each shard."""
    return [name for name in folder.folders("") if name == FOLDER or name.startswith(f"{FOLDER}-")]


def describe_holder(folder: Folder, where: str = FOLDER) -> str:
    """The driver of this folder and its last sign of life, as a line to print. Reads only."""
    number, holder, problem = _read(folder, where)
    if problem:
        return (
            f"driver: unknown, {_path(number, where)} cannot be read ({problem}); another version of raylab may have written it"
        )
    if holder is None or holder.released or holder.has_ended:
        return NO_DRIVER
    shard = where.removeprefix(FOLDER).lstrip("-").replace("-of-", "/")
    age = max(0.0, time.time() - folder.changed(_path(number, where)))
    return f"driver{f' of shard {shard}' if shard else ''}: {holder}, last sign of life {age:.0f} s ago"


class Lease:
    """Holds a run folder while the ``with`` block runs.

    Args:
        folder: the run folder.
        timeout_s: time without a sign of life, by the storage's clock, after which a holder has lost the folder.
        heartbeat_s: time between this holder's signs of life.
        settle_s: on an object store, time that a rival's write may take to become visible.
        name: of the shard of the run that is held (``raylab.runs.shard``); empty for the whole run.

    Attributes:
        owner: this process.
        replaced: the owner that this lease replaced although it had not released the folder; None if there was none.
        running: keys of the trials that run now; a sign of life on an object store says them.
        interrupted: keys of the trials that ran when the driver before this one was last heard of.

    Raises:
        RunHeldError: on entry, naming the holder.
        LeaseLostError: from ``check`` and on leaving, if another driver took over meanwhile.
    """

    def __init__(
        self,
        folder: Folder,
        timeout_s: float = LEASE_TIMEOUT_S,
        heartbeat_s: float = HEARTBEAT_S,
        settle_s: float = SETTLE_S,
        name: str = "",
    ) -> None:
        self.folder, self.timeout_s, self.heartbeat_s, self.settle_s = folder, timeout_s, heartbeat_s, settle_s
        self.place, self.owner = _place(name), _this_process()
        self.number = 0
        self.replaced: LeaseOwner | None = None
        self.running: Collection[str] = ()
        self.interrupted: tuple[str, ...] = ()
        self._lost = False
        self._renewed_at = time.time()  # the wall clock goes on while a machine sleeps
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._renew_until_stopped, daemon=True, name="lease")

    def __enter__(self) -> "Lease":
        for _ in range(ATTEMPTS):
            number, holder = latest(self.folder, self.place)
            self._refuse_if_held(number, holder)
            if self._claim(number + 1):
                self._refuse_beside_others()
                self.interrupted = holder.running if holder else ()
                self.replaced = holder if holder and not holder.released else None
                self._thread.start()
                return self
        raise RunHeldError(f"{self.folder.uri}: several drivers start on this run folder at once; try again")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._stop.set()
        self._thread.join()
        self._renew()
        if self._lost:
            raise LeaseLostError(self._loss_message()) from error
        with contextlib.suppress(OSError):  # a full disk, a store out of reach: the lease runs out by itself
            self._write_owner(released=True)

    def _write_owner(self, released: bool) -> None:
        """Write this lease's file, with the trials that run."""
        running = [] if self.folder.is_local else sorted(self.running)  # copied in one step: the driver changes it meanwhile
        self.folder.write_json(_path(self.number, self.place), {**asdict(self.owner), "released": released, "running": running})

    def check(self) -> None:
        """Raise if the folder was lost. To be called before anything is written; costs nothing while the lease is renewed in time."""
        if time.time() - self._renewed_at > self.timeout_s:
            self._renew()
        if self._lost:
            raise LeaseLostError(self._loss_message())

    def _refuse_if_held(self, number: int, holder: LeaseOwner | None) -> None:
        if number == 0 or (holder and (holder.released or holder.has_ended)):
            return
        try:
            age = self.folder.age(_path(number, self.place))
        except FileNotFoundError:  # another driver took over a moment ago and removed it: the claim will notice
            return
        if age > self.timeout_s:
            return
        raise RunHeldError(
            f"{self.folder.uri} is held by {holder or UNREAD} (last sign of life {age:.0f} s ago); two drivers "
            f"would do the same work twice. What to do: watch it with raylab status, or stop that process; {self.timeout_s:g} s after its last "
            "sign of life the same command takes over"
        )

    def _refuse_beside_others(self) -> None:
        """Give the lease back if a driver of the whole run, or of shards of another number, is at work. It is claimed first: of two that start
        at once at least one sees the other.

        Raises:
            RunHeldError: naming that driver.
        """
        for place in lease_places(self.folder):
            number, holder = latest(self.folder, place)
            if place == self.place or not _excluded(self.place, place) or not number:
                continue
            if holder and (holder.released or holder.has_ended):
                continue
            if self.folder.age(_path(number, place)) > self.timeout_s:
                continue
            self._write_owner(released=True)
            raise RunHeldError(
                f"{self.folder.uri} is held by {holder or UNREAD}, of {place.removeprefix(FOLDER).lstrip('-') or 'the whole run'}; all drivers of a "
                "run folder have to have shards of one number. What to do: stop that process, or give this driver a shard beside it"
            )

    def _claim(self, number: int) -> bool:
        """Write the lease of this number, and remove the older ones; False if another driver has written it."""
        if not self.folder.create(_path(number, self.place), json.dumps(asdict(self.owner)).encode()):
            return False
        if not self.folder.is_local:
            time.sleep(self.settle_s)
        self.number = number
        if not self._is_held():
            return False
        for older in _numbers(self.folder, self.place):
            if older < number:
                self.folder.remove(_path(older, self.place))
        return True

    def _is_held(self) -> bool:
        """Whether the highest lease is still this one."""
        number, holder = latest(self.folder, self.place)
        return number == self.number and holder is not None and holder.id == self.owner.id

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(self.heartbeat_s) and not self._lost:
            self._renew()

    def _renew(self) -> None:
        """Give a sign of life, unless another driver holds the folder by now.

        A storage that cannot be reached is tried again at the next heartbeat: no driver can write to it meanwhile.
        """
        with self._lock:
            try:
                self._lost = self._lost or not self._is_held()
                if not self._lost and self.folder.is_local:
                    self.folder.touch(_path(self.number, self.place))
                elif not self._lost:
                    self._write_owner(released=False)
                self._renewed_at = time.time()
            except OSError:
                return

    def _loss_message(self) -> str:
        holder = latest(self.folder, self.place)[1]
        return (
            f"{self.folder.uri} was taken over by {holder or 'somebody who removed its lease'}; this driver (process {self.owner.pid}) had not been "
            "heard of and has stopped. Nothing is lost: what its workers finished stays, and the other driver goes on"
        )
