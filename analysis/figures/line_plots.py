"""Pictures with lines: over label budget or k, over epochs, reliability, and average ranks. As in ``analysis.figures.plots``."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scikit_posthocs import critical_difference_diagram

from analysis.figures.plots import GAIN, INK, LOSS, SAME, WIDTH, panels, style_of, truncate
from analysis.formatting import int_range, metric_name
from analysis.statistics.ranking import Friedman


def over_axis(frame: pd.DataFrame, metric: str, axis: str) -> Figure:
    """Score and difference to the reference technique over one axis of the techniques.

    Args:
        frame: technique, line (technique and its other axes), value (of the axis, in the order to show), mean, difference, ci_low, ci_high,
            n_participants; mean_low and mean_high if means have intervals.
        axis: what the axis is called, with its unit.
    """
    values = frame["value"].unique().tolist()
    differs = frame["difference"].notna().any()
    figure, axes = panels(2 if differs else 1, 3.4, across=2)
    lines = frame["line"].unique().tolist()
    for index, name in enumerate(lines):
        part = frame[frame["line"].eq(name)]
        colour, marker, dash = style_of(str(part["technique"].iloc[0]), frame["technique"].tolist())
        same = [
            line
            for line in lines[:index]
            if frame.loc[frame["line"].eq(line), "technique"].iloc[0] == part["technique"].iloc[0]
        ]
        style = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 5, "linewidth": 1.5}
        style |= {"markerfacecolor": "white"} if same else {}
        x = np.array([values.index(value) for value in part["value"]]) + 0.06 * (index - (len(lines) - 1) / 2)
        above = part[["mean_low", "mean_high"]].to_numpy().T - part["mean"].to_numpy() if "mean_low" in part else None
        axes[0].errorbar(
            x, part["mean"], yerr=None if above is None else np.abs(above), elinewidth=1, label=truncate(name), **style
        )
        if differs:
            reach = np.abs(part[["ci_low", "ci_high"]].to_numpy().T - part["difference"].to_numpy())
            axes[1].errorbar(x, part["difference"], yerr=reach, elinewidth=1, **style)
    for panel in axes:
        panel.set_xticks(range(len(values)), [truncate(value, 14) for value in values])
        panel.set_xlabel(axis)
    axes[0].set_ylabel(f"{metric_name(metric)}, mean over participants")
    axes[0].set_title(f"n = {int_range(frame['n_participants'])}")
    if differs:
        axes[1].axhline(0, color=INK, linewidth=0.9)
        axes[1].set_ylabel(f"difference in {metric_name(metric)}")
        axes[1].set_title("paired, 95% interval")
    figure.legend(loc="outside lower center", ncols=2 if len(lines) > 1 else 1)
    return figure


def training(frame: pd.DataFrame) -> Figure:
    """Median loss over the trainings of each stage, and the middle half of them.

    Args:
        frame: technique, stage, epoch, part (training or validation), median, low, high (quartiles), trainings.
    """
    stages = frame[["technique", "stage"]].drop_duplicates()
    figure, axes = panels(len(stages), 2.3)
    for panel, (technique, stage) in zip(axes, stages.to_numpy(), strict=True):
        of_stage = frame[frame["technique"].eq(technique) & frame["stage"].eq(stage)]
        for part, colour, dash in (("training", GAIN, "-"), ("validation", LOSS, "--")):
            curve = of_stage[of_stage["part"].eq(part)]
            panel.plot(curve["epoch"], curve["median"], dash, color=colour, label=part, marker="." if len(curve) < 3 else "")
            panel.fill_between(curve["epoch"], curve["low"], curve["high"], color=colour, alpha=0.2, linewidth=0)
        title = f"{truncate(technique, 30)}\n{truncate(stage, 34)}\n{of_stage['trainings'].max()} trainings"
        panel.set_title(title, fontsize=8, fontweight="normal")
        panel.set_xlabel("epoch")
        panel.set_ylabel("cross-entropy (nats)")
        panel.set_ylim(bottom=0)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def reliability(frame: pd.DataFrame) -> Figure:
    """Reliability: how often the most probable class is right, over how probable the model holds it.

    Args:
        frame: technique, confidence, accuracy, windows (one row per bin that holds windows), ece (of the technique).
    """
    names = frame["technique"].unique().tolist()
    figure, axes = panels(len(names), 2.5, sharex=True, sharey=True)
    for index, (panel, name) in enumerate(zip(axes, names, strict=True)):
        part = frame[frame["technique"].eq(name)]
        colour, marker, _ = style_of(str(name), names)
        share = part["windows"] / part["windows"].sum()
        panel.plot([0, 1], [0, 1], color=SAME, linewidth=0.9, linestyle=":")
        panel.plot(part["confidence"], part["accuracy"], color=colour, linewidth=1.3)
        panel.scatter(part["confidence"], part["accuracy"], 12 + 160 * share, color=colour, marker=marker, clip_on=False)
        panel.set_title(f"{truncate(name, 30)}\nECE {part['ece'].iloc[0]:.3f}, {part['windows'].sum():,} windows", fontsize=8)
        panel.set_xlim(-0.03, 1.03)
        panel.set_ylim(-0.03, 1.03)
        panel.set_xlabel("confidence")
        if index % 3 == 0:
            panel.set_ylabel("share that is right")
    return figure


LAYOUTS = 3  # names stand at places in the axes and keep their size: each layout shrinks the axes, and only then is the overhang of the next known


def critical_difference(test: Friedman) -> Figure:
    """Average ranks (1 is best); a bar joins variants that Nemenyi's test does not tell apart (Demsar 2006)."""
    ranks, cd = test.ranks.rename(truncate), test.critical_difference
    p = test.nemenyi.rename(index=truncate, columns=truncate)
    figure = Figure(figsize=(WIDTH, 1.4 + 0.16 * len(ranks)), layout="constrained")
    axes = figure.subplots()
    techniques = [str(name).split(" ")[0] for name in ranks.index]
    palette = {name: style_of(technique, techniques)[0] for name, technique in zip(ranks.index, techniques, strict=True)}
    diagram: dict[str, Any] = critical_difference_diagram(
        ranks, p, ax=axes, color_palette=palette, label_props={"fontsize": 8}, crossbar_props={"color": INK, "linewidth": 2},
        elbow_props={"linewidth": 0.9}, label_fmt_left="{label} ({rank:.2f})", label_fmt_right="({rank:.2f}) {label}",
    )  # fmt: skip
    for (crossbar,) in diagram["crossbars"]:
        crossbar.set_xdata(sorted(crossbar.get_xdata()))  # they come in the order of a set, another in every process
    for text in diagram["labels"]:
        text.set_color(INK)
    below, start = axes.get_ylim()[0] - 0.3, ranks.min()
    axes.errorbar(start + cd / 2, below, xerr=cd / 2, color=INK, capsize=3, linewidth=1)
    axes.annotate(
        f"critical difference {cd:.2f}", (start + cd, below), (6, 0), textcoords="offset points", va="center", fontsize=8
    )
    axes.spines["top"].set_visible(True)
    axes.grid(visible=False)
    figure.suptitle(
        f"average rank over {test.n} participants, 1 is best; joined: not told apart", fontsize=9, fontweight="bold"
    )
    for _ in range(LAYOUTS):
        figure.draw_without_rendering()
    return figure
