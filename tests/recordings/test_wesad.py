"""The reader of WESAD: devices, labels and traits, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.wesad_subject import CHEST, WRIST, read_wesad, wesad_content, write_wesad

from raylab.errors import RecordingError
from raylab.recordings.wesad import WESAD


@pytest.mark.parametrize("what", ["S2", "S2/S2.pkl", "S2/S2_readme.txt"])
def test_wesad_does_not_follow_links_out(tmp_path: Path, what: str) -> None:
    """A subject's folder, pickle or readme that links out of the root is refused."""
    root = tmp_path / "root"
    write_wesad(root, wesad_content())
    (root / what).rename(tmp_path / "elsewhere")
    (root / what).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordingError, match="is a link out of"):
        read_wesad(root)


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        (("wrist",), "all", WRIST),
        (("wrist",), "wrist", WRIST),
        (("chest",), "all", CHEST),
        (("chest", "wrist"), "all", CHEST + WRIST),
        (("chest", "wrist"), "wrist", WRIST),
        (("chest", "wrist"), "chest", CHEST),
    ],
)
def test_wesad_devices(tmp_path: Path, held: tuple[str, ...], asked: str, expected: list[str]) -> None:
    """The devices that are read follow the file and the option; every channel has samples of its own."""
    write_wesad(tmp_path, wesad_content(devices=held))
    recording = read_wesad(tmp_path, devices=asked)
    assert [channel.name for channel in recording.channels] == expected
    shapes = {channel.name: (40 * channel.rate_hz, 1) for channel in recording.channels}
    assert {name: signal.shape for name, signal in recording.segments[0].signals.items()} == shapes


def test_wesad_rates_are_the_papers(tmp_path: Path) -> None:
    """The 14 channels carry the recorded and target rates of PROTOCOL's table, and the samples of their own column."""
    content = wesad_content(devices=("chest", "wrist"))
    write_wesad(tmp_path, content)
    recording = read_wesad(tmp_path)
    targets = [10, 10, 10, 70, 10, 7, 7, 7, 8, 8, 8, 64, 4, 4]
    assert [channel.target_rate_hz for channel in recording.channels] == targets
    assert [channel.rate_hz for channel in recording.channels] == [700] * 8 + [32] * 3 + [64, 4, 4]
    keys = ["ACC"] * 3 + ["ECG", "EMG", "EDA", "Temp", "Resp"]
    columns = [0, 1, 2] + [0] * 5
    signal, found = content["signal"], recording.segments[0].signals
    for name, key, column in zip(CHEST, keys, columns, strict=True):
        np.testing.assert_array_equal(found[name][:, 0], signal["chest"][key][:, column])
    for name, key, column in zip(WRIST, ["ACC"] * 3 + ["BVP", "EDA", "TEMP"], [0, 1, 2, 0, 0, 0], strict=True):
        np.testing.assert_array_equal(found[name][:, 0], signal["wrist"][key][:, column])


