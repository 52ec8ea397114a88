"""The tables that `--against` writes: this run beside a published table or another run, and the sentences that each needs."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, count

import pandas as pd

from analysis.errors import RunNotFoundError
from analysis.formatting import bullets, escape, int_range, metric_name, pipe_table
from analysis.scores.run_folder import load
from analysis.scores.scores import Scoring, score
from analysis.statistics import columns
from analysis.statistics.external_comparison import (
    PUBLISHED_COLUMNS,
    PUBLISHED_TABLES,
    compare_runs,
    compare_with_published,
)

SOURCES = {"han2024": "Han, Zhang, Park and Lee, IMWUT 8(4), 2024, doi 10.1145/3699724"}


@dataclass(frozen=True)
class ExternalSource:
    """A published table of means, or another run.

    Attributes:
        name: of its files and of its section.
        given: as `--against` gives it.
        scores: of the other run, as ``analysis.score`` makes them; None for a published table.
        notes: of the other run.
    """

    name: str
    given: str
    scores: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextTable:
    """A table of plain texts, and what its columns mean."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str

    def lines(self) -> list[str]:
        """As Markdown."""
        return [*pipe_table(self.head, self.rows), "", escape(self.caption), ""]


def open_source(given: str, scoring: Scoring) -> ExternalSource:
    """The published table of this name, or the run in this folder, scored as the run that it is compared with.

    Raises:
        RunNotFoundError: if it is neither.
    """
    if given in PUBLISHED_TABLES:
        return ExternalSource(given, given)
    try:
        frames = load(given)
    except RunNotFoundError as error:
        raise RunNotFoundError(
            f"--against {given} is neither a published table ({', '.join(PUBLISHED_TABLES)}) nor a run folder"
        ) from error
    name = re.sub(r"[^A-Za-z0-9-]+", "_", os.fspath(given).rstrip("/").split("/")[-1]).strip("_") or "run"
    return ExternalSource(name, given, score(frames, scoring), frames.notes)


def open_sources(given: Iterable[str], scoring: Scoring) -> tuple[ExternalSource, ...]:
    """``open_source`` of each, with names of their own: two runs in folders of one name would write the same files."""
    sources: list[ExternalSource] = []
    for path_or_name in given:
        source = open_source(path_or_name, scoring)
        names = {other.name for other in sources}
        candidates = chain([source.name], (f"{source.name}_{number}" for number in count(2)))
        sources.append(replace(source, name=next(name for name in candidates if name not in names)))
    return tuple(sources)


def compare_with_source(
    source: ExternalSource, scores: pd.DataFrame, comparison: pd.DataFrame, chosen: pd.DataFrame, metric: str
) -> pd.DataFrame:
    """The numbers of this run beside those of ``source``.

    Args:
        scores, comparison, chosen: of this run, as ``analysis.score``, ``analysis.compare`` and ``select_variants`` make them.

    Raises:
        ValueError: if nothing in it matches this run.
    """
    if source.scores is None:
        return compare_with_published(comparison, chosen, source.given)
    return compare_runs(scores, source.scores, metric)


def text_table(source: ExternalSource, table: pd.DataFrame) -> TextTable:
    """The table of ``compare_with_source``, printed."""
    return published_text_table(table, source.given) if source.scores is None else runs_text_table(table, source.name)


def markdown(source: ExternalSource, table: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """The table of ``compare_with_source`` in Markdown, with the notes of this run and of the other."""
    if source.scores is None:
        return published_markdown(table, source.given, notes)
    return runs_markdown(table, source.given, notes, source.notes)


def published_text_table(table: pd.DataFrame, name: str) -> TextTable:
    """The table of ``compare_with_published``, what its columns mean, and what cannot be compared."""
    sentences = [
        f"AUROC, mean (SD) over participants. Paper: {SOURCES[name]}; it has one column per technique and does not say of which variant.",
        "95% interval: Student's t interval of our mean over our participants (it may pass 1); covered: whether it holds the paper's mean. "
        "The paper's mean has an uncertainty of its own, which is not in it, so this is no test of equality.",
        "Where our technique has several variants, ours is the variant chosen for each participant by the mean over the other participants.",
    ]
    if marks := sorted(set(table["paper_marker"]) - {""}):
        sentences.append(
            f"Beside the paper's numbers stands {' or '.join(marks)}, as printed there; what it means is not known."
        )
    if table["dataset"].str.startswith("wesad").any():
        sentences.append(
            "The paper's WESAD input is 14 channels from chest and wrist; a run on one device alone does not have it (see the notes)."
        )
    text_rows = columns.text_rows(PUBLISHED_COLUMNS, table)
    return TextTable(columns.headings(PUBLISHED_COLUMNS), tuple(text_rows), " ".join(sentences))


def published_markdown(table: pd.DataFrame, name: str, notes: tuple[str, ...] = ()) -> str:
    """``published_text_table``, then the run's notes."""
    return "\n".join([*published_text_table(table, name).lines(), *bullets(notes)]).rstrip() + "\n"


def runs_text_table(table: pd.DataFrame, other: str) -> TextTable:
    """The table of ``compare_runs``, its tests and what differs between the runs."""
    first, declared = table.iloc[0], columns.other_run_columns()
    sentences = [
        f"{metric_name(first['metric'])}, this run minus {other}, for the variants that both have, paired over the participants of both, "
        f"each run averaged over its own seeds; scoring: {first['scoring']}, each variant on its own windows.",
        f"{' or '.join(table['test'].unique())}, two-sided, Holm over the family of the {int_range(table['family_size'])} variants of a dataset, "
        f"label and model that both have; {'; '.join(columns.legends(declared))}.",
        "Scores of different participants share training data, so tests are approximate.",
        *columns.notes(declared, table),
    ]
    return TextTable(columns.headings(declared), tuple(columns.text_rows(declared, table)), " ".join(sentences))


def runs_markdown(table: pd.DataFrame, other: str, notes: tuple[str, ...] = (), other_notes: tuple[str, ...] = ()) -> str:
    """``runs_text_table``, then the notes of both runs."""
    lists = ["This run:", "", *bullets(notes), "", "The other run:", "", *bullets(other_notes)] if notes or other_notes else []
    return "\n".join([*runs_text_table(table, other).lines(), *lists]).rstrip() + "\n"
