"""The content of a report before it is laid out: frames by name, and the facts of the run that its page states."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.report.external_tables import ExternalSource
from analysis.scores.chance_levels import CHANCE_LEVELS
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE
from analysis.scores.run_folder import PrimaryQuestion
from analysis.scores.scores import Scoring


@dataclass(frozen=True)
class ReportCell:
    """One (dataset, label, model) of a report; ``slug`` is its name in file names."""

    names: tuple[Hashable, ...]
    slug: str


@dataclass(frozen=True)
class ReportData:
    """The content of a report.

    Attributes:
        run: folder or URI.
        metric: of this report. ``primary``: of the study's verdict.
        question: what the study declares as its primary comparison.
        scoring: as ``analysis.score`` takes it.
        best: the paper's layout shows the variant that is best on test, labelled optimistic.
        against: published tables and runs that this run is set beside.
        notes: sentences that every table carries.
        incomplete: a sentence on the trials that the run lacks; empty if it lacks none.
        origin: the run's provenance.json. ``study``: its study.yaml. ``command``: makes this report again.
        frames: the frames of the report's parts by name; a name is also that of a csv file.
    """

    run: str
    metric: str
    primary: str
    scoring: Scoring
    best: bool
    against: tuple[ExternalSource, ...]
    notes: tuple[str, ...]
    incomplete: str
    origin: dict[str, Any]
    study: str
    command: str
    question: PrimaryQuestion
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    _places: dict[str, tuple[pd.DataFrame, Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def scores(self) -> pd.DataFrame:
        """One row per trial, as ``analysis.score`` makes them."""
        return self.frames["scores"]

    @property
    def has_techniques(self) -> bool:
        """Whether there is anything beside models without personalization and what knows no signal."""
        return not set(self.comparison["technique"]) <= {REFERENCE_TECHNIQUE, *CHANCE_LEVELS}

    @property
    def comparison(self) -> pd.DataFrame:
        """One row per variant, as ``analysis.compare`` makes them."""
        return self.frames["comparison"]

    @property
    def table_notes(self) -> tuple[str, ...]:
        """The sentences under every table: the run's notes, and that it is incomplete."""
        return (*self.notes, *([self.incomplete] if self.incomplete else []))

    def rows(self, name: str, cell: ReportCell) -> pd.DataFrame:
        """The rows of a frame that belong to one (dataset, label, model)."""
        frame = self.frames[name]
        if frame.empty:
            return frame
        known = self._places.get(name)
        if known is None or known[0] is not frame:  # the names of all rows are compared once, not once for each cell
            known = self._places[name] = frame, frame.groupby(CELL, sort=False, observed=True).indices
        return frame.iloc[known[1].get(cell.names, [])]
