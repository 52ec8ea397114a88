"""Whether this machine can run raylab: one line for each thing that a run needs, with the remedy if it is not there.

Nothing is mended here. What can crash, hang or take memory (a GPU's driver, compiled code in numba's cache, Ray itself, a bucket) is looked at in
a child process with a time limit, so that the doctor always comes to an end. The children run at the same time.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from raylab import DISTRIBUTION
from raylab.features.optional_packages import INSTALL

State = Literal["ok", "note", "broken"]
GB = 1e9
LEAST_MEMORY_GB, LITTLE_MEMORY_GB = 1.0, 4.0  # Ray alone takes about 1
LEAST_DISK_GB, LITTLE_DISK_GB = 1.0, 10.0
FULL_DISK = 0.95  # share in use at which Ray stores no more objects
SOCKET_LENGTH = 107  # bytes of a socket's path, by Linux
SOCKET = "/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"  # what Ray adds to its folder
CHILD_S = {"Ray": 120.0, "numba": 90.0, "GPUs": 60.0, "storage": 60.0}
MOST_SKEW_S = 60.0  # by which the storage's clock may differ: leases are dated by it
WEIGHTS = {
    "vision": "fer",
    "speech-embedding": "pipecat-ai",
    "speech-voice": "Resemblyzer",
}  # what they declare is not needed, so no extra names them


@dataclass(frozen=True)
class MachineCheck:
    """One thing that was looked at.

    Attributes:
        state: ``ok``; ``note``: raylab runs, and less well or without a part; ``broken``: something needed is not there.
        remedy: empty if nothing is to be done.
    """

    name: str
    state: State
    text: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """The finding as one line."""
        text = " ".join(f"{self.name}: {self.text}".split())
        return f"{self.state:6}  {text}" + (f". What to do: {' '.join(self.remedy.split())}" if self.remedy else "")


def examine(storage: str, with_ray: bool = True) -> Iterator[MachineCheck]:
    """The findings, each as soon as it is known.

    Args:
        storage: folder or URI that runs are to be written to.
        with_ray: whether Ray is started for a moment, as a run does.
    """
    ray_folder = temporary_folder() if with_ray else None
    paths = [temporary_path(ray_folder)] if ray_folder else []
    yield from (cores(), memory(), clock(), *disks(storage, ray_folder), *paths, *packages())
    children: list[Callable[[], MachineCheck]] = [gpus, lambda: storage_writable(storage)]
    if find_spec("librosa"):
        children.append(numba_cache)
    if with_ray and all(path.state != "broken" for path in paths):
        children.append(ray_starts)
    with ThreadPoolExecutor(len(children)) as pool:
        for future in as_completed([pool.submit(child) for child in children]):
            yield future.result()


def cores() -> MachineCheck:
    """The processors that this process may use."""
    usable, present = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    quota = _quota()
    text = f"{usable} usable of {present}" + (f", limited to the time of {quota:g}" if quota and quota < usable else "")
    if min(usable, quota or usable) < 2:
        return MachineCheck(
            "cores", "note", text, "trials run one at a time; use a machine with more cores, or a cluster (--address)"
        )
    return MachineCheck("cores", "ok", text)


def _quota() -> float | None:
    """Processors whose time the container may use; None if it is not limited."""
    try:
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError):
        return None


def memory() -> MachineCheck:
    """Memory that is free, of this machine or of the container's limit."""
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        total, free = (int(rows[name].split()[0]) * 1024 / GB for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return MachineCheck("memory", "note", "cannot be read from /proc/meminfo", "see to it that some GB are free")
    limit_gb = _memory_limit_gb()
    if limit_gb is not None and limit_gb[0] < total:
        total, free = limit_gb[0], min(free, limit_gb[0] - limit_gb[1])
    text = f"{free:.1f} GB free of {total:.1f} GB"
    remedy = "end other programs, or use a machine with more"
    if free < LITTLE_MEMORY_GB:
        return MachineCheck("memory", "broken" if free < LEAST_MEMORY_GB else "note", text, remedy)
    return MachineCheck("memory", "ok", text)


def _memory_limit_gb() -> tuple[float, float] | None:
    """The container's limit, and what of it is in use."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        return None if limit == "max" else (int(limit) / GB, used / GB)
    except (OSError, ValueError):
        return None


def clock() -> MachineCheck:
    """Whether the time of day can be: it is not before raylab's own files were written."""
    now_s = time.time()
    written_s = max((path.stat().st_mtime for path in Path(__file__).parent.glob("*.py")), default=0.0)
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    remedy = "set the clock (Debian: timedatectl set-ntp true): leases of runs and certificates of stores are dated by it"
    if not 1.7e9 < now_s < 4.1e9:
        return MachineCheck("clock", "broken", text, remedy)
    if now_s < written_s - 3600:
        written = time.strftime("%Y-%m-%d %H:%M", time.gmtime(written_s))
        return MachineCheck("clock", "broken", f"{text}, before raylab's own files, which are of {written}", remedy)
    return MachineCheck("clock", "ok", text)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((place for place in (path.absolute(), *path.absolute().parents) if place.is_dir()), Path("/"))


def disks(storage: str, ray_folder: Path | None) -> Iterator[MachineCheck]:
    """Free space for runs, if they are on this machine, and for Ray's temporary files."""
    places = {} if "://" in storage else {"disk for runs": Path(storage)}
    if ray_folder:
        places["disk for Ray"] = ray_folder
    for name, place in places.items():
        folder = _existing(place)
        usage = shutil.disk_usage(folder)
        text = f"{usage.free / GB:.1f} GB free at {folder}"
        full = name == "disk for Ray" and 1 - usage.free / usage.total > FULL_DISK
        remedy = "free space, or use another disk" + (" (RAY_TMPDIR)" if name == "disk for Ray" else " (--out)")
        if usage.free / GB < LEAST_DISK_GB:
            yield MachineCheck(name, "broken", text, remedy)
        elif usage.free / GB < LITTLE_DISK_GB or full:
            text += f"; more than {FULL_DISK:.0%} are in use, and Ray spills nothing there" if full else ""
            yield MachineCheck(name, "note", text, remedy)
        else:
            yield MachineCheck(name, "ok", text)


def temporary_folder() -> Path:
    """The folder that Ray keeps its session in."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir())


def temporary_path(folder: Path) -> MachineCheck:
    """Whether Ray can make its sockets in its folder."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), "the default")
    excess = len(os.fsencode(f"{folder}{SOCKET}")) - SOCKET_LENGTH
    remedy = "set RAY_TMPDIR to a short path of a folder that you may write, as RAY_TMPDIR=/tmp"
    if excess > 0:
        return MachineCheck("RAY_TMPDIR", "broken", f"{folder} ({name}) is {excess} bytes too long for a socket", remedy)
    if not os.access(_existing(folder), os.W_OK | os.X_OK):
        return MachineCheck("RAY_TMPDIR", "broken", f"{folder} ({name}) cannot be written", remedy)
    return MachineCheck("RAY_TMPDIR", "ok", f"{folder} ({name})")


def packages() -> Iterator[MachineCheck]:
    """The packages that raylab needs, and those of its optional parts, by their versions."""
    try:
        requirements = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        yield MachineCheck(
            "packages", "note", "raylab is not installed, so its needs are not known", f"pip install {DISTRIBUTION}"
        )
        return
    for part in ("", *INSTALL):
        problems = [
            problem
            for requirement in requirements
            if _belongs(requirement, part) and (problem := _package_problem(requirement))
        ]
        if part in WEIGHTS and not _version(WEIGHTS[part]):
            problems.append(f"{WEIGHTS[part]} is missing")
        name = f"part {part}" if part else "packages"
        if not problems:
            yield MachineCheck(name, "ok", "present")
        elif part:
            yield MachineCheck(name, "note", "; ".join(problems), f"only if you use it: {INSTALL[part]}")
        else:
            yield MachineCheck(name, "broken", "; ".join(problems), f"pip install -U {DISTRIBUTION}; in a checkout: make setup")


def _belongs(requirement: Requirement, part: str) -> bool:
    """Whether a requirement is one of this part, and of no other; not raylab itself with another part."""
    marker = requirement.marker
    if requirement.name == DISTRIBUTION or (part and marker is None):
        return False
    return marker is None or (marker.evaluate({"extra": part}) and not (part and marker.evaluate({"extra": ""})))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package_problem(requirement: Requirement) -> str:
    version = _version(requirement.name)
    if version is None:
        return f"{requirement.name} is missing"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} is {version}, expected {requirement.specifier}"
    return ""


