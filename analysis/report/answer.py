"""The answer of a report in a few lines: whether a technique helps, how sure that is, and what changes the reading of it.

It states the verdict's own tests (``analysis.statistics.variant_selection``) and makes none of its own: one row for each technique of each
(dataset, label, model), its variant chosen for each participant by the others, Holm over the techniques of that cell.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.formatting import interval, metric_name, number, p_value
from analysis.report import report_figures
from analysis.report.comparison_table import ON_THE_SAME_WINDOWS
from analysis.report.html import Answer, FigureBlock
from analysis.report.report_data import ReportData
from analysis.scores.chance_levels import CLOCK
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, variant_label
from analysis.scores.paired_scores import gain_sign
from analysis.statistics.failed_trainings import failed_trainings
from analysis.statistics.outcome import BETTER, EQUIVALENT, OUTCOMES, WORSE

Row = Mapping[Hashable, Any]
WARNING = "warning: "  # in a note of a run (raylab.runs.provenance): what changes the reading of its tables
FAILED_TOLD = 3
FIGURE_ROWS = 12  # more would be a page, not a glance


def answer(report: ReportData) -> Answer:
    """The first lines of the page: of the study's primary technique if it declares one, else of all techniques tested."""
    tested = answered_rows(report)
    if not report.has_techniques and report.comparison[CELL].drop_duplicates().shape[0] > 1:
        return Answer(
            "No technique was compared.",
            (
                "The study has models without personalization alone.",
                "They stand beside each other in the tables below, and are tested there.",
            ),
            cautions(report, None),
        )
    if tested.empty:
        return Answer("Nothing was compared.", ("What is missing for a test is said below.",), cautions(report, None))
    best = tested.iloc[0].to_dict()
    return Answer(headline(tested), tuple(_sentences(report, tested, best)), cautions(report, best), _figure(tested))


def answered_rows(report: ReportData) -> pd.DataFrame:
    """The rows of the verdict that have a p, the largest gain first."""
    tested = report.frames["chosen"].dropna(subset=["p"])
    primary = tested[tested["technique"].eq(report.question.technique)]
    rows = tested if primary.empty else primary
    return rows.assign(_gain=gain_sign(report.metric) * rows["difference"]).sort_values(
        ["_gain", *CELL, "technique"], ascending=[False, True, True, True, True], kind="stable", ignore_index=True
    )


def headline(tested: pd.DataFrame) -> str:
    """The answer in a few words, from the outcomes of the tests."""
    counts = tested["outcome"].value_counts()
    n, better, worse = len(tested), int(counts.get(BETTER, 0)), int(counts.get(WORSE, 0))
    if better == n:
        return "Yes." if n == 1 else f"Yes, in all {n} comparisons."
    if better:
        return f"In part: shown in {better} of {n} comparisons."
    if counts.get(EQUIVALENT, 0) == n:
        return "No: equivalent to none."
    if worse == n:
        return "No: it is worse." if n == 1 else f"No: worse in all {n} comparisons."
    return f"Not shown; worse in {worse} of {n} comparisons." if worse else "Not shown."


def cell_name(row: Row, cells: pd.DataFrame) -> str:
    """``fcn``, or ``stress of wesad, fcn``: only those of dataset, label and model in which the rows differ; empty for one cell."""
    differing = [name for name in CELL if cells[name].nunique() > 1]
    return ", ".join(str(row[name]) for name in differing)


def _choice(row: Row) -> str:
    """The technique with its variant; if participants had several, with the most frequent one."""
    names = str(row["choices"]).split(", ")
    variant, _, count = names[0].rpartition(" x")
    text = variant_label(str(row["technique"]), variant)
    return text if len(names) == 1 else f"{text} (chosen for {count} of {int(row['n_participants'])} participants)"


