"""Which figures a run has: each drawn only if its variants, or its files, are there."""

import re
import zlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.figure import Figure

from analysis.constants import ALPHA
from analysis.figures import figure_data, line_plots, plots
from analysis.report.html import FigureBlock, TableBlock
from analysis.scores.keys import CELL
from analysis.scores.training_curves import loss_quartiles
from analysis.statistics.ranking import Friedman


def slugs(cells: Iterable[tuple[Hashable, ...]]) -> dict[tuple[Hashable, ...], str]:
    """A file name for each (dataset, label, model): letters, digits and hyphens, the same every time; two that would meet get a checksum."""
    names_to_slug = {names: re.sub(r"[^a-z0-9.]+", "-", "-".join(map(str, names)).lower()).strip("-.")[:80] for names in cells}
    every_slug = list(names_to_slug.values())
    ambiguous = {slug for slug in every_slug if every_slug.count(slug) > 1 or not slug}
    return {
        names: f"{slug}-{zlib.crc32(repr(names).encode()):08x}".strip("-") if slug in ambiguous else slug
        for names, slug in names_to_slug.items()
    }


def _figure(
    kind: str,
    slug: str,
    title: str,
    description: str,
    numbers: pd.DataFrame,
    draw: Callable[[], Figure],
    known: Iterable[str] = CELL,
) -> FigureBlock:
    """``known`` are the columns that the figure's place on the page says."""
    name = f"{kind}-{slug}"
    svg, png = plots.render(draw, name)
    return FigureBlock(name, title, description, svg, png, numbers.drop(columns=[c for c in known if c in numbers]))


def forest(slug: str, comparison: pd.DataFrame) -> list[FigureBlock]:
    """Mean differences with their intervals, one line a variant."""
    rows = figure_data.differences(comparison)
    if rows.empty:
        return []
    numbers = rows[["technique", "variant", "metric", "n_participants", "difference", "ci_low", "ci_high", "p_adjusted"]]
    description = "Right of the line the variant is better than non_personalized. A filled marker is significant after Holm; a hollow one is not."
    return [_figure("forest", slug, "Difference to non_personalized", description, numbers, lambda: plots.forest(rows))]


def answer(rows: pd.DataFrame, n_tested: int) -> FigureBlock:
    """The figure beside the answer: ``rows`` of the verdict with ``where``, the cell by name; of ``n_tested`` in all."""
    names = [
        "technique",
        "metric",
        "n_participants",
        "baseline_mean",
        "difference",
        "ci_low",
        "ci_high",
        "p_adjusted",
        "outcome",
    ]
    description = "Each technique, its variant chosen for each participant by the others. Filled: better or worse by p; hollow: not shown."
    if n_tested > len(rows):
        description += f" The {len(rows)} largest gains of {n_tested}; all are in the tables."
    return _figure(
        "answer",
        "all",
        "Difference to non_personalized",
        description,
        rows[[*CELL, *names]],
        lambda: plots.answer(rows),
        CELL[:0],
    )


def slopes(slug: str, rows: pd.DataFrame, metric: str) -> list[FigureBlock]:
    """One panel a technique; ``rows`` as ``plots.slopes`` takes them."""
    if rows.empty:
        return []
    description = (
        "Each line is a participant without and with the technique, in the variant that does best on average for the other participants. "
        "Solid blue gains, dashed orange loses; who loses most is named. Means of this choice are in the paper's layout, no p is."
    )
    return [_figure("slopes", slug, "Participant by participant", description, rows, lambda: plots.slopes(rows, metric))]


def heatmap(slug: str, gains: pd.DataFrame, metric: str, instead: TableBlock) -> list[FigureBlock]:
    """The page shows the same numbers as a shaded table."""
    numbers = gains.rename_axis(index="variant", columns=None).reset_index()
    description = "Blue gains, orange loses; the stronger, the more."
    figure = _figure(
        "gains", slug, "Difference for each participant", description, numbers, lambda: plots.heatmap(gains, metric)
    )
    return [replace(figure, instead=instead)]


