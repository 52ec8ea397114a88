"""Results of benchmarks: one JSON line for each, with the machine and the versions it was measured with."""

import json
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

PACKAGES = ("torch", "numpy", "ray")


def processor() -> str:
    """The processor's name, as Linux gives it."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return f"{names[0]} x {len(names)}" if names else platform.processor()


def paired(plain: list[float], ours: list[float]) -> dict[str, float]:
    """Medians of both, and the ratio plain / ours of each pair: its median, smallest and largest."""
    ratios = [one / other for one, other in zip(plain, ours, strict=True)]
    return {
        "plain": statistics.median(plain),
        "ours": statistics.median(ours),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def append(path: Path, benchmark: str, settings: dict[str, Any], measured: dict[str, Any]) -> None:
    """Add a line to the file, and print what was measured."""
    line = {
        "benchmark": benchmark,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "versions": {name: version(name) for name in PACKAGES},
        **settings,
        **measured,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    typer.echo(json.dumps({**settings, **measured}))
