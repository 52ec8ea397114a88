"""ASCERTAIN on files in its published layout: columns by person, ratings by clip, quality by label, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import scipy.io
from builders.ascertain import Known, clip_path, edit_mat, level, write_ascertain

from raylab.errors import RecordingError
from raylab.recordings import DATASETS, Recording
from raylab.recordings.ascertain import ASCERTAIN
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut

PLAIN = Preprocessing(winsor_share=0.0, lowpass_hz=1e6)  # neither cuts ranks nor filters: windows are the samples, scaled
NAMES = ["ecg_right", "ecg_left", "acc_x", "acc_y", "acc_z", "eda"]
# Channel to file, column counted as in the files with six columns, rate and target rate.
WHERE = {
    "ecg_right": ("ECG", 4, 256, 64),
    "ecg_left": ("ECG", 5, 256, 64),
    "acc_x": ("GSR", 1, 128, 8),
    "acc_y": ("GSR", 2, 128, 8),
    "acc_z": ("GSR", 3, 128, 8),
    "eda": ("GSR", 4, 128, 8),
}
FEATURES = "ASCERTAIN_Features"


def read(root: Path, person: str = "P09", **options: Any) -> Recording:
    return ASCERTAIN.read(root, person, {**ASCERTAIN.options, **options})


def windows(recording: Recording) -> ParticipantWindows:
    return cut(recording, list(ASCERTAIN.labels), PLAIN)


def sessions(recording: Recording) -> list[int]:
    return [int(segment.session) for segment in recording.segments]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known]:
    """P08, whose ECG has 3 columns, and P09, whose ECG has 6: six clips of 21 s, known signals."""
    root = tmp_path_factory.mktemp("both")
    return root, write_ascertain(root, [8, 9], clips=range(1, 7), seconds=21.0, signals="known")


# --- windows, labels and columns by hand -----------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["P08", "P09"])
@pytest.mark.parametrize("channel", NAMES)
def test_windows_by_hand(both: tuple[Path, Known], person: str, channel: str) -> None:
    """Whether the ECG file has 3 columns or 6, right, left, acceleration and EDA are the same channels, clip after clip."""
    made = windows(read(both[0], person))
    modality, column, rate, target = WHERE[channel]
    raw = [
        level(modality, column, clip) + begin + np.arange(10 * target) / target for clip in range(1, 7) for begin in (0, 5, 10)
    ]
    levels = [level(modality, column, clip) for clip in range(1, 7)]
    top = max(levels) + np.arange(0, 21 * rate, rate // target)[-1] / rate
    expected = (np.array(raw) - min(levels)) / (top - min(levels))
    np.testing.assert_allclose(made.signals[channel][:, :, 0], expected, rtol=0, atol=1e-6)


def test_people_of_both_kinds_have_the_same_channels(both: tuple[Path, Known]) -> None:
    """The paper's six channels at its rates, for the first 8 people and the others; three windows a clip, none across a border."""
    recordings = [read(both[0], person) for person in ("P08", "P09")]
    for recording in recordings:
        assert [(name, *WHERE[name][2:]) for name in NAMES] == [
            (c.name, c.rate_hz, c.target_rate_hz) for c in recording.channels
        ]
        made = windows(recording)
        assert [str(clip) for clip in range(1, 7) for _ in range(3)] == made.sessions
        np.testing.assert_allclose(made.start_s, [21.0 * i + begin for i in range(6) for begin in (0, 5, 10)])


@pytest.mark.parametrize(("label", "row"), [("arousal", 0), ("valence", 1)])
@pytest.mark.parametrize("person", [8, 9])
def test_labels_by_hand(both: tuple[Path, Known], label: str, row: int, person: int) -> None:
    """Class 1 above the person's own mean over the clips that are there; not of another person, rating or order."""
    root, known = both
    mine = known.ratings[row, person - 1, :6]
    expected = [int(value > mine.sum() / 6) for value in mine for _ in range(3)]
    assert expected == windows(read(root, f"P{person:02d}")).labels[label].tolist()
    shown = known.ratings[row, person - 1, known.shown[person - 1, :6].astype(int) - 1]  # taken for the order of presentation
    assert not np.array_equal(mine, shown)