def test_wesad_labels_are_700_hz_codes(tmp_path: Path) -> None:
    """The condition track holds the file's codes, 700 a second from 0 s."""
    write_wesad(tmp_path, wesad_content())
    track = read_wesad(tmp_path).segments[0].tracks["condition"]
    np.testing.assert_allclose(track.times_s, np.arange(28000) / 700, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(track.values, np.repeat([3.0, 2.0], 14000))


def test_wesad_traits_come_from_the_readme(tmp_path: Path) -> None:
    """Age, height and weight are numbers, gender is lower-case text."""
    write_wesad(tmp_path, wesad_content())
    assert read_wesad(tmp_path).traits == {"age": 27.0, "height_cm": 175.0, "weight_kg": 80.0, "gender": "female"}


@pytest.mark.parametrize(("held", "asked"), [("wrist", "chest"), ("chest", "wrist")])
def test_wesad_missing_device_is_refused(tmp_path: Path, held: str, asked: str) -> None:
    """Asking for a device that the file lacks names both and the option."""
    write_wesad(tmp_path, wesad_content(devices=(held,)))
    with pytest.raises(RecordingError, match=f"participant S2.*holds no {asked} signals, only {held}.*--option devices"):
        read_wesad(tmp_path, devices=asked)


def test_wesad_unknown_device_and_empty_signal_are_refused(tmp_path: Path) -> None:
    """An unknown device names the allowed ones; a file without signals says that it holds nothing."""
    write_wesad(tmp_path, wesad_content())
    with pytest.raises(RecordingError, match=r"devices='head' is unknown.*devices=wrist, devices=chest or devices=all"):
        read_wesad(tmp_path, devices="head")
    write_wesad(tmp_path, wesad_content(devices=()))
    with pytest.raises(RecordingError, match="holds no all signals, only nothing"):
        read_wesad(tmp_path)


@pytest.mark.parametrize(
    ("device", "key", "columns"),
    [("wrist", "ACC", 2), ("wrist", "EDA", 2), ("wrist", "ACC", 4), ("chest", "ACC", 2), ("chest", "ECG", 2)],
)
def test_wesad_wrong_number_of_columns_is_refused(tmp_path: Path, device: str, key: str, columns: int) -> None:
    """An array with another number of columns than published is refused with channel and file, on either device."""
    content = wesad_content(devices=(device,))
    content["signal"][device][key] = np.random.default_rng(0).normal(0, 1, (len(content["signal"][device][key]), columns))
    write_wesad(tmp_path, content)
    with pytest.raises(
        RecordingError, match=rf"participant S2, channel {key}, file .*S2\.pkl: .*found {columns}.*published layout"
    ):
        read_wesad(tmp_path)


@pytest.mark.parametrize("path", [("signal",), ("label",), ("signal", "wrist", "EDA"), ("signal", "chest", "Temp")])
def test_wesad_missing_key_is_named(tmp_path: Path, path: tuple[str, ...]) -> None:
    """A key that the layout promises and the file lacks is named, with participant, file and remedy."""
    content = wesad_content(devices=("chest", "wrist"))
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    write_wesad(tmp_path, content)
    with pytest.raises(RecordingError, match=rf"participant S2, file .*S2\.pkl: lacks '{path[-1]}'.*What to do"):
        read_wesad(tmp_path)


@pytest.mark.parametrize(
    "content", [[1, 2], None, {"signal": 3, "label": np.zeros(3)}, {"signal": {"wrist": 3}, "label": np.zeros(3)}]
)
def test_wesad_other_content_is_refused(tmp_path: Path, content: Any) -> None:
    """A pickle that holds something else is a recording's problem, not a Python error."""
    write_wesad(tmp_path, content)
    with pytest.raises(RecordingError, match="participant S2"):
        read_wesad(tmp_path)


@pytest.mark.parametrize(("device", "key", "channel"), [("wrist", "BVP", "wrist_bvp"), ("chest", "ECG", "chest_ecg")])
def test_wesad_length_that_contradicts_the_labels_is_refused(tmp_path: Path, device: str, key: str, channel: str) -> None:
    """A signal more than a second longer or shorter than the labels is another file's; 0.25 s off is the release's own."""
    for share, message in ((0.5, "lasts 20.00 s"), (None, "")):
        content = wesad_content(devices=("chest", "wrist"))
        samples = content["signal"][device][key]
        rate = {"BVP": 64, "ECG": 700}[key]
        content["signal"][device][key] = samples[: int(len(samples) * share) if share else -rate // 4]
        write_wesad(tmp_path, content)
        if message:
            with pytest.raises(RecordingError, match=f"participant S2, channel {channel}.*{message}.*the labels last 40.00 s"):
                read_wesad(tmp_path)
        else:
            assert len(read_wesad(tmp_path).segments[0].signals[channel]) == len(samples) - rate // 4


def test_wesad_participants_in_the_published_order(tmp_path: Path) -> None:
    """Folders that are present count, by number; S1 and S12 were never released and files are not folders."""
    for name in ("S10", "S2", "S17", "S3", "S1", "S12", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "S4").write_text("not a folder")
    assert WESAD.participants(tmp_path, {}) == ["S2", "S3", "S10", "S17"]


@pytest.mark.parametrize("where", ["", "absent"])
def test_wesad_root_without_subjects_is_refused(tmp_path: Path, where: str) -> None:
    """An empty or missing root names the folder and what to point at."""
    with pytest.raises(RecordingError, match=r"holds none of S2\.\.S17.*point --root"):
        WESAD.participants(tmp_path / where, {})


@pytest.mark.real
def test_real_wesad_people(real_data: Path) -> None:
    """All 15 people are found in order, each with six wrist channels, an adult age and a gender."""
    root = real_data / "wesad"
    people = WESAD.participants(root, WESAD.options)
    assert people == [f"S{number}" for number in range(2, 18) if number != 12]
    for person in people:
        recording = WESAD.read(root, person, WESAD.options)
        assert [channel.name for channel in recording.channels] == WRIST
        assert 18 <= float(recording.traits["age"]) <= 60
        assert recording.traits["gender"] in ("female", "male")
