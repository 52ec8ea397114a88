"""AMIGOS: damaged files, impossible answers and unknown options are refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from builders.amigos import SELF, VIDEOS, cell, edit_mat, edit_sheet, mat_path, read, write_amigos

from raylab.errors import RecordingError
from raylab.recordings.amigos import AMIGOS


def _with(path: Path, variable: str, index: int, value: Any) -> None:
    entries = scipy.io.loadmat(path)[variable]
    entries[0, index] = value
    edit_mat(path, **{variable: entries})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda p: p.unlink(), r"P01\.mat: is missing.*--exclude"),
        (
            lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
            r"P01\.mat.*truncated or damaged|lacks the variable",
        ),
        (lambda p: p.write_bytes(p.read_bytes()[:60]), r"P01\.mat: cannot be read.*download the file again"),
        (lambda p: p.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384)), r"MATLAB 7\.3.*-v7"),
        (lambda p: edit_mat(p, GSR_DATA=None, GSR=cell([1.0])), r"channel GSR_DATA, file .*lacks the variable, it holds .*GSR"),
        (lambda p: edit_mat(p, ECG_DATA=np.zeros((3, 4))), r"channel ECG_DATA.*expected a cell 1 x 20, found float64 \(3, 4\)"),
        (lambda p: edit_mat(p, ECG_DATA=cell([1.0] * 19)), r"channel ECG_DATA.*expected a cell 1 x 20, found object \(1, 19\)"),
        (
            lambda p: _with(p, "EEG_DATA", 2, np.zeros((128, 14))),
            r"channel EEG_DATA trial 3 \(video 9\).*expected a numeric array n x 25, found float64 \(128, 14\)",
        ),
        (lambda p: _with(p, "GSR_DATA", 0, np.array(["text"])), r"channel GSR_DATA trial 1 \(video 4\).*found <U4"),
        (lambda p: _with(p, "VideoIDs", 0, "7"), r"channel VideoIDs.*unknown videos 7"),
        (lambda p: _with(p, "VideoIDs", 0, "138"), r"channel VideoIDs.*names video 138 twice"),
        (lambda p: _with(p, "VideoIDs", 0, np.zeros((0, 0))), r"channel VideoIDs.*trial 1 .*has signals but no video"),
    ],
)
def test_bad_mat_is_refused(tmp_path: Path, change: Any, what: str) -> None:
    """A missing, cut or foreign .mat, a missing variable and a wrong shape are named with participant, file and remedy."""
    write_amigos(tmp_path, [1], seconds=1.0, signals="known")
    change(mat_path(tmp_path, "P01"))
    with pytest.raises(RecordingError, match=rf"participant P01.*({what})") as refusal:
        read(tmp_path)
    assert "What to do: " in str(refusal.value)


@pytest.mark.parametrize(
    ("book", "sheet", "where", "value", "what"),
    [
        ("SelfAsessment", "Experiment_1", "D3", 9.5, r"channel arousal.*video 5 has the value 9\.5, the scale is 1\.\.9"),
        ("SelfAsessment", "Experiment_1", "E2", 0, r"channel valence.*video 4 has the value 0, the scale is 1\.\.9"),
        ("SelfAsessment", "Experiment_1", "E2", "high", r"channel valence.*video 4 has the value 'high', expected a number"),
        ("SelfAsessment", "Experiment_1", "B3", "'4'", r"names video 4 twice"),
        ("SelfAsessment", "Experiment_1", "C3", None, r"video 5 has the position None"),
        ("SelfAsessment", "Experiment_1", "D1", "excitement", r"has no column arousal, only .*excitement"),
        ("Participants_Personality", "Personalities", "B3", 7.5, r"channel agreeableness.*7\.5, the scale is 1\.\.7"),
        (
            "Participants_Personality",
            "Personalities",
            "B3",
            "5,5",
            r"channel agreeableness.*has the value '5,5', the scale is 1\.\.7",
        ),
        ("Participants_Personality", "Personalities", "C1", 1, r"channel UserID.*names the participant in 2 columns"),
        ("Participants_Personality", "Personalities", "A1", "Who", r"has no row UserID, only who"),
        ("Participant_Questionnaires", "Sheet1", "A3", 1, r"channel UserID.*names the participant in 2 rows"),
    ],
)
def test_bad_metadata_is_refused(tmp_path: Path, book: str, sheet: str, where: str, value: Any, what: str) -> None:
    """Ratings and traits off their scale, duplicated rows and missing columns are named with participant, file and remedy."""
    write_amigos(tmp_path, [1, 2], seconds=1.0, signals="known")
    path = tmp_path / f"Metadata_xlsx/{book}.xlsx"
    edit_sheet(path, sheet, where, value)
    with pytest.raises(RecordingError, match=rf"participant P01.*{book}\.xlsx.*{what}|participant P01.*{what}") as refusal:
        read(tmp_path)
    assert str(path) in str(refusal.value) and "What to do: " in str(refusal.value)


@pytest.mark.parametrize("name", ["SelfAsessment", "Participants_Personality", "Participant_Questionnaires"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "sheet"])
def test_damaged_book_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    """A missing or cut Excel book, or one without its sheet, is named."""
    write_amigos(tmp_path, [1], seconds=1.0, signals="known")
    path = tmp_path / f"Metadata_xlsx/{name}.xlsx"
    what = {"missing": "is missing", "truncated": "cannot be read as an Excel book", "sheet": "has no"}[damage]
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    else:
        (tmp_path / "Metadata_xlsx/Experiment_Data.xlsx").replace(path)
    with pytest.raises(RecordingError, match=rf"participant P01.*{name}\.xlsx: {what}"):
        read(tmp_path)


def test_correct_spelling_of_the_file_is_not_the_published_one(tmp_path: Path) -> None:
    """SelfAssessment.xlsx is asked for under the publisher's misspelt name."""
    write_amigos(tmp_path, [1], seconds=1.0, signals="known")
    (tmp_path / SELF).rename(tmp_path / "Metadata_xlsx/SelfAssessment.xlsx")
    with pytest.raises(RecordingError, match=r"SelfAsessment\.xlsx: is missing"):
        read(tmp_path)


