"""Empatica E4 sessions (the zip files that it exports) to a folder that ``csv_folder`` reads (docs/add-a-dataset.md).

A zip holds ``ACC.csv``, ``BVP.csv``, ``EDA.csv``, ``TEMP.csv`` (``raylab.recordings.e4``), ``IBI.csv`` (row 1 the start, then seconds
since and interval of each beat that the device found) and ``tags.csv`` (unix times of presses of the button). Sensors start and end some
seconds apart; all are cut to the span that every one of them has, and its first second is second 0. ``HR.csv`` is computed by the device
from the pulse, and is not taken.

Beats are no even samples, and csv_folder's channels are: ``ibi.csv`` and ``tags.csv`` are written beside the channels, on the same seconds,
for the user.
"""

import csv
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import yaml

from raylab.errors import RaylabError, RecordingError
from raylab.recordings.e4 import RATES_HZ, UNIX_S, read_csv

COLUMNS = {"ACC": ("x", "y", "z"), "BVP": ("bvp",), "EDA": ("eda",), "TEMP": ("temp",)}
UNITS = {"ACC": "1/64 g", "BVP": "a.u.", "EDA": "uS", "TEMP": "degC"}
TARGET_HZ = {"ACC": 8.0, "BVP": 64.0, "EDA": 4.0, "TEMP": 4.0}
MAX_BYTES = 2**30  # of one file when it is unpacked: 64 Hz for a month have half of it
DEVICE_SESSION = re.compile(r"\d{9,10}_[0-9A-Za-z]{6}")  # what the export calls a zip: unix start and device
By = Literal["file", "folder"]


@dataclass(frozen=True)
class E4Session:
    """One exported session.

    Attributes:
        start: of its second 0, unix time in s; ``seconds``: that all sensors have.
        samples: E4 file to samples (n, n_columns), cut to that span.
        beats: (n, 2) seconds and interval in s of each beat; ``tags``: (n,) seconds of presses.
        cut_s: the most that any sensor lost, in s, at the start and at the end.
    """

    file: Path
    participant: str
    start: float
    seconds: float
    samples: Mapping[str, npt.NDArray[np.float64]]
    beats: npt.NDArray[np.float64]
    tags: npt.NDArray[np.float64]
    cut_s: tuple[float, float]


@dataclass(frozen=True)
class LabelTimes:
    """Rows of a file of labels: participant to (unix time in s, value of each label, empty for none), in order of time."""

    names: tuple[str, ...] = ()
    rows: Mapping[str, Sequence[tuple[float, tuple[str, ...]]]] = field(default_factory=dict)


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


def read_session(file: Path, participant: str) -> E4Session:
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
    return E4Session(file, participant, start, seconds, samples, beats, tags, cut)


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


