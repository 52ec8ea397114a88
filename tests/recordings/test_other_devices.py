"""EmbracePlus and Lab Streaming Layer recordings become csv_folder's folders: a time for each sample, gaps end a session, markers are labels.

The files are written here, by the device's schema and the XDF specification: no real one was at hand.
"""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from typer.testing import CliRunner

from raylab.cli import application
from raylab.errors import RaylabError, RecordingError
from raylab.features.optional_packages import INSTALL
from raylab.recordings import csv_folder, embraceplus_import, xdf_import
from raylab.recordings.device_session import LabelTimes, TimedSamples, intervals, on_grid, stretches, write_folder
from raylab.recordings.xdf_import import MarkerLabels

START = 1_700_000_000.0
LONG = {"type": "array", "items": "long"}


def _series(name: str, *values: str, of: str = "float") -> dict[str, Any]:
    fields: list[dict[str, Any]] = [{"name": "timestampStart", "type": "long"}, {"name": "samplingFrequency", "type": "float"}]
    if name == "Accelerometer":
        ranges = [{"name": key, "type": "int"} for key in ("physicalMin", "physicalMax", "digitalMin", "digitalMax")]
        fields.append({"name": "imuParams", "type": {"type": "record", "name": "ImuParams", "fields": ranges}})
    fields += [{"name": value, "type": {"type": "array", "items": of}} for value in values]
    return {"type": "record", "name": name, "fields": fields}


# The parts of the device's schema that raylab reads, by its names and types.
SCHEMA = {
    "type": "record",
    "name": "Session",
    "fields": [
        {
            "name": "rawData",
            "type": {
                "type": "record",
                "name": "RawData",
                "fields": [
                    {"name": "accelerometer", "type": _series("Accelerometer", "x", "y", "z", of="int")},
                    {"name": "eda", "type": _series("Eda", "values")},
                    {"name": "temperature", "type": _series("Temperature", "values")},
                    {"name": "bvp", "type": _series("Bvp", "values")},
                    {
                        "name": "systolicPeaks",
                        "type": {"type": "record", "name": "Peaks", "fields": [{"name": "peaksTimeNanos", "type": LONG}]},
                    },
                    {
                        "name": "tags",
                        "type": {"type": "record", "name": "Tags", "fields": [{"name": "tagsTimeMicros", "type": LONG}]},
                    },
                ],
            },
        }
    ],
}


