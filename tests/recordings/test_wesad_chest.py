"""WESAD with its chest device: the paper's 14 channels, their windows by hand, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.wesad import CHEST, PROTOCOL, WRIST, KnownWesad, write_wesad

from raylab.errors import RecordingError
from raylab.recordings.recording import Recording
from raylab.recordings.safe_pickle import read_pickle
from raylab.recordings.wesad import WESAD
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import cut

PLAIN = Preprocessing(winsor_share=0.0, lowpass_hz=1000.0)  # neither clips nor filters: only scales and cuts
# channel, device, key, column, recorded Hz, Hz in the windows: the paper's order, chest first
EXPECTED = [
    ("chest_acc_x", "chest", "ACC", 0, 700, 10),
    ("chest_acc_y", "chest", "ACC", 1, 700, 10),
    ("chest_acc_z", "chest", "ACC", 2, 700, 10),
    ("chest_ecg", "chest", "ECG", 0, 700, 70),
    ("chest_emg", "chest", "EMG", 0, 700, 10),
    ("chest_eda", "chest", "EDA", 0, 700, 7),
    ("chest_temp", "chest", "Temp", 0, 700, 7),
    ("chest_resp", "chest", "Resp", 0, 700, 7),
    ("wrist_acc_x", "wrist", "ACC", 0, 32, 8),
    ("wrist_acc_y", "wrist", "ACC", 1, 32, 8),
    ("wrist_acc_z", "wrist", "ACC", 2, 32, 8),
    ("wrist_bvp", "wrist", "BVP", 0, 64, 64),
    ("wrist_eda", "wrist", "EDA", 0, 4, 4),
    ("wrist_temp", "wrist", "TEMP", 0, 4, 4),
]
SHORT = ((0, 3), (3, 22), (0, 4), (2, 31), (4, 5))  # 65 s


def read(root: Path, participant: str = "S2", **options: str) -> Recording:
    return WESAD.read(root, participant, {**WESAD.options, **options})


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, KnownWesad]:
    """S2 with known values."""
    root = tmp_path_factory.mktemp("wesad")
    return root, write_wesad(root, [2], SHORT, ramp=True)


def test_fixture_is_as_published(ramp: tuple[Path, KnownWesad]) -> None:
    """The pickle holds the published keys, shapes and types; beside it stand readme, questionnaires and the RespiBAN file."""
    content = read_pickle(ramp[0], "S2/S2.pkl", "S2")
    assert set(content) == {"signal", "label", "subject"}
    signal = content["signal"]
    assert {key: (value.shape, value.dtype.name) for key, value in signal["chest"].items()} == {
        key: ((65 * 700, width), "float32" if key == "Temp" else "float64") for key, width in CHEST.items()
    }
    assert {key: value.shape for key, value in signal["wrist"].items()} == {
        key: (round(64.75 * rate), width) for key, (rate, width) in WRIST.items()
    }
    assert (content["label"].dtype.name, content["label"].shape) == ("int32", (65 * 700,))
    quest = (ramp[0] / "S2/S2_quest.csv").read_text()
    assert [quest.count(f"# {name};") for name in ("PANAS", "STAI", "DIM", "SSSQ")] == [5, 5, 5, 1]
    assert (ramp[0] / "S2/S2_respiban.txt").read_text().startswith("# OpenSignals Text File Format\n# {")


def test_fourteen_channels_in_the_papers_order(ramp: tuple[Path, KnownWesad]) -> None:
    """Chest first, then wrist, each axis a channel, with the paper's rates."""
    channels = read(ramp[0]).channels
    assert [(c.name, c.rate_hz, c.target_rate_hz) for c in channels] == [
        (name, rate, target) for name, _, _, _, rate, target in EXPECTED
    ]


def test_samples_are_of_their_sensor_and_column(ramp: tuple[Path, KnownWesad]) -> None:
    """Every sample of the fixture tells device, sensor, column and second; the float32 temperature is read as float64."""
    signals = read(ramp[0]).segments[0].signals
    for name, device, key, column, rate, _ in EXPECTED:
        base = 100_000 * (device == "wrist") + 10_000 * list(CHEST if device == "chest" else WRIST).index(key) + 1000 * column
        expected = base + np.arange(65 * 700 if device == "chest" else round(64.75 * rate)) / rate
        np.testing.assert_allclose(signals[name][:, 0], expected, rtol=0, atol=0.01 if key == "Temp" else 1e-9)
        assert signals[name].dtype == np.float64


