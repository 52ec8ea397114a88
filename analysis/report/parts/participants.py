"""Participant by participant: who gains and who loses, and fairness between groups."""

import pandas as pd

from analysis.figures import figure_data
from analysis.formatting import metric_name
from analysis.report import report_figures
from analysis.report.html import Block, ExplorerBlock, TableBlock, heatmap_block
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.report.verdict import largest_changes
from analysis.scores.keys import variant_label
from analysis.scores.paired_scores import gain_sign, paired_scores
from analysis.statistics import fairness


def _who_gains(report: ReportData, cell: ReportCell) -> SectionContent | None:
    pairs, metric = report.rows("gains", cell), report.metric
    gains = figure_data.gain_table(pairs) if len(pairs) else pd.DataFrame()
    if gains.empty or gains.isna().all(axis=None):
        return None
    caption = f"Difference in {metric_name(metric)} to non_personalized, variant by participant; a dash: no score."
    blocks: tuple[Block, ...] = (
        *report_figures.heatmap(cell.slug, gains, metric, heatmap_block(gains, caption, gain_sign(metric))),
        *report_figures.slopes(cell.slug, figure_data.selected_variant_pairs(pairs, metric), metric),
        ExplorerBlock("Participant by participant", _explorer_data(pairs, metric)),
    )
    return SectionContent(text=(largest_changes(pairs, metric),), blocks=blocks)


def _explorer_data(pairs: pd.DataFrame, metric: str) -> dict[str, object]:
    """Scores of every participant (in a natural order), variant by variant; None if one is missing."""
    names = sorted(pairs["participant"].unique(), key=figure_data.natural_sort_key)
    variants = []
    for (technique, variant), part in pairs.groupby(["technique", "variant"], sort=False):
        by_participant = part.set_index("participant").reindex(names)
        sides = {
            side: [None if pd.isna(x) else round(float(x), 4) for x in by_participant[side]] for side in ("baseline", "score")
        }
        variants.append({"name": variant_label(str(technique), str(variant)), **sides})
    return {
        "metric": metric_name(metric),
        "sign": gain_sign(metric),
        "participants": [str(name) for name in names],
        "variants": variants,
    }


def _fairness(report: ReportData, cell: ReportCell) -> SectionContent | None:
    part = report.rows("fairness", cell)
    if part.empty:
        return None
    sentences = tuple(fairness.summarize_groups(part))
    groupings = fairness.groupings_with_gap(part)
    if not groupings:
        return SectionContent(text=("No grouping has two groups that are large enough to be scored.",), items=sentences)
    head = ("technique", "variant", *groupings)
    changes = TableBlock(fairness.CAPTION, head, tuple(map(tuple, fairness.rows(part))), name_columns=2)
    return SectionContent(items=sentences, blocks=(changes,))


GAINS = ReportPart(
    "gains",
    compute=lambda tables, report: paired_scores(report.scores, report.metric),
    title="Who gains, who loses",
    cell=_who_gains,
)
FAIRNESS = ReportPart(
    "fairness",
    compute=lambda tables, report: fairness.group_gaps(report.scores, tables.participants, report.metric),
    texts={"fairness.md": lambda report: fairness.markdown(report.frames["fairness"])},
    title="Fairness",
    cell=_fairness,
    descriptive=True,
)