def _avro(path: Path, start: float, seconds: float, **changed: Any) -> Path:
    """A file of sines of the seconds since START; each sensor's rate is a little off, as an estimate is."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def series(rate: float, late: float = 0.0) -> tuple[dict[str, Any], np.ndarray]:
        times = start + late + np.arange(int(np.ceil((seconds - late) * rate))) / rate
        return {"timestampStart": int((start + late) * 1e6), "samplingFrequency": rate}, np.sin((times - START) / 10)

    raw: dict[str, Any] = {}
    for name, rate, late in (("eda", 3.998, 2.0 if start == START else 0.0), ("temperature", 0.97, 0.0), ("bvp", 64.01, 0.0)):
        head, values = series(rate, late)
        raw[name] = head | {"values": values.tolist()}
    head, values = series(63.99)
    counts = np.round(values * 1000).astype(int).tolist()
    ranges = {"physicalMin": -16, "physicalMax": 16, "digitalMin": -16000, "digitalMax": 16000}
    raw["accelerometer"] = head | {"imuParams": ranges, "x": counts, "y": counts, "z": [2 * count for count in counts]}
    raw["systolicPeaks"] = {"peaksTimeNanos": [int((start + beat) * 1e9) for beat in (10.0, 10.8, 11.7, 20.0)]}
    raw["tags"] = {"tagsTimeMicros": [int((start + 30.5) * 1e6)]}
    with path.open("wb") as file:
        fastavro.writer(file, SCHEMA, [{"rawData": raw | changed}])
    return path


def _embraceplus(files: Sequence[Path], out: Path, labels: LabelTimes = LabelTimes()) -> list[str]:  # noqa: B008 - it is frozen
    return list(write_folder(list(embraceplus_import.read_sessions(files, "p1")), labels, out, "mine"))


def test_files_of_one_recording_are_one_session(tmp_path: Path) -> None:
    """Whatever their order: values stand at their own seconds, over the border of two files, acceleration in g; beats and presses beside them."""
    files = [_avro(tmp_path / f"p1_{int(START) + late}.avro", START + late, 100) for late in (100, 0)]
    (line,) = _embraceplus(
        files, tmp_path / "out", LabelTimes(("stress",), {"p1": [(START, ("rest",)), (START + 60, ("stress",))]})
    )
    assert "197 s from 1700000002" in line and "cut by up to 2.0 s at the start" in line
    csv_folder.describe(tmp_path / "out")
    recording = csv_folder.read(tmp_path / "out", "p1", {})
    (segment,) = recording.segments
    rates = {"acc": 64, "bvp": 64, "eda": 4, "temp": 4}
    for name, samples in segment.signals.items():
        seconds = 2 + np.arange(len(samples)) / rates[name]
        expected = np.sin(seconds / 10)
        # A file's last second may be missing where the rate was estimated too high; temperature is drawn through one value a second.
        assert len(samples) == 197 * rates[name] and np.abs(samples[:, 0] - expected).max() < 0.08
        assert np.abs(samples[: 95 * rates[name], 0] - expected[: 95 * rates[name]]).max() < 2e-3
    assert segment.signals["acc"][:, 2] == pytest.approx(2 * segment.signals["acc"][:, 0], abs=1e-6)
    beats = np.loadtxt(tmp_path / "out" / "p1" / "ibi.csv", delimiter=",", skiprows=1)
    assert beats[:2] == pytest.approx(np.array([[8.8, 0.8], [9.7, 0.9]]), abs=1e-5) and len(beats) == 4  # no interval of 8.3 s
    assert np.loadtxt(tmp_path / "out" / "p1" / "tags.csv", skiprows=1) == pytest.approx([28.5, 128.5])


def test_a_gap_ends_a_session(tmp_path: Path) -> None:
    """Two files with two minutes between them are two sessions; a sensor that was off in one leaves that one out."""
    first, second, off = (tmp_path / f"p1_{int(START) + late}.avro" for late in (0, 220, 440))
    empty = {"timestampStart": 0, "samplingFrequency": 0.0, "values": []}
    files = [_avro(first, START, 100), _avro(second, START + 220, 100), _avro(off, START + 440, 100, eda=empty)]
    lines = _embraceplus(files, tmp_path / "out")
    assert ["97 s", "99 s"] == [line.split(": ")[1][:4] for line in lines]
    assert ["1_session", "2_session"] == sorted(path.name for path in (tmp_path / "out" / "p1").iterdir())


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"eda": {"timestampStart": 0, "samplingFrequency": 8.0, "values": [1.0]}},
            r"channel eda, file .*p1_1700000000.avro: has a rate of 8 Hz, expected about 4",
        ),
        (
            {"bvp": {"timestampStart": 0, "samplingFrequency": 64.0, "values": [float("nan")]}},
            r"channel bvp, file .*p1_1700000000.avro: .*no finite numbers",
        ),
    ],
)
def test_a_damaged_file_is_refused_by_sensor(tmp_path: Path, changed: dict[str, Any], problem: str) -> None:
    """Naming file and channel."""
    with pytest.raises(RecordingError, match=problem):
        _embraceplus([_avro(tmp_path / "p1_1700000000.avro", START, 100, **changed)], tmp_path / "out")


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    """Bytes that are no Avro; the same minutes twice; a name without a participant."""
    (tmp_path / "p1_1.avro").write_bytes(b"Obj\x01what")
    with pytest.raises(RecordingError, match="no Avro file"):
        _embraceplus([tmp_path / "p1_1.avro"], tmp_path / "out")
    files = [_avro(tmp_path / f"p1_{number}.avro", START + late, 100) for number, late in ((1700000000, 0), (1700000050, 50))]
    with pytest.raises(RecordingError, match=r"p1_1700000050.avro.*s before the file before it ends"):
        _embraceplus(files, tmp_path / "out")
    with pytest.raises(RecordingError, match="PARTICIPANT_UNIXTIME"):
        embraceplus_import.participant_of(tmp_path / "session.avro", "file")
    assert "1-1-001" == embraceplus_import.participant_of(tmp_path / "1-1-001_1654524389.avro", "file")


def _chunk(tag: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<IH", len(content) + 2, tag) + content


def _stream(number: int, name: str, kind: str, rate: float, columns: Sequence[str], form: str = "float32") -> bytes:
    labels = "".join(f"<channel><label>{each}</label><unit>uS</unit></channel>" for each in columns)
    xml = (
        f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type><channel_count>{max(len(columns), 1)}</channel_count>"
        f"<nominal_srate>{rate}</nominal_srate><channel_format>{form}</channel_format><desc><channels>{labels}</channels></desc></info>"
    )
    return _chunk(2, struct.pack("<I", number) + xml.encode())


def _samples(number: int, times: np.ndarray, value: Callable[[float], bytes]) -> bytes:
    rows = b"".join(b"\x08" + struct.pack("<d", time) + value(time) for time in times)
    return _chunk(3, struct.pack("<I", number) + b"\x04" + struct.pack("<I", len(times)) + rows)


def _text(text: str) -> bytes:
    return b"\x01" + struct.pack("<B", len(text)) + text.encode()


def _xdf(
    path: Path, markers: Sequence[tuple[float, str]] = (), date: str = "2023-11-14T22:13:20+0000", gap: bool = False
) -> Path:
    """By the specification: skin conductance at 4 Hz from second 500 of the computer, a pulse at 32 Hz two seconds later; sines of the seconds."""
    eda, pulse = 500 + np.arange(800) / 4, 502 + np.arange(6300) / 32
    if gap:
        pulse = pulse[(pulse < 580) | (pulse > 610)]
    stored = _chunk(1, f"<?xml version='1.0'?><info><version>1.0</version><datetime>{date}</datetime></info>".encode())
    stored += _stream(1, "Band 00AF", "EDA", 4, ["eda"]) + _stream(2, "Band 00AF", "PPG", 32, ["green", "red"])
    stored += _stream(3, "Tasks", "Markers", 0, [], "string")
    stored += _samples(1, eda, lambda time: struct.pack("<f", np.sin(time / 10)))
    stored += _samples(2, pulse, lambda time: struct.pack("<ff", np.sin(time / 10), 3))
    if markers:
        text = dict(markers)
        stored += _samples(3, np.array(sorted(text)), lambda time: _text(text[time]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"XDF:" + stored)
    return path


TASKS = [(530.0, "math"), (560.5, "ping"), (600.25, "end"), (640.0, "video")]
MEANING = MarkerLabels(("stress",), {"math": ("stress",), "end": ("",), "video": ("rest",)})


def test_streams_become_channels_and_markers_labels(tmp_path: Path) -> None:
    """By the layer's clock, to the sample; a marker without a meaning changes nothing; the file's date places it in the day."""
    recording = xdf_import.read_recording(_xdf(tmp_path / "anna.xdf", TASKS), "anna", {}, MEANING)
    labels = LabelTimes(("stress",), {"anna": recording.rows})
    (line,) = write_folder(recording.sessions, labels, tmp_path / "out", "mine")
    assert "196 s from 1700000002 (unix); sensors were cut by up to 2.0 s at the start" in line
    csv_folder.describe(tmp_path / "out")
    (segment,) = csv_folder.read(tmp_path / "out", "anna", {}).segments
    assert {"eda", "ppg"} == set(segment.signals)
    for name, rate in (("eda", 4), ("ppg", 32)):
        seconds = 502 + np.arange(196 * rate) / rate
        assert segment.signals[name][:, 0] == pytest.approx(np.sin(seconds / 10), abs=1e-4)
    assert segment.signals["ppg"].shape[1] == 2
    track = segment.tracks["stress"]
    assert [0.0, 28.0, 98.25, 138.0, 196.0] == track.times_s.tolist()
    assert [True, False, True, False] == np.isnan(track.values[:4]).tolist() and track.values[1] != track.values[3]


def test_a_stream_that_stops_ends_a_session(tmp_path: Path) -> None:
    """Nothing is drawn through half a minute without samples."""
    recording = xdf_import.read_recording(_xdf(tmp_path / "anna.xdf", gap=True), "anna", {}, MarkerLabels())
    assert [78.0, 88.0] == [session.seconds for session in recording.sessions]


def test_a_stream_is_chosen_by_name_or_type(tmp_path: Path) -> None:
    """And refused where it is missing or not the only one; what the file has is told."""
    file = _xdf(tmp_path / "anna.xdf", TASKS)
    (session,) = xdf_import.read_recording(file, "anna", {"skin": "EDA"}, MarkerLabels()).sessions
    assert ["skin"] == list(session.channels) and 200.0 == session.seconds and "uS" == session.channels["skin"].unit
    with pytest.raises(RecordingError, match=r"2 streams of the name or type .Band 00AF.*type PPG, 32 Hz"):
        xdf_import.read_recording(file, "anna", {"skin": "Band 00AF"}, MarkerLabels())
    with pytest.raises(
        RecordingError, match=r"no marker of those that were given a meaning; its markers: end, math, ping, video"
    ):
        xdf_import.read_recording(file, "anna", {}, MarkerLabels(("stress",), {"start": ("1",)}))


def test_a_damaged_xdf_is_refused(tmp_path: Path) -> None:
    """No XDF, half of a file without samples, and one without its date's offset."""
    (tmp_path / "no.xdf").write_bytes(b"what is this")
    with pytest.raises(RecordingError, match=r"no.xdf: is no XDF file"):
        xdf_import.read_recording(tmp_path / "no.xdf", "a", {}, MarkerLabels())
    (tmp_path / "half.xdf").write_bytes(_xdf(tmp_path / "anna.xdf").read_bytes()[:200])
    with pytest.raises(RecordingError, match=r"half.xdf"):
        xdf_import.read_recording(tmp_path / "half.xdf", "a", {}, MarkerLabels())
    with pytest.raises(RecordingError, match="without an offset from UTC"):
        xdf_import.read_recording(_xdf(tmp_path / "local.xdf", date="2023-11-14T22:13:20"), "a", {}, MarkerLabels())