def test_rating_off_its_scale_in_the_mat_is_refused(tmp_path: Path) -> None:
    """The preprocessed release's own ratings are checked too."""
    write_amigos(tmp_path, [1], "preprocessed", seconds=1.0, signals="known")
    _with(mat_path(tmp_path, "P01", "preprocessed"), "labels_selfassessment", 3, np.full((1, 12), 10.0))
    with pytest.raises(
        RecordingError, match=r"channel labels_selfassessment arousal.*video 10 has the value 10, the scale is 1\.\.9"
    ):
        read(tmp_path, release="preprocessed")


def test_rate_that_the_time_stamps_contradict_is_refused(tmp_path: Path) -> None:
    """Time stamps 3% off name file, variable, the rate found and the one published; 1% off is the device's own."""
    write_amigos(tmp_path, [1], seconds=2.0, signals="known", rate=0.97)
    with pytest.raises(RecordingError, match=r"participant P01, channel EEG_DATA.*say 124\.\d Hz, published are 128 Hz"):
        read(tmp_path)
    write_amigos(tmp_path, [1], seconds=2.0, signals="known", rate=0.99)
    assert len(read(tmp_path).segments) == 16


def test_unknown_duplicated_and_linked_people_are_refused(tmp_path: Path) -> None:
    """A name that is nobody's, a file that is there twice, and a link out of the root."""
    root = tmp_path / "root"
    write_amigos(root, [1, 2], seconds=1.0, signals="known")
    with pytest.raises(RecordingError, match=r"participant P41: is nobody of AMIGOS \(P01\.\.P40\)"):
        read(root, "P41")
    with pytest.raises(RecordingError, match=r"participant P03.*is missing"):
        read(root, "P03")
    mat_path(root, "P01", flat=True).write_bytes(mat_path(root, "P01").read_bytes())
    with pytest.raises(RecordingError, match=r"participant P01.*is there twice: .*keep one"):
        read(root, "P01")
    mat_path(root, "P02").rename(tmp_path / "outside.mat")
    mat_path(root, "P02").symlink_to(tmp_path / "outside.mat")
    with pytest.raises(RecordingError, match="is a link out of"):
        read(root, "P02")


def test_person_whom_the_sheet_does_not_know_is_refused(tmp_path: Path) -> None:
    """Signals without any self-assessment name the table and the participant."""
    write_amigos(tmp_path, [1, 2], seconds=1.0, signals="known")
    mat_path(tmp_path, "P03").parent.mkdir()
    mat_path(tmp_path, "P01").rename(mat_path(tmp_path, "P03"))
    with pytest.raises(RecordingError, match=r"participant P03, file .*SelfAsessment\.xlsx: has no row"):
        read(tmp_path, "P03")


@pytest.mark.parametrize(("option", "value"), [("release", "raw"), ("subset", "some")])
def test_unknown_options_are_refused(tmp_path: Path, option: str, value: str) -> None:
    """An option's value that is none names those that are."""
    with pytest.raises(RecordingError, match=rf"{option}='{value}' is unknown.*use {option}="):
        AMIGOS.participants(tmp_path, {**AMIGOS.options, option: value})


def test_empty_root_and_empty_person_are_refused(tmp_path: Path) -> None:
    """A folder without AMIGOS, and a person all of whose trials are absent, say what was found."""
    with pytest.raises(RecordingError, match=r"holds no Data_Original_P##\.mat.*--option release="):
        AMIGOS.participants(tmp_path, AMIGOS.options)
    write_amigos(tmp_path, [1], seconds=1.0, signals="known", absent=VIDEOS)
    with pytest.raises(RecordingError, match=r"participant P01.*has no usable trial \(left out, no EEG_DATA.*--exclude"):
        read(tmp_path)
