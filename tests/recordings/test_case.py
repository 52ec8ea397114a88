"""CASE: the two variants on files written as published, values and labels by hand, and what is refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from builders.case import LATER, RATINGS, KnownCase, write_case

from raylab.errors import RecordingError
from raylab.recordings.case import CASE, PEOPLE
from raylab.recordings.recording import Recording
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut

PLAIN = Preprocessing(winsor_share=0.0, lowpass_hz=1000.0)  # neither clips nor filters at 1 kHz: only scales and cuts
CHANNELS = ["ecg", "bvp", "eda", "resp", "temp", "emg_zygo", "emg_coru", "emg_trap"]
# Two windows a video (15.5 s), starting at 0 and 5 s. By hand from the fixture's joystick: the own means are about 5.03 (valence) and
# 5.44 (arousal); boring-2's valence goes from 3 to 7.5 and relaxed-2's arousal from 1.5 to 9.5 after 7.76 s, so their first windows
# have means of 4.0 and 3.3, their second ones of 6.3 and 7.3.
VALENCE = {1: [1, 1], 2: [1, 1], 3: [0, 0], 4: [0, 1], 5: [1, 1], 6: [1, 1], 7: [0, 0], 8: [0, 0]}
AROUSAL = {1: [1, 1], 2: [1, 1], 3: [0, 0], 4: [0, 0], 5: [0, 0], 6: [0, 1], 7: [1, 1], 8: [1, 1]}
NAMES = {
    1: "amusing-1",
    2: "amusing-2",
    3: "boring-1",
    4: "boring-2",
    5: "relaxed-1",
    6: "relaxed-2",
    7: "scary-1",
    8: "scary-2",
}


def read(root: Path, participant: str = "S03", variant: str = "interpolated") -> Recording:
    return CASE.read(root, participant, {**CASE.options, "variant": variant})


def cut_case(recording: Recording, settings: Preprocessing = PLAIN) -> ParticipantWindows:
    return cut(recording, list(CASE.labels), settings)


def shown(known: KnownCase, number: int = 3) -> list[int]:
    """The emotional videos in the subject's order."""
    return [video for video, *_ in known.videos[number] if video <= 8]


