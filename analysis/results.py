"""Everything that a report shows, as frames."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.scores import Scoring


@dataclass(frozen=True)
class Results:
    """What a run says.

    Attributes:
        scores, comparison: as in ``report/`` (DESIGN, a run folder).
        pairs: ``shown.pairs``: both sides of every difference.
        chosen: one row per technique, its variant chosen for each participant by the others.
        fairness: gaps between groups of participants.
        others: comparisons on the other metrics, for the appendix.
        appendix: more descriptive frames by name.
        curves: one row per epoch of every training.
        calibration: ``shown.reliability``.
        notes: sentences that every table carries.
        incomplete: what the run lacks; empty where nothing.
        origin: the run's provenance.json. ``study``: its study.yaml.
    """

    metric: str
    scoring: Scoring
    scores: pd.DataFrame
    comparison: pd.DataFrame
    pairs: pd.DataFrame
    chosen: pd.DataFrame
    curves: pd.DataFrame
    calibration: pd.DataFrame
    notes: tuple[str, ...]
    incomplete: str
    origin: dict[str, Any]
    study: str
    status: pd.DataFrame
    fairness: pd.DataFrame = field(default_factory=pd.DataFrame)
    appendix: dict[str, pd.DataFrame] = field(default_factory=dict)
