"""AMIGOS on files in its published layout: ratings by video id, columns, baselines, absent trials, people and traits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from builders.amigos import SELF, VIDEOS, Known, edit_mat, edit_sheet, level, mat_path, read, write_amigos

from raylab.errors import RecordingError
from raylab.recordings import DATASETS, Recording
from raylab.recordings.amigos import AMIGOS
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut

PLAIN = Preprocessing(winsor_share=0.0, lowpass_hz=1e6)  # neither cuts ranks nor filters: windows are the samples, scaled
EEG = ["af3", "f7", "f3", "fc5", "t7", "p7", "o1", "o2", "p8", "t8", "fc6", "f4", "f8", "af4"]


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
