"""The page of a report: its title, warnings and verdicts, and the sections of its parts in their order."""

from collections.abc import Iterable, Sequence

from analysis.formatting import metric_name
from analysis.report import comparison_table, report_figures
from analysis.report.html import Page, Section
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.report.verdict import beside_best_reference, verdict
from analysis.scores.keys import CELL

AGAINST_BEST = (
    "The comparison with the best model without personalization is another question, with a family of its own: all techniques of all models of "
    "a dataset and label. "
)


def report_page(report: ReportData, parts: Sequence[ReportPart]) -> Page:
    """The page of a run."""
    comparisons = dict(list(report.comparison.groupby(CELL, sort=True)))
    slugs = report_figures.slugs(comparisons)
    cells = {names: _cell_section(report, ReportCell(names, slugs[names]), parts) for names in comparisons}
    with_techniques = [names for names in comparisons if not report.rows("chosen", ReportCell(names, slugs[names])).empty]
    plain = [comparison_table.title(names) for names in comparisons if with_techniques and names not in with_techniques]
    return Page(
        title=f"{report.origin.get('study') or 'run'}: does personalization help new people?",
        intro=_intro(report),
        warnings=_warnings(report),
        verdicts=tuple(
            (cells[names], _verdict(report, ReportCell(names, slugs[names]))) for names in with_techniques or comparisons
        ),
        method=(
            "Each technique is compared with non_personalized, its variant chosen for each participant by the others, paired over participants; "
            "the test is of the mean difference, two-sided, with its variance inflated for the training that participants' scores share; p is "
            "adjusted by Holm over the techniques of one dataset, label and model. That is the only verdict; a technique's variants are detail "
            "behind it, and everything marked descriptive is not part of it. "
            f"{'' if report.frames['best_reference'].empty else AGAINST_BEST}"
            f"{'Without a technique to compare, and so without a verdict here: ' + '; '.join(plain) + '. ' if plain else ''}"
            f"Scoring: {comparison_table.SCORINGS.get(report.scoring, report.scoring)}."
        ),
        sections=(
            *_run_sections(report, [part for part in parts if part.before_cells]),
            *cells.values(),
            *_run_sections(report, [part for part in parts if not part.before_cells]),
        ),
    )


def _verdict(report: ReportData, cell: ReportCell) -> str:
    chosen, comparison = report.rows("chosen", cell), report.rows("comparison", cell)
    answer = verdict(chosen, comparison, report.question.smallest_effect, report.question.technique)
    return " ".join(filter(None, (answer, beside_best_reference(report.rows("best_reference", cell)))))


def _sections(contents: Iterable[tuple[ReportPart, SectionContent | None]]) -> tuple[Section, ...]:
    """The sections of the parts that have content."""
    return tuple(
        Section(part.title, content.text, content.items, content.blocks, descriptive=part.descriptive)
        for part, content in contents
        if content
    )


def _run_sections(report: ReportData, parts: Sequence[ReportPart]) -> tuple[Section, ...]:
    return _sections((part, part.whole_run(report)) for part in parts if part.whole_run)


def _cell_section(report: ReportData, cell: ReportCell, parts: Sequence[ReportPart]) -> Section:
    sections = _sections((part, part.cell(report, cell)) for part in parts if part.cell)
    return Section(comparison_table.title(cell.names), sections=sections)


def _warnings(report: ReportData) -> tuple[tuple[str, str], ...]:
    """A headline and a sentence each, which a reader must know before reading on."""
    warnings = [("Incomplete run.", report.incomplete)] if report.incomplete else []
    if report.metric != report.primary:
        metric, primary = metric_name(report.metric), metric_name(report.primary)
        sentence = f"The study's primary metric is {primary}; this report is about {metric} and descriptive."
        warnings.append(("Not the study's verdict.", sentence))
    return tuple(warnings)


def _intro(report: ReportData) -> str:
    counts = report.scores.groupby("dataset")["participant"].nunique()
    datasets = ", ".join(f"{dataset} ({count} participants)" for dataset, count in counts.items())
    seeds = report.scores["seed"].nunique()
    return f"{datasets}; {seeds} seed{'s' if seeds > 1 else ''}; {metric_name(report.metric)} per held-out participant."