@dataclass(frozen=True)
class PlotAxis:
    """An axis of techniques: its name in variants, the figure's title, the axis' label, and how a value is written on it."""

    name: str
    title: str
    label: str
    tick: Callable[[str], str]


def _share(value: str) -> str:
    return f"{100 * float(value):g}%" if re.fullmatch(r"0?\.\d+", value) else value


BUDGET = PlotAxis("budget", "Score over label budget", "label budget (%: of each label's windows)", _share)
CLUSTERS = PlotAxis("k", "Score over k", "k (clusters)", str)


def axis_figure(slug: str, comparison: pd.DataFrame, metric: str, axis: PlotAxis) -> list[FigureBlock]:
    """Score and difference over one axis of the techniques, if a run has two values of it."""
    rows = figure_data.axis_curves(comparison, axis.name)
    if rows.empty:
        return []
    description = "Mean score, and difference to non_personalized with its 95% interval; points are moved aside to be seen."
    ticked = rows.assign(value=rows["value"].map(axis.tick))
    return [_figure(axis.name, slug, axis.title, description, rows, lambda: line_plots.over_axis(ticked, metric, axis.label))]


PEOPLE = PlotAxis("people", "Score over people", "people trained on", str)


def learning_curve(slug: str, rows: pd.DataFrame, metric: str) -> FigureBlock:
    """Score and difference over the number of people; ``rows`` of ``figure_data.people_curves`` of one dataset, label and model."""
    description = (
        "Entries of the study on the same windows that train on different numbers of people. Left: mean over participants with its 95% interval; "
        "techniques are tested on the windows that they leave. Right: difference to non_personalized of the same entry on the same windows, with its "
        "95% interval. Points are moved aside to be seen."
    )
    title = f"{PEOPLE.title}: {' / '.join(map(str, rows[CELL].iloc[0]))}"
    return _figure(PEOPLE.name, slug, title, description, rows, lambda: line_plots.over_axis(rows, metric, PEOPLE.label))


def training(slug: str, curves: pd.DataFrame) -> list[FigureBlock]:
    """Loss over epochs, one panel a stage; ``curves`` as ``analysis.scores.training_curves`` gives them."""
    rows = loss_quartiles(curves)
    if rows.empty:
        return []
    description = (
        "Median over the trainings of a stage (participants, seeds and variants), the band is the middle half. A stage that several "
        "techniques share was trained once and stands under the technique that trained it. Stages end at different epochs where they stop early."
    )
    return [_figure("training", slug, "Training curves", description, rows, lambda: line_plots.training(rows))]


def reliability(slug: str, rows: pd.DataFrame) -> list[FigureBlock]:
    """Accuracy over confidence, one panel a technique; ``rows`` as ``figure_data.reliability`` gives them."""
    if rows.empty:
        return []
    description = (
        "How often the most probable class is right, over the probability the model gives it: under the diagonal it is too sure. Tested windows of "
        "all participants, variants and seeds pooled; the larger a marker, the more windows. ECE: expected calibration error, ten bins."
    )
    return [
        _figure(
            "reliability", slug, "Reliability of the probabilities", description, rows, lambda: line_plots.reliability(rows)
        )
    ]


def average_ranks(slug: str, test: Friedman) -> list[FigureBlock]:
    """A diagram of critical difference, if three variants or more have a score for two participants or more."""
    if test.n < 2 or len(test.ranks) < 3:
        return []
    description = (
        f"1 is best; a bar joins variants whose ranks differ by less than the critical difference {test.critical_difference:.2f} "
        f"(Nemenyi, {ALPHA}). Scores on the windows that all variants were tested on."
    )
    numbers = test.ranks.rename("average_rank").rename_axis("variant").sort_values(kind="stable").reset_index()
    return [_figure("ranks", slug, "Average ranks", description, numbers, lambda: line_plots.critical_difference(test))]