def test_order_of_presentation_moves_the_clips_not_their_ratings(tmp_path: Path) -> None:
    """With order=presentation the clips stand as they were shown, each still with its own rating; the notes say which order."""
    known = write_ascertain(tmp_path, [9], clips=range(1, 7), seconds=2.0, signals="known")
    by_clip, by_time = read(tmp_path), read(tmp_path, order="presentation")
    assert [1, 2, 3, 4, 5, 6] == sessions(by_clip)
    assert [clip for clip in known.shown[8].tolist() if clip <= 6] == sessions(by_time)
    for segment in by_time.segments:
        assert known.ratings[1, 8, int(segment.session) - 1] == segment.tracks["valence"].values[0]
    assert [0.0, 2.0, 4.0, 6.0, 8.0, 10.0] == [segment.start_s for segment in by_time.segments]
    assert any("not of presentation" in note for note in by_clip.notes)
    assert any("Dt_Order_Movie.mat" in note for note in by_time.notes)


# --- quirks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["ASCERTAIN_Raw", "MovieDataSegments", "ASCERTAIN_Raw/MovieDataSegments", ""])
@pytest.mark.parametrize("padded", [True, False])
def test_folders_and_numbers_on_disk_and_in_the_documentation(tmp_path: Path, raw: str, padded: bool) -> None:
    """The zip's folder and the documentation's, padded and unpadded clip numbers, are read."""
    write_ascertain(tmp_path, [2], clips=[1, 10], seconds=1.0, signals="known", raw=raw, padded=padded)
    assert ["P02"] == ASCERTAIN.participants(tmp_path, {})
    assert [1, 10] == sessions(read(tmp_path, "P02"))


@pytest.mark.parametrize("name", ["Dt_SelfReports.mat", "Dt_Selfreports.mat"])
def test_both_spellings_of_the_self_reports(tmp_path: Path, name: str) -> None:
    """The file's name as on disk and as in the documentation."""
    write_ascertain(tmp_path, [9], clips=[1], seconds=1.0, signals="known", self_reports=name)
    assert [1] == sessions(read(tmp_path))


def test_quality_is_read_by_labels(tmp_path: Path) -> None:
    """Grades are found under the subject's and beside the clip's number, wherever a sheet's table starts; max_quality drops by them."""
    grades = {("ECG", 9, 2): 5, ("GSR", 9, 4): 4, ("ECG", 8, 3): 6, ("ECG", 10, 1): 6, ("GSR", 9, 6): 3, ("ECG", 9, 6): 3}
    write_ascertain(tmp_path, [9], clips=range(1, 7), seconds=1.0, signals="known", quality=grades)
    assert [1, 2, 3, 4, 5, 6] == sessions(read(tmp_path))
    four = read(tmp_path, max_quality=4)
    assert [1, 3, 4, 5, 6] == sessions(four)
    assert any(note.startswith("left out, graded worse than 4: 2 (ECG quality 5), 7 (ECG quality 6") for note in four.notes)
    assert [1, 3, 5, 6] == sessions(read(tmp_path, max_quality=3))


@pytest.mark.parametrize("heading", ["{}", "P{:02d}", "Subject {}", "S_{}"])
def test_quality_headings_may_carry_words(tmp_path: Path, heading: str) -> None:
    """Subjects and clips may be headed by numbers or by words that end in them."""
    write_ascertain(tmp_path, [9], clips=range(1, 4), seconds=1.0, signals="known", quality={("ECG", 9, 2): 5})
    path = tmp_path / FEATURES / "Data_Quality_Evaluation.xlsx"
    book = openpyxl.load_workbook(path)
    for number in range(1, 59):
        book["ECG"].cell(2, 1 + number, heading.format(number))
    for clip in range(1, 37):
        book["ECG"].cell(2 + clip, 1, f"Clip{clip}")
    book.save(path)
    assert [1, 3] == sessions(read(tmp_path, max_quality=4))


