"""The report of a run: every table, figure and the page, written into the run folder."""

import json
import os
import shlex

import pandas as pd

from analysis.errors import AnalysisError
from analysis.figures import figure_data
from analysis.report import comparison_table, paper_table
from analysis.report.external_tables import external_table
from analysis.report.html import FigurePart, every_part, render
from analysis.report.report_data import ReportData
from analysis.report.sections import page
from analysis.scores.attention import attention_weights
from analysis.scores.metrics import METRIC_ALIASES, METRICS
from analysis.scores.paired_scores import gain_sign, paired_scores
from analysis.scores.run_folder import RunTables, load, read_text, write_bytes, write_text
from analysis.scores.scores import CELL, FOLD, Scoring, score, score_common
from analysis.scores.training_curves import curves
from analysis.statistics import confusion, fairness
from analysis.statistics.bayes_and_stouffer import bayesian, stouffer
from analysis.statistics.comparison import compare
from analysis.statistics.ranking import friedman, rank_tables, ranking
from analysis.statistics.variant_selection import select_variants

Run = str | os.PathLike[str]
TESTS = ["p", "p_adjusted", "least_p", "test", "family", "family_size", "effect_size"]


def _incomplete(frames: RunTables) -> str:
    """What the tables lack, by status."""
    counts = frames.trials["status"].value_counts().to_dict() if len(frames.trials) else {}
    left = len(frames.plan) - len(frames.trials)
    parts = [f"{count} {status}" for status, count in sorted(counts.items()) if status != "ok"] + (
        [f"{left} not run yet"] if left else []
    )
    return f"Of {len(frames.plan)} trials: {', '.join(parts)}; the tables hold the others." if parts else ""


def _single_person_clusters(frames: RunTables) -> list[str]:
    """Clusters of one person: they validate on that person's last windows, and are counted."""
    trials = frames.trials
    if "people" not in trials:
        return []
    clusters = trials[trials["technique"].eq("cluster_specific") & trials["status"].eq("ok")]
    said = []
    for names, part in clusters.groupby(["dataset", "label", "model", "variant"], sort=True):
        if alone := int(part["people"].eq(1).sum()):
            said.append(
                f"{' / '.join(str(name) for name in names)}: {alone} of {len(part)} cluster-specific trials had a cluster of one person."
            )
    return said


def _status(frames: RunTables) -> pd.DataFrame:
    """Trials by (dataset, label, model), technique and status; those that the plan asks for and that did not end are ``not run yet``."""
    ended = frames.trials.set_index("trial")["status"] if len(frames.trials) else pd.Series(dtype=object)
    plan = frames.plan.assign(status=frames.plan["trial"].map(ended).fillna("not run yet"))
    return plan.groupby([*CELL, "technique", "status"], sort=True).size().unstack("status", fill_value=0).reset_index()


def _searched(frames: RunTables) -> pd.DataFrame:
    """What a search chose for each fold."""
    columns = [*CELL, *FOLD, "searched"]
    found = frames.plan[columns] if "searched" in frames.plan else pd.DataFrame(columns=columns)
    return found[found["searched"].ne("")].drop_duplicates(ignore_index=True)


