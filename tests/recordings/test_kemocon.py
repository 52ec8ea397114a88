"""K-EmoCon: the debate and its self-reports on files written as published, values and labels by hand, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.kemocon import KnownKemocon, ratings, write_kemocon

from raylab.errors import RecordingError
from raylab.recordings.kemocon import KEMOCON, USABLE
from raylab.recordings.recording import Recording
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import ParticipantWindows, cut

PLAIN = Preprocessing(winsor_share=0.0, lowpass_hz=1000.0)  # neither clips nor filters: only scales and cuts
CHANNELS = ["wrist_acc_x", "wrist_acc_y", "wrist_acc_z", "wrist_bvp", "wrist_eda", "wrist_temp"]


def read(root: Path, participant: str = "P05") -> Recording:
    return KEMOCON.read(root, participant, KEMOCON.options)


def cut_kemocon(recording: Recording, settings: Preprocessing = PLAIN) -> ParticipantWindows:
    return cut(recording, list(KEMOCON.labels), settings)


def classes(values: list[int], first: list[int], own_mean: float | None = None) -> list[int]:
    """By hand: a window of 10 s holds ratings i and i + 1 whole, and is compared with the mean of all."""
    mean = sum(values) / len(values) if own_mean is None else own_mean
    return [int((values[i] + values[i + 1]) / 2 > mean) for i in first]


def noted(recording: Recording, text: str) -> bool:
    return any(text in note for note in recording.notes)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., KnownKemocon]:
    """Writes P05 with known values, and the quirks asked for."""
    return lambda **quirks: write_kemocon(tmp_path, [5], **{"ramp": True, **quirks})


# --- what is read ------------------------------------------------------------------------------------------------


def test_samples_are_of_their_axis_and_second(tmp_path: Path, written: Callable[..., KnownKemocon]) -> None:
    """Each sample reads the second of the debate (plus 1000 for y, 2000 for z): nothing before or after the debate is there."""
    written()
    recording = read(tmp_path)
    assert [(c.name, c.rate_hz, c.target_rate_hz) for c in recording.channels] == list(
        zip(CHANNELS, [32, 32, 32, 64, 4, 4], [8, 8, 8, 64, 4, 4], strict=True)
    )
    (segment,) = recording.segments
    assert segment.start_s == 0.0
    for name, offset, rate in zip(CHANNELS, [0, 1000, 2000, 0, 0, 0], [32, 32, 32, 64, 4, 4], strict=True):
        expected = offset + np.arange(122 * rate)[:, None] / rate
        np.testing.assert_allclose(segment.signals[name], expected, rtol=0, atol=1e-5)


def test_windows_and_labels_by_hand(tmp_path: Path, written: Callable[..., KnownKemocon]) -> None:
    """Window k starts at second 5 k; the rating of second s rates the 5 s before s, so it holds ratings k and k + 1."""
    known = written()
    made = cut_kemocon(read(tmp_path))
    assert made.start_s.tolist() == [5.0 * k for k in range(23)]
    arousal, valence = known.arousal[5], known.valence[5]
    assert made.labels["arousal"].tolist() == classes(arousal, list(range(23)))
    assert made.labels["valence"].tolist() == classes(valence, list(range(23)))
    assert made.labels["arousal"].tolist()[:-1] != classes(arousal, list(range(1, 23))), "a row late shows"
    # whole debate 0 .. 122 s less one sample: the channel's minimum and maximum
    for name, rate, target in zip(CHANNELS, [32, 32, 32, 64, 4, 4], [8, 8, 8, 64, 4, 4], strict=True):
        last = (122 * rate - 1) // (rate // target) / target
        seconds = made.start_s[:, None] + np.arange(10 * target) / target
        np.testing.assert_allclose(made.signals[name][:, :, 0], seconds / last, atol=1e-6)


def test_longer_annotations_are_cut_from_their_beginning(tmp_path: Path, written: Callable[..., KnownKemocon]) -> None:
    """Two rows from before the debate go, as in the authors' code; cutting the last two instead gives other labels and another mean."""
    known = written(early_rows=2)
    recording = read(tmp_path)
    made = cut_kemocon(recording)
    for name, early, values in (("arousal", 5, known.arousal[5]), ("valence", 1, known.valence[5])):
        assert made.labels[name].tolist() == classes(values, list(range(23)))
        assert made.labels[name].tolist() != classes([early, early, *values[:-2]], list(range(23)))
    assert noted(recording, "annotations last 130 s, the debate 122.000 s: their first 2 were cut")


