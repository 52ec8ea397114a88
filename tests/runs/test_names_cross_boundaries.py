"""Odd names of participants, channels, labels, classes and folders, through real Ray and without it, from files to the report."""

import csv
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import odd_names
from builders.command_line import run_command
from builders.running import predictions, quiet
from builders.studies import small, study

from analysis.report.write import write_report
from raylab.errors import RaylabError, StudyError
from raylab.files import Folder
from raylab.names import ascii_text
from raylab.runs.dataset_check import check_dataset
from raylab.runs.folder import RunFolder
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.progress import Progress
from raylab.runs.prometheus import Metrics
from raylab.runs.run import start
from raylab.runs.status import status_lines
from raylab.trials.study import Study, parse_study
from raylab.validity.probes import probe
from raylab.windows.dataset import read_card, read_windows
from raylab.windows.stored_rows import participant_folder

ODD_FOLDER = "für 100% ?#[x] =+&'"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings, in a folder with an odd name."""
    return odd_names.write(tmp_path_factory.mktemp("raw") / ODD_FOLDER)


@pytest.fixture(scope="module")
def prepared(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the windows ``odd ü``, prepared in this process."""
    root = tmp_path_factory.mktemp("windows")
    prepare(_request(raw, root / "odd ü"), say=quiet, where="local")
    return root


def _request(raw: Path, out: Path) -> PrepareRequest:
    return PrepareRequest("csv_folder", str(raw), str(out))


def _study(**dataset: object) -> Study:
    entry = {"windows": "odd ü", "label": odd_names.LABEL, "participants": ["anna b", "=1+1", "u\u0308"], **dataset}
    return parse_study(study(datasets=[entry], protocol={"epochs": 1, "batch_size": 16}), "test")


@pytest.mark.slow
def test_ray_and_this_process_prepare_the_same_folders(cluster: None, raw: Path, prepared: Path, tmp_path: Path) -> None:
    """Each person's windows are found under the name that they were written with, the same on both ways; names are in NFC."""
    out = tmp_path / ODD_FOLDER
    lines: list[str] = []
    card = prepare(_request(raw, out), say=lines.append)
    assert card == read_card(Folder(prepared / "odd ü"))
    assert sorted(odd_names.PEOPLE) == sorted(entry.name for entry in card.participants)
    assert (odd_names.LABEL, odd_names.CLASSES, odd_names.CHANNEL) == (
        card.labels[0].name,
        card.labels[0].classes,
        card.channels[0].name,
    )
    expected = {"card.json", "index.parquet", *(participant_folder(name) for name in odd_names.PEOPLE)}
    for folder in (out, prepared / "odd ü"):
        assert expected == {path.name for path in folder.iterdir()}
        assert all(["part-0.parquet"] == [path.name for path in part.iterdir()] for part in folder.iterdir() if part.is_dir())
    assert read_windows(Folder(out)).index.participants == tuple(entry.name for entry in card.participants)


