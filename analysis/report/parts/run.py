"""The run as a whole: beside other results, how far it came, its notes, and its provenance."""

import pandas as pd

from analysis.report import external_tables
from analysis.report.external_tables import ExternalSource
from analysis.report.html import CodeBlock, TableBlock, table_block
from analysis.report.report_data import ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.scores.keys import CELL
from analysis.scores.run_folder import RunTables
from analysis.statistics import fairness


def external_part(source: ExternalSource) -> ReportPart:
    """The part of a published table or another run that this run is set beside."""
    name = f"against_{source.name}"

    def compute(tables: RunTables, report: ReportData) -> pd.DataFrame:
        chosen = report.frames["chosen"]
        return external_tables.compare_with_source(source, report.scores, report.comparison, chosen, report.metric)

    def content(report: ReportData) -> SectionContent:
        table = external_tables.text_table(source, report.frames[name])
        return SectionContent(blocks=(TableBlock(table.caption, table.head, table.rows, name_columns=len(CELL) + 2),))

    return ReportPart(
        name,
        compute=compute,
        texts={f"{name}.md": lambda report: external_tables.markdown(source, report.frames[name], report.notes)},
        title=f"Beside {source.name}",
        whole_run=content,
    )


def _status(tables: RunTables) -> pd.DataFrame:
    """Trials by (dataset, label, model), technique and status; those that the plan asks for and that did not end are ``not run yet``."""
    ended = tables.trials.set_index("trial")["status"] if len(tables.trials) else pd.Series(dtype=object)
    plan = tables.plan.assign(status=tables.plan["trial"].map(ended).fillna("not run yet"))
    return plan.groupby([*CELL, "technique", "status"], sort=True).size().unstack("status", fill_value=0).reset_index()


def _what_has_run(report: ReportData) -> SectionContent | None:
    """How far each part of an incomplete run came."""
    if not report.incomplete:
        return None
    sentence = "Tables and figures hold what has ended well so far; `raylab status` on the run folder says what failed and why."
    return SectionContent(text=(sentence,), blocks=(table_block(report.frames["status"], "Trials by status"),))


def _notes(report: ReportData) -> SectionContent:
    """The run's notes, and why there is nothing on fairness, if there is nothing."""
    gaps = report.frames["fairness"]
    return SectionContent(items=(*report.notes, *([] if len(gaps) else [fairness.markdown(gaps).strip()])))


def _provenance(report: ReportData) -> SectionContent:
    origin = report.origin
    facts = {
        "study": origin.get("study"),
        "commit": origin.get("commit") or "not known (installed package)",
        **{f"windows of {name}, fingerprint": card.get("fingerprint") for name, card in origin.get("datasets", {}).items()},
        "python": origin.get("python"),
        "platform": origin.get("platform"),
        **origin.get("versions", {}),
    }
    rows = tuple((str(name), str(value)) for name, value in facts.items() if value)
    commands = f"raylab run study.yaml --windows WINDOWS --out RUN\n{report.command}"
    blocks = (
        TableBlock("What made the run", ("what", "value"), rows, name_columns=2),
        CodeBlock(
            "To make this report again (study.yaml is in the run folder; WINDOWS: where the prepared windows are):", commands
        ),
        CodeBlock("The study, study.yaml", report.study, folded=True),
    )
    return SectionContent(blocks=blocks)


STATUS = ReportPart(
    "status",
    compute=lambda tables, report: _status(tables),
    csv=False,
    title="What has run",
    whole_run=_what_has_run,
)
NOTES = ReportPart("notes", title="Notes on this run", whole_run=_notes)
PROVENANCE = ReportPart("provenance", title="Provenance", whole_run=_provenance)