def expect_by_hand(made: ParticipantWindows, order: list[int]) -> None:
    """Two windows a video in the order shown, with the classes computed by hand above."""
    assert made.sessions == [NAMES[video] for video in order for _ in range(2)]
    assert made.labels["valence"].tolist() == [value for video in order for value in VALENCE[video]]
    assert made.labels["arousal"].tolist() == [value for video in order for value in AROUSAL[video]]


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KnownCase]:
    """S03 with known values, both variants."""
    root = tmp_path_factory.mktemp("case")
    return root, write_case(root, [3], ramp=True, variants=("interpolated", "raw"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """S03 with videos of 2 s, both variants."""
    root = tmp_path_factory.mktemp("whole")
    write_case(root, [3], seconds=2.0, variants=("interpolated", "raw"))
    return root


@pytest.fixture
def small(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(whole, tmp_path / "case")
    return tmp_path / "case"


# --- what is read ------------------------------------------------------------------------------------------------


def test_hand_computed_classes_follow_from_the_joystick() -> None:
    """The classes above are the window means of the fixture's table against its mean over the eight videos, axis by axis."""
    for axis, classes in enumerate((VALENCE, AROUSAL)):
        first = {video: rating[axis] for video, rating in RATINGS.items()}
        last = {video: LATER.get(video, RATINGS[video])[axis] for video in RATINGS}
        own = sum(first[video] + last[video] for video in RATINGS) / 16
        for video, expected in classes.items():
            means = [first[video] * share + last[video] * (1 - share) for share in (0.776, 0.276)]
            assert [int(mean > own) for mean in means] == expected


@pytest.mark.parametrize("variant", ["interpolated", "raw"])
def test_samples_are_of_their_column_and_time(ramp: tuple[Path, KnownCase], variant: str) -> None:
    """Column k at second t of the session reads 1000 (k + 1) + t in every video, in physical units from either variant."""
    recording = read(ramp[0], variant=variant)
    assert [channel.name for channel in recording.channels] == CHANNELS
    assert {(channel.rate_hz, channel.target_rate_hz) for channel in recording.channels} == {(1000.0, 50.0)}
    for segment in recording.segments:
        for k, name in enumerate(CHANNELS):
            samples = segment.signals[name]
            expected = 1000 * (k + 1) + segment.start_s + np.arange(len(samples))[:, None] / 1000
            np.testing.assert_allclose(samples, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("variant", ["interpolated", "raw"])
def test_segments_are_the_emotional_videos(ramp: tuple[Path, KnownCase], variant: str) -> None:
    """Eight segments in S03's own order at the times of the durations file; start, blue and end are in none."""
    recording = read(ramp[0], variant=variant)
    assert [segment.session for segment in recording.segments] == [NAMES[video] for video in shown(ramp[1])]
    # startVid 3001.333 ms and one blue of 2013 ms: the first whole ms is 5015
    assert recording.segments[0].start_s == pytest.approx(5.015)
    spans = [(np.ceil(a * 1000) / 1000, np.ceil(b * 1000) / 1000) for video, a, b in ramp[1].videos[3] if video <= 8]
    found = [(s.start_s, s.start_s + len(s.signals["ecg"]) / 1000) for s in recording.segments]
    np.testing.assert_allclose(found, spans, rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", ["interpolated", "raw"])
def test_windows_and_labels_by_hand(ramp: tuple[Path, KnownCase], variant: str) -> None:
    """Windows hold the seconds they should, X is valence and Y is arousal: swapped axes give other classes."""
    made = cut_case(read(ramp[0], variant=variant))
    order = shown(ramp[1])
    expect_by_hand(made, order)
    assert made.labels["valence"].tolist() != made.labels["arousal"].tolist()
    begins = [np.ceil(a * 1000) / 1000 for video, a, _ in ramp[1].videos[3] if video <= 8]
    np.testing.assert_allclose(made.start_s, [begin + s for begin in begins for s in (0, 5)], atol=1e-6)
    last = len(ramp[1].signals[3]) / 1000 - 2.005 - 2.013  # endVid and the blue before it
    seconds = made.start_s[:, None] + np.arange(500) / 50
    expected = (seconds - begins[0]) / (last - begins[0])
    for name in CHANNELS:
        np.testing.assert_allclose(made.signals[name][:, :, 0], expected, atol=2e-4)


@pytest.mark.parametrize("variant", ["interpolated", "raw"])
def test_labels_are_cut_by_time(tmp_path: Path, variant: str) -> None:
    """An annotation file that starts 2.6 s late gives the same labels; counting its rows would move them by 2.6 s."""
    known = write_case(tmp_path, [3], ramp=True, labels_from_s=2.6, variants=(variant,))
    expect_by_hand(cut_case(read(tmp_path, variant=variant)), shown(known))
    moved = (RATINGS[4][0] * (7.76 - 2.6) + LATER[4][0] * (2.24 + 2.6)) / 10
    assert moved > 5.04, "moved labels would give boring-2's first window the same class, so this test shows nothing"


def test_videos_are_cut_by_their_id(tmp_path: Path) -> None:
    """A joystick at rest through relaxed-1 and moved on blue screens changes neither videos nor the own mean's part in the classes."""
    known = write_case(tmp_path, [3], ramp=True, at_rest=(5,), moved_blue=True)
    recording = read(tmp_path)
    expect_by_hand(cut_case(recording), shown(known))
    values = np.concatenate([segment.tracks["valence"].values for segment in recording.segments])
    assert values.max() == 8.0, "9.5 is the valence of the blue screens"
    assert set(next(s for s in recording.segments if s.session == "relaxed-1").tracks["arousal"].values) == {5.0}


def test_own_mean_is_each_persons(tmp_path: Path) -> None:
    """Classes are relative to the participant: the same joystick moved up by 1 gives the same classes."""
    known = write_case(tmp_path, [3], ramp=True)
    path = tmp_path / "data/interpolated/annotations/sub_3.csv"
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]
    raised = [[time, str(min(9.5, float(v) + 1)), *rest] for time, v, *rest in rows]
    path.write_text("\n".join(",".join(row) for row in [head, *raised]) + "\n")
    expect_by_hand(cut_case(read(tmp_path)), shown(known))


@pytest.mark.parametrize("place", ["", "CASE_full", "CASE_dataset"])
def test_root_may_be_any_of_the_published_folders(tmp_path: Path, place: str) -> None:
    """The release's folder, the folder it was unpacked into, and its data folder are all found."""
    write_case(tmp_path / place, [2, 10], seconds=2.0)
    for root in {tmp_path, tmp_path / place}:
        assert CASE.participants(root, CASE.options) == ["S02", "S10"]
        assert read(root, "S10").traits == {"age": 30.0, "gender": "female"}
    data = tmp_path / place / "data"
    recording = read(data, "S10")
    assert (len(recording.segments), recording.traits) == (8, {})
    assert any("no metadata folder" in note for note in recording.notes)
    with pytest.raises(RecordingError, match=r"only data/interpolated.*--option variant=interpolated"):
        CASE.participants(tmp_path, {"variant": "raw"})


@pytest.mark.parametrize(
    "headers", [("ID", "Sex", "Age", "Age-Group"), ("Participant", "Gender", "age", "x"), ("pnum", "SEX", "Age (years)", "x")]
)
def test_traits_by_loosely_matched_headers(tmp_path: Path, headers: tuple[str, ...]) -> None:
    """Age and gender are found under several headers, and the note tells which headers stood there."""
    write_case(tmp_path, [3], seconds=2.0, headers=headers)
    recording = read(tmp_path)
    assert recording.traits == {"age": 23.0, "gender": "male"}
    assert any(", ".join(headers) in note for note in recording.notes)


def test_irregular_raw_clock_is_noted(ramp: tuple[Path, KnownCase]) -> None:
    """What was done to the raw samples stands in the notes."""
    assert any("interpolated linearly to 1 ms" in note for note in read(ramp[0], variant="raw").notes)


def test_seven_people_have_windows_of_both_classes(tmp_path: Path) -> None:
    """The fixture carries a study: at least 10 windows a person under the paper's preprocessing, both classes of both labels."""
    write_case(tmp_path, range(1, 8))
    assert CASE.participants(tmp_path, CASE.options) == list(PEOPLE[:7])
    orders = set()
    for person in PEOPLE[:7:3]:
        made = cut_case(read(tmp_path, person), Preprocessing())
        assert len(made.start_s) >= 10
        assert {name: set(values.tolist()) for name, values in made.labels.items()} == {"arousal": {0, 1}, "valence": {0, 1}}
        orders.add(tuple(made.sessions))
    assert len(orders) == 3


# --- what is refused ---------------------------------------------------------------------------------------------

PHYSIOLOGY, ANNOTATIONS = "data/interpolated/physiological/sub_3.csv", "data/interpolated/annotations/sub_3.csv"
DAQ, JOYSTICK = "data/raw/physiological/sub3_DAQ.txt", "data/raw/annotations/sub3_joystick.txt"
Edit = Callable[[list[str]], list[str]]


def header(old: str, new: str) -> Edit:
    return lambda lines: [lines[0].replace(old, new), *lines[1:]]


def cell(row: int, column: int, value: str, separator: str = ",") -> Edit:
    """Another value in file row ``row`` (1 is the first)."""

    def edit(lines: list[str]) -> list[str]:
        cells = lines[row - 1].split(separator)
        return [*lines[: row - 1], separator.join([*cells[:column], value, *cells[column + 1 :]]), *lines[row:]]

    return edit


def only_blue(lines: list[str]) -> list[str]:
    """The video column says blue screen everywhere."""
    return [lines[0], *(line[: line.rfind(",")] + ",11" for line in lines[1:])]


def stretched(factor: float, separator: str = ",", skip: int = 1) -> Edit:
    """The first column, a clock, multiplied."""

    def edit(lines: list[str]) -> list[str]:
        rows = [line.split(separator, 1) for line in lines[skip:]]
        return [*lines[:skip], *(f"{float(time) * factor:.6f}{separator}{rest}" for time, rest in rows)]

    return edit


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (PHYSIOLOGY, header("gsr", "eda"), r"lacks the column\(s\) gsr; it has daqtime"),
        (ANNOTATIONS, header("arousal", "Arousal"), r"lacks the column\(s\) arousal"),
        (PHYSIOLOGY, lambda lines: [], "is empty"),
        (PHYSIOLOGY, lambda lines: lines[:1], "has no rows below 'daqtime,ecg"),
        (PHYSIOLOGY, lambda lines: [*lines[:9000], lines[9000][:12]], "is cut short: its last row has . of 10 columns"),
        (PHYSIOLOGY, lambda lines: lines[:20000], r"ends at 19\.998 s, the annotations end at 3"),
        (ANNOTATIONS, lambda lines: lines[:300], r"ends at .* s, the annotations end at 14\.900 s"),
        (PHYSIOLOGY, cell(100, 3, "n/a!"), r"column gsr has 'n/a!' in row 100, expected a number"),
        (PHYSIOLOGY, stretched(2.0), r"channel daqtime.*its timestamps tell 500 Hz, published are 1000 Hz"),
        (ANNOTATIONS, stretched(0.5), r"channel jstime.*its timestamps tell 40 Hz, published are 20 Hz"),
        (PHYSIOLOGY, lambda lines: [*lines[:500], *lines[530:]], r"steps 31 ms from row 500 to 501, published is 1 ms"),
        (PHYSIOLOGY, lambda lines: [*lines[:500], *lines[400:]], r"its clock goes from 0\.498 s to 0\.399 s"),
        (ANNOTATIONS, cell(42, 2, "9.502"), r"channel arousal.*row 42 \(at 2\.000 s\) has 9\.502, expected 0\.5\.\.9\.5"),
        (ANNOTATIONS, cell(42, 1, ""), r"channel valence.*row 42 .* has nan, expected 0\.5\.\.9\.5"),
        (ANNOTATIONS, only_blue, "holds no annotation of video"),
        (PHYSIOLOGY, only_blue, "shows none of the videos 1 to 8, only 11"),
        (PHYSIOLOGY, cell(6000, 9, "11"), "plays in several pieces"),
        (PHYSIOLOGY, lambda lines: ["version https://git-lfs.github.com/spec/v1", "oid sha256:0", "size 9"], "is a Git LFS pointer, not the data"),
        (DAQ, lambda lines: [line.rsplit("\t", 1)[0] for line in lines], "has 8 columns, expected 9"),
        (DAQ, lambda lines: lines[:9000], r"channel daqtime.*runs from 0\.000 s to 8\.999 s.*the videos run from 0 to"),
        (JOYSTICK, lambda lines: lines[:200], r"channel jstime.*runs from .*the videos run from 0 to"),
        (DAQ, stretched(1.5, "\t", 0), r"its timestamps tell 666\.\d Hz, published are 1000 Hz"),
        (JOYSTICK, cell(7, 2, "26226", "\t"), r"channel arousal.*row 7 has 26226, expected -26225\.\.26225"),
        ("metadata/seqs_order.txt", header("seq_sub3\"", "seq_sub4\""), "has 0 columns for the participant"),
        ("metadata/seqs_order.txt", header("seq_sub4\"", "seq_sub3\""), "has 2 columns for the participant"),
        ("metadata/seqs_order.txt", lambda lines: [*lines[:2], lines[2].replace("bluVid", "redVid"), *lines[3:]], "names the video 'redVid'"),
        ("metadata/videos_duration.txt", lambda lines: [*lines[:5], '"boring-1"\tlong', *lines[6:]], r"has the row \['boring-1', 'long'\]"),
        ("metadata/participants.xlsx", lambda lines: ["no sheet"], "cannot be read"),
    ],
)  # fmt: skip
def test_damaged_file_is_refused(small: Path, file: str, edit: Edit, message: str) -> None:
    """A cut, renamed, mistimed or off-scale file is refused with file, participant, what was found and what to do."""
    path = small / file
    text = path.read_text() if path.suffix != ".xlsx" else ""
    path.write_text("".join(line + "\n" for line in edit(text.splitlines())))
    variant = "interpolated" if "raw" not in file and "metadata/s" not in file and "metadata/v" not in file else "raw"
    with pytest.raises(RecordingError, match=rf"(?s)participant S03.*{message}.*What to do: ") as refusal:
        read(small, variant=variant)
    blamed = {ANNOTATIONS: "sub_3.csv", PHYSIOLOGY: "sub_3.csv"}.get(file, Path(file).name)
    assert blamed in str(refusal.value)


@pytest.mark.parametrize("file", [PHYSIOLOGY, ANNOTATIONS, DAQ, JOYSTICK, "metadata/participants.xlsx"])
def test_missing_and_linked_files_are_refused(small: Path, tmp_path_factory: pytest.TempPathFactory, file: str) -> None:
    """A file that is missing, or that links out of the root, is named."""
    variant = "raw" if "raw" in file else "interpolated"
    outside = tmp_path_factory.mktemp("outside") / "file"
    (small / file).rename(outside)
    with pytest.raises(RecordingError, match=f"participant S03, file .*{Path(file).name}: is missing"):
        read(small, variant=variant)
    (small / file).symlink_to(outside)
    with pytest.raises(RecordingError, match=r"participant S03.*is a link out of"):
        read(small, variant=variant)


@pytest.mark.parametrize(
    ("name", "what"), [("S31", "unknown"), ("S00", "unknown"), ("../S03", "unknown"), ("sub_3", "unknown")]
)
def test_unknown_participant_is_refused(small: Path, name: str, what: str) -> None:
    """A name that CASE does not have is refused before any path is made of it."""
    with pytest.raises(RecordingError, match=rf"participant .*{name}.* is {what}.*S01 to S30"):
        read(small, name)


@pytest.mark.parametrize(
    ("file", "what"), [("sub_31.csv", "sub_31.csv is unknown"), ("sub_03.csv", "participant 3 has 2 files")]
)
def test_odd_files_are_refused(small: Path, file: str, what: str) -> None:
    """A 31st participant, or one with two files, is refused by name."""
    (small / "data/interpolated/physiological" / file).write_text("daqtime\n")
    with pytest.raises(RecordingError, match=f"{what}.*keep the published files only"):
        CASE.participants(small, CASE.options)


@pytest.mark.parametrize(
    ("column", "value", "what"), [(1, 4, "has 0 rows"), (3, "old", "gives the age 'old'"), (3, 230, "gives the age 230")]
)
def test_odd_participants_table_is_refused(small: Path, column: int, value: object, what: str) -> None:
    """A person without a row or with an impossible age is refused with the table's name."""
    book = openpyxl.load_workbook(small / "metadata/participants.xlsx")
    book.active.cell(row=4, column=column, value=value)
    book.save(small / "metadata/participants.xlsx")
    with pytest.raises(RecordingError, match=rf"participant S03, file .*participants\.xlsx: {what}"):
        read(small)
    if column == 1:
        write_case(small, [4], seconds=2.0)
        book.save(small / "metadata/participants.xlsx")
        with pytest.raises(RecordingError, match=r"participant S04.*has 2 rows for the participant"):
            read(small, "S04")


def test_nan_blocks_are_refused_by_the_windows(tmp_path: Path) -> None:
    """Empty cells reach the windows as NaN, which refuse them with participant, channel, file and second."""
    write_case(tmp_path, [3], seconds=10.2)
    path = tmp_path / PHYSIOLOGY
    lines = path.read_text().splitlines()
    begin = 5016 + 1 + 2000  # row of the first video's third second
    lines[begin : begin + 50] = [",".join([*row.split(",")[:3], "", *row.split(",")[4:]]) for row in lines[begin : begin + 50]]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordingError, match=r"participant S03, channel eda, file .*sub_3\.csv: has 50 of .* NaN"):
        cut_case(read(tmp_path))


def test_unknown_variant_and_empty_root_are_refused(tmp_path: Path) -> None:
    """A variant that does not exist, and a folder without CASE, say what would do."""
    with pytest.raises(RecordingError, match=r"variant='initial' is unknown.*variant=interpolated or variant=raw"):
        CASE.participants(tmp_path, {"variant": "initial"})
    with pytest.raises(RecordingError, match=r"holds no data/interpolated/physiological.*point --root at CASE_full"):
        CASE.participants(tmp_path, CASE.options)


def test_raw_needs_metadata_inside_the_root(small: Path) -> None:
    """The data folder alone cannot cut raw files; the remedy names both ways out."""
    with pytest.raises(
        RecordingError, match=r"holds no metadata folder.*folder that holds data and metadata.*variant=interpolated"
    ):
        read(small / "data", variant="raw")


def test_absent_video_is_noted(small: Path) -> None:
    """A video that neither file has is left out, and the note says so; an unknown id is not read."""
    for file in (PHYSIOLOGY, ANNOTATIONS):
        lines = (small / file).read_text().splitlines()
        (small / file).write_text("\n".join(line[:-1] + "99" if line.endswith(",7") else line for line in lines) + "\n")
    recording = read(small)
    assert "scary-1" not in [segment.session for segment in recording.segments] and len(recording.segments) == 7
    assert any("no samples of video(s) 7" in note for note in recording.notes)
    assert any("unknown video(s) 99" in note for note in recording.notes)


def test_windows_need_no_past_video(ramp: tuple[Path, KnownCase]) -> None:
    """A recording of some videos only still cuts: segments stand for themselves."""
    recording = read(ramp[0])
    assert len(cut_case(replace(recording, segments=recording.segments[:3])).start_s) == 6
