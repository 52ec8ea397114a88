"""Plugins: the page's example works as a whole, workers run the same code, and what cannot be used is refused with file and remedy."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders.command_line import run_command
from builders.plugins import csv_people, example, tables_restored
from builders.studies import small, study

import analysis
from raylab import plugins
from raylab.errors import RaylabError
from raylab.models.network import ModelSpec
from raylab.recordings import DATASETS
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import start
from raylab.techniques.registry import TECHNIQUES
from raylab.testing import check_technique
from raylab.trials.study import parse_study


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    """Each test begins without plugins, as a process does."""
    with tables_restored():
        yield


def quiet(line: str) -> None:
    """Print nothing."""


def _study(**changes: Any) -> Any:
    content = study(
        datasets=[{"windows": "our_lab", "label": "task", "participants": ["A0"]}],
        models=[{"encoder": "tiny", "width": 0.25}],
        techniques=["non_personalized", {"name": "twice", "budget": 4}],
    )
    return parse_study({**content, **changes}, "test")


def _prepared(folder: Path) -> Path:
    root = csv_people(folder / "data")
    request = PrepareRequest("our_lab", str(root), str(folder / "windows" / "our_lab"), plugins=plugins.entered())
    prepare(request, say=quiet, where="local")
    return folder / "windows"


@pytest.mark.slow
def test_the_page_works_from_a_folder_and_on_ray(cluster: None, tmp_path: Path) -> None:
    """docs/extend.md: its technique, encoder, csv reader and metric prepare, run on Ray's workers, resume and report; and in this process with
    the same bits."""
    plugins.enter_files([example(tmp_path)])
    windows = _prepared(tmp_path)
    assert start(_study(), str(windows), str(tmp_path / "run"), log=quiet).complete
    assert start(_study(), str(windows), str(tmp_path / "local"), "local", log=quiet).complete
    tables, local = (analysis.load(str(tmp_path / name)) for name in ("run", "local"))
    assert local.trials["predictions_digest"].tolist() == tables.trials["predictions_digest"].tolist()
    scores = analysis.score(tables)
    assert scores.loc[scores["technique"].eq("twice"), "kappa"].notna().all()
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())["plugins"]
    assert [("mine", {"technique", "encoder", "dataset", "metric"})] == [
        (entry["name"], set(entry["adds"])) for entry in record
    ]
    assert any("mine.py" in note for note in tables.notes)


def test_the_example_passes_the_test_of_raylabs_own_techniques(tmp_path: Path) -> None:
    """``raylab.testing.check_technique`` runs on the entered technique, with the plugin's encoder."""
    plugins.enter_files([example(tmp_path)])
    check_technique(TECHNIQUES["twice"], encoders=("tiny",))


def test_check_technique_sees_a_leak(tmp_path: Path) -> None:
    """A technique that trains on the target's windows without declaring it fails the test."""
    text = """
from dataclasses import dataclass
from raylab.folds.fold import NO_ROWS, StageSplit
from raylab.techniques.stage import Stage, Technique

@dataclass(frozen=True)
class Peek:
    needs = frozenset()

    def choose(self, fold):
        return StageSplit(fold.target_windows[::2], NO_ROWS)

TECHNIQUES = (Technique("peek", "leaks", (), lambda v: (Stage("peek", Peek(), ("trunk", "head")),)),)
"""
    (tmp_path / "leak.py").write_text(text)
    plugins.enter_files([tmp_path / "leak.py"])
    with pytest.raises(AssertionError, match="received the target's windows"):
        check_technique(TECHNIQUES["peek"])