@pytest.mark.parametrize("modality", ["ECG", "GSR"])
@pytest.mark.parametrize("why", ["quality", "failures", "nothing"])
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_missing_clip_must_be_explained(tmp_path: Path, modality: str, why: str, how: str) -> None:
    """A clip without signals is left out if it is graded 6 or listed as a failure; else a file was lost, and that is refused."""
    grades = {(modality, 9, 2): 6} if why == "quality" else {}
    failures = [(modality, 9, 2)] if why == "failures" else []
    write_ascertain(tmp_path, [9], clips=[1, 2, 3], seconds=1.0, signals="known", quality=grades, failures=failures)
    path = clip_path(tmp_path, modality, 9, 2)
    path.unlink(missing_ok=True)
    if how == "empty":
        scipy.io.savemat(path, {f"Data_{modality}": np.zeros((0, 0))})
    if why == "nothing":
        with pytest.raises(
            RecordingError, match=rf"P09, channel Data_{modality}, file .*{modality}_Clip2\.mat: clip 2 is missing"
        ):
            read(tmp_path)
        return
    recording = read(tmp_path)
    assert [1, 3] == sessions(recording)
    assert any(note.startswith(f"left out, no {modality}, as published: 2") for note in recording.notes)


def test_clip_without_a_rating_is_left_out(tmp_path: Path) -> None:
    """NaN ratings skip the clip, with a note, and do not count in the person's mean."""
    known = write_ascertain(tmp_path, [9], clips=range(1, 7), seconds=12.0, signals="known", no_rating=[(9, 3), (8, 1)])
    recording = read(tmp_path)
    assert [1, 2, 4, 5, 6] == sessions(recording)
    assert "left out, no rating: 3" in recording.notes
    mine = known.ratings[0, 8, [0, 1, 3, 4, 5]]
    assert [int(value > mine.mean()) for value in mine] == windows(recording).labels["arousal"].tolist()


def test_mostly_nan_is_left_out_and_some_nan_refused(tmp_path: Path) -> None:
    """A clip of which most of a channel is NaN is left out and noted; a little NaN is for the windows to refuse."""
    write_ascertain(tmp_path, [9], clips=[1, 2, 3], seconds=12.0, signals="known")
    for clip, share in ((2, 0.6), (3, 0.1)):
        path = clip_path(tmp_path, "GSR", 9, clip)
        samples = scipy.io.loadmat(path)["Data_GSR"]
        samples[: int(share * len(samples)), 4] = np.nan
        edit_mat(path, Data_GSR=samples)
    recording = read(tmp_path)
    assert [1, 3] == sessions(recording)
    assert "left out, more than half of a channel is NaN: 2" in recording.notes
    with pytest.raises(RecordingError, match=r"participant P09, channel eda.*NaN"):
        windows(recording)


def test_uneven_files_last_as_long_as_the_shorter(tmp_path: Path) -> None:
    """ECG of 21 s and GSR of 14 s give one window, and a note."""
    write_ascertain(tmp_path, [9], clips=[1, 2], seconds=21.0, signals="known")
    path = clip_path(tmp_path, "GSR", 9, 1)
    edit_mat(path, Data_GSR=scipy.io.loadmat(path)["Data_GSR"][: 14 * 128])
    recording = read(tmp_path)
    assert ["1", "2", "2", "2"] == windows(recording).sessions
    assert any("1 (14.0 to 21.0 s)" in note for note in recording.notes)


def test_big_five_keep_their_fractions(both: tuple[Path, Known]) -> None:
    """The traits are the published numbers on the 1 to 7 scale, above the documentation's 5 too."""
    root, known = both
    for person in (8, 9):
        traits = read(root, f"P{person:02d}").traits
        assert known.big_five[person - 1].tolist() == [traits[name] for name in ASCERTAIN.traits]
    assert known.big_five[7:9].max() > 5


