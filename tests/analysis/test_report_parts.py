"""The registry of report parts: a section with its frame and files is one entry."""

import json
from pathlib import Path

import pandas as pd
import pytest
from builders.run import write_run

from analysis.report import registry
from analysis.report.html import table_block
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.report.write import write_report
from analysis.scores.keys import CELL


def _windows_tested(report: ReportData) -> pd.DataFrame:
    return report.scores.groupby([*CELL, "technique"])["n_test"].sum().reset_index()


def _in_a_cell(report: ReportData, cell: ReportCell) -> SectionContent | None:
    rows = report.rows("windows_tested", cell)
    return SectionContent(text=("How many windows count.",), blocks=(table_block(rows.drop(columns=CELL), "Windows tested"),))


NEW = ReportPart(
    "windows_tested",
    compute=lambda tables, report: _windows_tested(report),
    texts={"windows_tested.txt": lambda report: f"{report.frames['windows_tested']['n_test'].sum():.0f} windows\n"},
    title="Windows tested",
    cell=_in_a_cell,
    descriptive=True,
)


def test_a_new_section_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frame is computed and written, its text too, and its section stands in the page of the cell at its place in the table."""
    place = registry.PARTS.index(registry.participants.GAINS)
    monkeypatch.setattr(registry, "PARTS", (*registry.PARTS[:place], NEW, *registry.PARTS[place:]))
    run = write_run(tmp_path / "run")
    report = write_report(run)
    frame = pd.read_csv(run / "report" / "windows_tested.csv")
    assert frame["n_test"].tolist() == report.frames["windows_tested"]["n_test"].tolist()
    assert f"{frame['n_test'].sum()} windows\n" == (run / "report" / "windows_tested.txt").read_text(encoding="utf-8")
    html = (run / "report" / "report.html").read_text(encoding="utf-8")
    titles = [
        "All variants</h3>",
        'Windows tested <span class="tag">descriptive, no verdict</span></h3>',
        "Who gains, who loses</h3>",
    ]
    places = [html.index(title) for title in titles]
    assert sorted(places) == places
    assert "<p>How many windows count.</p>" in html


def test_a_part_without_content_has_no_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section of the whole run that has nothing to say is left out, its frame is computed all the same."""
    silent = ReportPart(
        "silent", compute=lambda tables, report: tables.trials, csv=False, title="Silence", whole_run=lambda report: None
    )
    monkeypatch.setattr(registry, "PARTS", (*registry.PARTS, silent))
    run = write_run(tmp_path / "run", variants=[("non_personalized", "-")])
    report = write_report(run)
    assert len(report.frames["silent"]) == 6
    assert not (run / "report" / "silent.csv").exists()
    assert "Silence" not in (run / "report" / "report.html").read_text(encoding="utf-8")


def test_parts_have_names_of_their_own() -> None:
    """A name is that of a frame and of a csv file; a part with a section has a title, and one with a file computes or writes it."""
    names = [part.name for part in registry.PARTS]
    assert len(set(names)) == len(names)
    for part in registry.PARTS:
        assert bool(part.title) == bool(part.cell or part.whole_run), part.name
        assert part.compute or part.title, part.name
    files = [name for part in registry.PARTS for name in part.texts]
    assert len(set(files)) == len(files)


def test_chosen_channels_are_counted_per_variant(tmp_path: Path) -> None:
    """Of a model with `channels: auto` the report says in how many trials each channel was chosen; of others nothing."""
    run = write_run(tmp_path / "run", people=("S2", "S3", "S10"), variants=[("non_personalized", "-"), ("hybrid", "budget=2")])
    for number, path in enumerate(sorted((run / "trials").glob("*.json"))):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["technique"] == "non_personalized":
            record["channels_selected"] = ["eda", "bvp"] if number else ["eda"]
        path.write_text(json.dumps(record), encoding="utf-8")

    frame = write_report(run).frames["channels_chosen"]

    assert [["non_personalized", "eda", 3, 3], ["non_personalized", "bvp", 2, 3]] == frame[
        ["technique", "channel", "n_chosen", "n_trials"]
    ].to_numpy().tolist()
    assert "Chosen channels" in (run / "report" / "report.html").read_text(encoding="utf-8")


def test_without_a_choice_there_is_no_section_on_channels(tmp_path: Path) -> None:
    """Runs of models that use all channels, and of older versions."""
    run = write_run(tmp_path / "run", variants=[("non_personalized", "-")])

    assert write_report(run).frames["channels_chosen"].empty
    assert "Chosen channels" not in (run / "report" / "report.html").read_text(encoding="utf-8")
