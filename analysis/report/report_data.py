"""Everything that a report shows, as frames."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.report.external_tables import ExternalTable
from analysis.scores.scores import Scoring
from analysis.statistics.ranking import Friedman


@dataclass(frozen=True)
class ReportData:
    """What a run says.

    Attributes:
        metric: what this report is about. ``primary``: what the study's verdict is about.
        scores, comparison: as in ``report/`` (DESIGN, a run folder).
        pairs: both sides of every difference, one row per variant and participant.
        chosen: one row per technique, its variant chosen for each participant by the others. ``paper``: the same in a paper's layout.
        fairness: gaps between groups of participants.
        against: tables that stand beside this run's.
        appendix: descriptive frames by name: ``metrics``, ``bayesian``, ``ranking``, ``stouffer``.
        ranks: (dataset, label, model) to its Friedman test, on the windows that all its variants were tested on.
        curves: one row per epoch of every training.
        calibration: ``shown.reliability``.
        confusion, means: ``classes.confusion`` and ``classes.means``. ``attended``: ``attended.attended``.
        searched: the hyperparameters chosen for each fold, one row per dataset, label, model, participant and seed; no rows without a search.
        notes: sentences that every table carries.
        incomplete: what the run lacks; empty where nothing.
        origin: the run's provenance.json. ``study``: its study.yaml. ``command``: what makes this report again.
        status: trials by technique and status.
    """

    metric: str
    primary: str
    scoring: Scoring
    scores: pd.DataFrame
    comparison: pd.DataFrame
    pairs: pd.DataFrame
    chosen: pd.DataFrame
    curves: pd.DataFrame
    calibration: pd.DataFrame
    confusion: pd.DataFrame
    means: pd.DataFrame
    attended: pd.DataFrame
    searched: pd.DataFrame
    notes: tuple[str, ...]
    incomplete: str
    origin: dict[str, Any]
    study: str
    command: str
    status: pd.DataFrame
    paper: pd.DataFrame
    fairness: pd.DataFrame
    appendix: dict[str, pd.DataFrame]
    ranks: dict[tuple[str, ...], Friedman]
    against: tuple[ExternalTable, ...] = ()
