"""Damaged inputs, a few of each reader: accepted, or refused by a sentence that names the file. `make fuzz` tries thousands."""

from pathlib import Path

import pytest
from builders import csv_folder
from builders.strategies import studies, tables
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import __main__ as command
from benchmarks.fuzz.pool import fuzz
from benchmarks.fuzz.reader import MODULES
from raylab.errors import RaylabError, StudyError
from raylab.recordings.csv_folder import CSV_FOLDER
from raylab.trials.study import Study, read_study
from raylab.windows.preprocess import Preprocessing
from raylab.windows.windowing import cut_windows

FEW = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.slow
@pytest.mark.parametrize("reader", MODULES)
def test_damaged_inputs_are_accepted_or_refused_by_name(reader: str) -> None:
    """300 damaged inputs a reader: no other error, no crash, no hang, no memory out of proportion, nothing accepted that a digest covers."""
    account = fuzz(reader, command._seed_of(reader), 300, 600.0, 1, 2, 20.0, lambda account: None)
    assert {} == {where: (finding.count, finding.outcome.message[-500:]) for where, finding in account.findings.items()}


@FEW
@given(content=st.one_of(tables(("time_s", "stress"), 12), st.binary(max_size=40)))
def test_any_table_of_labels_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever labels.csv holds, the participant is read, with classes of the label only, or refused with the file's name."""
    root = tmp_path / "data"
    if not root.exists():
        csv_folder.write(root, ("anna",), seconds=14)
    (root / "anna" / "labels.csv").write_bytes(content)
    refusal = ""
    try:
        dataset = CSV_FOLDER.at(root)
        recording = dataset.read(root, "anna", {})
        cut = cut_windows(recording, list(dataset.labels), Preprocessing())
    except RaylabError as error:
        refusal = str(error)
    if refusal:
        assert "labels.csv" in refusal or "anna" in refusal
        return
    assert set(cut.labels["stress"].tolist()) <= {-1, 0, 1}


@FEW
@given(content=st.one_of(tables(("value",), 60), st.binary(max_size=40)))
def test_any_table_of_samples_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever a channel's csv holds, its samples are read as numbers, one column a feature, or refused with the file's name."""
    root = tmp_path / "data"
    if not root.exists():
        csv_folder.write(root, ("anna",), seconds=14)
    (root / "anna" / "eda.csv").write_bytes(content)
    refusal = ""
    try:
        recording = CSV_FOLDER.at(root).read(root, "anna", {})
    except RaylabError as error:
        refusal = str(error)
    if refusal:
        assert "eda" in refusal
        return
    assert 2 == recording.segments[0].signals["eda"].ndim


@settings(FEW, max_examples=200)
@given(content=st.one_of(studies(), st.binary(max_size=60)))
def test_any_study_file_is_a_study_or_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever a study file holds, it is a study, or refused with the file's name."""
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    refusal = ""
    try:
        study = read_study(path)
    except StudyError as error:
        refusal = str(error)
    if refusal:
        assert str(path) in refusal
        return
    assert isinstance(study, Study)
    study.as_dict()
