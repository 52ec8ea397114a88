"""``python -m benchmarks prepare ROOT``: preparing WESAD's wrist device against merely reading its pickles, in turns, in processes of their own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.results import append, paired

PLAIN = """
import json, pickle, resource, sys
from pathlib import Path
for file in sorted(Path(sys.argv[1]).glob("S*/S*.pkl")):
    with file.open("rb") as stream:
        pickle.load(stream, encoding="latin1")
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "start": 0.0}))
"""
OURS = """
import json, resource, sys
from raylab.runs.prepare import PrepareRequest, prepare
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
start = cpu()
prepare(PrepareRequest("wesad", sys.argv[1], sys.argv[2]), say=lambda line: None, where="local")
print(json.dumps({"seconds": cpu(), "start": start}))
"""


def _run(code: str, *arguments: str) -> dict[str, float]:
    """What the script printed last: its processor seconds, and those of them before its work began."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def prepare(
    root: Annotated[Path, typer.Argument(help="WESAD's folder")],
    repeats: int = 3,
    results: Annotated[Path, typer.Option(help="a line is added")] = Path("build/benchmarks.jsonl"),
) -> None:
    """CPU seconds of preparing WESAD's wrist device without Ray, and of unpickling the same files; the times more are 1 / ratio."""
    plain, ours, starts = [], [], []
    for _ in range(repeats):
        plain.append(_run(PLAIN, str(root))["seconds"])
        with tempfile.TemporaryDirectory() as scratch:
            measured = _run(OURS, str(root), f"{scratch}/windows")
        ours.append(measured["seconds"] - measured["start"])
        starts.append(measured["start"])
    append(
        results,
        "prepare",
        {"root": root.name, "repeats": repeats},
        {**paired(plain, ours), "imports": sorted(starts)[repeats // 2]},
    )
