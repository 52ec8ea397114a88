"""Descriptive statistics beside the verdict: other metrics, the Bayesian test, ranks, and Stouffer's test across datasets."""

from math import isnan

import pandas as pd

from analysis.formatting import interval, metric_name, number, p_value
from analysis.report import report_figures
from analysis.report.comparison_table import one_column_per_metric
from analysis.report.html import Block, table_block
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.scores.keys import CELL
from analysis.scores.metrics import METRICS
from analysis.scores.paired_scores import gain_sign
from analysis.scores.scores import score_common
from analysis.statistics import columns
from analysis.statistics.bayes_and_stouffer import ROPE, bayesian_signed_rank, stouffer
from analysis.statistics.comparison import compare
from analysis.statistics.ranking import friedman, rank_tables, ranking


def _other_metrics(scores: pd.DataFrame, metric: str, inflations: pd.DataFrame) -> pd.DataFrame:
    """The comparison on every other metric, without tests: the verdict is about one."""
    of_test = [column.name for column in columns.reference_columns() if column.of_test]
    comparisons = [compare(scores, name, inflations).drop(columns=of_test) for name in METRICS if name != metric]
    return pd.concat(comparisons, ignore_index=True)


def _metric_texts(metrics: pd.DataFrame) -> list[str]:
    """Mean, under it difference and interval."""
    return [
        f"{number(row['mean'])}\n{number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}".strip()
        for row in metrics.to_dict("records")
    ]


def _appendix(report: ReportData, cell: ReportCell) -> SectionContent | None:
    """Other metrics, Bayesian test and ranks."""
    metrics, bayesian = report.rows("appendix_metrics", cell), report.rows("appendix_bayesian", cell)
    blocks: list[Block] = []
    if len(metrics):
        caption = (
            "Other metrics: mean over participants; under it the difference to non_personalized with its 95% interval. No "
            "tests."
        )
        blocks.append(table_block(one_column_per_metric(metrics, _metric_texts(metrics)), caption, name_columns=2))
    if len(bayesian):
        caption = (
            f"Bayesian signed-rank test in {metric_name(report.metric)}: probability that a variant is worse than non_personalized, equivalent "
            f"(within {ROPE}), or better. It is about averages of two participants' differences (Walsh averages), not about their mean, and takes "
            "participants' scores as independent."
        )
        blocks.append(table_block(bayesian.drop(columns=[*CELL, "metric", "test"]), caption))
    text = []
    for table in rank_tables(report.rows("common_scores", cell), report.metric).values():
        test = friedman(table, gain_sign(report.metric) < 0)
        blocks += report_figures.average_ranks(cell.slug, test)
        if not isnan(test.p):
            text.append(
                f"Friedman's test over {test.n} participants and {len(test.ranks)} variants, on the windows that all were tested on: "
                f"chi-square {test.statistic:.2f}, p {p_value(test.p)}. Variants of one technique resemble each other more than they "
                "resemble the baseline, so a small p does not prove that any mean differs."
            )
    return SectionContent(text=tuple(text), blocks=tuple(blocks)) if blocks else None


def _across_datasets(report: ReportData) -> SectionContent | None:
    """Stouffer's test, if two datasets or more were run."""
    frame = report.frames["appendix_stouffer"]
    if frame.empty:
        return None
    caption = (
        f"Stouffer's z across datasets in {metric_name(report.metric)} (above 0: better than non_personalized; weight: root of the participants), "
        "one label a dataset, Holm over the variants of a model."
    )
    return SectionContent(blocks=(table_block(frame.drop(columns=["metric", "test"]), caption),))


OTHER_METRICS = ReportPart(
    "appendix_metrics", compute=lambda tables, report: _other_metrics(report.scores, report.metric, report.frames["inflation"])
)
BAYESIAN = ReportPart("appendix_bayesian", compute=lambda tables, report: bayesian_signed_rank(report.scores, report.metric))
COMMON_SCORES = ReportPart("common_scores", compute=lambda tables, report: score_common(tables), csv=False)
RANKING = ReportPart("appendix_ranking", compute=lambda tables, report: ranking(report.frames["common_scores"], report.metric))
APPENDIX = ReportPart("appendix", title="Appendix", cell=_appendix, descriptive=True)
STOUFFER = ReportPart(
    "appendix_stouffer",
    compute=lambda tables, report: stouffer(report.comparison, sources=tables.sources),
    title="Across datasets",
    whole_run=_across_datasets,
    descriptive=True,
)