def test_a_missing_package_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said, of both kinds."""

    def missing(module: str, extra: str) -> Any:
        raise RaylabError(f"{module} is not installed; run: {INSTALL[extra]}")

    for module in (xdf_import, embraceplus_import):
        monkeypatch.setattr(module, "load", missing)
    with pytest.raises(RaylabError, match=r"^pyxdf is not installed; run: .*devices"):
        xdf_import.read_recording(_xdf(tmp_path / "anna.xdf"), "anna", {}, MarkerLabels())
    with pytest.raises(RaylabError, match=r"^fastavro is not installed; run: .*devices"):
        list(embraceplus_import.read_sessions([_avro(tmp_path / "p1_1700000000.avro", START, 100)], "p1"))


def test_the_command_imports_each_kind(tmp_path: Path) -> None:
    """From files to the next command; options of another kind are refused."""
    (tmp_path / "markers.csv").write_text("marker,stress\nmath,stress\nend,\nvideo,rest\n")
    files = [str(_xdf(tmp_path / f"{name}.xdf", TASKS)) for name in ("anna", "ben")]
    run = CliRunner().invoke(
        application.app, ["import", "xdf", *files, "--markers", str(tmp_path / "markers.csv"), "--out", str(tmp_path / "lsl")]
    )
    assert run.exit_code == 0 and "next: raylab prepare csv_folder" in run.output, run.output
    assert ["anna", "ben"] == sorted(csv_folder.participants(tmp_path / "lsl", {}))
    (tmp_path / "labels.csv").write_text("participant,time,stress\np1,1700000010,rest\np2,1700000020,stress\n")
    avro = [str(_avro(tmp_path / f"p{who}_1700000000.avro", START, 100)) for who in (1, 2)]
    run = CliRunner().invoke(
        application.app,
        ["import", "embraceplus", *avro, "--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "plus")],
    )
    assert run.exit_code == 0, run.output
    assert ["p1", "p2"] == sorted(csv_folder.participants(tmp_path / "plus", {}))
    refused = CliRunner().invoke(application.app, ["import", "e4", *files, "--stream", "a=b", "--out", str(tmp_path / "no")])
    assert refused.exit_code != 0


def test_even_grids_and_stretches() -> None:
    """Against numbers by hand: a gap of one sensor, a short rest, linear values between samples, and intervals that are no beats."""
    times = np.r_[np.arange(0, 100, 0.25), np.arange(105, 300, 0.25)]
    sensors = {
        "a": TimedSamples(times, times[:, None] * 2, 4.0),
        "b": TimedSamples(np.arange(30.0, 280.0), np.zeros((250, 1)), 1.0),
    }
    first, second = stretches(sensors)
    assert [(30.0, 70.0, (30.0, 5.0)), (105.0, 175.0, (5.0, 20.0))] == [(s.start, s.seconds, s.cut_s) for s in (first, second)]
    assert [60.0, 61.0, 62.0] == on_grid(sensors["a"], first)[:6:2, 0].tolist() and 280 == len(on_grid(sensors["a"], first))
    assert [] == stretches({"a": TimedSamples(np.empty(0), np.empty((0, 1)), 4.0)})
    assert [[1.8, 0.8]] == intervals(np.array([1.0, 1.8, 1.9, 8.0])).tolist()