def test_windows_by_hand(ramp: tuple[Path, KnownWesad]) -> None:
    """Windows every 5 s that hold mostly amusement (3-25 s) or stress (29-60 s), each channel with its own length and seconds."""
    made = cut(read(ramp[0]), [WESAD.label("stress")], PLAIN)
    # amusement has 3-25 s: windows from 0 (7 s of it), 5, 10, 15 s; from 20 s: 5 s of it, 4 of transient, 1 of stress;
    # stress has 29-60 s: windows from 25 (6 s of it), 30, ..., 50 s; the wrist ends at 64.75 s, so the last start is below 54.75 s
    assert made.start_s.tolist() == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    assert made.labels["stress"].tolist() == [0] * 5 + [1] * 6
    assert {name: signal.shape[1:] for name, signal in made.signals.items()} == {
        name: (10 * target, 1) for name, *_, target in EXPECTED
    }
    for name, device, _, _, rate, target in EXPECTED:
        count = 65 * 700 if device == "chest" else round(64.75 * rate)
        last = (count - 1) // (rate // target) / target  # second of the last sample that downsampling keeps
        seconds = made.start_s[:, None] + np.arange(10 * target) / target
        np.testing.assert_allclose(made.signals[name][:, :, 0], seconds / last, rtol=0, atol=2e-4)


def test_chest_lengths_are_the_papers(ramp: tuple[Path, KnownWesad]) -> None:
    """A 10-s window has 700 ECG samples, 100 of ACC and EMG, 70 of EDA, temperature and respiration."""
    made = cut(read(ramp[0], devices="chest"), [WESAD.label("stress")], Preprocessing())
    lengths = {name: signal.shape[1] for name, signal in made.signals.items()}
    assert list(lengths.values()) == [100, 100, 100, 700, 100, 70, 70, 70]


def test_seven_people_have_windows_of_both_classes(tmp_path: Path) -> None:
    """The fixture carries a study: stress and amusement of a minute and more each, in the paper's preprocessing; S2 lacks code 5."""
    known = write_wesad(tmp_path, [2, 3, 4, 5, 6, 7, 8])
    people = WESAD.participants(tmp_path, WESAD.options)
    assert people == [f"S{number}" for number in range(2, 9)]
    assert {name: 5 in label for name, label in known.label.items()} == {name: name != "S2" for name in people}
    assert all(seconds >= 60 for code, seconds in PROTOCOL if code in (2, 3))
    for person in people[::3]:
        recording = read(tmp_path, person)
        made = cut(recording, [WESAD.label("stress")], Preprocessing())
        counts = np.bincount(made.labels["stress"])
        assert len(made.start_s) >= 10 and counts.min() >= 10
        assert recording.traits["gender"] == ("male" if int(person[1:]) % 2 else "female")


def _nan_block(samples: np.ndarray[Any, Any], first: int, count: int) -> np.ndarray[Any, Any]:
    changed = samples.copy()
    changed[first : first + count] = np.nan
    return changed


@pytest.mark.parametrize(("key", "channel"), [("EDA", "chest_eda"), ("Temp", "chest_temp"), ("ACC", "chest_acc_x")])
def test_nan_block_is_refused_by_the_windows(tmp_path: Path, ramp: tuple[Path, KnownWesad], key: str, channel: str) -> None:
    """A block of NaN in a chest sensor names participant, channel, file and second."""
    damaged = _nan_block(ramp[1].chest["S2"][key], 7000, 350)
    write_wesad(tmp_path, [2], SHORT, ramp=True, damage={key: damaged})
    with pytest.raises(
        RecordingError, match=rf"participant S2, channel {channel}, file .*S2\.pkl: has 350 of .*first at 10\.00 s"
    ):
        cut(read(tmp_path), [WESAD.label("stress")], PLAIN)


@pytest.mark.parametrize(
    ("key", "damage", "message"),
    [
        ("ECG", lambda a: a[: 700 * 60], r"channel chest_ecg.*lasts 60\.00 s at 700 Hz, the labels last 65\.00 s"),
        ("ECG", lambda a: a[::2], r"channel chest_ecg.*lasts 32\.50 s at 700 Hz"),
        ("ACC", lambda a: a[:, :2], r"channel ACC.*expected 3 column\(s\), found 2"),
        ("Resp", lambda a: np.hstack([a, a]), r"channel Resp.*expected 1 column\(s\), found 2"),
        ("Temp", lambda a: a.astype(object), r"channel Temp.*found object"),
        ("EMG", lambda a: a[:0], r"channel EMG.*expected a numeric array"),
    ],
)
def test_odd_chest_array_is_refused(tmp_path: Path, ramp: tuple[Path, KnownWesad], key: str, damage: Any, message: str) -> None:
    """Another length, rate, width or type than published is refused with participant, channel and file."""
    write_wesad(tmp_path, [2], SHORT, ramp=True, damage={key: damage(ramp[1].chest["S2"][key])})
    with pytest.raises(RecordingError, match=rf"participant S2, {message}"):
        read(tmp_path)


def test_upper_case_temperature_is_named(tmp_path: Path, ramp: tuple[Path, KnownWesad]) -> None:
    """The readme writes TEMP, the files say Temp: a file without Temp is refused by that key."""
    root, content = tmp_path, ramp[1].chest["S2"]
    write_wesad(root, [2], SHORT, ramp=True, damage={"TEMP": content["Temp"]})
    assert len(read(root).channels) == 14, "one key too many does no harm"