@pytest.mark.parametrize("command", ["techniques", "models", "datasets"])
def test_the_lists_say_where_an_entry_comes_from(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plugin's entry has the file behind it, raylab's own have nothing."""
    assert 0 == run_command(monkeypatch, command, "--plugin", str(example(tmp_path)))
    lines = [line for line in "".join(capsys.readouterr().out.split("\n ")).splitlines() if "mine.py" in line]
    assert 1 == len(lines)
    assert lines[0].strip().startswith(("twice", "tiny", "our_lab", "encoder:"))


def test_options_know_the_names_of_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset or a metric is refused as a wrong command line unless its plugin is given; the order of options does not matter."""
    path, root = example(tmp_path), csv_people(tmp_path / "data")
    assert 2 == run_command(monkeypatch, "prepare", "our_lab", "--root", str(root), "--check")
    assert 2 == run_command(monkeypatch, "report", str(tmp_path), "--metric", "kappa")
    assert 1 == run_command(monkeypatch, "report", str(tmp_path), "--metric", "kappa", "--plugin", str(path))  # no run there


def test_changed_code_trains_its_models_anew_and_no_others(tmp_path: Path) -> None:
    """The version of the plugin is in the identity of its encoder, not in that of raylab's own, nor in what a trial is rebuilt from."""
    versions = []
    for comment in ("", "# changed\n"):
        with tables_restored():
            plugins.enter_files([example(tmp_path, comment)])
            versions.append(ModelSpec("tiny").architecture)
            assert ModelSpec("tiny") == ModelSpec.from_dict(ModelSpec("tiny").as_dict())
            assert {"encoder": "fcn", "fusion": "late", "width": 1.0} == ModelSpec("fcn").architecture
    assert versions[0] != versions[1]


def test_a_resumed_run_says_that_a_plugin_changed(tmp_path: Path) -> None:
    """The log names the plugin and both versions, its model is trained again, and a run without it is told."""
    with tables_restored():
        plugins.enter_files([example(tmp_path)])
        windows = _prepared(tmp_path)
        start(_study(techniques=["non_personalized"]), str(windows), str(tmp_path / "run"), "local", log=quiet)
    lines: list[str] = []
    with tables_restored():
        plugins.enter_files([example(tmp_path, "# changed\n")])
        summary = start(_study(techniques=["non_personalized"]), str(windows), str(tmp_path / "run"), "local", log=lines.append)
    assert 1 == len([line for line in lines if line.startswith("plugin mine has changed since")])
    assert 1 == summary.trainings_completed  # of the new plan: the old one's weights are not its own
    with pytest.raises(RaylabError, match="unknown encoder 'tiny'"):
        _study()


BAD = [
    ("TECHNIQUES = 3", "TECHNIQUES is 3, expected a tuple or a list"),
    ("TECHNIQUES = ('fine',)", r"TECHNIQUES\[0\] is 'fine', expected a raylab.techniques.stage.Technique"),
    ("x = 1", "it has none of TECHNIQUES, ENCODERS"),
    ("import nowhere_to_be_found\n", "bad.py, line 1: ModuleNotFoundError"),
    ("x = 1\ny = = 2\n", "bad.py, line 2: SyntaxError"),
    ("x = 1\n1 / 0\n", "bad.py, line 2: ZeroDivisionError"),
    (
        "from raylab.techniques.registry import TECHNIQUES as T\nTECHNIQUES = (T['hybrid'],)",
        "the technique 'hybrid' is taken by raylab; give it another name",
    ),
    (
        "from raylab.models.registry import Encoder\nENCODERS = (Encoder('lda', 'd', 4),)",
        "the encoder 'lda' is taken by raylab",
    ),
    ("from raylab.models.registry import Encoder\nENCODERS = (Encoder('a b', 'd', 4),)", "not made of letters"),
    (
        "from raylab.models.registry import Encoder\nENCODERS = (Encoder('x', 'd', 4), Encoder('x', 'd', 4))",
        "a name of its own twice: x",
    ),
]


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_what_cannot_be_used_is_refused_with_file_and_remedy(text: str, problem: str, tmp_path: Path) -> None:
    """And nothing of the file is entered."""
    (tmp_path / "bad.py").write_text(text)
    before = dict(TECHNIQUES)
    with pytest.raises(RaylabError, match=problem) as caught:
        plugins.enter_files([tmp_path / "bad.py"])
    assert str(tmp_path / "bad.py") in str(caught.value)
    assert before == TECHNIQUES and () == plugins.entered()


def test_a_plugins_name_is_taken_by_the_first_that_has_it(tmp_path: Path) -> None:
    """Two files with the same technique: the message names the first file. One file twice is entered once."""
    first = example(tmp_path)
    plugins.enter_files([first, first])
    second = tmp_path / "other.py"
    second.write_text(first.read_text().replace('"tiny"', '"tiny2"'))
    with pytest.raises(RaylabError, match=f"the technique 'twice' is taken by {first}"):
        plugins.enter_files([second])


def test_a_worker_enters_the_drivers_text_and_refuses_another_distribution(tmp_path: Path) -> None:
    """The file on the worker's disk does not matter; a distribution must have the driver's version."""
    path = example(tmp_path)
    with tables_restored():
        plugins.enter_files([path])
        sent = plugins.entered()
    path.write_text("changed meanwhile")
    plugins.enter_same(sent)
    assert "twice" in TECHNIQUES and "our_lab" in DATASETS
    with pytest.raises(RaylabError, match=r"this machine has none; install lab==2\.0"):
        plugins.enter_same([plugins.Plugin("lab", "lab 2.0", "2.0")])


def test_an_installed_distribution_needs_no_option(tmp_path: Path) -> None:
    """Its entry points are listed with name and version; one that cannot be imported is refused by the distribution's name."""
    info = tmp_path / "lab-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(
        "[raylab.techniques]\nmine = mine:TECHNIQUES\n[analysis.metrics]\nmine = mine:METRICS\n"
    )
    example(tmp_path)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-m", "raylab.cli", "techniques"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=True)
    assert "(lab 2.0)" in done.stdout
    (tmp_path / "mine.py").write_text("import nowhere_to_be_found")
    broken = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert 1 == broken.returncode
    assert "plugin lab 2.0: the entry point mine" in broken.stderr


def test_a_study_without_plugins_has_none_on_record(cohort: Path, tmp_path: Path) -> None:
    """The provenance of such a run is what it was before there were plugins."""
    start(small(techniques=["non_personalized"]), str(cohort), str(tmp_path / "run"), "local", log=quiet)
    assert "plugins" not in json.loads((tmp_path / "run" / "provenance.json").read_text())
