"""Scores, the comparison of all variants, one column per technique, and scores over an axis of the techniques."""

from analysis.report import comparison_table, paper_table, report_figures
from analysis.report.html import TableBlock
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_figures import PlotAxis
from analysis.report.report_part import ReportPart, SectionContent
from analysis.scores.keys import CELL
from analysis.scores.scores import score
from analysis.statistics.comparison import compare
from analysis.statistics.dependence import variance_inflations
from analysis.statistics.variant_selection import select_variants


def _all_variants(report: ReportData, cell: ReportCell) -> SectionContent:
    comparison = report.rows("comparison", cell)
    table = TableBlock(
        comparison_table.caption(comparison),
        *comparison_table.shown(comparison),
        name_columns=comparison_table.NAME_COLUMNS,
    )
    return SectionContent(blocks=(*report_figures.forest(cell.slug, comparison), table))


def _one_column_per_technique(report: ReportData) -> SectionContent:
    paper = report.frames["paper_table"]
    rows = tuple(map(tuple, paper_table.rows(paper, "\n", "\n")))
    return SectionContent(
        blocks=(TableBlock(paper_table.caption(paper), tuple(paper_table.head(paper)), rows, name_columns=len(CELL)),)
    )


def _over_axis(axis: PlotAxis, report: ReportData, cell: ReportCell) -> SectionContent | None:
    figures = report_figures.axis_figure(cell.slug, report.rows("comparison", cell), report.metric, axis)
    return SectionContent(blocks=tuple(figures)) if figures else None


SCORES = ReportPart("scores", compute=lambda tables, report: score(tables, report.scoring))
INFLATION = ReportPart("inflation", compute=lambda tables, report: variance_inflations(tables))
COMPARISON = ReportPart(
    "comparison",
    compute=lambda tables, report: compare(
        report.scores, report.metric, report.frames["inflation"], report.question.smallest_effect
    ),
    texts={
        "comparison.md": lambda report: comparison_table.markdown(report.comparison, report.table_notes),
        "comparison.tex": lambda report: comparison_table.latex(report.comparison, report.table_notes),
    },
    title="All variants",
    cell=_all_variants,
)
CHOSEN = ReportPart(
    "chosen",
    compute=lambda tables, report: select_variants(
        report.scores, report.metric, report.frames["inflation"], report.question.smallest_effect, report.question.technique
    ),
)
PAPER_TABLE = ReportPart(
    "paper_table",
    compute=lambda tables, report: paper_table.build(report.comparison, report.frames["chosen"], report.best),
    texts={
        "paper_table.md": lambda report: paper_table.markdown(report.frames["paper_table"], report.table_notes),
        "paper_table.tex": lambda report: paper_table.latex(report.frames["paper_table"], report.table_notes),
    },
    title="One column per technique",
    whole_run=_one_column_per_technique,
    before_cells=True,
)
LABEL_BUDGET = ReportPart(
    "label_budget", title="Label budget", cell=lambda report, cell: _over_axis(report_figures.BUDGET, report, cell)
)
NUMBER_OF_CLUSTERS = ReportPart(
    "number_of_clusters",
    title="Number of clusters",
    cell=lambda report, cell: _over_axis(report_figures.CLUSTERS, report, cell),
)
