"""Participant by participant: who gains and who loses, how sure each one's score is, and fairness between groups."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from analysis.figures import figure_data
from analysis.formatting import interval, metric_name, number
from analysis.report import report_figures
from analysis.report.html import Block, ExplorerBlock, TableBlock, heatmap_block
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.report.verdict import largest_changes
from analysis.scores.keys import REFERENCE_TECHNIQUE, variant_label
from analysis.scores.paired_scores import gain_sign, paired_scores
from analysis.statistics import fairness
from analysis.statistics.variant_selection import chosen_variants
from analysis.statistics.within_person import within_person

WINDOWS_CAPTION = (
    "Windows that each participant is scored on and, of labels of two classes, its AUROC (mean over seeds) with the 95% interval over "
    "these windows (Newcombe's fifth, of Hanley and McNeil's variance); techniques in the variant that the other participants choose, "
    "windows behind it if they are another number. The interval is of this participant with these trained models and takes windows for "
    "independent: windows that overlap or follow each other carry less than their number says, and the true interval is wider. It is no "
    "part of any test, which is over participants."
)


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


def _auroc_text(row: Mapping[Hashable, Any], windows: float) -> str:
    """``0.938 [0.702, 0.989], 6 windows``: AUROC and interval, and windows if they are not the row's."""
    text = f"{number(row['auroc'])} {interval(row['auroc_low'], row['auroc_high'], sign=False)}".strip()
    return ", ".join(filter(None, (text, f"{row['windows']:.0f} windows" if row["windows"] != windows else "")))


def _windows_table(report: ReportData, cell: ReportCell, chosen: Mapping[str, Mapping[str, str]]) -> TableBlock | None:
    """Windows and AUROC of each participant without personalization and with each technique.

    Args:
        chosen: technique to participant to the variant that the other participants choose.
    """
    part = report.rows("within_person", cell)
    numbers = part.set_index(["technique", "variant", "participant"])[["windows", "auroc", "auroc_low", "auroc_high"]]
    rows_by_name = {
        (str(t), str(v), str(p)): row for (t, v, p), row in zip(numbers.index, numbers.to_dict("records"), strict=True)
    }
    people = sorted(part["participant"].astype(str).unique(), key=figure_data.natural_sort_key)
    reference = {person: rows_by_name.get((REFERENCE_TECHNIQUE, "-", person)) for person in people}
    if not any(reference.values()):
        return None
    techniques = list(chosen) if part["auroc"].notna().any() else []
    rows = []
    for person in people:
        own = reference[person]
        windows = own["windows"] if own else float("nan")
        tuned = [rows_by_name.get((name, chosen[name].get(person, ""), person)) for name in techniques]
        texts = [_auroc_text(row, windows) if row else "" for row in ([own, *tuned] if part["auroc"].notna().any() else [])]
        rows.append((person, f"{windows:.0f}" if own else "", *texts))
    head = ("participant", "windows", *((REFERENCE_TECHNIQUE, *techniques) if part["auroc"].notna().any() else ()))
    return TableBlock(WINDOWS_CAPTION, head, tuple(rows))


def _windows_of_each(report: ReportData, cell: ReportCell) -> SectionContent | None:
    pairs = report.rows("gains", cell)
    chosen = {str(name): chosen_variants(part, report.metric) for name, part in pairs.groupby("technique", sort=False)}
    table = _windows_table(report, cell, chosen)
    return SectionContent(blocks=(table,)) if table else None


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
WITHIN_PERSON = ReportPart(
    "within_person",
    compute=lambda tables, report: within_person(tables),
    title="Windows of each participant",
    cell=_windows_of_each,
    descriptive=True,
)
FAIRNESS = ReportPart(
    "fairness",
    compute=lambda tables, report: fairness.group_gaps(report.scores, tables.participants, report.metric),
    texts={"fairness.md": lambda report: fairness.markdown(report.frames["fairness"])},
    title="Fairness",
    cell=_fairness,
    descriptive=True,
)
