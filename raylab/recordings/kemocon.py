"""K-EmoCon (Park et al., Scientific Data 2020): debates of two participants, each with an Empatica E4; self-reported arousal and valence every 5 s.

Layout: ``e4_data/PID/E4_{ACC,BVP,EDA,TEMP}.csv`` with a unix clock in ms; ``metadata/subjects.csv`` with the start and end of each debate;
``emotion_annotations/self_annotations/PPID.self.csv``, whose row of second s rates the 5 s before s. Only the debate is rated, so only
the debate is read. Folders that unzipping doubled (``e4_data/e4_data``) and the authors' own ``raw/`` are found too.

Read are the six E4 channels of the paper's table; the study's public code also prepares the EEG bands of the headset.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.csv_tables import AGAIN, check_clock, number_of, person_traits, read_table
from raylab.recordings.e4 import RATES_HZ, wrist_channels
from raylab.recordings.recording import OWN_MEAN, SESSION_GROUP, Dataset, Label, LabelTrack, Options, Recording, Segment
from raylab.recordings.safe_path import safe_path

if TYPE_CHECKING:
    import pandas as pd

PEOPLE = tuple(f"P{number:02d}" for number in range(1, 33))
# The participants with complete E4 and Polar data: the list of the authors, and that of Han et al. 2024.
USABLE = tuple(f"P{n:02d}" for n in (1, 4, 5, 8, 9, 10, 11, 13, 14, 15, 16, 19, 22, 23, 24, 25, 26, 27, 28, 31, 32))
KEPT_DEVICE = {31: "A013E1", 32: "A01A3A"}  # two devices recorded at once; the authors' code keeps the samples of these
STEP_S = 5.0
GAP_S = 1.0
SCALE = (1, 5)
_COLUMNS = {name: ("x", "y", "z") if name == "ACC" else ("value",) for name in RATES_HZ}
_SELF_ANNOTATIONS = "self_annotations/P{}.self.csv"

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _E4Signal:
    """The rows of one E4 file that fall into the debate.

    Attributes:
        time_s: (n,) seconds from the start of the debate, rising.
        samples: (n, n_columns).
    """

    time_s: Values
    samples: Values


def _published_folder(root: Path, name: str) -> str:
    """The path of a published folder relative to the root.

    Raises:
        RecordingError: if it does not exist.
    """
    for folder in (f"{name}/{name}", f"raw/{name}", name):
        if (root / folder).is_dir():
            return folder
    raise RecordingError(f"holds no folder {name}", file=root, remedy="point --root at the folder with e4_data and metadata")


def participants(root: Path, options: Options) -> list[str]:
    """The participants of the subset: ``usable``: those of the 21 usable ones that have a folder of E4 files; ``all``: those that have all four
    E4 files and self-annotations.

    Raises:
        RecordingError: on an unknown subset, a folder of an unknown participant, two folders of one participant, or an empty subset.
    """
    subset = options.get("subset", "usable")
    if subset not in ("usable", "all"):
        raise RecordingError(f"subset={subset!r} is unknown", remedy="use --option subset=usable or subset=all")
    e4_folder = safe_path(root, _published_folder(root, "e4_data"))
    folders = sorted(path.name for path in e4_folder.iterdir() if path.is_dir() and path.name.isdigit())
    names_by_folder = [f"P{int(name):02d}" for name in folders]
    if refused := [
        folder
        for folder, participant in zip(folders, names_by_folder, strict=True)
        if participant not in PEOPLE or names_by_folder.count(participant) > 1
    ]:
        raise RecordingError(
            f"the folder {refused[0]} is of an unknown or a double participant",
            file=e4_folder,
            remedy="K-EmoCon has 1 to 32; keep one folder each",
        )
    annotations = root / _published_folder(root, "emotion_annotations")
    present = [
        participant
        for participant in sorted(names_by_folder)
        if (
            participant in USABLE
            if subset == "usable"
            else all((e4_folder / str(int(participant[1:])) / f"E4_{name}.csv").exists() for name in RATES_HZ)
            and (annotations / _SELF_ANNOTATIONS.format(int(participant[1:]))).exists()
        )
    ]
    if not present:
        raise RecordingError(
            f"holds nobody of subset={subset}", file=e4_folder, remedy="use --option subset=all, or point --root at K-EmoCon"
        )
    return present


def _read_subjects(root: Path, pid: int, participant: str) -> "tuple[pd.DataFrame, str, float, float]":
    """metadata/subjects.csv, its path relative to the root, and start and end of the participant's debate (unix ms).

    Raises:
        RecordingError: if the participant does not have one row, or the times are not rising unix times in ms.
    """
    relative = f"{_published_folder(root, 'metadata')}/subjects.csv"
    frame = read_table(root, relative, participant, ["pid", "startTime", "endTime"], "all")
    rows = frame[frame["pid"] == pid]
    times = rows[["startTime", "endTime"]].to_numpy().reshape(-1)
    problem = f"has {len(rows)} rows for the participant, expected 1" if len(rows) != 1 else ""
    if not problem and not 1e12 < times[0] < times[1] < 1e13:
        problem = f"says the debate runs from {times[0]:.0f} to {times[1]:.0f}, expected unix times in ms that rise"
    if problem:
        raise RecordingError(problem, file=root / relative, participant=participant, channel="startTime, endTime", remedy=AGAIN)
    return frame, relative, float(times[0]), float(times[1])


def _rows_of_one_device(
    frame: "pd.DataFrame", pid: int, name: str, file: Path, participant: str
) -> "tuple[pd.DataFrame, list[str]]":
    """The rows of one device, and notes.

    Raises:
        RecordingError: if two devices recorded at once and it is not known which one was worn.
    """
    if "device_serial" not in frame.columns:
        return frame, [f"{name}: no column device_serial, so one device is taken for granted"]
    devices = sorted(set(frame["device_serial"].dropna()))
    kept_serial = KEPT_DEVICE.get(pid)
    if len(devices) < 2:
        return frame, [f"{name}: device {devices[0]} alone, {kept_serial} was published"] if kept_serial and devices not in (
            [],
            [kept_serial],
        ) else []
    if kept_serial not in devices:
        raise RecordingError(
            f"holds samples of the devices {', '.join(devices)} in one debate"
            + (f", not of {kept_serial}" if kept_serial else ""),
            file=file,
            participant=participant,
            channel=name,
            remedy="keep the rows of the device that was worn, or leave the participant out with --exclude",
        )
    worn = frame[frame["device_serial"] == kept_serial]
    return worn, [
        f"{name}: {len(frame) - len(worn)} rows of the second device {', '.join({*devices} - {kept_serial})} left out"
    ]


def _read_signal(root: Path, pid: int, name: str, debate: tuple[float, float], participant: str) -> tuple[_E4Signal, list[str]]:
    """One E4 file, the debate only, in the order of time; and notes.

    Raises:
        RecordingError: on rows of another participant, no row in the debate, or a clock that contradicts the rate.
    """
    relative = f"{_published_folder(root, 'e4_data')}/{pid}/E4_{name}.csv"
    file, columns = root / relative, list(_COLUMNS[name])
    frame = read_table(root, relative, participant, ["timestamp", *columns], ["pid", "device_serial"])
    other_pids = [value for value in set(frame["pid"]) if number_of(value) != pid] if "pid" in frame.columns else []
    stamps = frame["timestamp"]
    inside_debate = (stamps >= debate[0]) & (stamps < debate[1])
    problem = f"holds rows of pid {other_pids[0]}" if other_pids else ""
    if not problem and not inside_debate.any():
        problem = f"runs from {stamps.min():.0f} to {stamps.max():.0f} ms, the debate from {debate[0]:.0f} to {debate[1]:.0f}"
    if problem:
        raise RecordingError(problem, file=file, participant=participant, channel=name, remedy=AGAIN)
    frame, notes = _rows_of_one_device(frame[inside_debate], pid, name, file, participant)
    unordered = int((np.diff(frame["timestamp"]) < 0).sum())
    rising = frame.sort_values("timestamp", kind="stable").drop_duplicates("timestamp")
    if unordered or len(rising) < len(frame):
        notes.append(
            f"{name}: {unordered} rows out of order were sorted, {len(frame) - len(rising)} with a timestamp seen before left out"
        )
    times = (rising["timestamp"].to_numpy() - debate[0]) / 1000
    check_clock(times, RATES_HZ[name], file=file, participant=participant, channel=name, gap_s=GAP_S)
    steps = np.diff(times)
    if n_lost := int(np.round(steps[steps <= GAP_S] * RATES_HZ[name] - 1).clip(0).sum()):
        notes.append(f"{name}: {n_lost} samples lost in gaps of under {GAP_S:g} s, their nearest neighbours stand in")
    return _E4Signal(times, rising[columns].to_numpy()), notes


def _shared_stretches(signals: dict[str, _E4Signal]) -> list[tuple[float, float]]:
    """Times (from, to), in seconds of the debate, in which every channel has samples without a gap of over 1 s; shorter than 1 s are left out."""
    shared = [(0.0, np.inf)]
    for name, signal in signals.items():
        breaks = np.flatnonzero(np.diff(signal.time_s) > GAP_S)
        begins = signal.time_s[np.append(0, breaks + 1)]
        ends = signal.time_s[np.append(breaks, -1)] + 1 / RATES_HZ[name]
        shared = [
            (max(a, begin), min(b, end))
            for a, b in shared
            for begin, end in zip(begins, ends, strict=True)
            if begin < b and a < end
        ]
    return [(a, b) for a, b in shared if b - a >= GAP_S]


def _resample(signal: _E4Signal, begin: float, end: float, rate_hz: float) -> Values:
    """Samples (n, n_columns) at ``rate_hz`` from the first recorded sample at or after ``begin``, each the nearest recorded one in time.

    By time and not by index, because rows are lost: counting them would move the signal against its labels.
    """
    first = int(np.searchsorted(signal.time_s, begin - 1e-6))
    grid = signal.time_s[first] + np.arange(max(1, round((end - signal.time_s[first]) * rate_hz))) / rate_hz
    after = np.clip(np.searchsorted(signal.time_s, grid), 1, len(signal.time_s) - 1)
    nearest = after - (grid - signal.time_s[after - 1] <= signal.time_s[after] - grid)
    samples: Values = signal.samples[nearest]
    return samples


def _read_ratings(root: Path, pid: int, seconds: float, participant: str) -> tuple[Values, dict[str, Values], list[str]]:
    """The times at which each rating begins to hold, in seconds of the debate, the ratings by name (each (n,), 1..5), and notes.

    Annotations that last longer than the debate began before it: they are cut from their beginning, as the authors' code does.

    Raises:
        RecordingError: if ratings are not one every 5 s, or one is not a whole number of 1..5.
    """
    relative = f"{_published_folder(root, 'emotion_annotations')}/{_SELF_ANNOTATIONS.format(pid)}"
    frame = read_table(root, relative, participant, ["seconds", "arousal", "valence"])
    row_seconds = frame["seconds"].to_numpy()
    if (uneven := np.diff(row_seconds) != STEP_S).any() or not row_seconds[0] >= STEP_S:
        row = int(uneven.argmax()) if uneven.any() else -1
        raise RecordingError(
            f"row {row + 3} is of second {row_seconds[row + 1]:g}, expected one row every {STEP_S:g} s from {STEP_S:g} on",
            file=root / relative,
            participant=participant,
            channel="seconds",
            remedy=AGAIN,
        )
    values = {name: frame[name].to_numpy() for name in ("arousal", "valence")}
    for name, row_values in values.items():
        off_scale = ~np.isin(row_values, np.arange(SCALE[0], SCALE[1] + 1))
        if off_scale.any():
            row = int(off_scale.argmax())
            raise RecordingError(
                f"row {row + 2} (second {row_seconds[row]:g}) has {row_values[row]:g}, expected {SCALE[0]}..{SCALE[1]}",
                file=root / relative,
                participant=participant,
                channel=name,
                remedy=AGAIN,
            )
    cut = max(0, len(row_seconds) - int(seconds // STEP_S)) if row_seconds[-1] >= seconds else 0
    notes = [f"annotations last {row_seconds[-1]:g} s, the debate {seconds:.3f} s: their first {cut} were cut"] if cut else []
    times = row_seconds[cut:] - STEP_S * (1 + cut)
    return times, {name: row_values[cut:] for name, row_values in values.items()}, notes


def _ratings_between(times: Values, values: Values, begin: float, end: float) -> LabelTrack:
    """The ratings that hold somewhere in [begin, end), in seconds from ``begin``."""
    overlapping = (times + STEP_S > begin) & (times < end)
    return LabelTrack(times[overlapping] - begin, values[overlapping])


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant's debate: one segment for every stretch without a gap in the E4's clock.

    Raises:
        RecordingError: on a missing or unreadable file, a clock that contradicts the rate, or ratings off the scale.
    """
    if not re.fullmatch(r"P\d\d", participant) or participant not in PEOPLE:
        raise RecordingError(f"participant {participant!r} is unknown", remedy=f"K-EmoCon has {PEOPLE[0]} to {PEOPLE[-1]}")
    pid = int(participant[1:])
    subjects, relative, start, end = _read_subjects(root, pid, participant)
    seconds = (end - start) / 1000
    times, ratings, notes = _read_ratings(root, pid, seconds, participant)
    signals: dict[str, _E4Signal] = {}
    for name in RATES_HZ:
        signals[name], signal_notes = _read_signal(root, pid, name, (start, end), participant)
        notes += signal_notes
    stretches = _shared_stretches(signals)
    covered = sum(b - a for a, b in stretches)
    if seconds - covered > GAP_S:
        notes.append(f"{covered:.1f} of {seconds:.1f} s of the debate have all signals, in {len(stretches)} stretch(es)")
    e4_folder = str(root / _published_folder(root, "e4_data") / str(pid))
    segments = []
    for begin, stop in stretches:
        arrays = {name: _resample(signal, begin, stop, RATES_HZ[name]) for name, signal in signals.items()}
        channels, by_channel = wrist_channels(arrays, e4_folder, participant)
        tracks = {name: _ratings_between(times, values, begin, stop) for name, values in ratings.items()}
        segments.append(Segment("debate", begin, by_channel, tracks))
    if not segments:
        raise RecordingError(
            "no second of the debate has all four signals",
            file=e4_folder,
            participant=participant,
            remedy="leave the participant out with --exclude",
        )
    traits, headers = person_traits(subjects, pid, root / relative, participant)
    first = pid - 1 + pid % 2  # participants 1 and 2 debated with each other, 3 and 4, and so on
    traits[SESSION_GROUP] = f"debate of {first} and {first + 1}"
    return Recording(participant, channels, tuple(segments), traits, (*notes, headers))


KEMOCON = Dataset(
    name="kemocon",
    signals="wrist E4: ACC x3, BVP, EDA, TEMP",
    traits=("age", "gender"),
    labels=tuple(Label(name, name, "above_own_mean", ("low", "high")) for name in ("arousal", "valence")),
    default_labels=("arousal", "valence"),
    licence="restricted: the authors grant access on request",
    obtain="https://doi.org/10.5281/zenodo.3931963",
    citation="Park et al., K-EmoCon, a multimodal sensor dataset for continuous emotion recognition, Scientific Data 2020",
    participants=participants,
    read=read,
    options={"subset": "usable", OWN_MEAN: "time"},
    published=USABLE,
)
