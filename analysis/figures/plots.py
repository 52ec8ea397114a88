"""Pictures: each a function of one named frame to a matplotlib ``Figure``; nothing is read, nothing is written.

Colours are told apart with any colour vision and at 3:1 on white and on near-black; whatever a colour says, a marker, a dash or a
word says too. Files have a white ground, so they are readable wherever they are put; a page takes the ground away (``analysis.figures.svg``).
"""

import io
import math
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.arrays import Bools, Floats
from analysis.constants import ALPHA
from analysis.formatting import int_range, interval, metric_name, number
from analysis.plain_text import printable
from analysis.scores.keys import REFERENCE_TECHNIQUE, variant_label
from analysis.scores.paired_scores import gain_sign

INK = "#1a1a1a"  # text and axes; a page replaces it with its own text colour
GAIN, LOSS, SAME = "#0072b2", "#d55e00", "#777777"
TECHNIQUE_STYLES = {
    REFERENCE_TECHNIQUE: (SAME, "D", ":"),
    "fine_tuning": ("#0072b2", "o", "-"),
    "hybrid": ("#009e73", "s", "--"),
    "cluster_specific": ("#d55e00", "^", "-."),
    "multi_task": ("#9d49f2", "v", (0, (5, 1))),
    "user_dependent": ("#a65832", "P", (0, (1, 1))),
}
OTHERS = [("#b86697", "X", "-"), ("#2b8a9c", "<", "--"), ("#8c6d1f", ">", "-."), ("#5f7f1f", "h", ":")]
DIVERGING = LinearSegmentedColormap.from_list("loss_gain", [LOSS, "#f7f7f7", GAIN])
STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"], "text.parse_math": False, "font.size": 9,
    "axes.titlesize": 9, "axes.titleweight": "bold",
    "figure.facecolor": "white", "axes.facecolor": "none", "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#808080", "grid.alpha": 0.25, "grid.linewidth": 0.6,
    "legend.frameon": False, "axes.titlelocation": "left",
}  # fmt: skip
WIDTH = 7.2  # inches: a page's text width
DPI = 150


def style_of(technique: str, known: list[str]) -> tuple[str, str, Any]:
    """Colour, marker and dash of a technique; one that is not of the study gets the next that is free."""
    unstyled = sorted(set(known) - set(TECHNIQUE_STYLES))
    return TECHNIQUE_STYLES[technique] if technique in TECHNIQUE_STYLES else OTHERS[unstyled.index(technique) % len(OTHERS)]


def truncate(name: object, letters: int = 48) -> str:
    """A name that leaves a figure its room; the whole stands in the numbers behind it."""
    text = " ".join(printable(str(name)).split())
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def render(draw: Callable[[], Figure], name: str) -> tuple[bytes, bytes]:
    """The figure as svg and png. ``name`` salts the svg's ids: unlike in other figures, the same every time."""
    with rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing from font"
        )  # of a name in another script: the svg and the page show it
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        figure = draw()
        figure.set_dpi(DPI)
        figure.draw_without_rendering()  # lays the figure out, once for both files; savefig would do so four times
        figure.set_layout_engine("none")
        files = io.BytesIO(), io.BytesIO()
        FigureCanvasSVG(figure).print_svg(files[0], metadata={"Date": None})
        FigureCanvasAgg(figure).print_png(files[1])
    return printable(files[0].getvalue().decode()).encode(), files[1].getvalue()  # a control character is no XML