def test_seven_people_are_enough_for_a_study(tmp_path: Path) -> None:
    """Each of seven people with NeuroKit2 signals gives ten windows or more, and both classes of both labels, as the paper cuts."""
    write_ascertain(tmp_path, range(3, 10))
    assert DATASETS["ascertain"] is ASCERTAIN
    people = ASCERTAIN.participants(tmp_path, ASCERTAIN.options)
    assert [f"P{number:02d}" for number in range(3, 10)] == people
    for person in people:
        made = cut(read(tmp_path, person), list(ASCERTAIN.labels), Preprocessing())
        assert len(made.start_s) >= 10
        assert all({0, 1} == set(values.tolist()) for values in made.labels.values())


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), r"(cannot be read as a \.mat|lacks the variable)"),
        (lambda p: p.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384)), r"MATLAB 7\.3.*-v7"),
        (lambda p: edit_mat(p, Data_ECG=None, ECG=np.zeros(3)), r"channel Data_ECG.*lacks the variable, it holds ECG"),
        (lambda p: edit_mat(p, Data_ECG=np.ones((256, 3))), r"channel Data_ECG of clip 1.* n x 6, found float64 \(256, 3\)"),
        (lambda p: edit_mat(p, Data_ECG=np.array(["text"])), r"channel Data_ECG of clip 1.*found <U4"),
        (lambda p: edit_mat(p, Data_ECG=np.ones((256, 6))), r"channel Data_ECG column 0.*say nan Hz, published are 256"),
        (lambda p: (p.parent / "ECG_Clip01.mat").write_bytes(p.read_bytes()), r"clip 1 is there twice.*keep one"),
    ],
)
def test_bad_clip_is_refused(tmp_path: Path, change: Any, what: str) -> None:
    """A cut or foreign .mat, a missing variable and a wrong shape are named with participant, file and remedy."""
    write_ascertain(tmp_path, [9], clips=[1], seconds=1.0, signals="known")
    change(clip_path(tmp_path, "ECG", 9, 1))
    with pytest.raises(RecordingError, match=rf"participant P09.*file .*Movie_P09.*{what}|participant P09.*{what}") as refusal:
        read(tmp_path)
    assert "Movie_P09" in str(refusal.value) and "What to do: " in str(refusal.value)


def test_first_eight_must_have_three_columns(tmp_path: Path) -> None:
    """Six ECG columns in a file of the first 8 people contradict the publication, which says where right and left are."""
    write_ascertain(tmp_path, [8, 9], clips=[1], seconds=1.0, signals="known")
    clip_path(tmp_path, "ECG", 8, 1).write_bytes(clip_path(tmp_path, "ECG", 9, 1).read_bytes())
    with pytest.raises(RecordingError, match=r"participant P08, channel Data_ECG of clip 1.* n x 3, found float64 \(256, 6\)"):
        read(tmp_path, "P08")


@pytest.mark.parametrize(("rate", "accepted"), [(0.97, False), (0.99, True), (1.01, True), (1.03, False)])
def test_rate_that_the_time_stamps_contradict_is_refused(tmp_path: Path, rate: float, accepted: bool) -> None:
    """Time stamps more than 2% off the promised rate are refused with clip, the rate found and the one published."""
    write_ascertain(tmp_path, [9], clips=[1], seconds=4.0, signals="known", rate=rate)
    if accepted:
        assert [1] == sessions(read(tmp_path))
        return
    said = {0.97: r"248\.\d", 1.03: r"263\.\d"}[rate]
    with pytest.raises(RecordingError, match=rf"P09, channel Data_ECG column 0.*clip 1: .*say {said} Hz, published are 256 Hz"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("row", "value", "what"),
    [
        (0, 6.5, r"Ratings arousal.*clip 2 has the value 6\.5, the scale is 0\.\.6"),
        (0, -1, r"Ratings arousal.*clip 2 has the value -1, the scale is 0\.\.6"),
        (1, 4, r"Ratings valence.*clip 2 has the value 4, the scale is -3\.\.3"),
        (1, np.inf, r"Ratings valence.*clip 2 has the value inf"),
    ],
)
def test_rating_off_its_scale_is_refused(tmp_path: Path, row: int, value: float, what: str) -> None:
    """A rating off its scale is named with participant, clip, value and scale; one of another person is not this one's."""
    known = write_ascertain(tmp_path, [8, 9], clips=[1, 2], seconds=1.0, signals="known")
    known.ratings[row, 8, 1] = value
    edit_mat(tmp_path / FEATURES / "Dt_SelfReports.mat", Ratings=known.ratings)
    with pytest.raises(RecordingError, match=rf"participant P09, channel {what}"):
        read(tmp_path)
    assert [1, 2] == sessions(read(tmp_path, "P08"))


