"""Zips of an E4 become a folder that csv_folder reads: one span for all sensors, labels by the clock, and nobody under two names."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from raylab.errors import RaylabError, RecordingError
from raylab.recordings import csv_folder
from raylab.recordings.device_session import DeviceSession, LabelTimes, read_labels, write_folder
from raylab.recordings.e4 import RATES_HZ
from raylab.recordings.e4_import import participant_of, read_session

START = 1_700_000_000  # 2023-11-14 22:13:20 UTC
LATE_S = {"ACC": 0, "BVP": 0, "EDA": 3, "TEMP": 5}  # how long after the first sensor each begins


def _values(name: str, start: float, seconds: int) -> np.ndarray:
    """Samples that tell their own time: the sine of the seconds since START, in every column."""
    times = start - START + np.arange(seconds * int(RATES_HZ[name])) / RATES_HZ[name]
    return np.repeat(np.sin(times)[:, None], 3 if name == "ACC" else 1, axis=1)


def _zip(path: Path, start: int = START, seconds: int = 120, without: str = "", **files: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for name, rate in RATES_HZ.items():
            begins = start + LATE_S[name]
            samples = _values(name, begins, seconds - LATE_S[name] - (2 if name == "BVP" else 0))
            rows = [[begins] * samples.shape[1], [rate] * samples.shape[1], *samples.tolist()]
            if name != without:
                packed.writestr(f"{name}.csv", "\n".join(", ".join(f"{cell:.6f}" for cell in row) for row in rows) + "\n")
        packed.writestr("IBI.csv", files.get("ibi", f"{start}, IBI\n4.0,0.8\n10.5,0.75\n"))
        packed.writestr("tags.csv", files.get("tags", f"{start + 65}.5\n"))
    return path


def _import(files: list[Path], out: Path, labels: LabelTimes = LabelTimes()) -> list[str]:  # noqa: B008 - it is frozen
    sessions: list[DeviceSession] = [read_session(file, participant_of(file, "file")) for file in files]
    return list(write_folder(sessions, labels, out, "mine"))


def test_what_is_written_is_read_as_one_recording(tmp_path: Path) -> None:
    """All channels begin with the sensor that begins last, at the same moment; labels and presses are placed by the clock; a beat before is left."""
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "participant,time,stress\nanna,2023-11-14T23:13:20,calm\nanna,2023-11-14T22:14:25+00:00,stress\nanna,1700000105,\n"
    )
    lines = _import([_zip(tmp_path / "anna.zip")], tmp_path / "out", read_labels(labels, "Europe/Berlin"))
    assert "113 s from 1700000005 (unix); sensors were cut by up to 5.0 s at the start and 2.0 s at the end" in lines[0]
    dataset = csv_folder.describe(tmp_path / "out")
    assert ["anna"] == csv_folder.participants(tmp_path / "out", {})
    recording = csv_folder.read(tmp_path / "out", "anna", {})
    (segment,) = recording.segments
    for name, samples in segment.signals.items():
        assert np.sin(5) == pytest.approx(samples[0, 0], abs=1e-5) and 113 * RATES_HZ[name.upper()] == len(samples)
    track = segment.tracks["stress"]
    assert [0.0, 60.0, 100.0, 113.0] == track.times_s.tolist()
    assert [0.0, 1.0] == track.values[:2].tolist() and np.isnan(track.values[2])
    assert {"stress": ("calm", "stress")} == {label.name: label.classes for label in dataset.labels}
    assert "time_s,ibi_s\n5.5,0.75\n" == (tmp_path / "out" / "anna" / "ibi.csv").read_text()
    assert "time_s\n60.5\n" == (tmp_path / "out" / "anna" / "tags.csv").read_text()


def test_several_sessions_of_one_person_are_sessions(tmp_path: Path) -> None:
    """By folder, in order of time, whatever the order on the command line; two that overlap are refused."""
    late, early = (
        _zip(tmp_path / "anna" / "1700001000_A00123.zip", START + 1000),
        _zip(tmp_path / "anna" / "1700000000_A00123.zip"),
    )
    sessions = [read_session(file, participant_of(file, "folder")) for file in (late, early)]
    list(write_folder(sessions, LabelTimes(), tmp_path / "out", "mine"))
    assert ["1_session", "2_session"] == sorted(path.name for path in (tmp_path / "out" / "anna").iterdir())
    first = (tmp_path / "out" / "anna" / "1_session" / "eda.csv").read_text().split("\n")[1]
    assert np.sin(5) == pytest.approx(float(first), abs=1e-5)
    copy = Path(shutil.copy(early, tmp_path / "anna" / "copy.zip"))
    with pytest.raises(RecordingError, match="overlaps in time"):
        list(write_folder([*sessions, read_session(copy, "anna")], LabelTimes(), tmp_path / "again", "mine"))


def test_a_device_is_no_participant(tmp_path: Path) -> None:
    """Two sessions of one person under the export's own names would be two people."""
    with pytest.raises(RecordingError, match="rename it"):
        participant_of(tmp_path / "1700000000_A00123.zip", "file")
    assert "anna" == participant_of(tmp_path / "anna" / "1700000000_A00123.zip", "folder")


@pytest.mark.parametrize(
    ("content", "timezone", "problem"),
    [
        ("participant,time,s\na,2023-11-14 22:00,1\n", None, "without an offset from UTC"),
        ("participant,time,s\na,2023-10-29T02:30:00,1\n", "Europe/Berlin", "not one moment in Europe/Berlin"),
        ("participant,time,s\na,2023-03-26T02:30:00,1\n", "Europe/Berlin", "not one moment in Europe/Berlin"),
        ("participant,time,s\na,1700000000000,1\n", None, "no unix time in s"),
        ("participant,time,s\na,noon,1\n", None, "'noon' in row 2"),
        ("participant,time,s\na,1700000000,1\na,2023-11-14T22:13:20+00:00,2\n", None, "has a time twice"),
        ("participant,time,s\na,1700000000\n", None, "has 2 cells in row 2"),
        ("who,when\n", None, "has the columns who, when"),
    ],
)
def test_a_time_that_is_not_one_moment_is_refused(tmp_path: Path, content: str, timezone: str | None, problem: str) -> None:
    """Naming row and value."""
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(RecordingError, match=problem):
        read_labels(tmp_path / "labels.csv", timezone)


def test_a_damaged_zip_is_refused_by_name(tmp_path: Path) -> None:
    """No zip, a missing file, a cell that is no number; and labels of somebody who has no session."""
    (tmp_path / "no.zip").write_bytes(b"PK")
    with pytest.raises(RecordingError, match=r"no.zip: is no zip"):
        read_session(tmp_path / "no.zip", "a")
    with pytest.raises(RecordingError, match=r"holds no EDA.csv"):
        read_session(_zip(tmp_path / "half.zip", without="EDA"), "a")
    with pytest.raises(RaylabError, match=r"bad.zip: IBI.csv.*'x' in row 2"):
        read_session(_zip(tmp_path / "bad.zip", ibi=f"{START}, IBI\nx,1\n"), "a")
    with pytest.raises(RecordingError, match=r"ben.*has labels, and no session"):
        _import([_zip(tmp_path / "anna.zip")], tmp_path / "out", LabelTimes(("s",), {"ben": [(START, ("1",))]}))
