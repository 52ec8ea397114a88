"""What labels of the target cost and bring, and who was kept from losing."""

import pandas as pd

from analysis.formatting import metric_name
from analysis.report.html import table_block
from analysis.report.report_data import ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.statistics.label_cost import label_cost, losers_avoided


def _section(frame: pd.DataFrame, caption: str) -> SectionContent | None:
    return None if frame.empty else SectionContent(blocks=(table_block(frame.drop(columns="metric"), caption),))


def _cost(report: ReportData) -> SectionContent | None:
    return _section(
        report.frames["label_cost"],
        f"Labels of the target that a technique used (mean over participants), its gain in {metric_name(report.metric)} over non_personalized on "
        "the windows that all variants were tested on, and the gain per label. fixed_gain: what fine-tuning the same layers gains at the same mean "
        "number of labels, on the line between the two nearest fixed budgets; empty outside of them.",
    )


def _avoided(report: ReportData) -> SectionContent | None:
    return _section(
        report.frames["losers_avoided"],
        f"when_to_personalize beside fine-tuning always: participants whose {metric_name(report.metric)} is below that of non_personalized on the "
        "same windows (losers), how many of these the decision avoided, and how many who would gain it kept from it.",
    )


LABEL_COST = ReportPart(
    "label_cost",
    compute=lambda tables, report: label_cost(tables, report.metric),
    title="Labels used and gained by",
    whole_run=_cost,
    descriptive=True,
)
LOSERS_AVOIDED = ReportPart(
    "losers_avoided",
    compute=lambda tables, report: losers_avoided(tables, report.scores, report.metric),
    title="Losers avoided",
    whole_run=_avoided,
    descriptive=True,
)
