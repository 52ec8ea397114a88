"""The command line: the demo's commands on a small cohort, and what it says of bad input."""

import sys
from pathlib import Path

import pytest
import yaml

from raylab import cli


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of `raylab ARGUMENTS`, in this process."""
    monkeypatch.setattr(sys, "argv", ["raylab", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


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
    assert _run(monkeypatch, "run", str(study), "--windows", str(cohort), "--out", run, "--here") == 0
    assert "distinct stages needed 10" in capsys.readouterr().out
    assert _run(monkeypatch, "status", run) == 0
    assert "10/10 ended: 10 ok" in capsys.readouterr().out
    assert _run(monkeypatch, "report", run) == 0
    printed = capsys.readouterr().out
    assert "layers=last budget=3" in printed
    assert "Wilcoxon signed-rank" in printed
    assert "Simulated data" in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["prepare", "wesat", "--out", "x"], "unknown dataset 'wesat'; there are wesad"),
        (["prepare", "wesad", "--out", "x", "--root", "/nowhere"], "/nowhere"),
        (["prepare", "simulated", "--out", "x", "--option", "people=3"], "has no option people"),
        (["prepare", "simulated", "--out", "x", "--option", "people"], "is not name=value"),
        (["prepare", "simulated", "--out", "x", "--label", "valence"], "has no label 'valence'"),
        (["prepare", "simulated", "--out", "x", "--without", "P99"], "P99"),
        (["prepare", "simulated", "--out", "x", "--normalization", "none"], "use recording or past"),
        (["run", "nowhere.yaml", "--out", "x"], "nowhere.yaml: No such file"),
        (["status", "nowhere"], "is no run folder"),
        (["report", "nowhere"], "is no run folder"),
    ],
)
def test_bad_input_is_a_sentence(
    arguments: list[str],
    expected: str,
    cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is wrong is named on standard error, without a traceback, and the exit code is not 0."""
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *arguments) != 0
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