@dataclass(frozen=True)
class ChildResult:
    """The end of a child process.

    Attributes:
        problem: how it failed; empty if it did not.
        values: the JSON object that it printed last.
    """

    problem: str
    values: dict[str, object]


def run_child(code: str, limit_s: float, *arguments: str) -> ChildResult:
    """Run Python code in a child process and take the JSON object that it prints; whatever it does, this returns."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, start_new_session=True
        ) as child,
    ):
        try:
            code_of_end = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return ChildResult(f"did not end within {limit_s:g} s", {})
        output.seek(0)
        errors.seek(0)
        lines, complaints = (file.read().decode(errors="replace").strip().splitlines() for file in (output, errors))
    if code_of_end < 0:
        return ChildResult(f"was ended by {_signal_name(-code_of_end)}", {})
    try:
        values = json.loads(lines[-1])
    except (IndexError, ValueError):
        values = None
    if code_of_end or not isinstance(values, dict):
        return ChildResult((complaints or [f"ended with exit code {code_of_end}"])[-1][:300], {})
    return ChildResult("", values)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


GPU_CODE = """
import json, torch
cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
for i in range(len(cards)):
    torch.ones(8, device=f"cuda:{i}").sum().item()
print(json.dumps({"cards": [f"{card.name}, {card.total_memory / 1e9:.0f} GB" for card in cards], "torch": torch.__version__}))
"""


def gpus() -> MachineCheck:
    """The GPUs that torch can use; none are needed."""
    result = run_child(GPU_CODE, CHILD_S["GPUs"])
    remedy = (
        "install the build of torch for your driver (pytorch.org/get-started), or hide the cards with CUDA_VISIBLE_DEVICES="
    )
    if result.problem:
        return MachineCheck("GPUs", "broken", f"torch cannot be used: it {result.problem}", remedy)
    cards = result.values.get("cards")
    if cards:
        return MachineCheck("GPUs", "ok", "; ".join(map(str, cards if isinstance(cards, list) else [])))
    if Path("/proc/driver/nvidia/version").exists():
        return MachineCheck("GPUs", "note", f"there is a driver, and torch {result.values.get('torch')} sees no card", remedy)
    return MachineCheck("GPUs", "ok", "none; none is needed")


NUMBA_CODE = """
import json
from numba.core.caching import Cache
Cache.save_overload = lambda self, sig, data: None  # this process only looks
from raylab.features.optional_packages import load
import numpy as np
librosa = load("librosa", "speech")
pitch = librosa.yin(np.sin(np.arange(8000) / 10), fmin=100, fmax=1000, sr=16000)
print(json.dumps({"sound": bool(np.isfinite(pitch).all())}))
"""


def numba_cache() -> MachineCheck:
    """Whether the code that numba has stored for librosa runs: two first users at once can leave code that ends every process that loads it."""
    result = run_child(NUMBA_CODE, CHILD_S["numba"])
    if result.problem and "did not end" in result.problem:
        remedy = "the machine is busy, or the code is compiled for the first time: try again"
        return MachineCheck("numba", "note", f"a first call of librosa {result.problem}", remedy)
    if result.problem or result.values.get("sound") is not True:
        place = os.environ.get("NUMBA_CACHE_DIR") or "__pycache__ in librosa's folders"
        problem = result.problem or "gave no numbers"
        remedy = f"delete the files *.nbi and *.nbc in {place}, or set NUMBA_CACHE_DIR to an empty folder"
        return MachineCheck(
            "numba", "broken", f"a first call of librosa {problem}: its cache of compiled code is spoilt", remedy
        )
    return MachineCheck("numba", "ok", "librosa's compiled code runs")


STORAGE_CODE = """
import json, sys, time, uuid
from raylab.files import Folder
folder, name = Folder(sys.argv[1]), f".raylab-doctor-{uuid.uuid4().hex}"
folder.write(name, b"raylab")
try:
    assert folder.read(name) == b"raylab"
    changed = folder.changed(name)
