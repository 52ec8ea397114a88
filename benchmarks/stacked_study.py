"""``python -m benchmarks study STUDY.yaml``: a whole study, with every stage trained alone and with stacks, in turns in processes of their own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
import yaml

from benchmarks.results import append, paired

RUN = """
import sys
from raylab.runs.run import start
from raylab.trials.study import read_study
from pathlib import Path
start(read_study(Path(sys.argv[1])), sys.argv[2], sys.argv[3], "local", log=lambda line: None)
"""


def _run(content: dict[str, Any], numerics: str, stack: str, windows: Path, where: Path) -> float:
    """Run the study in process, in a process of its own; its CPU seconds, start-up and imports included."""
    study = {
        **content,
        "protocol": {**content.get("protocol", {}), "numerics": numerics},
        "resources": {**content.get("resources", {}), "stack": int(stack) if stack.isdigit() else stack},
    }
    where.mkdir(parents=True)
    file = where / "study.yaml"
    file.write_text(yaml.safe_dump(study), encoding="utf-8")
    began = sum(os.times()[2:4])
    subprocess.run([sys.executable, "-c", RUN, str(file), str(windows.absolute()), str(where / "run")], check=True)
    return sum(os.times()[2:4]) - began


def _aurocs(run: Path) -> dict[tuple[Any, ...], float]:
    """AUROC of each trial, by what it is."""
    rows = pq.read_table(run / "trials.parquet").to_pylist()
    names = ("dataset", "label", "model", "technique", "variant", "participant", "seed")
    return {tuple(row[name] for name in names): row["auroc"] for row in rows if row["auroc"] is not None}


def study(
    file: Annotated[Path, typer.Argument(help="a study file")],
    windows: Annotated[Path, typer.Option(help="folder that its windows are in")] = Path("windows"),
    stack: str = "auto",
    repeats: int = 3,
    results: Annotated[Path, typer.Option(help="a line is added")] = Path("build/benchmarks.jsonl"),
) -> None:
    """A whole study, alone and stacked, in turns: CPU seconds, and how far the folds' AUROC are apart."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    seconds: dict[str, list[float]] = {"reference": [], "stacked": []}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(repeats):
            for numerics, found in seconds.items():
                found.append(_run(content, numerics, stack, windows, Path(scratch) / f"{numerics}{repeat}"))
        one, other = (_aurocs(Path(scratch) / f"{numerics}0" / "run") for numerics in seconds)
    gaps = np.array([abs(one[key] - other[key]) for key in one.keys() & other.keys()])
    measured = {
        **paired(seconds["reference"], seconds["stacked"]),
        "trials": len(one),
        "same_trials": len(gaps),
        "auroc_gap_mean": float(gaps.mean()),
        "auroc_gap_max": float(gaps.max()),
        "auroc_mean_plain": float(np.mean(list(one.values()))),
        "auroc_mean_ours": float(np.mean(list(other.values()))),
    }
    append(results, "study", {"study": file.name, "stack": stack, "repeats": repeats}, measured)
