"""`python -m benchmarks.cluster_model.plot FILE.svg --results FILE.jsonl`: efficiency against GPUs, a line for each study and remedy."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import typer

mpl.use("svg")

from matplotlib import pyplot as plt  # after the backend

GOAL = 0.95


def lines_of(rows: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Name of a line to its (GPUs, efficiency), rising; the last row counts of equal ones. Runs with losses are left out."""
    points: dict[str, dict[float, float]] = defaultdict(dict)
    for row in rows:
        if row["benchmark"] == "cluster_model" and not row["losses"]:
            changes = [f"batch {row['batch']}"] * bool(row["batch"]) + ["stacked"] * row["stacked"]
            changes += [f"{row['share']} trials a GPU"] * (row["share"] > 1) + [f"{row['drivers']} drivers"] * (
                row["drivers"] > 1
            )
            points[", ".join([Path(row["study"]).stem, *changes])][row["gpus"]] = row["efficiency"]
    return {name: sorted(found.items()) for name, found in points.items()}


def main(
    out: Annotated[Path, typer.Argument(help="the figure")],
    results: Annotated[Path, typer.Option(help="rows of the simulation")] = Path("build/cluster_model.jsonl"),
) -> None:
    """Draw it."""
    mpl.rcParams["svg.hashsalt"] = "raylab"  # equal rows, equal file
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    for name, points in lines_of(rows).items():
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name)
    axes.axhline(GOAL, color="0.6", linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="GPUs (simulated)", ylabel="seconds of training / seconds of all slots", ylim=(0, 1.02))
    axes.legend(fontsize=7, loc="lower left")
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    typer.run(main)