def test_annotations_as_long_as_the_debate_are_not_cut(tmp_path: Path, written: Callable[..., KnownKemocon]) -> None:
    """120 s of ratings in a debate of 122 s begin with it; in one of 120 s too."""
    for seconds in (122.0, 120.0):
        known = written(seconds=seconds)
        recording = read(tmp_path)
        track = recording.segments[0].tracks["arousal"]
        np.testing.assert_array_equal(track.times_s, np.arange(0, 120, 5.0))
        np.testing.assert_array_equal(track.values, known.arousal[5])
        assert not noted(recording, "annotations last")


def test_windows_never_cross_a_gap(tmp_path: Path, written: Callable[..., KnownKemocon]) -> None:
    """A BVP gap from second 42 to 57 splits the debate for all channels; labels stay at their seconds on both sides."""
    known = written(gap=("BVP", 42.0, 57.0))
    recording = read(tmp_path)
    assert [(s.start_s, len(s.signals["wrist_eda"]) / 4) for s in recording.segments] == [(0.0, 42.0), (57.0, 65.0)]
    assert noted(recording, "107.0 of 122.0 s of the debate have all signals, in 2 stretch(es)")
    made = cut_kemocon(recording)
    assert made.start_s.tolist() == [5.0 * k for k in range(7)] + [57.0 + 5 * k for k in range(11)]
    arousal = known.arousal[5]
    held = [*arousal[:9], *arousal[11:]]  # rows that hold for a moment of either side; 45-55 s is rated but not recorded
    mean = sum(held) / len(held)
    # from 57 s: 3 s of one rating, 5 s of the next, 2 s of the third
    second = [int((3 * arousal[i] + 5 * arousal[i + 1] + 2 * arousal[i + 2]) / 10 > mean) for i in range(11, 22)]
    assert made.labels["arousal"].tolist() == classes(arousal, list(range(7)), mean) + second
    seconds = made.start_s[:, None] + np.arange(640) / 64
    np.testing.assert_allclose(made.signals["wrist_bvp"][:, :, 0], seconds / (122 - 1 / 64), atol=1e-6)


def test_lost_rows_do_not_move_the_signal(tmp_path: Path, written: Callable[..., KnownKemocon]) -> None:
    """Half a second of lost BVP is bridged with neighbours: later samples stay at their second (by index they would be 0.5 s early)."""
    written(gap=("BVP", 60.0, 60.5))
    recording = read(tmp_path)
    (segment,) = recording.segments
    expected = np.arange(122 * 64) / 64
    off = np.abs(segment.signals["wrist_bvp"][:, 0] - expected)
    assert off[: 60 * 64].max() < 1e-5 and off[round(60.5 * 64) :].max() < 1e-5
    assert off.max() <= 0.26
    assert noted(recording, "BVP: 32 samples lost in gaps of under 1 s")


def test_shuffled_and_repeated_rows_are_put_in_order(tmp_path: Path, written: Callable[..., KnownKemocon]) -> None:
    """Rows out of order are sorted, a repeated timestamp keeps its first row, and the notes count both."""
    written()
    plain = read(tmp_path)
    written(shuffled=True, repeated=7)
    recording = read(tmp_path)
    for name in CHANNELS:
        np.testing.assert_array_equal(recording.segments[0].signals[name], plain.segments[0].signals[name])
    assert noted(recording, "rows out of order were sorted") and noted(recording, "with a timestamp seen before left out")