def _cells(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [row for row in csv.reader(lines) if row]


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
    rows = _cells(path)
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
    times = [_number(row[0], path, place, participant) for place, row in enumerate(_cells(path), 1)]
    return np.array(times, dtype=np.float64)


def read_labels(file: Path, timezone: str | None) -> LabelTimes:
    """A csv with the columns participant, time and one for each label; a value holds until the participant's next row, an empty one is no label.

    Args:
        timezone: of times without an offset, a name such as Europe/Berlin; ``time`` may be unix seconds instead, or ISO 8601 with an offset.

    Raises:
        RecordingError: naming row and value; a local time that there was twice, or not at all, when clocks were put back or forward is refused.
    """
    rows = _cells(file)
    head = [cell.strip() for cell in rows[0]] if rows else []
    if head[:2] != ["participant", "time"] or len(head) < 3:
        raise RecordingError(
            f"has the columns {', '.join(head) or 'none'}",
            file=file,
            remedy="expected participant, time and a column for each label",
        )
    read: dict[str, list[tuple[float, tuple[str, ...]]]] = {}
    for place, row in enumerate(rows[1:], 2):
        if len(row) != len(head):
            raise RecordingError(
                f"has {len(row)} cells in row {place}", file=file, remedy=f"expected {len(head)}: {', '.join(head)}"
            )
        time = _unix_time(row[1].strip(), timezone, file, place)
        read.setdefault(row[0].strip(), []).append((time, tuple(cell.strip() for cell in row[2:])))
    for name, times in read.items():
        if len({time for time, _ in times}) < len(times):
            raise RecordingError("has a time twice", file=file, participant=name, remedy="keep one row for each time")
    return LabelTimes(tuple(head[2:]), {name: sorted(times) for name, times in read.items()})


def _unix_time(text: str, timezone: str | None, file: Path, row: int) -> float:
    def refuse(problem: str, remedy: str) -> RecordingError:
        return RecordingError(f"has the time {text!r} in row {row}: {problem}", file=file, remedy=remedy)

    if re.fullmatch(r"\d+(\.\d+)?", text):
        if not UNIX_S[0] < float(text) < UNIX_S[1]:
            raise refuse("no unix time in s", "give seconds since 1970, or a date with a time")
        return float(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise refuse("no time that is known", "write 2024-05-13T14:05:00+02:00, or seconds since 1970") from None
    if time.tzinfo is not None:
        return time.timestamp()
    if timezone is None:
        raise refuse("without an offset from UTC", "give --timezone, for example Europe/Berlin (the E4 writes UTC)")
    local = time.replace(tzinfo=ZoneInfo(timezone))
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise refuse(
            f"not one moment in {timezone}, where the clocks were changed", "write it with its offset, as 02:30:00+01:00"
        )
    return local.timestamp()


def write_folder(sessions: Sequence[E4Session], labels: LabelTimes, out: Path, name: str) -> Iterator[str]:
    """Write the folder and tell, a line each, what was cut and which labels each session has.

    Raises:
        RecordingError: if the folder is not empty, two sessions of a participant overlap, or a participant of the labels has no session.
    """
    if out.exists() and any(out.iterdir()):
        raise RecordingError("is there already and not empty", file=out, remedy="give another folder with --out")
    people: dict[str, list[E4Session]] = {}
    for session in sorted(sessions, key=lambda each: each.start):
        people.setdefault(session.participant, []).append(session)
    if unknown := sorted(set(labels.rows) - set(people)):
        raise RecordingError(
            "has labels, and no session that was given",
            participant=", ".join(unknown),
            remedy=f"the sessions are of {', '.join(sorted(people))}",
        )
    for participant, own in people.items():
        for before, after in pairwise(own):
            if after.start < before.start + before.seconds:
                raise RecordingError(
                    f"overlaps in time with {before.file}",
                    file=after.file,
                    participant=participant,
                    remedy="leave one of them out",
                )
    out.mkdir(parents=True, exist_ok=True)
    (out / "dataset.yaml").write_text(_description(name, labels), encoding="utf-8")
    for participant, own in people.items():
        for place, session in enumerate(own, 1):
            folder = out / participant / (f"{place}_session" if len(own) > 1 else "")
            yield _write_session(session, labels, folder)


def _description(name: str, labels: LabelTimes) -> str:
    channels = {
        file.lower(): {
            "modality": file.lower(),
            "rate_hz": RATES_HZ[file],
            "target_rate_hz": TARGET_HZ[file],
            "unit": UNITS[file],
        }
        for file in RATES_HZ
    }
    declared: dict[str, dict[str, Any]] = {}
    for place, label in enumerate(labels.names):
        values = sorted({row[place] for rows in labels.rows.values() for _, row in rows} - {""})
        declared[label] = {
            "decide": "majority",
            "classes": [f"{label} {value}" if value.isdigit() else value for value in values],
        }
        declared[label]["codes"] = {int(value) if value.isdigit() else value: index for index, value in enumerate(values)}
    text = yaml.safe_dump({"name": name, "channels": channels} | ({"labels": declared} if declared else {}), sort_keys=False)
    return text if declared else f"{text}# labels: none were given; see docs/add-a-dataset.md\n"


def _write_session(session: E4Session, labels: LabelTimes, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name.lower(): (COLUMNS[name], values) for name, values in session.samples.items()}
    tables |= {"ibi": (("time_s", "ibi_s"), session.beats), "tags": (("time_s",), session.tags[:, None])}
    for name, (head, values) in tables.items():
        _write(folder / f"{name}.csv", head, values.tolist())
    rows = _label_rows(session, labels)
    if rows:
        _write(folder / "labels.csv", ("time_s", *labels.names), rows)
    start, end = session.cut_s
    told = f"{len(rows)} label rows" if rows else "no labels"
    return (
        f"{session.file} -> {folder}: {session.seconds:.0f} s from {session.start:.0f} (unix); sensors were cut by up to {start:.1f} s at the start "
        f"and {end:.1f} s at the end; {len(session.beats)} beats, {len(session.tags)} tags, {told}"
    )


def _label_rows(session: E4Session, labels: LabelTimes) -> list[list[float | str]]:
    """Rows of labels.csv: the value that holds at second 0, then each change within the session."""
    own = labels.rows.get(session.participant, ())
    before = [values for time, values in own if time <= session.start]
    rows: list[list[float | str]] = [[0.0, *(before[-1] if before else ("",) * len(labels.names))]] if own else []
    rows += [[time - session.start, *values] for time, values in own if session.start < time < session.start + session.seconds]
    return rows if any(any(row[1:]) for row in rows) else []


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[float | str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(
            [
                [
                    f"{value:g}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else value
                    for value in row
                ]
                for row in rows
            ]
        )
