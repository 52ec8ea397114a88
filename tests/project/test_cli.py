"""The command line: the demo's commands on a small cohort, and what it says of bad input."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from builders.command_line import run_command as _run
from builders.run import write_run

from raylab import __version__
from raylab.cli.application import load
from raylab.cli.table import COMMANDS


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    content = {
        "name": "cli",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "mlp_lstm", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 3, "unit": "window"}],
        "protocol": {"epochs": 2},
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_run_status_and_report(
    study: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A study runs, its status is told, and the report prints n, difference and p for the variant."""
    run = str(tmp_path / "run")
    assert _run(monkeypatch, "run", str(study), "--windows", str(cohort), "--out", run, "--local") == 0
    assert "distinct stages needed 10" in capsys.readouterr().out
    assert _run(monkeypatch, "status", run) == 0
    assert "10/10 ended: 10 ok" in capsys.readouterr().out
    assert _run(monkeypatch, "report", run) == 0
    printed = capsys.readouterr().out
    assert "layers=last budget=3" in printed
    assert "t of the mean difference, variance inflated for shared training" in printed
    assert "Simulated data" in printed
    assert f"open {run}/report/report.html in a browser" in printed
    assert (tmp_path / "run" / "report" / "report.html").exists()


def test_windows_are_prepared_without_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault of before: on a machine too busy for Ray's start, its message named --local, and `raylab prepare` had no such option."""

    def fails(**options: Any) -> None:
        raise AssertionError("Ray was asked to start")

    monkeypatch.setattr(ray, "init", fails)
    order = ["prepare", "simulated", "--option", "participants=3", "--option", "minutes=4", "--local"]
    assert 0 == _run(monkeypatch, *order, "--out", str(tmp_path / "windows"))
    assert "windows over 3 people" in capsys.readouterr().out and (tmp_path / "windows" / "card.json").exists()
    assert 0 == _run(monkeypatch, *order, "--check")
    assert "3 of 3 participants can be read" in capsys.readouterr().out


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to report, and the same run under another name."""
    root = tmp_path_factory.mktemp("reported")
    shutil.copytree(write_run(root / "run", variants=SOME), root / "other")
    return root


SOME = (("non_personalized", "-"), ("fine_tuning", "budget=0.2"), ("fine_tuning", "budget=0.4"))


def test_report_beside_another_run(reported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run beside itself: no difference; the file of the table is named. Every table is about the metric that was asked for."""
    monkeypatch.chdir(reported)
    assert _run(monkeypatch, "report", "run", "--against", "other", "--metric", "accuracy") == 0
    assert "run/report/against_other.md" in capsys.readouterr().out
    beside = (reported / "run" / "report" / "against_other.md").read_text()
    assert "accuracy, this run minus other" in beside
    assert 3 == beside.count("| +0.000 | [+0.000, +0.000] |")
    assert "accuracy, mean (SD)" in (reported / "run" / "report" / "paper_table.md").read_text()


