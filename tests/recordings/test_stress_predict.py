"""The reader of Stress-Predict: clocks, labels and questionnaires, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from builders.stress_predict import PSS, STAI, T0, write_e4, write_stress_predict
from builders.wesad_subject import WRIST

from raylab.errors import RecordingError
from raylab.recordings.stress_predict import STRESS_PREDICT


def test_stress_predict_lists_the_people_with_labels(tmp_path: Path) -> None:
    """S01 has signals and answers but no labels, so it is no participant; the rest stand in numerical order."""
    write_stress_predict(tmp_path)
    assert STRESS_PREDICT.participants(tmp_path, {}) == ["S02", "S03"]


def test_stress_predict_labels_are_on_the_devices_clock(tmp_path: Path) -> None:
    """Signals that start at 0, 1 and 2 s share the span from 2 s, and labels are placed on that clock, not by row."""
    write_stress_predict(tmp_path)
    segment = STRESS_PREDICT.read(tmp_path, "S02", {}).segments[0]
    assert {name: signal[0, 0] for name, signal in segment.signals.items()} == dict.fromkeys(WRIST, 2.0)
    track = segment.tracks["task"]
    np.testing.assert_array_equal(track.times_s, np.arange(5.0, 58.0))
    np.testing.assert_array_equal(track.values, (track.times_s >= 28).astype(float))


def test_stress_predict_channels(tmp_path: Path) -> None:
    """The wrist channels carry the E4's rates and the paper's target rates."""
    write_stress_predict(tmp_path)
    channels = STRESS_PREDICT.read(tmp_path, "S02", {}).channels
    assert [(c.name, c.rate_hz, c.target_rate_hz) for c in channels] == list(
        zip(WRIST, [32.0] * 3 + [64.0, 4.0, 4.0], [8.0] * 3 + [64.0, 4.0, 4.0], strict=True)
    )


def test_questionnaires_are_scored_by_hand(tmp_path: Path) -> None:
    """PSS and both STAI scales sum their items, reversed ones counted backwards, not the sheet's own totals."""
    write_stress_predict(tmp_path)
    # PSS: 1-3, 6, 9, 10 as they are: 4+4+4+3+0+2 = 17; 4, 5, 7, 8 reversed: 4+3+0+2 = 9.
    # STAI answers are 1 + item mod 4, 2 3 4 1 in turn. State: five rounds of 10 = 50. Trait: another 50, but the
    # reversed items 21, 23, 26, 27, 30, 33, 34, 36, 39 answer 2 4 3 4 3 2 3 1 4 = 26 and count 3 1 2 1 2 3 2 4 1 = 19.
    expected = {"pss": 26.0, "stai_state": 50.0, "stai_trait": 43.0}
    assert STRESS_PREDICT.read(tmp_path, "S02", {}).traits == expected
    ones = {"pss": 6 * 1 + 4 * 3, "stai_state": 20, "stai_trait": 11 * 1 + 9 * 4}
    assert STRESS_PREDICT.read(tmp_path, "S03", {}).traits == ones


def test_answers_after_the_session_are_never_traits(tmp_path: Path) -> None:
    """Changing every After answer, even to an impossible one, leaves the traits as they are."""
    traits = []
    for name, after in (("a", 1), ("b", 99)):
        (tmp_path / name).mkdir()
        write_stress_predict(tmp_path / name, after=after)
        traits.append(STRESS_PREDICT.read(tmp_path / name, "S02", {}).traits)
    assert traits[0] == traits[1]


@pytest.mark.parametrize(
    ("pss", "stai", "what"),
    [
        ({**PSS, 7: 5}, STAI, r"item 7 has the answer 5, expected 0\.\.4"),
        ({**PSS, 10: -1}, STAI, r"item 10 has the answer -1, expected 0\.\.4"),
        ({**PSS, 2: None}, STAI, "item 2 has the answer None"),
        (PSS, {**STAI, 21: 0}, r"item 21 has the answer 0, expected 1\.\.4"),
        (PSS, {**STAI, 40: 5}, r"item 40 has the answer 5, expected 1\.\.4"),
    ],
)
def test_impossible_answer_is_refused(tmp_path: Path, pss: dict[int, Any], stai: dict[int, Any], what: str) -> None:
    """An answer outside the scale, or a missing one, is refused with item, participant, file and remedy."""
    write_stress_predict(tmp_path, pss=pss, stai=stai)
    with pytest.raises(RecordingError, match=rf"participant S02, file .*Questionnaires_scores\.xlsx.*{what}.*What to do"):
        STRESS_PREDICT.read(tmp_path, "S02", {})


def test_answer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """Text in the place of an answer is refused with participant and file."""
    write_stress_predict(tmp_path, pss={**PSS, 3: "often"})
    with pytest.raises(RecordingError, match=r"participant S02, file .*Questionnaires_scores\.xlsx"):
        STRESS_PREDICT.read(tmp_path, "S02", {})


def test_a_participant_without_answers_is_told(tmp_path: Path) -> None:
    """A sheet that names the participant otherwise says which names it has."""
    write_stress_predict(tmp_path)
    path = tmp_path / "Processed_data/Questionnaires_scores.xlsx"
    book = openpyxl.load_workbook(path)
    sheet = book["PSS Score"]
    cell = next(cell for cell in sheet[1] if cell.value == "S02")
    cell.value = "s2"
    book.save(path)
    message = r"participant S02, file .*sheet 'PSS Score' has 0 columns Before of the participant, expected 1; s2 may be meant"
    with pytest.raises(RecordingError, match=message):
        STRESS_PREDICT.read(tmp_path, "S02", {})


