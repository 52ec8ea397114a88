"""The report of a run: scores, comparison and who gains, written into the run folder."""

import os
from dataclasses import dataclass

import pandas as pd

from analysis.compare import compare
from analysis.load import Frames, load, write_text
from analysis.scores import Scoring, score
from analysis.tables import gains, markdown


@dataclass(frozen=True)
class Report:
    """What was made, and where a run stands.

    Attributes:
        incomplete: a sentence where trials are missing, failed or blocked; empty otherwise.
    """

    scores: pd.DataFrame
    comparison: pd.DataFrame
    notes: tuple[str, ...]
    incomplete: str


def _incomplete(frames: Frames) -> str:
    """What the tables lack, by status."""
    counts = frames.trials["status"].value_counts().to_dict() if len(frames.trials) else {}
    left = len(frames.plan) - len(frames.trials)
    parts = [f"{count} {status}" for status, count in sorted(counts.items()) if status != "ok"] + (
        [f"{left} not run yet"] if left else []
    )
    return f"Of {len(frames.plan)} trials: {', '.join(parts)}; the tables hold the others." if parts else ""


def _alone(frames: Frames) -> list[str]:
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


def report(run: str | os.PathLike[str], scoring: Scoring = "paired", metric: str = "auroc") -> Report:
    """Make scores.csv, comparison.csv, comparison.md and gains.csv in the run's report folder.

    Raises:
        FileNotFoundError: where the folder is not a run's.
        ValueError: where no trial has ended yet.
    """
    frames = load(run)
    incomplete = _incomplete(frames)
    scores = score(frames, scoring)
    if scores.empty:
        raise ValueError(f"{run}: no trial has predictions yet. {incomplete}")
    comparison = compare(scores, metric)
    notes = (*frames.notes, *_alone(frames), *([incomplete] if incomplete else []))
    write_text(run, "report/scores.csv", scores.to_csv(index=False))
    write_text(run, "report/comparison.csv", comparison.to_csv(index=False))
    write_text(run, "report/comparison.md", markdown(comparison, notes))
    write_text(run, "report/gains.csv", gains(scores, metric).to_csv())
    return Report(scores, comparison, notes, incomplete)