@pytest.mark.parametrize(("number", "kept", "left"), [(31, "A013E1", "A01525"), (32, "A01A3A", "A01525")])
def test_second_device_is_left_out(tmp_path: Path, number: int, kept: str, left: str) -> None:
    """P31 and P32 wore two devices at once: the samples of the published one are read, the other's are counted in the notes."""
    write_kemocon(tmp_path, [number], ramp=True)
    serials = pd.read_csv(tmp_path / f"e4_data/{number}/E4_EDA.csv")["device_serial"]
    assert sorted(set(serials)) == sorted({kept, left})
    recording = read(tmp_path, f"P{number}")
    np.testing.assert_allclose(recording.segments[0].signals["wrist_eda"][:, 0], np.arange(488) / 4, atol=1e-5)
    assert noted(recording, f"EDA: 488 rows of the second device {left} left out")


def test_single_other_device_is_noted(tmp_path: Path) -> None:
    """P31 with one device only, not the published one: read, and said."""
    write_kemocon(tmp_path, [31], two_devices=False)
    assert noted(read(tmp_path, "P31"), "EDA: device A00F66 alone, A013E1 was published")


@pytest.mark.parametrize(("number", "devices"), [(5, ("A00F66", "A01525")), (31, ("A00F66", "A01525"))])
def test_unknown_pair_of_devices_is_refused(tmp_path: Path, number: int, devices: tuple[str, str]) -> None:
    """Two devices of which none is known to be right are refused with both serials."""
    write_kemocon(tmp_path, [number], devices=devices, two_devices=False)
    with pytest.raises(
        RecordingError,
        match=rf"participant P{number:02d}, channel ACC, file .*E4_ACC\.csv: .*devices A00F66, A01525.*--exclude",
    ):
        read(tmp_path, f"P{number:02d}")


def test_first_zero_of_eda_is_before_the_debate(tmp_path: Path) -> None:
    """The 0 that an E4 writes first is in the file and in no window."""
    write_kemocon(tmp_path, [5])
    assert pd.read_csv(tmp_path / "e4_data/5/E4_EDA.csv")["value"].iloc[0] == 0.0
    assert read(tmp_path).segments[0].signals["wrist_eda"].min() > 0.5


@pytest.mark.parametrize("headers", [("age", "gender"), ("Age", "Sex")])
def test_traits_by_loosely_matched_headers(tmp_path: Path, headers: tuple[str, str]) -> None:
    """Age and gender are found whatever their headers' case, and the note tells the headers."""
    write_kemocon(tmp_path, [4], headers=headers)
    recording = read(tmp_path, "P04")
    assert recording.traits == {"age": 22.0, "gender": "female", "session_group": "debate of 3 and 4"}
    assert noted(recording, "headers found in subjects.csv: pid, startTime, endTime, initTime, " + ", ".join(headers))


@pytest.mark.parametrize("doubled", [False, True])
def test_usable_and_all_participants(tmp_path: Path, doubled: bool) -> None:
    """``usable`` are those of the 21 who are there, ``all`` whoever has every file; doubled folders are found."""
    write_kemocon(tmp_path, [1, 2, 3, 10, 31], seconds=20.0, doubled_folders=doubled)
    top = tmp_path / ("e4_data/e4_data" if doubled else "e4_data")
    (top / "3/E4_TEMP.csv").unlink()
    (top / ".ipynb_checkpoints").mkdir()
    assert KEMOCON.participants(tmp_path, {}) == ["P01", "P10", "P31"]
    assert KEMOCON.participants(tmp_path, {"subset": "all"}) == ["P01", "P02", "P10", "P31"]
    assert read(tmp_path, "P10").participant == "P10"
    assert len(USABLE) == 21


def test_seven_people_have_windows_of_both_classes(tmp_path: Path) -> None:
    """The fixture carries a study: at least 10 windows a person under the paper's preprocessing, both classes of both labels."""
    write_kemocon(tmp_path, [1, 4, 5, 8, 9, 31, 32])
    people = KEMOCON.participants(tmp_path, KEMOCON.options)
    assert people == ["P01", "P04", "P05", "P08", "P09", "P31", "P32"]
    for person in people:
        made = cut_kemocon(read(tmp_path, person), Preprocessing())
        assert len(made.start_s) >= 10
        assert {name: set(values.tolist()) for name, values in made.labels.items()} == {"arousal": {0, 1}, "valence": {0, 1}}


def test_all_ratings_occur() -> None:
    """The fixture's self-reports reach both ends of the scale, so that a narrower check would show."""
    assert [set(values) for values in ratings(5, 24)] == [{1, 2, 3, 4, 5}] * 2