def test_files_of_two_sessions_are_refused(tmp_path: Path) -> None:
    """A file that ends before another one starts is refused, not read as empty."""
    write_stress_predict(tmp_path)
    write_e4(tmp_path / "Raw_data/S02/EDA.csv", T0 + 7200, 4, np.arange(200.0)[:, None])
    with pytest.raises(RecordingError, match=r"participant S02.*another file starts at 1644234774.*not of one session"):
        STRESS_PREDICT.read(tmp_path, "S02", {})


@pytest.mark.parametrize("step", ["gap", "repeated", "backwards"])
def test_labels_that_are_not_one_a_second_are_refused(tmp_path: Path, step: str) -> None:
    """A gap, a repeated second or a step back in the labels is refused: labels are placed by time."""
    times = np.arange(T0 + 7, T0 + 60)
    moved = {"gap": np.delete(times, 20), "repeated": np.insert(times, 20, times[20]), "backwards": times[::-1]}[step]
    write_stress_predict(tmp_path, label_times=moved)
    with pytest.raises(
        RecordingError, match=r"participant S02, channel Label, file .*binary\.csv: labels are not one a second"
    ):
        STRESS_PREDICT.read(tmp_path, "S02", {})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Participant,Label\n2,0\n", r"lacks the column\(s\) Time\(sec\)"),
        ("Participant,Time(sec),Label\n2,0,0\n2,1,2\n", "has the label 2, expected 0 or 1, in row 3"),
        ("Participant,Time(sec),Label\n2,0,0\n2,1,0.9\n", r"has the label 0\.9, expected 0 or 1"),
        (
            "Participant,Time(sec),Label\n2,0,0\n2.7,1,1\n",
            r"has the participant 2\.7, expected a participant's number, in row 3",
        ),
        ("Participant,Time(sec),Label\n2,0,0\n,1,1\n", "has the participant nan"),
        ("Participant,Time(sec),Label\n2,0,0,\n2,1,1,\n", "row 2 has 4 fields, the header has 3"),
        ("Participant;Time(sec);Label\n2;0;0\n", "separated by ';'"),
    ],
)
def test_other_label_file_is_refused(tmp_path: Path, text: str, what: str) -> None:
    """A label file without a column, or with a third label, is refused with what was found."""
    write_stress_predict(tmp_path)
    (tmp_path / "Processed_data/Improved_All_Combined_hr_rsp_binary.csv").write_text(text)
    with pytest.raises(RecordingError, match=what):
        STRESS_PREDICT.participants(tmp_path, {})


def test_stress_predict_refuses_an_acceleration_of_one_axis(tmp_path: Path) -> None:
    """An ACC file with one column is refused: the device has three axes."""
    write_stress_predict(tmp_path)
    write_e4(tmp_path / "Raw_data/S02/ACC.csv", T0, 32, np.arange(320.0)[:, None])
    with pytest.raises(RecordingError, match=r"participant S02, channel ACC.*expected 3 column\(s\), found 1"):
        STRESS_PREDICT.read(tmp_path, "S02", {})


@pytest.mark.real
def test_real_stress_predict_people(real_data: Path) -> None:
    """34 people have labels: S02 to S35, not S01."""
    assert STRESS_PREDICT.participants(real_data / "stress_predict", {}) == [f"S{number:02d}" for number in range(2, 36)]


@pytest.mark.real
def test_real_stress_predict_traits_and_labels(real_data: Path) -> None:
    """S05's scores equal those computed here from the sheets' cells; its labels end with the recording (to 2 s), in seven runs."""
    root = real_data / "stress_predict"
    recording = STRESS_PREDICT.read(root, "S05", {})
    sheets = pd.read_excel(root / "Processed_data/Questionnaires_scores.xlsx", sheet_name=None, header=None)
    answers = {}
    for name, sheet in sheets.items():
        column = int(np.flatnonzero((sheet.iloc[0] == "S05").to_numpy())[0])
        assert sheet.iloc[2, column] == "Before"
        items = pd.to_numeric(sheet.iloc[3:, 0], errors="coerce").notna()
        answers[name] = sheet.iloc[3:, column][items].astype(float).to_numpy()
    pss, stai = answers["PSS Score"], answers["STAI Score"]
    assert (len(pss), len(stai)) == (10, 40)
    pss[[3, 4, 6, 7]] = 4 - pss[[3, 4, 6, 7]]
    backwards = np.array([21, 23, 26, 27, 30, 33, 34, 36, 39]) - 1
    stai[backwards] = 5 - stai[backwards]
    assert recording.traits == {"pss": pss.sum(), "stai_state": stai[:20].sum(), "stai_trait": stai[20:].sum()}
    track, signals = recording.segments[0].tracks["task"], recording.segments[0].signals
    assert track.times_s[0] >= 0
    assert track.times_s[-1] == pytest.approx(len(signals["wrist_eda"]) / 4, abs=2)
    assert 1 + np.count_nonzero(np.diff(track.values)) == 7
