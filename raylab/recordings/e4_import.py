"""Empatica E4 sessions (the zip files that it exports) as device sessions (``raylab.recordings.device_session``).

A zip holds ``ACC.csv``, ``BVP.csv``, ``EDA.csv``, ``TEMP.csv`` (``raylab.recordings.e4``), ``IBI.csv`` (row 1 the start, then seconds
since and interval of each beat that the device found) and ``tags.csv`` (unix times of presses of the button). ``HR.csv`` is computed by the device
from the pulse, and is not taken.
"""

import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError, RecordingError
from raylab.recordings.device_session import By, DeviceSession, SessionChannel, cells
from raylab.recordings.e4 import RATES_HZ, read_csv

COLUMNS = {"ACC": ("x", "y", "z"), "BVP": ("bvp",), "EDA": ("eda",), "TEMP": ("temp",)}
UNITS = {"ACC": "1/64 g", "BVP": "a.u.", "EDA": "uS", "TEMP": "degC"}
TARGET_HZ = {"ACC": 8.0, "BVP": 64.0, "EDA": 4.0, "TEMP": 4.0}
MAX_BYTES = 2**30  # of one file when it is unpacked: 64 Hz for a month have half of it
DEVICE_SESSION = re.compile(r"\d{9,10}_[0-9A-Za-z]{6}")  # what the export calls a zip: unix start and device


def participant_of(file: Path, by: By) -> str:
    """Whom a zip is of: its name, or that of its folder.

    Raises:
        RecordingError: if its name is that of a device's session: two of one person would become two people, and one be trained on to test the other.
    """
    if by == "folder":
        return file.absolute().parent.name
    if file.stem.startswith("."):
        raise RecordingError(
            "has a name that no participant can have", file=file, remedy="rename it to the participant (anna.zip)"
        )
    if DEVICE_SESSION.fullmatch(file.stem):
        raise RecordingError(
            "is named by start and device, and not by its participant",
            file=file,
            remedy="rename it (anna.zip); or put the files of each participant into a folder of that name and give --by folder",
        )
    return file.stem


def read_session(file: Path, participant: str) -> DeviceSession:
    """One zip, strictly.

    Raises:
        RecordingError: if it is no zip, lacks a file, or a file is damaged; or if its sensors have no time in common.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _unpack(file, root, participant)
        try:
            arrays = {name: read_csv(root, f"{name}.csv", participant) for name in RATES_HZ}
            beats, tags = _beats(root / "IBI.csv", participant), _unix_times(root / "tags.csv", participant)
        except RecordingError as error:
            raise RaylabError(f"{error}".replace(f"{root}/", f"{file}: ")) from error
    start = max(first for first, _ in arrays.values())
    end = min(first + len(samples) / RATES_HZ[name] for name, (first, samples) in arrays.items())
    seconds = float(np.floor(end - start))
    if seconds < 1:
        raise RecordingError(
            "its sensors have no second in common", file=file, participant=participant, remedy="export it again"
        )
    samples = {}
    for name, (first, values) in arrays.items():
        skipped = round((start - first) * RATES_HZ[name])
        samples[name] = values[skipped : skipped + round(seconds * RATES_HZ[name])]
    ends = [first + len(values) / RATES_HZ[name] for name, (first, values) in arrays.items()]
    cut = start - min(first for first, _ in arrays.values()), max(ends) - start - seconds
    in_span = (beats[:, 0] >= start) & (beats[:, 0] < start + seconds)
    beats = beats[in_span] - np.array([start, 0.0])
    tags = tags[(tags >= start) & (tags < start + seconds)] - start
    channels = {
        name.lower(): SessionChannel(COLUMNS[name], name.lower(), RATES_HZ[name], TARGET_HZ[name], UNITS[name], values)
        for name, values in samples.items()
    }
    return DeviceSession(file, participant, start, seconds, channels, beats, tags, cut)


def _unpack(file: Path, root: Path, participant: str) -> None:
    """The files of a session into a folder; nothing else of the zip is looked at."""
    wanted = [f"{name}.csv" for name in RATES_HZ]
    try:
        with zipfile.ZipFile(file) as packed:
            names = set(packed.namelist())
            if missing := [name for name in wanted if name not in names]:
                raise RecordingError(
                    f"holds no {', '.join(missing)}", file=file, participant=participant, remedy="export the session again"
                )
            for name in [*wanted, *({"IBI.csv", "tags.csv"} & names)]:
                if packed.getinfo(name).file_size > MAX_BYTES:
                    raise RecordingError(
                        f"its {name} unpacks to more than {MAX_BYTES} bytes",
                        file=file,
                        participant=participant,
                        remedy="export it in parts",
                    )
                with packed.open(name) as source, (root / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:  # the last two: other packing, a password
        raise RecordingError(
            f"is no zip that can be read ({error})", file=file, participant=participant, remedy="export the session again"
        ) from error


def _number(text: str, path: Path, row: int, participant: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RecordingError(
            f"has {text!r} in row {row}, expected a number",
            file=path,
            participant=participant,
            remedy="export the session again",
        ) from None


def _beats(path: Path, participant: str) -> npt.NDArray[np.float64]:
    """(n, 2) unix time and interval in s; none if the device found none."""
    rows = cells(path)
    if len(rows) < 2:
        return np.empty((0, 2))
    start = _number(rows[0][0], path, 1, participant)
    times = [[_number(cell, path, place, participant) for cell in row[:2]] for place, row in enumerate(rows[1:], 2)]
    if any(len(row) < 2 for row in times):
        raise RecordingError(
            "has a row without an interval", file=path, participant=participant, remedy="export the session again"
        )
    beats: npt.NDArray[np.float64] = np.array(times) + np.array([start, 0.0])
    return beats


def _unix_times(path: Path, participant: str) -> npt.NDArray[np.float64]:
    times = [_number(row[0], path, place, participant) for place, row in enumerate(cells(path), 1)]
    return np.array(times, dtype=np.float64)