# --- what is refused ---------------------------------------------------------------------------------------------

SELF, EDA, SUBJECTS = "emotion_annotations/self_annotations/P5.self.csv", "e4_data/5/E4_EDA.csv", "metadata/subjects.csv"
Edit = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kemocon")
    write_kemocon(root, [5], seconds=32.0)
    return root


@pytest.fixture
def small(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(whole, tmp_path / "kemocon")
    return tmp_path / "kemocon"


def put(column: str, row: int, value: Any) -> Edit:
    """Another value in file row ``row`` (1 is the header)."""

    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.astype({column: object})
        changed.loc[row - 2, column] = value
        return changed

    return edit


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (EDA, lambda frame: frame.rename(columns={"value": "eda"}), r"lacks the column\(s\) value; it has timestamp, pid, eda"),
        (EDA, lambda frame: frame.iloc[:0], "has no rows below 'timestamp,pid"),
        (EDA, lambda frame: frame.iloc[:30], r"channel EDA.*runs from \d+ to \d+ ms, the debate from"),
        (EDA, put("value", 9, "low"), r"column value has 'low' in row 9, expected a number"),
        (EDA, put("pid", 9, 4), "channel EDA.*holds rows of pid 4"),
        (EDA, lambda frame: frame.assign(timestamp=frame["timestamp"] / 1000), r"runs from 1550\d+ to 1550\d+ ms, the debate from"),
        (SELF, put("arousal", 4, 6), r"channel arousal.*row 4 \(second 15\) has 6, expected 1\.\.5"),
        (SELF, put("valence", 2, 0), r"channel valence.*row 2 \(second 5\) has 0, expected 1\.\.5"),
        (SELF, put("valence", 3, ""), r"channel valence.*row 3 \(second 10\) has nan, expected 1\.\.5"),
        (SELF, put("arousal", 3, 2.5), r"channel arousal.*row 3 \(second 10\) has 2\.5, expected 1\.\.5"),
        (SELF, lambda frame: frame.drop(index=2), r"channel seconds.*row 4 is of second 20, expected one row every 5 s"),
        (SELF, lambda frame: frame.assign(seconds=frame["seconds"] - 5), r"row 2 is of second 0, expected one row every 5 s from 5"),
        (SELF, lambda frame: frame.drop(columns="valence"), r"lacks the column\(s\) valence"),
        (SUBJECTS, lambda frame: frame[frame["pid"] != 5], "has 0 rows for the participant, expected 1"),
        (SUBJECTS, lambda frame: pd.concat([frame, frame[frame["pid"] == 5]]), "has 2 rows for the participant, expected 1"),
        (SUBJECTS, lambda frame: frame.assign(startTime=frame["endTime"]), r"says the debate runs from \d+ to \d+, expected unix times"),
        (SUBJECTS, lambda frame: frame.assign(startTime=0, endTime=32), "says the debate runs from 0 to 32, expected unix times"),
        (SUBJECTS, put("age", 6, 3), "gives the age '3', expected a number of years"),
    ],
)  # fmt: skip
def test_damaged_file_is_refused(small: Path, file: str, edit: Edit, message: str) -> None:
    """A renamed, emptied, mistimed or off-scale file is refused with participant, file, what was found and what to do."""
    edit(pd.read_csv(small / file)).to_csv(small / file, index=False)
    with pytest.raises(RecordingError, match=rf"participant P05.*file .*{Path(file).name}: ") as refusal:
        read(small)
    assert refusal.match(rf"{message}.*What to do: ")


def test_cut_file_is_refused(small: Path) -> None:
    """A file that ends in the middle of a row is refused."""
    text = (small / EDA).read_text()
    (small / EDA).write_text(text[: text.rfind(",A00")])
    with pytest.raises(
        RecordingError, match=r"participant P05, file .*E4_EDA\.csv: is cut short: its last row has 3 of 6 columns"
    ):
        read(small)