def test_report_of_the_best_variant_is_labelled(reported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--best in every form of the paper's layout: optimistic, and no p; without it there is one."""
    monkeypatch.chdir(reported)
    folder = reported / "run" / "report"
    assert _run(monkeypatch, "report", "run", "--scoring", "published") == 0
    assert " p=" in (folder / "paper_table.md").read_text()
    assert "scoring: published" in (folder / "comparison.tex").read_text()
    assert _run(monkeypatch, "report", "run", "--best") == 0
    for kind in ("md", "tex", "csv"):
        text = (folder / f"paper_table.{kind}").read_text()
        assert "ptimistic" in text and "p=0" not in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["prepare", "wesad", "--out", "x", "--root", "/nowhere"], "/nowhere"),
        (["prepare", "simulated"], "give a folder for the windows with --out"),
        (["prepare", "simulated", "--out", "x", "--stride", "0"], "--stride 0 is not above 0"),
        (["prepare", "emodb", "--out", "x", "--stride", "5"], "--stride is for running signals"),
        (["prepare", "emodb", "--out", "x", "--normalization", "past"], "for emodb use none or per_speaker"),
        (["prepare", "emodb", "--out", "x", "--normalization", "baseline_condition"], "for emodb use none or per_speaker"),
        (["prepare", "emodb", "--out", "x", "--scale", "zscore"], "--scale is for running signals"),
        (
            ["prepare", "simulated", "--out", "x", "--normalization", "per_speaker"],
            "for simulated use recording, past, first_minutes, baseline_condition or none",
        ),
        (
            ["prepare", "simulated", "--out", "x", "--normalization", "baseline_condition"],
            "simulated declares no baseline condition",
        ),
        (["prepare", "simulated", "--out", "x", "--normalization", "none", "--scale", "zscore"], "there is no scale zscore"),
        (["prepare", "emodb", "--out", "x", "--detrend", "high_pass"], "--detrend is for running signals"),
        (["prepare", "simulated", "--out", "x", "--detrend-seconds", "60"], "with --detrend high_pass or running_median"),
        (["prepare", "simulated", "--out", "x", "--first-seconds", "60"], "with --normalization first_minutes"),
        (
            ["prepare", "simulated", "--out", "x", "--normalization", "first_minutes", "--first-seconds", "-1"],
            "--first-seconds -1: expected seconds above 0",
        ),
        (["prepare", "simulated", "--out", "x", "--option", "people=3"], "has no option people"),
        (["prepare", "simulated", "--out", "x", "--option", "people"], "is not name=value"),
        (["prepare", "simulated", "--out", "x", "--option", "people=[1"], "the value cannot be read"),
        (
            ["prepare", "simulated", "--out", "x", "--option", "minutes=long"],
            "minutes=long: expected a number, as minutes=10.0",
        ),
        (["prepare", "simulated", "--out", "x", "--label", "valence"], "has no label 'valence'"),
        (["prepare", "simulated", "--out", "x", "--exclude", "P99"], "P99"),
        (["prepare", "simulated", "--out", "gopher://x/y"], "gopher://x/y is no path or URI that can be opened"),
        (["run", "nowhere.yaml", "--out", "x"], "nowhere.yaml: No such file"),
        (["status", "nowhere"], "is no run folder"),
        (["report", "nowhere"], "is no run folder"),
        (["report", "gopher://x/y"], "gopher://x/y is no path or URI that can be opened"),
        (["report", "{run}", "--against", "nowhere"], "neither a published table (han2024) nor a run folder"),
        (
            ["report", "{run}", "--against", "han2024"],
            "nothing in this run (simulated / stress / fcn w0.1) stands in the table han2024",
        ),
        (["probe", "flipped_labels", "x", "--seed", "1"], "flipped_labels takes --windows and --limit only"),
        (["probe", "shuffled_labels", "x", "--limit", "1", "--out", "y"], "belong to flipped_labels, not to shuffled_labels"),
        (["live", "nowhere.raylab", "--source", "stdin"], "nowhere.raylab"),
    ],
)
def test_bad_input_is_a_sentence(
    arguments: list[str],
    expected: str,
    cluster: None,
    reported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The problem is named on standard error, without a traceback, and the exit code is 1."""
    monkeypatch.chdir(tmp_path)
    assert 1 == _run(monkeypatch, *(part.replace("{run}", str(reported / "run")) for part in arguments))
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "x" / "card.json").exists()


@pytest.mark.parametrize(
    ("arguments", "wrong", "offered"),
    [
        (["prepare", "wesat"], "wesat", "wesad"),
        (["prepare", "simulated", "--normalization", "all"], "all", "per_speaker"),
        (["report", "x", "--scoring", "best"], "best", "published"),
        (["report", "x", "--metric", "auc"], "auc", "auroc"),
        (["probe", "shuffled", "x"], "shuffled", "duplicated_person"),
        (["validate", "--out", "x", "--case", "odd"], "odd", "clustered"),
        (["live", "x", "--source", "stdin", "--layers", "first"], "first", "last"),
    ],
)
def test_choices_are_checked_and_named(
    arguments: list[str], wrong: str, offered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that is none of an option's is refused before anything is done; what there is, is listed. The exit code is 2."""
    assert 2 == _run(monkeypatch, *arguments)
    printed = capsys.readouterr().err
    assert f"'{wrong}' is not one of" in printed and f"'{offered}'" in printed


@pytest.mark.parametrize("windows", ["../simulated", "/etc", "missing"])
def test_a_study_cannot_leave_its_windows_folder(
    windows: str, study: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that climbs, is absolute or holds no windows is named before anything starts."""
    study.write_text(study.read_text().replace("windows: simulated", f"windows: {windows}"))
    assert _run(monkeypatch, "run", str(study), "--windows", str(cohort), "--out", str(tmp_path / "run")) == 1
    assert windows in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["datasets", "techniques", "models"])
def test_lists(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The names that there are."""
    assert _run(monkeypatch, command) == 0
    assert {"datasets": "stress_predict", "techniques": "fine_tuning", "models": "resnet"}[command] in capsys.readouterr().out


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands(option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command and the heading that it stands under."""
    assert _run(monkeypatch, option) == 0
    printed = capsys.readouterr().out
    assert all(command.name in printed and command.panel in printed for command in COMMANDS.values())


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert _run(monkeypatch, "--version") == 0
    assert f"raylab {__version__}\n" == capsys.readouterr().out


def test_a_mistyped_command_is_asked_back(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The name that was meant."""
    assert 2 == _run(monkeypatch, "modles")
    assert "Did you mean 'models'" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_what_the_table_says(name: str) -> None:
    """The line in the list is the first of the command's own, and its example is a command line that it understands."""
    command: Any = load(name)
    first, *_, example = [line.strip() for line in command.help.splitlines() if line.strip()]
    assert COMMANDS[name].help == first
    program, command_name, *arguments = example.removeprefix("Example: ").split()
    assert ("raylab", name) == (program, command_name)
    with command.make_context(name, arguments) as context:
        assert {parameter.name for parameter in command.params} - {"help"} == set(context.params)


def test_the_options_of_earlier_versions_are_gone() -> None:
    """They have no aliases."""
    options = {option for name in COMMANDS for parameter in load(name).params for option in parameter.opts}
    assert {"--local", "--exclude", "--stride", "--replay-labels"} <= options
    assert not options & {"--here", "--without", "--step", "--marks"}
