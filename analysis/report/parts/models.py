"""Models, fusions, modalities, channels and folds against each other, techniques against the best model, and techniques over datasets."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from analysis.figures.figure_data import people_curves
from analysis.formatting import escape, interval, mean_sd, metric_name, n_with_missing, number, p_value, pipe_table
from analysis.report import report_figures
from analysis.report.html import TableBlock, table_block
from analysis.report.report_data import ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.scores.keys import CELL
from analysis.statistics.across_datasets import across_datasets
from analysis.statistics.best_reference import compare_with_best_reference
from analysis.statistics.columns import OUTCOME_LEGEND, adjusted_p, lopsided_note
from analysis.statistics.dependence import BOUND
from analysis.statistics.growth import growth
from analysis.statistics.model_comparison import MODELS, compare_models
from analysis.statistics.outcome import BETTER, WORSE, outcome_text

HEAD = ("compared", "reference", "mean (SD)", "reference mean", "n", "difference", "95% interval", "p", "p Holm", "outcome")

BEST_HEAD = (
    "model", "technique", "best model", "mean (SD)", "reference mean", "n", "difference to own model", "difference", "95% interval", "p",
    "p Holm", "outcome",
)  # fmt: skip


def _text_row(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    return (
        str(row["compared"]),
        str(row["reference"]),
        mean_sd(row["mean"], row["sd"]),
        number(row["reference_mean"]),
        n_with_missing(int(row["n_participants"]), int(row["n_missing"])),
        number(row["difference"], sign=True),
        interval(row["ci_low"], row["ci_high"]),
        p_value(row["p"]),
        adjusted_p(row),
        outcome_text(row),
    )


def _answer(part: pd.DataFrame) -> str:
    """Which of a family are better or worse than their reference."""
    texts = [
        f"{row['compared']} {row['outcome']} than {row['reference']} ({number(row['difference'], sign=True)}, p {p_value(row['p_adjusted'])})"
        for row in part.to_dict("records")
        if row["outcome"] in (BETTER, WORSE)
    ]
    return f"{'; '.join(texts) or 'No difference is shown'}."


def _caption(family: str, part: pd.DataFrame) -> str:
    first = part.iloc[0]
    kind = "models" if first["by"] == MODELS else "entries of the study on the same windows"
    sentences = (
        f"{family}, {kind} without personalization. {_answer(part)} {metric_name(first['metric'])} on the windows that all were tested on, paired "
        f"over participants, means over the seeds that both have; {first['test']} (s^2 / n times {first['inflation']:.2f}, "
        f"{first['inflation_source']}), two-sided, Holm over {int(first['family_size'])}; {OUTCOME_LEGEND}."
    )
    return " ".join(filter(None, (sentences, lopsided_note(part))))


def _families(report: ReportData) -> list[tuple[str, pd.DataFrame]]:
    frame = report.frames["model_comparison"]
    return [(str(family), part) for (_, family), part in frame.groupby(["by", "family"], sort=False)]


def _section(report: ReportData) -> SectionContent | None:
    blocks = tuple(
        TableBlock(_caption(family, part), HEAD, tuple(map(_text_row, part.to_dict("records"))), name_columns=2)
        for family, part in _families(report)
    )
    return SectionContent(blocks=blocks) if blocks else None


def _markdown(report: ReportData) -> str:
    lines: list[str] = []
    for family, part in _families(report):
        lines += [*pipe_table(HEAD, map(_text_row, part.to_dict("records"))), "", escape(_caption(family, part)), ""]
    return "\n".join(lines).rstrip() + "\n" if lines else "One model on one entry of each dataset: nothing to compare.\n"


def _best_text_row(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    """A technique against the best model without personalization, its own model's gap beside it."""
    numbers = _text_row({**row, "compared": row["technique"], "reference": row["references"]})
    names, means, tested = numbers[:2], numbers[2:5], numbers[5:]
    return (str(row["model"]), *names, *means, number(row["own_difference"], sign=True), *tested)


def _best_caption(part: pd.DataFrame) -> str:
    first, low, high = part.iloc[0], part["inflation"].min(), part["inflation"].max()
    inflation = f"{low:.2f}{f' to {high:.2f}' if high - low >= 0.005 else ''}"
    sentences = (
        f"{first['family']}: each technique, its variant chosen for each participant by the others, against the best model without "
        f"personalization: for each participant the one that is best on average over the others (best model: for how many participants each was "
        f"chosen). {metric_name(first['metric'])} on the windows that all models and the technique were tested on, paired over participants, means "
        f"over the seeds that both have; beside it the difference to the technique's own model without personalization. "
        f"{' or '.join(part['test'].dropna().unique())} (s^2 / n times {inflation}, {BOUND}), two-sided, Holm over all "
        f"{int(first['family_size'])} techniques of all models; {OUTCOME_LEGEND}."
    )
    return " ".join(filter(None, (sentences, lopsided_note(part))))


