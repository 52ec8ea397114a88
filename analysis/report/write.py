"""The report of a run: every table, figure and the page, written into the run folder."""

import json
import os
import shlex

from analysis.errors import AnalysisError
from analysis.plain_text import csv_text, printable, printable_values
from analysis.report.external_tables import open_sources
from analysis.report.html import render
from analysis.report.page import report_page
from analysis.report.registry import report_parts
from analysis.report.report_data import ReportData
from analysis.scores.metrics import METRIC_ALIASES
from analysis.scores.run_folder import RunTables, load, read_text, write_bytes, write_text
from analysis.scores.scores import Scoring

Run = str | os.PathLike[str]


def _incomplete(tables: RunTables) -> str:
    """The trials that the tables lack, by status."""
    counts = tables.trials["status"].value_counts().to_dict() if len(tables.trials) else {}
    n_missing = len(tables.plan) - len(tables.trials)
    parts = [f"{count} {status}" for status, count in sorted(counts.items()) if status != "ok"] + (
        [f"{n_missing} not run yet"] if n_missing else []
    )
    return f"Of {len(tables.plan)} trials: {', '.join(parts)}; the tables hold the others." if parts else ""


def _single_participant_clusters(tables: RunTables) -> list[str]:
    """Clusters of one participant: they validate on that participant's last windows, and are counted."""
    trials = tables.trials
    if "people" not in trials:
        return []
    clusters = trials[trials["technique"].eq("cluster_specific") & trials["status"].eq("ok")]
    sentences = []
    for names, part in clusters.groupby(["dataset", "label", "model", "variant"], sort=True):
        if n_single := int(part["people"].eq(1).sum()):
            cell = " / ".join(str(name) for name in names)
            sentences.append(f"{cell}: {n_single} of {len(part)} cluster-specific trials had a cluster of one person.")
    return sentences


def _command(scoring: Scoring, metric: str, best: bool, against: tuple[str, ...]) -> str:
    """The command that makes this report again."""
    words = ["raylab report RUN --scoring", scoring, "--metric", metric, *(["--best"] if best else [])]
    return " ".join([*words, *(f"--against {shlex.quote(name)}" for name in against)])


def report_data(
    run: Run, scoring: Scoring = "paired", metric: str | None = None, best: bool = False, against: tuple[str, ...] = ()
) -> ReportData:
    """All frames of a report; nothing is written. Arguments and errors as ``write_report``'s."""
    tables = load(run)
    metric = METRIC_ALIASES.get(metric or "", metric) or tables.primary_metric
    incomplete = _incomplete(tables)
    if tables.trials.empty or not tables.trials["status"].eq("ok").any():
        raise AnalysisError(f"{run}: no trial has predictions yet, so there is nothing to report. {incomplete}")
    report = ReportData(
        run=os.fspath(run),
        metric=metric,
        primary=tables.primary_metric,
        question=tables.question,
        scoring=scoring,
        best=best,
        against=open_sources(against, scoring),
        notes=(*tables.notes, *_single_participant_clusters(tables)),
        incomplete=incomplete,
        origin=printable_values(json.loads(read_text(run, "provenance.json"))),
        study=printable(read_text(run, "study.yaml")),
        command=_command(scoring, metric, best, against),
    )
    for part in report_parts(report.against):
        if part.compute:
            report.frames[part.name] = part.compute(tables, report)
    return report


def write_report(
    run: Run, scoring: Scoring = "paired", metric: str | None = None, best: bool = False, against: tuple[str, ...] = ()
) -> ReportData:
    """Make the report folder of a run: scores, tables, figures with the numbers behind them, and report.html.

    Args:
        metric: of the verdict; the study's primary metric unless given.
        best: in the paper's layout the variant that is best on test, labelled optimistic.
        against: published tables and run folders to put beside.

    Raises:
        RunNotFoundError: if the folder is not a run's.
        AnalysisError: if no trial has ended yet, or ``against`` has nothing in common with the run.
    """
    report = report_data(run, scoring, metric, best, against)
    parts = report_parts(report.against)
    for part in parts:
        if part.compute and part.csv:
            write_text(run, f"report/{part.name}.csv", csv_text(report.frames[part.name]))
        for name, text in part.texts.items():
            write_text(run, f"report/{name}", text(report))
    page = report_page(report, parts)
    for figure in page.figures:
        write_bytes(run, f"report/figures/{figure.name}.svg", figure.svg)
        write_bytes(run, f"report/figures/{figure.name}.png", figure.png)
        write_text(run, f"report/figures/{figure.name}.csv", csv_text(figure.numbers))
    write_text(run, "report/report.html", render(page))
    return report