def panels(count: int, height: float, across: int = 3, **options: Any) -> tuple[Figure, list[Any]]:
    """A figure of ``count`` panels, at most ``across`` in a row, those of a row ``height`` inches high."""
    columns = min(count, across)
    rows = math.ceil(count / columns)
    width = WIDTH if columns > 1 else 4.6
    figure = Figure(figsize=(width, height * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel().tolist()
    for extra in axes[count:]:
        extra.remove()
    return figure, axes[:count]


def _interval_line(axes: Axes, y: int, row: dict[Hashable, Any], techniques: list[str]) -> None:
    """A difference with its interval at height ``y``; filled if it is significant after Holm."""
    colour, marker, _ = style_of(row["technique"], techniques)
    axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    face = colour if row["p_adjusted"] < ALPHA else "white"
    axes.plot(row["difference"], y, marker, color=colour, markerfacecolor=face, markersize=5.5)


def forest(frame: pd.DataFrame) -> Figure:
    """Mean differences to the reference technique with their intervals, one line a variant.

    Args:
        frame: rows of the comparison of one cell that have a difference: technique, variant, metric, n_participants, difference, ci_low,
            ci_high, p_adjusted. A filled marker is significant after Holm.
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.21 * len(frame)), layout="constrained")
    axes = figure.subplots()
    techniques = frame["technique"].unique().tolist()
    for y, row in enumerate(frame.to_dict("records")):
        _interval_line(axes, y, row, techniques)
        text = f"{number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}"
        axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, annotation_clip=False)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_yticks(
        range(len(frame)), [truncate(variant_label(*names)) for names in zip(frame["technique"], frame["variant"], strict=True)]
    )
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    metric = metric_name(str(frame["metric"].iloc[0]))
    axes.set_xlabel(f"difference in {metric} to non_personalized, paired (n = {int_range(frame['n_participants'])})")
    axes.set_title("mean difference and 95% interval")
    return figure


def answer(frame: pd.DataFrame) -> Figure:
    """Mean differences with their intervals, narrow enough to stand beside text or on a phone: names and numbers are above each line.

    Args:
        frame: technique, where (the cell by name, empty if there is one), metric, difference, ci_low, ci_high, p_adjusted.
    """
    figure = Figure(figsize=(4.3, 0.75 + 0.4 * len(frame)), layout="constrained")
    axes = figure.subplots()
    techniques = frame["technique"].unique().tolist()
    for y, row in enumerate(frame.to_dict("records")):
        _interval_line(axes, y, row, techniques)
        name = truncate(f"{row['technique']}, {row['where']}" if row["where"] else row["technique"], 34)
        text = f"{number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}"
        for x, content, side in ((0, name, "left"), (1, text, "right")):
            axes.text(x, y - 0.36, content, transform=axes.get_yaxis_transform(), ha=side, va="center", fontsize=8)
    # in pieces, which leave out the text above each line
    axes.vlines([0] * len(frame), np.arange(len(frame)) - 0.2, np.arange(len(frame)) + 0.42, color=INK, linewidth=0.9)
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_ylim(len(frame) - 0.6, -0.7)
    axes.xaxis.set_major_locator(MaxNLocator(5))  # more would run into each other
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"difference in {metric_name(str(frame['metric'].iloc[0]))}, 95% interval")
    return figure


def heatmap(frame: pd.DataFrame, metric: str) -> Figure:
    """Who gains and who loses: a cell per participant and variant.

    Args:
        frame: difference to the reference technique, variants (index) by participants (columns); NaN if a score is missing.
    """
    values, sign = frame.to_numpy(dtype=np.float64), gain_sign(metric)
    largest = np.nanmax(np.abs(values), initial=0.0) or 1.0
    figure = Figure(figsize=(max(WIDTH, 2.6 + 0.36 * frame.shape[1]), 1.3 + 0.22 * len(frame)), layout="constrained")
    axes = figure.subplots()
    colours = DIVERGING if sign > 0 else DIVERGING.reversed()
    mesh = axes.pcolormesh(values, cmap=colours, norm=TwoSlopeNorm(0, -largest, largest), edgecolors="white", linewidth=0.8)
    dark = _is_dark(mesh.to_rgba(values))
    for (y, x), value in np.ndenumerate(values):
        colour = "#ffffff" if dark[y, x] else "#111111"
        axes.text(x + 0.5, y + 0.5, short_difference(value), ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_xticks(np.arange(frame.shape[1]) + 0.5, [truncate(name, 14) for name in frame.columns], rotation=90)
    axes.set_yticks(np.arange(len(frame)) + 0.5, [truncate(name) for name in frame.index])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xlabel(f"participant (n = {frame.shape[1]})")
    figure.colorbar(mesh, ax=axes, label=f"difference in {metric_name(metric)}", fraction=0.04, pad=0.02)
    return figure


def short_difference(value: float) -> str:
    """A difference in as few letters as can be: +.08; 0 only if nothing changed, a dash if a score is missing."""
    return "–" if np.isnan(value) else "0" if value == 0 else f"{value:+.2f}".replace("0.", ".").replace("-", "−")


def _is_dark(rgba: Floats) -> Bools:
    """Colours (..., 4) on which white is easier to read than black (relative luminance of WCAG 2)."""
    rgb = rgba[..., :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    dark: Bools = linear @ np.array([0.2126, 0.7152, 0.0722]) < 0.179
    return dark


def slopes(frame: pd.DataFrame, metric: str) -> Figure:
    """Every participant from the reference technique to each technique; the participant with the largest loss is named.

    Args:
        frame: technique, participant, baseline, score (one row per technique and participant).
    """
    names = frame["technique"].unique().tolist()
    figure, axes = panels(len(names), 2.5, sharey=True)
    for index, (name, panel) in enumerate(zip(names, axes, strict=True)):
        part = frame[frame["technique"].eq(name)].dropna(subset=["baseline", "score"])
        for before, after in part[["baseline", "score"]].to_numpy(dtype=np.float64):
            _slope(panel, before, after, gain_sign(metric))
        gains = gain_sign(metric) * (part["score"] - part["baseline"])
        panel.set_xticks([0, 1], ["without", "with"])
        panel.set_xlim(-0.2, 1.6)
        panel.grid(axis="x", visible=False)
        counts = f"{(gains > 0).sum()} gain, {(gains < 0).sum()} lose (n = {len(part)})"
        panel.set_title(f"{truncate(name, 30)}\n{counts}", fontsize=8)
        if len(part) and gains.min() < 0:
            worst = part.iloc[int(gains.argmin())]
            text = f"{truncate(worst['participant'], 14)} {number(worst['score'] - worst['baseline'], sign=True)}".replace(
                "-", "−"
            )
            panel.annotate(text, (1, worst["score"]), (4, 0), textcoords="offset points", va="center", fontsize=8)
        if index % 3 == 0:
            panel.set_ylabel(metric_name(metric))
    return figure


def _slope(axes: Any, before: float, after: float, sign: int) -> None:
    gain = sign * (after - before)
    colour, dash = (GAIN, "-") if gain > 0 else (LOSS, "--") if gain < 0 else (SAME, ":")
    axes.plot([0, 1], [before, after], dash, color=colour, marker="o", markersize=3, linewidth=1.2, alpha=0.85)
