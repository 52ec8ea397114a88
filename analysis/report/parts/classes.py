"""Class by class: means of accuracy, recall and more, precision and recall of each class, confusion matrices."""

import numpy as np
import pandas as pd

from analysis.report.comparison_table import one_column_per_metric
from analysis.report.html import TableBlock, table_block
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.statistics import confusion


def _class_by_class(report: ReportData, cell: ReportCell) -> SectionContent | None:
    """Means with their intervals, and class by class; the variants of a technique are pooled, confusion.csv has each."""
    means, confused = report.rows("means", cell), report.rows("confusion", cell)
    if means.empty or confused.empty:
        return None
    caption = (
        "Mean over participants, each on the windows that the variant was tested on, with its 95% t interval over participants as if their "
        "scores were independent."
    )
    pooled = "windows of all participants, variants and seeds of a technique pooled"
    class_caption = f"Class by class, {pooled}; empty where undefined: no window of the class, or none taken for it."
    blocks = (
        table_block(one_column_per_metric(means, confusion.format_means(means)), caption, name_columns=2),
        table_block(confusion.per_class(confused, ["technique"]), class_caption, name_columns=2),
        *(_matrix(str(name), part, pooled) for name, part in confused.groupby("technique", sort=False)),
    )
    return SectionContent(blocks=blocks)


def _matrix(technique: str, part: pd.DataFrame, pooled: str) -> TableBlock:
    """The confusion matrix of a technique, each row shaded by its shares."""
    classes, counts = confusion.confusion_matrix(part)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = tuple((name, *(f"{count:.0f}" for count in row)) for name, row in zip(classes, counts, strict=True))
    caption = f"{technique}: true class (row) by guessed class (column), {pooled}; shaded by the share of the row."
    return TableBlock(caption, ("true class", *classes), rows, shades=tuple(map(tuple, shares.round(2).tolist())))


MEANS = ReportPart(
    "means",
    compute=lambda tables, report: confusion.class_means(report.scores),
    texts={"means.md": lambda report: confusion.markdown(report.frames["means"], report.table_notes)},
)
CONFUSION = ReportPart(
    "confusion",
    compute=lambda tables, report: confusion.confusion_counts(tables),
    title="Class by class",
    cell=_class_by_class,
    descriptive=True,
)
CLASSES = ReportPart("classes", compute=lambda tables, report: confusion.per_class(report.frames["confusion"]))
