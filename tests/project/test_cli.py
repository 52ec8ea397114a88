"""The command line: the demo's commands on a small cohort, and what it says of bad input."""

import shutil
from pathlib import Path

import pytest
import yaml
from builders.command_line import run_command as _run
from builders.run import write_run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    content = {
        "name": "cli",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "mlp_lstm", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 3}],
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
    assert "Wilcoxon signed-rank" in printed
    assert "Simulated data" in printed
    assert f"open {run}/report/report.html in a browser" in printed
    assert (tmp_path / "run" / "report" / "report.html").exists()


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to report, and the same run under another name."""
    where = tmp_path_factory.mktemp("reported")
    shutil.copytree(write_run(where / "run", variants=SOME), where / "other")
    return where


SOME = (("non_personalized", "-"), ("fine_tuning", "budget=0.2"), ("fine_tuning", "budget=0.4"))


def test_report_beside_another_run(reported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run beside itself: no difference; where the table is, is said. Every table is about the metric that was asked for."""
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
        (["prepare", "wesat", "--out", "x"], "unknown dataset 'wesat'; there are wesad"),
        (["prepare", "wesad", "--out", "x", "--root", "/nowhere"], "/nowhere"),
        (["prepare", "simulated", "--out", "x", "--option", "people=3"], "has no option people"),
        (["prepare", "simulated", "--out", "x", "--option", "people"], "is not name=value"),
        (["prepare", "simulated", "--out", "x", "--label", "valence"], "has no label 'valence'"),
        (["prepare", "simulated", "--out", "x", "--exclude", "P99"], "P99"),
        (["prepare", "simulated", "--out", "x", "--normalization", "none"], "use recording or past"),
        (["run", "nowhere.yaml", "--out", "x"], "nowhere.yaml: No such file"),
        (["status", "nowhere"], "is no run folder"),
        (["report", "nowhere"], "is no run folder"),
        (["report", "{run}", "--scoring", "best"], "use paired or published"),
        (["report", "{run}", "--metric", "auc"], "no metric 'auc'; there are accuracy"),
        (["report", "{run}", "--against", "nowhere"], "neither a published table (han2024) nor a run folder"),
        (
            ["report", "{run}", "--against", "han2024"],
            "nothing in this run (simulated / stress / fcn w0.1) stands in the table han2024",
        ),
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
    """What is wrong is named on standard error, without a traceback, and the exit code is not 0."""
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *(part.replace("{run}", str(reported / "run")) for part in arguments)) != 0
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "x" / "card.json").exists()


@pytest.mark.parametrize("windows", ["../simulated", "/etc", "missing"])
def test_a_study_cannot_leave_its_windows_folder(
    windows: str, study: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that climbs, is absolute or holds no windows is named before anything starts."""
    study.write_text(study.read_text().replace("windows: simulated", f"windows: {windows}"))
    assert _run(monkeypatch, "run", str(study), "--windows", str(cohort), "--out", str(tmp_path / "run")) == 2
    assert windows in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["datasets", "techniques", "models"])
def test_lists(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What there is, by name."""
    assert _run(monkeypatch, command) == 0
    assert {"datasets": "stress_predict", "techniques": "fine_tuning", "models": "resnet"}[command] in capsys.readouterr().out
