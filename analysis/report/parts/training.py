"""How the models were trained and what they put out: chosen hyperparameters and channels, attention weights, training curves, reliability."""

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.figures import figure_data
from analysis.report import report_figures
from analysis.report.html import FigureBlock, table_block
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.scores.attention import attention_weights, weights_by_variant
from analysis.scores.keys import CELL, FOLD, VARIANT
from analysis.scores.run_folder import RunTables
from analysis.scores.training_curves import SKIPPED, training_curves


def _searched(tables: RunTables) -> pd.DataFrame:
    """The hyperparameters that a search chose for each fold; no rows without a search."""
    columns = [*CELL, *FOLD, "searched"]
    plan = tables.plan[columns] if "searched" in tables.plan else pd.DataFrame(columns=columns)
    return plan[plan["searched"].ne("")].drop_duplicates(ignore_index=True)


def _chosen_hyperparameters(report: ReportData, cell: ReportCell) -> SectionContent | None:
    """The choice for each target, which used no data of the target."""
    part = report.rows("searched", cell)
    if part.empty:
        return None
    caption = (
        "Hyperparameters chosen for each held-out participant on inner folds over the training people alone; the inner scores are in the "
        "run folder's search/."
    )
    counts = part["searched"].value_counts()
    sentence = "Chosen: " + "; ".join(f"{point} ({count} of {len(part)})" for point, count in counts.items()) + "."
    table = table_block(part.drop(columns=CELL).astype({"seed": str}), caption, name_columns=3)
    return SectionContent(text=(sentence,), blocks=(table,))


def _channels(tables: RunTables) -> pd.DataFrame:
    """How often a model with `channels: auto` chose each channel: one row for each of them, variant and technique; no rows without such a model."""
    columns = [*VARIANT, "channel", "n_chosen", "n_trials"]
    if "channels_selected" not in tables.trials:
        return pd.DataFrame(columns=columns)
    # a list in a small record, an array in a table, and neither of a model without a choice
    trials = tables.trials[tables.trials["channels_selected"].map(lambda names: isinstance(names, list | np.ndarray))]
    counts = trials.groupby(list(VARIANT), sort=False).size().rename("n_trials")
    chosen = trials.explode("channels_selected").rename(columns={"channels_selected": "channel"})
    chosen = chosen.groupby([*VARIANT, "channel"], sort=False).size().rename("n_chosen").reset_index()
    return chosen.join(counts, on=list(VARIANT))[columns].sort_values(
        [*VARIANT, "n_chosen"], ascending=False, ignore_index=True
    )


def _chosen_channels(report: ReportData, cell: ReportCell) -> SectionContent | None:
    part = report.rows("channels_chosen", cell)
    if part.empty:
        return None
    caption = (
        "In how many of the trials (held-out participants and seeds) each channel was chosen, on the training people alone; a channel that is not "
        "listed was never chosen. With fewer than three training people all channels are used."
    )
    table = table_block(part.drop(columns=CELL), caption, name_columns=3)
    return SectionContent(blocks=(table,))


def _attention_weights(report: ReportData, cell: ReportCell) -> SectionContent | None:
    part = report.rows("attention", cell)
    if part.empty:
        return None
    caption = (
        "Weight of each channel in the predicted windows, mean over participants; the weights of a window sum to 1. SD between participants, and "
        "between the windows of a participant (mean over participants); equal: the weight if all channels had the same."
    )
    sentence = "A weight says what the network used, not what would have been useful; attention.csv has every participant."
    table = table_block(weights_by_variant(part).drop(columns=CELL), caption, name_columns=3)
    return SectionContent(text=(sentence,), blocks=(table,))


def _figures(figures: list[FigureBlock]) -> SectionContent | None:
    return SectionContent(blocks=tuple(figures)) if figures else None


def _training_curves(report: ReportData, cell: ReportCell) -> SectionContent | None:
    curves = report.rows("curves", cell)
    content = _figures(report_figures.training(cell.slug, curves))
    skipped = tuple(curves.attrs.get(SKIPPED, ()))
    return replace(content or SectionContent(), text=skipped) if skipped else content


SEARCHED = ReportPart(
    "searched",
    compute=lambda tables, report: _searched(tables),
    title="Chosen hyperparameters",
    cell=_chosen_hyperparameters,
    descriptive=True,
)
CHANNELS = ReportPart(
    "channels_chosen",
    compute=lambda tables, report: _channels(tables),
    title="Chosen channels",
    cell=_chosen_channels,
    descriptive=True,
)
ATTENTION = ReportPart(
    "attention",
    compute=lambda tables, report: attention_weights(report.run, tables.trials),
    title="Attention weights",
    cell=_attention_weights,
    descriptive=True,
)
CURVES = ReportPart(
    "curves",
    compute=lambda tables, report: training_curves(report.run),
    title="Training curves",
    cell=_training_curves,
    descriptive=True,
)
RELIABILITY = ReportPart(
    "reliability",
    compute=lambda tables, report: figure_data.reliability(tables),
    csv=False,
    title="Reliability of the probabilities",
    cell=lambda report, cell: _figures(report_figures.reliability(cell.slug, report.rows("reliability", cell))),
    descriptive=True,
)
