"""Findings as files: the damaged input, what came of it, and the command that repeats it."""

import hashlib
import json
import re
from pathlib import Path

from benchmarks.fuzz.damage import Files
from benchmarks.fuzz.pool import FuzzFinding, ReaderProcess

ACCOUNT = "finding.json"
CONTAINERS = (".xlsx", ".parquet", ".raylab", ".mat")  # without a piece they are no file of their kind any more


def shrunk(finding: FuzzFinding, worker: ReaderProcess, tries: int) -> FuzzFinding:
    """The finding with a smaller input that shows the same fault: lines of a text, pieces of other files are left out while it does."""
    (name, content), *others = finding.files.items()
    if others or not content or finding.outcome.kind == "hang" or Path(name).suffix in CONTAINERS:
        return finding
    joint = b"\n" if b"\0" not in content[:1000] else b""
    parts = content.split(joint) if joint else [content[place : place + 16] for place in range(0, len(content), 16)]
    step = max(1, len(parts) // 2)
    while step >= 1 and tries > 0:
        for first in range(0, len(parts), step):
            smaller = [*parts[:first], *parts[first + step :]]
            tries -= 1
            if tries < 0:
                break
            outcome = worker.read({name: joint.join(smaller)})
            if (outcome.kind, outcome.place) == (finding.outcome.kind, finding.outcome.place):
                parts = smaller
                break
        else:
            step //= 2
    return FuzzFinding(finding.outcome, finding.key, {name: joint.join(parts)}, finding.count)


def save(finding: FuzzFinding, reader: str, out: Path) -> Path:
    """Write the damaged files and the account; the folder, whose name is the same for the same fault."""
    fault = f"{finding.outcome.kind} {re.sub(r'[0-9.]+ (MB|s)', '', finding.outcome.place)}"
    folder = out / reader / f"{finding.outcome.kind}-{hashlib.sha256(fault.encode()).hexdigest()[:8]}"
    for name, content in finding.files.items():
        if content is not None:
            path = folder / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    account = {
        "reader": reader,
        "kind": finding.outcome.kind,
        "place": finding.outcome.place,
        "seen": finding.count,
        "input": finding.key,
        "bytes": finding.outcome.bytes,
        "missing": [name for name, content in finding.files.items() if content is None],
        "repeat": f"python -m benchmarks.fuzz {reader} --repeat {folder}",
        "message": finding.outcome.message,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ACCOUNT).write_text(json.dumps(account, indent=1) + "\n", encoding="utf-8")
    return folder


def load(folder: Path) -> Files:
    """The damaged files of a finding."""
    account = json.loads((folder / ACCOUNT).read_text(encoding="utf-8"))
    files: Files = dict.fromkeys(account["missing"])
    place = folder / "files"
    return files | {
        path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()
    }