finally:
    folder.remove(name)
print(json.dumps({"skew": changed - time.time()}))
"""


def storage_writable(storage: str) -> MachineCheck:
    """Whether a file can be written where runs are to be written, read and removed again, and whether its clock is this machine's."""
    place = storage if "://" in storage else str(_existing(Path(storage)))
    result = run_child(STORAGE_CODE, CHILD_S["storage"], place)
    if result.problem:
        remedy = "give a folder that you may write with --out; of a store, check its address, your credentials and the network"
        return MachineCheck("storage", "broken", f"{place} cannot be written ({result.problem})", remedy)
    skew_s = result.values.get("skew")
    if isinstance(skew_s, float) and abs(skew_s) > MOST_SKEW_S:
        text = f"{place} can be written, and its clock differs by {skew_s:+.0f} s from this machine's"
        return MachineCheck("storage", "note", text, "set both clocks: leases of runs are dated by them")
    return MachineCheck("storage", "ok", f"{place} can be written")


RAY_CODE = """
import json, time
import ray
from raylab.runs.cluster import connect
began = time.perf_counter()
connect(num_cpus=1)
answer = ray.get(ray.remote(lambda: 6 * 7).remote(), timeout=60)
node = ray.nodes()[0]["NodeManagerAddress"]
took = time.perf_counter() - began
ray.shutdown()
print(json.dumps({"answer": answer, "node": node, "took": took, "ray": ray.__version__}))
"""


def ray_starts() -> MachineCheck:
    """Whether Ray starts on loopback and runs a task, as `raylab run` does without --address."""
    result = run_child(RAY_CODE, CHILD_S["Ray"])
    remedy = "look into the logs in RAY_TMPDIR/ray (or /tmp/ray), try again when the machine is less busy, or run with --local, without Ray"
    if result.problem:
        return MachineCheck("Ray", "broken", f"did not start and run a task: {result.problem}", remedy)
    node = str(result.values.get("node"))
    if result.values.get("answer") != 42 or not node.startswith("127."):
        return MachineCheck(
            "Ray", "broken", f"listens on {node}, and not on loopback", "unset RAY_ADDRESS and RAY_NODE_IP_ADDRESS"
        )
    return MachineCheck(
        "Ray", "ok", f"{result.values.get('ray')} starts on {node} and runs a task ({result.values.get('took'):.1f} s)"
    )
