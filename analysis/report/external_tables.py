"""What `--against` writes: a table beside ours and the sentences that it needs."""

import os
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.errors import RunNotFoundError
from analysis.formatting import (
    bullets,
    escape,
    int_range,
    interval,
    mean_sd,
    metric_name,
    n_with_missing,
    number,
    p_value,
    pipe_table,
)
from analysis.report.comparison_table import LEVEL, UNREACHABLE_MARK, unreachable_note
from analysis.scores.run_folder import load
from analysis.scores.scores import CELL, Scoring, score
from analysis.statistics.external_comparison import PUBLISHED_TABLES, compare_runs, compare_with_published

SOURCES = {"han2024": "Han, Zhang, Park and Lee, IMWUT 8(4), 2024, doi 10.1145/3699724"}


@dataclass(frozen=True)
class ExternalTable:
    """A table beside ours: ``name`` is that of its files, ``table`` its numbers, ``printed`` it is for people, ``text`` likewise in Markdown."""

    name: str
    table: pd.DataFrame
    printed: "TextTable"
    text: str


@dataclass(frozen=True)
class TextTable:
    """A table of plain texts, and what its columns mean."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str

    def lines(self) -> list[str]:
        """As Markdown."""
        return [*pipe_table(self.head, self.rows), "", escape(self.caption), ""]


def external_table(
    which: str,
    scores: pd.DataFrame,
    comparison: pd.DataFrame,
    chosen: pd.DataFrame,
    metric: str,
    notes: tuple[str, ...] = (),
) -> ExternalTable:
    """Ours beside ``which``: the name of a published table, or a run folder.

    Raises:
        RunNotFoundError: where it is neither.
        AnalysisError: where nothing in it matches this run.
    """
    if which in PUBLISHED_TABLES:
        table = compare_with_published(comparison, chosen, which)
        return ExternalTable(which, table, published_text_table(table, which), published_markdown(table, which, notes))
    scoring: Scoring = scores["scoring"].iloc[0]
    try:
        frames = load(which)
    except RunNotFoundError as error:
        raise RunNotFoundError(
            f"--against {which} is neither a published table ({', '.join(PUBLISHED_TABLES)}) nor a run folder"
        ) from error
    table = compare_runs(scores, score(frames, scoring), metric)
    name = re.sub(r"[^A-Za-z0-9-]+", "_", os.fspath(which).rstrip("/").split("/")[-1]).strip("_") or "run"
    return ExternalTable(name, table, runs_text_table(table, name), runs_markdown(table, which, notes, frames.notes))


def _published_row(row: "pd.Series[Any]") -> tuple[str, ...]:
    marker = f" {row['paper_marker']}" if row["paper_marker"] else ""
    return (
        *(str(row[name]) for name in [*CELL, "technique", "column"]),
        str(row["n_participants"]),
        mean_sd(row["mean"], row["sd"]),
        interval(row["ci_low"], row["ci_high"], sign=False),
        f"{mean_sd(row['paper_mean'], row['paper_sd'])}{marker}",
        number(row["difference"], sign=True),
        "" if pd.isna(row["covered"]) else "yes" if row["covered"] else "no",
        row["note"],
    )


def published_text_table(table: pd.DataFrame, name: str) -> TextTable:
    """The table of ``against.published``, what its columns mean, and what cannot be compared."""
    head = (
        *CELL,
        "technique",
        "our column",
        "n",
        "ours, mean (SD)",
        "95% interval",
        "paper, mean (SD)",
        "difference",
        "covered",
        "note",
    )
    said = [
        f"AUROC, mean (SD) over participants. Paper: {SOURCES[name]}; it has one column per technique and does not say of which variant.",
        "95% interval: Student's t interval of our mean over our participants (it may pass 1); covered: whether it holds the paper's mean. "
        "The paper's mean has an uncertainty of its own, which is not in it, so this is no test of equality.",
        "Where our technique has several variants, ours is the variant chosen for each participant by the mean over the other participants.",
    ]
    if marks := sorted(set(table["paper_marker"]) - {""}):
        said.append(f"Beside the paper's numbers stands {' or '.join(marks)}, as printed there; what it means is not known.")
    if table["dataset"].str.startswith("wesad").any():
        said.append(
            "The paper's WESAD input is 14 channels from chest and wrist; a run on one device alone does not have it (see the notes)."
        )
    return TextTable(head, tuple(_published_row(row) for _, row in table.iterrows()), " ".join(said))


def published_markdown(table: pd.DataFrame, name: str, notes: tuple[str, ...] = ()) -> str:
    """``published_text_table``, then the run's notes."""
    return "\n".join([*published_text_table(table, name).lines(), *bullets(notes)]).rstrip() + "\n"


def _runs_row(row: "pd.Series[Any]") -> tuple[str, ...]:
    return (
        *(str(row[name]) for name in [*CELL, "technique", "variant"]),
        n_with_missing(row["n_participants"], row["n_missing"]),
        mean_sd(row["mean"], row["sd"]),
        number(row["other_mean"]),
        number(row["difference"], sign=True),
        interval(row["ci_low"], row["ci_high"]),
        number(row["effect_size"], 2, sign=True),
        p_value(row["p"]),
        p_value(row["p_adjusted"]) + (UNREACHABLE_MARK if row["least_p"] >= LEVEL else ""),
    )


def runs_text_table(table: pd.DataFrame, other: str) -> TextTable:
    """The table of ``against.runs``, its tests and what differs between the runs."""
    head = (
        *CELL,
        "technique",
        "variant",
        "n",
        "this run, mean (SD)",
        "other",
        "difference",
        "95% interval",
        "effect",
        "p",
        "p Holm",
    )
    first = table.iloc[0]
    said = [
        f"{metric_name(first['metric'])}, this run minus {other}, for the variants that both have, paired over the participants of both, "
        f"each run averaged over its own seeds; scoring: {first['scoring']}, each variant on its own windows.",
        f"{' or '.join(table['test'].unique())}, two-sided, Holm over the family of the {int_range(table['family_size'])} variants of a dataset, "
        "label and model that both have; 95% BCa interval of the mean difference; effect: paired rank-biserial.",
        "Scores of different participants share training data, so tests are approximate.",
    ]
    if lost := int(table["n_missing"].sum()):
        said.append(f"{lost} scores that stand in one run only, or in none, were dropped pairwise and counted under n.")
    if other_windows := int(table["n_other_windows"].gt(0).sum()):
        said.append(
            f"In {other_windows} of {len(table)} rows some participants were tested on another number of windows in the other run."
        )
    said += unreachable_note(table)
    return TextTable(head, tuple(_runs_row(row) for _, row in table.iterrows()), " ".join(said))


def runs_markdown(table: pd.DataFrame, other: str, notes: tuple[str, ...] = (), other_notes: tuple[str, ...] = ()) -> str:
    """``runs_text_table``, then the notes of both runs."""
    lists = ["This run:", "", *bullets(notes), "", "The other run:", "", *bullets(other_notes)] if notes or other_notes else []
    return "\n".join([*runs_text_table(table, other).lines(), *lists]).rstrip() + "\n"