def _sentences(report: ReportData, tested: pd.DataFrame, best: Row) -> list[str]:
    n, cells = len(tested), tested[CELL].drop_duplicates()
    where = cell_name(best, tested)
    seeds = report.scores["seed"].nunique()
    first = (
        f"{'Best: ' if n > 1 else ''}{_choice(best)}{f' ({where})' if where else ''}: "
        f"{number(best['difference'], sign=True)} {interval(best['ci_low'], best['ci_high'])} {metric_name(report.metric)}, "
        f"p {p_value(best['p_adjusted'])}."
    )
    lines = [
        first,
        f"{int(best['n_participants'])} people, {seeds} seed{'s' if seeds > 1 else ''}; without personalization "
        f"{number(best['baseline_mean'])}{ON_THE_SAME_WINDOWS.get(report.scoring, '')}.",
    ]
    detectable = float(best["detectable"])
    if not math.isnan(detectable):
        lines.append(f"This study could have detected a difference of {number(detectable)} in four of five repetitions.")
    if float(best["choice_inflation"]) > 1:  # else interval and p are those of the variant's own row in the tables
        lines.append("Interval and p allow for the choice of the variant, made for each participant by the others.")
    if n > 1:
        counts = tested["outcome"].value_counts()
        told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts.get(outcome, 0))
        lines.append(f"Of {n} comparisons with non_personalized: {told}.")
    if len(cells) > 1:
        lines.append(f"p is adjusted within each of {len(cells)} sets (dataset, label, model), not across them.")
    return lines


def _figure(tested: pd.DataFrame) -> FigureBlock:
    shown = tested.head(FIGURE_ROWS).assign(
        where=[cell_name(row, tested) for row in tested.head(FIGURE_ROWS).to_dict("records")]
    )
    return report_figures.answer(shown, len(tested))


def cautions(report: ReportData, best: Row | None) -> tuple[tuple[str, str], ...]:
    """A headline and a sentence each, which a reader must know before believing the answer."""
    found = [("Incomplete run.", report.incomplete)] if report.incomplete else []
    if report.metric != report.primary:
        metric, primary = metric_name(report.metric), metric_name(report.primary)
        found.append(
            ("Not the study's verdict.", f"Its primary metric is {primary}; this report is about {metric} and descriptive.")
        )
    if best is not None and best["lopsided"] is True:
        found.append(
            (
                f"p of {best['technique']} is not to be relied on.",
                "Hardly any participant changes, or a few make the mean.",
            )
        )
    if best is not None:
        found += _clock(report, best)
    found += _failed(report)
    return (*found, *(("Caution.", text) for text in merged(note for note in report.notes if WARNING in note)))


def _clock(report: ReportData, best: Row) -> list[tuple[str, str]]:
    """Whether the time since the start, without any signal, does better than the model that the answer is about."""
    rows = report.comparison[(report.comparison[CELL] == [best[name] for name in CELL]).all(axis=1)].set_index("technique")[
        "mean"
    ]
    clock, reference = rows.get(CLOCK), rows.get(REFERENCE_TECHNIQUE)
    if clock is None or reference is None or not gain_sign(report.metric) * (clock - reference) > 0:
        return []
    text = f"The time since the start, with no signal, reaches {number(clock)}; the model without personalization {number(reference)}."
    return [("The clock does better.", text)]


def _failed(report: ReportData) -> list[tuple[str, str]]:
    """Trainings that rank a person backwards in one seed alone: techniques that begin with them gain by any new start."""
    failed = failed_trainings(report.scores)
    if failed.empty:
        return []
    alone = report.scores["technique"].eq(REFERENCE_TECHNIQUE) & report.scores["against"].eq("")
    told = [
        f"{cell_name(row, report.comparison) or row['model']}, {row['participant']}, seed {row['seed']}: {number(row['auroc'])}, "
        f"{number(row['others'])} in the others"
        for row in failed.head(FAILED_TOLD).to_dict("records")
    ]
    more = f" and {len(failed) - FAILED_TOLD} more" if len(failed) > FAILED_TOLD else ""
    rank = "ranks" if len(failed) == 1 else "rank"
    text = (
        f"{len(failed)} of {int(alone.sum())} trainings without personalization {rank} a person backwards that other seeds rank rightly "
        f"(AUROC {'; '.join(told)}{more}). What a technique gains there it may gain by any new start."
    )
    return [("A training failed by chance." if len(failed) == 1 else "Some trainings failed by chance.", text)]


def merged(notes: Iterable[str]) -> list[str]:
    """Notes (``dataset: warning: text``) as sentences: those that several datasets have, once, and a dataset once however many labels it has."""
    datasets: dict[str, list[str]] = {}
    for note in notes:
        before, _, text = note.partition(WARNING)
        datasets.setdefault(text, []).append(before.removesuffix(": "))
    return [
        f"{', '.join(filter(None, dict.fromkeys(names)))}: {text}" if any(names) else f"{text[:1].upper()}{text[1:]}"
        for text, names in datasets.items()
    ]
