"""A part of a report: the frame that it computes, the files that it writes, and its section of the page.

A new part is one ``ReportPart`` in a module of ``analysis.report.parts`` and its line in ``analysis.report.registry``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from analysis.report.html import Block
from analysis.report.report_data import ReportCell, ReportData
from analysis.scores.run_folder import RunTables


@dataclass(frozen=True)
class SectionContent:
    """The content of a section; ``items`` are a list of sentences."""

    text: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class ReportPart:
    """One part of a report; only ``name`` is needed, and a part has a frame, files, a section, or several of them.

    Attributes:
        name: of its frame in ``ReportData.frames``, and of its csv file.
        compute: its frame, from the run's tables and the frames of the parts before it.
        csv: whether the frame is written, as ``NAME.csv``.
        texts: name to content of its other files.
        title: heading of its section.
        cell: content of its section in each (dataset, label, model); None for a cell without that section.
        whole_run: content of its one section on the whole run; likewise.
        before_cells: whether that section stands before those of the cells, not after them.
        descriptive: whether its section is marked as no part of the verdict.
    """

    name: str
    compute: Callable[[RunTables, ReportData], pd.DataFrame] | None = None
    csv: bool = True
    texts: Mapping[str, Callable[[ReportData], str]] = field(default_factory=dict)
    title: str = ""
    cell: Callable[[ReportData, ReportCell], SectionContent | None] | None = None
    whole_run: Callable[[ReportData], SectionContent | None] | None = None
    before_cells: bool = False
    descriptive: bool = False
