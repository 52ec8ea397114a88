"""AMIGOS on files in its published layout: ratings by video id, columns, baselines, absent trials, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from builders.amigos import VIDEOS, Known, cell, edit_mat, edit_sheet, level, mat_path, write_amigos

from raylab.errors import RecordingError
from raylab.recordings import DATASETS, Recording
from raylab.recordings.amigos import AMIGOS
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut

PLAIN = Preprocessing(winsor_share=0.0, lowpass_hz=1e6)  # neither cuts ranks nor filters: windows are the samples, scaled
EEG = ["af3", "f7", "f3", "fc5", "t7", "p7", "o1", "o2", "p8", "t8", "fc6", "f4", "f8", "af4"]
SELF = "Metadata_xlsx/SelfAsessment.xlsx"


def read(root: Path, person: str = "P01", **options: Any) -> Recording:
    return AMIGOS.read(root, person, {**AMIGOS.options, **options})


def windows(recording: Recording) -> ParticipantWindows:
    return cut(recording, list(AMIGOS.labels), PLAIN)


def high(known: Known, person: str, videos: list[str], which: int) -> dict[str, int]:
    """Video to class, from the ratings that were written: above the person's mean over the videos."""
    mean = sum(known.ratings[person][video][which] for video in videos) / len(videos)
    return {video: int(known.ratings[person][video][which] > mean) for video in videos}


def expected_windows(known: Known, variable: str, column: int, seconds: float) -> np.ndarray[Any, Any]:
    """(n, 80) windows of 10 s at 8 Hz in the order shown, from the fixture's rule: level of the video plus seconds."""
    per_video = [5.0 * i for i in range(int(np.ceil((seconds - 10) / 5)))]
    raw = [level(variable, column, v) + begin + np.arange(80) / 8 for v in known.shown["P01"] for begin in per_video]
    levels = [level(variable, column, video) for video in VIDEOS]
    rate = 256 if variable == "ECG_DATA" else 128
    low, top = min(levels), max(levels) + np.arange(0, seconds, rate // 8 / rate)[-1]
    return (np.array(raw) - low) / (top - low)


# --- windows, labels and columns by hand -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "variable", "column"),
    [
        ("eeg_af3", "EEG_DATA", 3),
        ("eeg_af4", "EEG_DATA", 16),
        ("ecg_right", "ECG_DATA", 1),
        ("ecg_left", "ECG_DATA", 2),
        ("gsr", "GSR_DATA", 1),
        ("acc_x", "GSR_DATA", 2),
        ("acc_z", "GSR_DATA", 4),
    ],
)
def test_original_windows_by_hand(original: tuple[Path, Known], channel: str, variable: str, column: int) -> None:
    """Every channel is its own column of its own file, at 8 Hz, one video after the other as they were shown."""
    root, known = original
    made = windows(read(root))
    np.testing.assert_allclose(
        made.signals[channel][:, :, 0], expected_windows(known, variable, column, 21.0), rtol=0, atol=1e-6
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known]:
    """One person, original files, known signals, 21 s a video, trials in the order of the video's number."""
    root = tmp_path_factory.mktemp("original")
    return root, write_amigos(root, [1], seconds=21.0, signals="known")


def test_original_channels_and_sessions(original: tuple[Path, Known]) -> None:
    """The paper's 20 channels at 8 Hz; a session a video, three windows each, none across the border of two."""
    root, known = original
    recording = read(root)
    names = [*(f"eeg_{name}" for name in EEG), "ecg_right", "ecg_left", "gsr", "acc_x", "acc_y", "acc_z"]
    assert names == [channel.name for channel in recording.channels]
    assert [128.0] * 14 + [256.0] * 2 + [128.0] * 4 == [channel.rate_hz for channel in recording.channels]
    assert {8.0} == {channel.target_rate_hz for channel in recording.channels}
    made = windows(recording)
    assert [video for video in known.shown["P01"] for _ in range(3)] == made.sessions
    np.testing.assert_allclose(made.start_s, [21.0 * i + begin for i in range(16) for begin in (0, 5, 10)])


@pytest.mark.parametrize("release", ["original", "preprocessed"])
@pytest.mark.parametrize("trials_in", ["video", "presentation"])
def test_ratings_are_joined_by_video_id(tmp_path: Path, release: str, trials_in: str) -> None:
    """Whatever the order of the trials in the file, a window has its video's class; a join by position gives another."""
    known = write_amigos(tmp_path, [1], release, signals="known", trials_in=trials_in)
    made = windows(read(tmp_path, release=release))
    for which, label in enumerate(("arousal", "valence")):
        by_video = high(known, "P01", VIDEOS, which)
        assert [by_video[video] for video in made.sessions] == made.labels[label].tolist()
        position = {video: known.shown["P01"][i] for i, video in enumerate(VIDEOS)}  # trial i taken for the i-th shown
        assert [by_video[position[video]] for video in made.sessions] != made.labels[label].tolist()