def _other_metrics(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The comparison on every other metric, without p: the verdict is about one."""
    made = [compare(scores, name).drop(columns=TESTS) for name in METRICS if name != metric]
    return pd.concat(made, ignore_index=True)


def _command(scoring: Scoring, metric: str, best: bool, against: tuple[str, ...]) -> str:
    """What makes this report again."""
    words = ["raylab report RUN --scoring", scoring, "--metric", metric, *(["--best"] if best else [])]
    return " ".join([*words, *(f"--against {shlex.quote(which)}" for which in against)])


def report_data(
    run: Run, scoring: Scoring = "paired", metric: str | None = None, best: bool = False, against: tuple[str, ...] = ()
) -> ReportData:
    """All frames of a report; nothing is written. Arguments and errors as ``write_report``'s."""
    frames = load(run)
    metric = METRIC_ALIASES.get(metric or "", metric) or frames.primary_metric
    incomplete = _incomplete(frames)
    scores = score(frames, scoring)
    if scores.empty:
        raise AnalysisError(f"{run}: no trial has predictions yet, so there is nothing to report. {incomplete}")
    comparison, picked, common = compare(scores, metric), select_variants(scores, metric), score_common(frames)
    notes = (*frames.notes, *_single_person_clusters(frames))
    return ReportData(
        metric=metric,
        primary=frames.primary_metric,
        scoring=scoring,
        scores=scores,
        comparison=comparison,
        pairs=paired_scores(scores, metric),
        chosen=picked,
        paper=paper_table.build(comparison, picked, best),
        fairness=fairness.gaps(scores, frames.participants, metric),
        appendix={
            "metrics": _other_metrics(scores, metric),
            "bayesian": bayesian(scores, metric),
            "ranking": ranking(common, metric),
            "stouffer": stouffer(comparison),
        },
        ranks={names: friedman(table, gain_sign(metric) < 0) for names, table in rank_tables(common, metric).items()},
        against=tuple(external_table(which, scores, comparison, picked, metric, notes) for which in against),
        curves=curves(run),
        calibration=figure_data.reliability(frames),
        confusion=confusion.confusion(frames),
        means=confusion.class_means(scores),
        attended=attention_weights(run, frames.trials),
        searched=_searched(frames),
        notes=notes,
        incomplete=incomplete,
        origin=json.loads(read_text(run, "provenance.json")),
        study=read_text(run, "study.yaml"),
        command=_command(scoring, metric, best, against),
        status=_status(frames),
    )


def write_report(
    run: Run, scoring: Scoring = "paired", metric: str | None = None, best: bool = False, against: tuple[str, ...] = ()
) -> ReportData:
    """Make the report folder of a run: scores, tables, figures with the numbers behind them, and report.html.

    Args:
        metric: what the verdict is about; the study's primary metric unless given.
        best: in the paper's layout the variant that is best on test, labelled optimistic.
        against: published tables and run folders to put beside.

    Raises:
        FileNotFoundError: where the folder is not a run's.
        AnalysisError: where no trial has ended yet, or ``against`` has nothing in common with the run.
    """
    made = report_data(run, scoring, metric, best, against)
    for name, text in _texts(made).items():
        write_text(run, f"report/{name}", text)
    content = page(made)
    for part in every_part(content.sections):
        if isinstance(part, FigurePart):
            write_bytes(run, f"report/figures/{part.name}.svg", part.svg)
            write_bytes(run, f"report/figures/{part.name}.png", part.png)
            write_text(run, f"report/figures/{part.name}.csv", part.numbers.to_csv(index=False))
    write_text(run, "report/report.html", render(content))
    return made


def _texts(made: ReportData) -> dict[str, str]:
    """File name to content of all tables."""
    notes = (*made.notes, *([made.incomplete] if made.incomplete else []))
    frames = {
        "scores": made.scores, "comparison": made.comparison, "paper_table": made.paper, "chosen": made.chosen, "gains": made.pairs,
        "fairness": made.fairness, "curves": made.curves, "means": made.means, "confusion": made.confusion, "searched": made.searched,
        "classes": confusion.per_class(made.confusion), "attention": made.attended, **{f"against_{o.name}": o.table for o in made.against},
        **{f"appendix_{name}": frame for name, frame in made.appendix.items()},
    }  # fmt: skip
    return {f"{name}.csv": frame.to_csv(index=False) for name, frame in frames.items()} | {
        "comparison.md": comparison_table.markdown(made.comparison, notes),
        "comparison.tex": comparison_table.latex(made.comparison, notes),
        "paper_table.md": paper_table.markdown(made.paper, notes),
        "paper_table.tex": paper_table.latex(made.paper, notes),
        "means.md": confusion.markdown(made.means, notes),
        "fairness.md": fairness.markdown(made.fairness),
        **{f"against_{other.name}.md": other.text for other in made.against},
    }