@pytest.mark.slow  # a minute of processes that start
def test_a_run_of_odd_names_goes_from_ray_to_the_report(
    cluster: None, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray and this process give the same predictions in a run folder of an odd name; status, report and resume know all of it."""
    out, lines = tmp_path / ODD_FOLDER, list[str]()
    summary = start(_study(), str(prepared), str(out), log=lines.append)
    assert ({"ok": 9}, ()) == (summary.statuses, summary.failures)
    assert not [line for line in lines if "metrics" in line]
    local = start(_study(), str(prepared), str(tmp_path / "local"), "local", log=quiet)
    assert {"ok": 9} == local.statuses
    assert predictions(tmp_path / "local") == predictions(out)
    assert "9/9 ended: 9 ok" == status_lines(str(out))[0]
    assert list((out / "tune").glob("*/*/result.json"))
    assert 0 == run_command(monkeypatch, "report", str(out))
    assert {"anna b", "'=1+1", "ü"} == set(_column(out / "report" / "scores.csv", "participant"))
    assert {odd_names.LABEL} == set(_column(out / "report" / "scores.csv", "label"))
    assert odd_names.LABEL in capsys.readouterr().out
    assert {"ok": 9} == start(_study(), str(prepared), str(out), log=quiet).statuses


def _column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_odd_names_on_an_object_store(bucket: Callable[[str], str], prepared: Path) -> None:
    """Windows, run and report under URIs, with names that are encoded there once more."""
    source, run = Folder(bucket("windows%20b")), bucket("run%20%C3%BC")
    for path in prepared.rglob("*"):
        if path.is_file():
            source.write(str(path.relative_to(prepared)), path.read_bytes())
    assert {"ok": 3} == start(_study(participants=["anna b"]), source.uri, run, log=quiet).statuses
    write_report(run)
    assert RunFolder(run).folder.exists("report/report.html")


def test_windows_of_before_with_bare_names_load(prepared: Path, tmp_path: Path) -> None:
    """Without Ray an older raylab wrote the bare name; plain names have the same folder as ever."""
    old = tmp_path / "old"
    shutil.copytree(prepared / "odd ü", old)
    for name in ("anna b", "ü", "50%", "=1+1"):
        (old / participant_folder(name)).rename(old / f"participant={name}")
    assert read_windows(Folder(old)).index.participants == read_windows(Folder(prepared / "odd ü")).index.participants


def test_the_folder_of_another_name_is_not_taken(prepared: Path, tmp_path: Path) -> None:
    """``anna%20b`` is no bare name of older windows: that folder is of ``anna b``."""
    spoilt = tmp_path / "spoilt"
    shutil.copytree(prepared / "odd ü", spoilt)
    shutil.rmtree(spoilt / participant_folder("%41"))
    shutil.copytree(spoilt / participant_folder("50%"), spoilt / "participant=%41")
    with pytest.raises(RaylabError, match="windows of participant %41 are missing"):
        read_windows(Folder(spoilt))


def test_a_probe_keeps_odd_names(prepared: Path, tmp_path: Path) -> None:
    """Its windows are written as those of prepare."""
    card = probe("shuffled_labels", str(prepared / "odd ü"), str(tmp_path / "probed"))
    assert [entry.name for entry in read_card(Folder(prepared / "odd ü")).participants] == [
        entry.name for entry in card.participants
    ]
    read_windows(Folder(tmp_path / "probed"))


@pytest.mark.parametrize("where", ["ray", "local"])
def test_names_that_do_not_print_are_refused_before_any_work(cluster: None, tmp_path: Path, where: str) -> None:
    """All of them in one message, which itself prints; nothing is written."""
    raw = odd_names.write(tmp_path / "raw", ("anna", "b\x1b[2J", "c\nd", "e\u202ef"))
    (raw / "anna").rename(raw / "ann\udce4")
    with pytest.raises(RaylabError) as caught:
        prepare(_request(raw, tmp_path / "out"), say=quiet, where=where)  # type: ignore[arg-type]  # one of the two
    message = str(caught.value)
    assert message.isprintable() or set(message) <= {*filter(str.isprintable, message), "\n"}
    assert 4 == message.count("\n  - participant ")
    assert all(f"U+{code}" in message for code in ("001B", "000A", "202E", "DCE4"))
    assert not (tmp_path / "out").exists()


def test_two_forms_of_one_name_are_refused(tmp_path: Path) -> None:
    """``ü`` composed and decomposed are two folders, and one participant in every table."""
    raw = odd_names.write(tmp_path / "raw", ("ü", "a"), decomposed=())
    shutil.copytree(raw / "ü", raw / unicodedata.normalize("NFD", "ü"))
    with pytest.raises(RaylabError, match="has several folders named ü"):
        prepare(_request(raw, tmp_path / "out"), say=quiet, where="local")


def test_a_person_is_left_out_in_either_form(raw: Path, tmp_path: Path) -> None:
    """--exclude, too, is compared in NFC."""
    others = tuple(name for name in odd_names.PEOPLE if name not in ("ü", "anna b"))
    card = prepare(replace(_request(raw, tmp_path / "out"), exclude=(*others, "ü")), say=quiet, where="local")
    assert ["anna b"] == [entry.name for entry in card.participants]
    card = prepare(replace(_request(raw, tmp_path / "two"), exclude=(*others, "u\u0308")), say=quiet, where="local")
    assert ["anna b"] == [entry.name for entry in card.participants]


def test_the_check_reads_odd_names(cluster: None, raw: Path) -> None:
    """`raylab prepare --check` finds every person."""
    lines: list[str] = []
    assert 0 == check_dataset(_request(raw, Path("none")), lines.append)
    assert f"{len(odd_names.PEOPLE)} of {len(odd_names.PEOPLE)} participants can be read; nothing was written" in lines


@pytest.mark.parametrize("field", ["name", "label", "participants"])
def test_a_study_with_a_name_that_does_not_print_is_refused(field: str) -> None:
    """By the field, in a sentence that prints."""
    with pytest.raises(StudyError, match=rf"datasets\.0\.{field}.*U\+001B") as caught:
        _study(**{field: ["a\x1b[2J"] if field == "participants" else "a\x1b[2J"})
    assert "\x1b" not in str(caught.value)


class _Refusing:
    """A metric that refuses everything, as Ray's do with what they cannot encode."""

    def set(self, *values: object) -> None:
        raise UnicodeEncodeError("ascii", "ü", 0, 1, "ordinal not in range(128)")

    inc = set


def test_metrics_never_end_a_run(cluster: None) -> None:
    """A failure of Ray's is told once."""
    lines: list[str] = []
    metrics = Metrics("/tmp/ü", lines.append)
    progress = Progress(2, quiet)
    metrics.emit(progress)
    metrics.add_report({"windows": 3, "stage_done": "a", "reused": False})
    assert not lines
    metrics.emit(progress)
    assert not lines
    for name in ("_trials", "_windows", "_stages"):
        setattr(metrics, name, _Refusing())
    for _ in range(3):
        metrics.add_report({"windows": 3})
        metrics.emit(progress)
    assert 1 == len(lines)
    assert lines[0].startswith("metrics of this run are incomplete, the run goes on: UnicodeEncodeError")


def test_a_study_with_a_name_of_its_own_runs(cohort: Path, tmp_path: Path) -> None:
    """The name of a dataset in tables may be any that prints."""
    entry = {"windows": "simulated", "label": "stress", "name": "=Größe [x]", "participants": ["P01"]}
    assert {"ok": 1} == start(
        small(datasets=[entry], techniques=["non_personalized"]), str(cohort), str(tmp_path / "run"), "local", log=quiet
    ).statuses
    write_report(tmp_path / "run")
    assert {"'=Größe [x]"} == set(_column(tmp_path / "run" / "report" / "scores.csv", "dataset"))
    assert "/tmp/a" == ascii_text("/tmp/a")
