"""One picture of all growth laws, made from the numbers in docs/results/scale.json: small multiples, both axes logarithmic."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.figures.plots import GAIN, LOSS, SAME, panels, render

WIDE = 50  # from this ratio on an axis names powers of ten alone
SIDES = {"before": (LOSS, "s", "--"), "now": (GAIN, "o", "-"), "now, other": ("#009e73", "^", "-.")}


def _short(value: float, position: int | None = None) -> str:
    """A number of an axis: 20k for 20,000."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def draw(laws: list[dict[str, Any]]) -> Figure:
    """A panel a law.

    Args:
        laws: each with ``law`` (its title), ``x`` and ``y`` (what the axes are), ``lines`` (points by side, a key of ``SIDES``), ``names`` of sides
            if they are not before and now, and ``goal`` (a point), if there is one.
    """
    figure, axes = panels(len(laws), 2.1)
    for panel, law in zip(axes, laws, strict=True):
        for side, points in law["lines"].items():
            colour, marker, dash = SIDES[side]
            label = law.get("names", {}).get(side, side)
            panel.plot(*zip(*points, strict=True), color=colour, marker=marker, linestyle=dash, markersize=4, label=label)
        if "goal" in law:
            panel.plot(*law["goal"], color=SAME, marker="_", markersize=14, linestyle="none", label="goal")
        panel.set(xscale="log", yscale="log", title=law["law"], xlabel=law["x"], ylabel=law["y"])
        for axis, (low, high) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
            axis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > WIDE else (1.0, 2.0, 5.0), numticks=8))
            axis.set_major_formatter(FuncFormatter(_short))
            axis.set_minor_formatter(NullFormatter())
        panel.legend(fontsize=7)
    return figure


def write(numbers: Path, picture: Path) -> None:
    """Draw the laws of a file of numbers, as svg."""
    laws = json.loads(numbers.read_text(encoding="utf-8"))
    svg, _ = render(partial(draw, laws), "scale")
    picture.write_bytes(svg)