@pytest.mark.parametrize(
    ("name", "changes", "what"),
    [
        ("Dt_SelfReports", {"Ratings": np.zeros((5, 36, 58))}, r"channel Ratings.*5 x 58 x 36, found .*\(5, 36, 58\)"),
        ("Dt_SelfReports", {"Ratings": None}, r"channel Ratings.*lacks the variable"),
        ("Dt_Personality", {"Personality": np.zeros((58, 4))}, r"channel Personality.*58 x 5, found .*\(58, 4\)"),
        (
            "Dt_Personality",
            {"Personality": np.full((58, 5), 7.5)},
            r"channel Personality extraversion.*7\.5, the scale is 1\.\.7",
        ),
        ("Dt_Order_Movie", {"PermutationList": np.ones((58, 36))}, r"channel PermutationList.*names 1 different clips"),
    ],
)
def test_bad_features_are_refused(tmp_path: Path, name: str, changes: dict[str, Any], what: str) -> None:
    """Tables of another shape, without their variable or off their scale are named with file, participant and remedy."""
    write_ascertain(tmp_path, [9], clips=[1], seconds=1.0, signals="known")
    edit_mat(tmp_path / FEATURES / f"{name}.mat", **changes)
    with pytest.raises(RecordingError, match=rf"participant P09, {what}") as refusal:
        read(tmp_path, order="presentation")
    assert f"{name}.mat" in str(refusal.value) and "What to do: " in str(refusal.value)


@pytest.mark.parametrize("name", ["Dt_SelfReports.mat", "Dt_Personality.mat", "Data_Quality_Evaluation.xlsx"])
def test_missing_features_are_named(tmp_path: Path, name: str) -> None:
    """A table that is not there is named as it stands on disk."""
    write_ascertain(tmp_path, [9], clips=[1], seconds=1.0, signals="known")
    (tmp_path / FEATURES / name).unlink()
    with pytest.raises(RecordingError, match=rf"participant P09, file .*ASCERTAIN_Features/{name}: is missing"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("where", "value", "what"),
    [
        ("J3", 7, r"clip 1 has the grade 7, the scale is 1 \(perfect\) \.\. 6 \(missing\)"),
        ("J3", "good", r"clip 1 has the grade 'good'"),
        ("J2", 8, r"has no table with the subjects 1\.\.58 above and the clips 1\.\.36"),
        ("A5", 2, r"has no table with the subjects"),
    ],
)
def test_bad_quality_sheet_is_refused(tmp_path: Path, where: str, value: Any, what: str) -> None:
    """A grade off the scale, a subject twice or a clip twice are refused with sheet, participant and value."""
    write_ascertain(tmp_path, [9], clips=[1], seconds=1.0, signals="known")
    path = tmp_path / FEATURES / "Data_Quality_Evaluation.xlsx"
    book = openpyxl.load_workbook(path)
    book["ECG"][where] = value
    book.save(path)
    with pytest.raises(RecordingError, match=rf"participant P09, channel sheet ECG, file .*Evaluation\.xlsx: {what}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"max_quality": 0}, "max_quality=0 is off the scale"),
        ({"max_quality": "best"}, "max_quality='best' is off the scale"),
        ({"order": "time"}, "order='time' is unknown"),
    ],
)
def test_unknown_options_are_refused(tmp_path: Path, options: dict[str, Any], what: str) -> None:
    """An option's value off its scale names those that work."""
    write_ascertain(tmp_path, [9], clips=[1], seconds=1.0, signals="known")
    with pytest.raises(RecordingError, match=f"{what}.*What to do: use "):
        read(tmp_path, **options)


def test_unknown_empty_and_linked_people_are_refused(tmp_path: Path) -> None:
    """A name that is nobody's, an empty root, a person without one usable clip, and a link out of the root."""
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(RecordingError, match=r"holds no ASCERTAIN_Raw/ECGData/Movie_P01\.\.P58.*--root"):
        ASCERTAIN.participants(root, {})
    write_ascertain(root, [9], clips=[1], seconds=1.0, signals="known", quality={("ECG", 9, 1): 5})
    with pytest.raises(RecordingError, match=r"participant P59: is nobody of ASCERTAIN"):
        read(root, "P59")
    with pytest.raises(
        RecordingError, match=r"participant P09.*has no usable clip \(left out, graded worse than 4: 1 .*max_quality"
    ):
        read(root, max_quality=4)
    path = clip_path(root, "ECG", 9, 1)
    path.rename(tmp_path / "outside.mat")
    path.symlink_to(tmp_path / "outside.mat")
    with pytest.raises(RecordingError, match="is a link out of"):
        read(root)