def test_threshold_is_the_persons_own_mean(tmp_path: Path) -> None:
    """A person whose lowest rating is above everybody's mean still has both classes."""
    write_amigos(tmp_path, [1], signals="known")
    for row, video in enumerate(VIDEOS):
        edit_sheet(tmp_path / SELF, "Experiment_1", f"D{row + 2}", 8.0 if video != "80" else 9.0)
    made = windows(read(tmp_path))
    assert [int(video == "80") for video in made.sessions] == made.labels["arousal"].tolist()


def test_preprocessed_cuts_the_baseline_and_reads_right_before_left(tmp_path: Path) -> None:
    """17 channels; sample 0 is the video's start, not the baseline's; ECG right is column 14, left 15, GSR 16."""
    write_amigos(tmp_path, [1], "preprocessed", signals="known")
    recording = read(tmp_path, release="preprocessed")
    assert [*(f"eeg_{name}" for name in EEG), "ecg_right", "ecg_left", "gsr"] == [c.name for c in recording.channels]
    for segment in recording.segments:
        for column, channel in enumerate(recording.channels):
            expected = level("joined_data", column, segment.session) + np.arange(12 * 128) / 128
            np.testing.assert_allclose(segment.signals[channel.name][:, 0], expected, rtol=0, atol=1e-9)


def test_both_arrangements_of_the_self_assessments(tmp_path: Path) -> None:
    """With two rows of headings and answers from before the videos, the answers to the videos count."""
    known = write_amigos(tmp_path, [1], signals="known", arrangement="published")
    tracks = {segment.session: segment.tracks["arousal"].values[0] for segment in read(tmp_path).segments}
    assert {video: rated[0] for video, rated in known.ratings["P01"].items()} == tracks


# --- quirks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["original", "preprocessed"])
def test_absent_and_nan_trials_are_left_out_and_noted(tmp_path: Path, release: str) -> None:
    """Empty trials and trials of mostly NaN give no segment, do not count in the mean, and are named in the notes."""
    known = write_amigos(tmp_path, [1], release, signals="known", absent=["9", "34"], nan={"80": 0.8})
    recording = read(tmp_path, release=release)
    kept = [video for video in known.shown["P01"] if video not in ("9", "34", "80")]
    assert kept == [segment.session for segment in recording.segments]
    variables = "joined_data" if release == "preprocessed" else "EEG_DATA, ECG_DATA, GSR_DATA"
    assert {f"left out, no {variables}: 9, 34", "left out, more than half of a channel is NaN: 80"} <= set(recording.notes)
    made = windows(recording)
    assert [high(known, "P01", kept, 0)[video] for video in made.sessions] == made.labels["arousal"].tolist()


def test_some_nan_is_refused_by_the_windows(tmp_path: Path) -> None:
    """A trial with a tenth of NaN is neither dropped nor filled in: the windows refuse it."""
    write_amigos(tmp_path, [1], signals="known", nan={"80": 0.1})
    with pytest.raises(RecordingError, match=r"participant P01, channel eeg_af3.*NaN"):
        windows(read(tmp_path))


def test_trial_without_answers_is_left_out(tmp_path: Path) -> None:
    """A preprocessed trial that has signals but (1, 0) answers is left out and noted."""
    write_amigos(tmp_path, [1], "preprocessed", signals="known")
    path = mat_path(tmp_path, "P01", "preprocessed")
    answers = scipy.io.loadmat(path)["labels_selfassessment"]
    answers[0, VIDEOS.index("13")] = np.zeros((1, 0))
    edit_mat(path, labels_selfassessment=answers)
    recording = read(tmp_path, release="preprocessed")
    assert "left out, no self-assessment: 13" in recording.notes
    assert len(recording.segments) == 15


def test_ratings_of_the_two_sources_that_differ_are_noted(tmp_path: Path) -> None:
    """The preprocessed release keeps its own ratings; a video that the sheet rates otherwise is named."""
    write_amigos(tmp_path, [1], "preprocessed", signals="known")
    edit_sheet(tmp_path / SELF, "Experiment_1", "D4", 1.01)
    notes = " ".join(read(tmp_path, release="preprocessed").notes)
    assert f"rates videos {VIDEOS[2]} otherwise" in notes


def test_without_video_ids_the_published_order_names_the_trials(tmp_path: Path) -> None:
    """An original file without VideoIDs is read by the sheet Short_Videos_Order, and says so."""
    known = write_amigos(tmp_path, [1], signals="known", trials_in="presentation", video_ids=False)
    recording = read(tmp_path)
    for segment in recording.segments:
        assert level("GSR_DATA", 1, segment.session) == segment.signals["gsr"][0, 0]
        assert known.ratings["P01"][segment.session][0] == segment.tracks["arousal"].values[0]
    assert any("no VideoIDs" in note for note in recording.notes)