def _best_families(report: ReportData) -> list[pd.DataFrame]:
    frame = report.frames["best_reference"]
    return [part for _, part in frame.groupby("family", sort=False)]


def _against_best(report: ReportData) -> SectionContent | None:
    blocks = tuple(
        TableBlock(_best_caption(part), BEST_HEAD, tuple(map(_best_text_row, part.to_dict("records"))), name_columns=3)
        for part in _best_families(report)
    )
    return SectionContent(blocks=blocks) if blocks else None


def _best_markdown(report: ReportData) -> str:
    lines: list[str] = []
    for part in _best_families(report):
        lines += [*pipe_table(BEST_HEAD, map(_best_text_row, part.to_dict("records"))), "", escape(_best_caption(part)), ""]
    return (
        "\n".join(lines).rstrip() + "\n"
        if lines
        else "One model without personalization: nothing else to set techniques against.\n"
    )


def _over_datasets(report: ReportData) -> SectionContent | None:
    frame = report.frames["across_datasets"]
    if frame.empty:
        return None
    caption = (
        f"Mean difference in {metric_name(report.metric)} to non_personalized over datasets, one label a dataset, each technique with its variant "
        "chosen by the other participants: random-effects model, Hartung and Knapp's 95% interval, which speaks of a new dataset like these; Holm "
        "over the techniques of a model."
    )
    return SectionContent(blocks=(table_block(frame.drop(columns=["metric", "family_size"]), caption),))


def _learning_curves(report: ReportData) -> SectionContent | None:
    """A figure for each dataset, label and model that was trained on several numbers of people."""
    cells = dict(list(report.frames["learning_curve"].groupby(CELL, sort=True)))
    slugs = report_figures.slugs(cells)
    figures = tuple(report_figures.learning_curve(slugs[names], rows, report.metric) for names, rows in cells.items())
    return SectionContent(blocks=(*_growth_table(report), *figures)) if figures else None


def _growth_table(report: ReportData) -> tuple[TableBlock, ...]:
    """The tested differences between the most and the fewest people, a row per technique."""
    frame = report.frames["growth"]
    if frame.empty:
        return ()
    shown = [
        *CELL, "technique", "smallest", "largest", "n_participants", "n_missing", "reference_mean", "mean", "difference", "ci_low", "ci_high",
        "p_adjusted", "outcome", "gainers", "losers", "lopsided", "slope",
    ]  # fmt: skip
    caption = (
        f"{metric_name(report.metric)} of each technique trained on the most people (mean) against itself on the fewest (reference_mean), paired "
        "over participants on the same windows, its variant chosen by the other participants; t with the bound for shared training, Holm over the "
        "techniques of a model. slope: mean change a doubling over all numbers, descriptive. More people are not more alike people: an entry with "
        "fewer draws them at random, once a fold and seed."
    )
    return (table_block(frame[shown], caption),)


MODEL_COMPARISON = ReportPart(
    "model_comparison",
    compute=lambda tables, report: compare_models(
        tables, report.metric, report.question.references, report.question.smallest_effect
    ),
    texts={"model_comparison.md": _markdown},
    title="Models compared",
    whole_run=_section,
    before_cells=True,
)
BEST_REFERENCE = ReportPart(
    "best_reference",
    compute=lambda tables, report: compare_with_best_reference(
        tables, report.scores, report.metric, report.question.smallest_effect
    ),
    texts={"best_reference.md": _best_markdown},
    title="Against the best model without personalization",
    whole_run=_against_best,
    before_cells=True,
)
GROWTH = ReportPart(
    "growth",
    compute=lambda tables, report: growth(tables, report.scores, report.metric, report.question.smallest_effect),
)
LEARNING_CURVE = ReportPart(
    "learning_curve",
    compute=lambda tables, report: people_curves(tables, report.comparison, report.frames["chosen"]),
    title="Learning curve over people",
    whole_run=_learning_curves,
    descriptive=True,
)
ACROSS_DATASETS = ReportPart(
    "across_datasets",
    compute=lambda tables, report: across_datasets(report.frames["chosen"], sources=tables.sources),
    title="Techniques over datasets",
    whole_run=_over_datasets,
)