@pytest.mark.parametrize(("name", "rate", "found"), [("EDA", 4.2, "4.2"), ("BVP", 32, "32"), ("ACC", 50, "50")])
def test_rate_that_the_timestamps_contradict_is_refused(tmp_path: Path, name: str, rate: float, found: str) -> None:
    """Timestamps of another rate than the device's are refused with both rates; one off by 1% is read by its time."""
    write_kemocon(tmp_path, [5], rates={name: rate})
    promised = {"EDA": 4, "BVP": 64, "ACC": 32}[name]
    with pytest.raises(RecordingError, match=rf"participant P05, channel {name}.*tell {found} Hz, published are {promised} Hz"):
        read(tmp_path)
    write_kemocon(tmp_path, [5], rates={name: promised * 1.01}, ramp=True)
    channel = {"EDA": "wrist_eda", "BVP": "wrist_bvp", "ACC": "wrist_acc_x"}[name]
    samples = read(tmp_path).segments[0].signals[channel][:, 0]
    assert np.abs(samples[: 110 * promised] - np.arange(110 * promised) / promised).max() < 1.6 / promised


@pytest.mark.parametrize("file", [EDA, SELF, SUBJECTS])
def test_missing_and_linked_files_are_refused(small: Path, tmp_path: Path, file: str) -> None:
    """A file that is missing, or that links out of the root, is named."""
    (small / file).rename(tmp_path / "outside")
    with pytest.raises(RecordingError, match=f"participant P05, file .*{Path(file).name}: is missing"):
        read(small)
    (small / file).symlink_to(tmp_path / "outside")
    with pytest.raises(RecordingError, match=r"participant P05.*is a link out of"):
        read(small)


@pytest.mark.parametrize("name", ["P33", "P00", "5", "../5", "P5"])
def test_unknown_participant_is_refused(small: Path, name: str) -> None:
    """A name that K-EmoCon does not have is refused before any path is made of it."""
    with pytest.raises(RecordingError, match=r"is unknown.*K-EmoCon has P01 to P32"):
        read(small, name)


@pytest.mark.parametrize("folder", ["33", "05"])
def test_odd_folders_are_refused(small: Path, folder: str) -> None:
    """A 33rd participant, or one with two folders, is refused by name."""
    (small / "e4_data" / folder).mkdir()
    with pytest.raises(RecordingError, match="is of an unknown or a double participant"):
        KEMOCON.participants(small, KEMOCON.options)


def test_unknown_subset_and_empty_root_are_refused(tmp_path: Path) -> None:
    """A subset that does not exist, a folder without K-EmoCon, and one with nobody usable say what would do."""
    with pytest.raises(RecordingError, match=r"subset='most' is unknown.*subset=usable or subset=all"):
        KEMOCON.participants(tmp_path, {"subset": "most"})
    with pytest.raises(RecordingError, match=r"holds no folder e4_data.*point --root"):
        KEMOCON.participants(tmp_path, {})
    write_kemocon(tmp_path, [2], seconds=20.0)
    with pytest.raises(RecordingError, match=r"holds nobody of subset=usable.*subset=all"):
        KEMOCON.participants(tmp_path, {})


def test_no_shared_second_is_refused(tmp_path: Path) -> None:
    """Four files that never record at once leave nothing to cut."""
    write_kemocon(tmp_path, [5])
    for name, keep in (("BVP", slice(0, 2000)), ("TEMP", slice(300, None))):
        path = tmp_path / f"e4_data/5/E4_{name}.csv"
        pd.read_csv(path).iloc[keep].to_csv(path, index=False)
    with pytest.raises(RecordingError, match=r"participant P05, file .*5: no second of the debate has all four signals"):
        read(tmp_path)


def test_nan_blocks_are_refused_by_the_windows(tmp_path: Path) -> None:
    """Empty cells reach the windows as NaN, which refuse them with participant, channel and second."""
    write_kemocon(tmp_path, [5])
    path = tmp_path / EDA
    frame = pd.read_csv(path)
    frame.loc[12 * 4 + 80 : 12 * 4 + 99, "value"] = np.nan  # the files begin 12 s before the debate: its second 20
    frame.to_csv(path, index=False)
    with pytest.raises(RecordingError, match=r"participant P05, channel wrist_eda.*has 20 of 488 samples .*first at 20\.00 s"):
        cut_kemocon(read(tmp_path))
