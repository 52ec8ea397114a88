"""The page of a report: its title, answer and verdicts, and the sections of its parts in their order."""

from collections.abc import Iterable, Sequence

from analysis.formatting import metric_name
from analysis.report import comparison_table, report_figures
from analysis.report.answer import answer
from analysis.report.html import Page, Section
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.report.verdict import best_reference_sentences, verdict_sentences
from analysis.scores.keys import CELL

AGAINST_BEST = (
    "The comparison with the best model without personalization is another question. Its family are all techniques of all models of a dataset and "
    "label."
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
        answer=answer(report),
        verdicts=tuple(
            # of several models without a technique there is one thing to say, and the answer says it
            (cells[names], _verdict(report, ReportCell(names, slugs[names])))
            for names in with_techniques or (comparisons if report.has_techniques or len(comparisons) == 1 else ())
        ),
        method=_method(report, plain),
        sections=(
            *_run_sections(report, [part for part in parts if part.before_cells]),
            *cells.values(),
            *_run_sections(report, [part for part in parts if not part.before_cells]),
        ),
        filters=_filters(report),
    )


def _method(report: ReportData, plain: Sequence[str]) -> tuple[str, ...]:
    """How the verdict is made, in sentences; ``plain`` are the cells without a technique."""
    sentences = [
        "Each technique is compared with non_personalized, paired over participants on the same windows."
        if report.scoring == "paired"
        else "Each technique is compared with non_personalized, paired over participants.",
        "Of several variants one is chosen for each participant by the others.",
        "The test is of the mean difference, two-sided, with its variance inflated for the training that participants' scores share.",
        "p is adjusted by Holm over the techniques of one dataset, label and model.",
        "Detects: the mean difference that such a study finds in four of five repetitions.",
        "That is the only verdict: a technique's variants are detail behind it, and what is marked descriptive is no part of it.",
        *([] if report.frames["best_reference"].empty else [AGAINST_BEST]),
        *([f"Without a technique to compare, and so without a verdict here: {'; '.join(plain)}."] if plain else []),
        f"Scoring: {comparison_table.SCORINGS.get(report.scoring, report.scoring)}.",
    ]
    return tuple(sentences)


def _filters(report: ReportData) -> dict[str, tuple[str, ...]]:
    """Of each column that says what a row is about its values, if there are several to choose from and cells to tell apart."""
    if report.comparison[CELL].drop_duplicates().shape[0] < 2:
        return {}
    values = {name: tuple(sorted(report.comparison[name].astype(str).unique())) for name in CELL}
    values["technique"] = tuple(sorted(report.frames["chosen"]["technique"].astype(str).unique()))
    return {name: known for name, known in values.items() if len(known) > 1}


def _verdict(report: ReportData, cell: ReportCell) -> tuple[str, ...]:
    chosen, comparison = report.rows("chosen", cell), report.rows("comparison", cell)
    sentences = verdict_sentences(chosen, comparison, report.question.smallest_effect, report.question.technique)
    return (*sentences, *best_reference_sentences(report.rows("best_reference", cell)))


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
    keys = dict(zip(CELL, map(str, cell.names), strict=True))
    return Section(comparison_table.title(cell.names), sections=sections, keys=keys)


def _intro(report: ReportData) -> str:
    counts = report.scores.groupby("dataset")["participant"].nunique()
    datasets = ", ".join(f"{dataset} ({count} participants)" for dataset, count in counts.items())
    seeds = report.scores["seed"].nunique()
    return f"{datasets}; {seeds} seed{'s' if seeds > 1 else ''}; {metric_name(report.metric)} per held-out participant."