def test_without_video_ids_and_order_nothing_is_assumed(tmp_path: Path) -> None:
    """Where neither VideoIDs nor the order sheet names a trial, or the two tables disagree, the person is refused."""
    write_amigos(tmp_path, [1], signals="known", video_ids=False)
    order = tmp_path / "Metadata_xlsx/Experiment_Data.xlsx"
    shown = [int(video) for video in VIDEOS]
    for j, video in enumerate(shown):
        edit_sheet(order, "Short_Videos_Order", f"{chr(66 + j)}2", video)
    with pytest.raises(RecordingError, match=r"participant P01, channel VideoIDs.*disagree on when .*VideoIDs"):
        read(tmp_path)
    edit_sheet(order, "Short_Videos_Order", "C2", 99)
    with pytest.raises(
        RecordingError, match=r"participant P01, channel Short_Videos_Order.*names 4, 99.*which video a trial is"
    ):
        read(tmp_path)
    order.unlink()
    with pytest.raises(RecordingError, match=r"participant P01.*Experiment_Data\.xlsx: is missing"):
        read(tmp_path)


def test_unconfirmed_layout_is_said(original: tuple[Path, Known]) -> None:
    """The notes say how many columns were found, the rates by the time stamps, and which order was taken on trust."""
    notes = " ".join(read(original[0]).notes)
    for said in ("EEG_DATA 25 columns at 128.0 Hz", "ECG_DATA 6 columns at 256.0 Hz", "GSR_DATA 5 columns at 128.0 Hz"):
        assert said in notes
    assert "not confirmed" in notes


# --- people and traits -----------------------------------------------------------------------------------------------


def test_traits_are_numbers_as_published(tmp_path: Path) -> None:
    """Big Five keep their fractions; age is a number, gender a word; who is not in the personality sheet lacks five traits."""
    known = write_amigos(tmp_path, [1, 2, 3], no_personality=[2])
    for person in ("P01", "P03"):
        traits = read(tmp_path, person).traits
        assert known.big_five[person] == [traits[name] for name in AMIGOS.traits[2:]]
        assert any(value != int(value) for value in known.big_five[person])
        assert (known.age[person], known.gender[person]) == (traits["age"], traits["gender"])
    recording = read(tmp_path, "P02")
    assert {"age", "gender"} == set(recording.traits)
    assert any(note.startswith("no extraversion, agreeableness") for note in recording.notes)


def test_people_are_those_whose_files_are_there(tmp_path: Path) -> None:
    """Numerical order, by release; the paper's subset leaves out the nine people of the study's code."""
    write_amigos(tmp_path, [2, 8, 9, 10, 28], seconds=1.0)
    write_amigos(tmp_path, [1], "preprocessed", seconds=1.0)
    assert ["P02", "P08", "P09", "P10", "P28"] == AMIGOS.participants(tmp_path, AMIGOS.options)
    assert ["P02", "P10"] == AMIGOS.participants(tmp_path, {**AMIGOS.options, "subset": "paper"})
    assert ["P01"] == AMIGOS.participants(tmp_path, {**AMIGOS.options, "release": "preprocessed"})
    for number in range(1, 41):
        mat_path(tmp_path, f"P{number:02d}").parent.mkdir(exist_ok=True)
        mat_path(tmp_path, f"P{number:02d}").touch()
    paper = AMIGOS.participants(tmp_path, {**AMIGOS.options, "subset": "paper"})
    assert len(paper) == 31
    assert not {"P08", "P09", "P12", "P21", "P22", "P23", "P24", "P28", "P33"} & set(paper)


@pytest.mark.parametrize("folder", ["", "Data_Original", "data_original"])
@pytest.mark.parametrize("flat", [True, False])
def test_files_flat_or_in_folders(tmp_path: Path, folder: str, flat: bool) -> None:
    """A person's .mat may stand flat or in its own folder, in the root or in a folder of the release."""
    write_amigos(tmp_path, [7], seconds=1.0, flat=flat)
    if folder:
        (tmp_path / folder).mkdir()
        source = mat_path(tmp_path, "P07", flat=flat)
        moved = source if flat else source.parent
        moved.rename(tmp_path / folder / moved.name)
    assert ["P07"] == AMIGOS.participants(tmp_path, AMIGOS.options)
    assert len(read(tmp_path, "P07").segments) == 16


def test_seven_people_are_enough_for_a_study(tmp_path: Path) -> None:
    """Each of seven people with NeuroKit2 signals gives ten windows or more, and both classes of both labels, as the paper cuts."""
    write_amigos(tmp_path, range(1, 8))
    assert DATASETS["amigos"] is AMIGOS
    for person in AMIGOS.participants(tmp_path, AMIGOS.options):
        made = cut(read(tmp_path, person), list(AMIGOS.labels), Preprocessing())
        assert len(made.start_s) >= 10
        assert all({0, 1} == set(values.tolist()) for values in made.labels.values())


# --- bad input -------------------------------------------------------------------------------------------------------


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
