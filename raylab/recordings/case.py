"""CASE (Sharma et al., Scientific Data 2019): 30 participants, 8 sensors at 1 kHz, valence and arousal by joystick while eight videos play.

Layout: ``data/interpolated/{physiological,annotations}/sub_N.csv`` with a header, times in ms and a video column; or the raw logs,
``data/raw/physiological/subN_DAQ.txt`` (volts) and ``data/raw/annotations/subN_joystick.txt``, which ``metadata/seqs_order.txt`` and
``metadata/videos_duration.txt`` cut into videos. Both give the same times, values and videos.

The joystick's X axis is valence and its Y axis is arousal, as the dataset says; the study's public code stores X as arousal and Y as
valence (docs/protocol.md, Traps of the datasets). It also cuts by "the joystick is not at (0, 0)"; raylab cuts by video id.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.csv_tables import AGAIN, check_clock, number_of, person_traits, read_table
from raylab.recordings.excel import check_book
from raylab.recordings.recording import OWN_MEAN, Channel, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path

RATE_HZ, LABEL_HZ, TARGET_HZ = 1000.0, 20.0, 50.0
PEOPLE = tuple(f"S{number:02d}" for number in range(1, 31))
VIDEOS = {
    "amusing-1": 1, "amusing-2": 2, "boring-1": 3, "boring-2": 4, "relaxed-1": 5, "relaxed-2": 6, "scary-1": 7, "scary-2": 8,
    "startVid": 10, "bluVid": 11, "endVid": 12,
}  # fmt: skip
_EMOTIONAL = {code: name for name, code in VIDEOS.items() if code <= 8}
_SCALE = (0.5, 9.5)
_JOYSTICK_LIMIT = 26225.0  # raw counts at both ends of the scale
_AXES = {"valence": "X", "arousal": "Y"}

# Channel, column of the interpolated csv, modality, unit, gain and offset from the DAQ's volts (by the release's scripts:
# (v - 2.8) / 50 * 1000 for the ECG, (v - 2) / 4000 * 1e6 for the EMG).
_CHANNELS = (
    ("ecg", "ecg", "ecg", "mV", 20.0, -56.0),
    ("bvp", "bvp", "bvp", "%", 58.962, -115.09),
    ("eda", "gsr", "eda", "uS", 24.0, -49.2),
    ("resp", "rsp", "resp", "%", 58.923, -115.01),
    ("temp", "skt", "temp", "degC", 21.341, -32.085),
    ("emg_zygo", "emg_zygo", "emg", "uV", 250.0, -500.0),
    ("emg_coru", "emg_coru", "emg", "uV", 250.0, -500.0),
    ("emg_trap", "emg_trap", "emg", "uV", 250.0, -500.0),
)
_SENSORS = [column for _, column, *_ in _CHANNELS]
_FILES = {  # variant: file of physiology, file of annotations, pattern that finds the participant's number
    "interpolated": ("sub_{}.csv", "sub_{}.csv", r"sub_(\d+)\.csv"),
    "raw": ("sub{}_DAQ.txt", "sub{}_joystick.txt", r"sub(\d+)_DAQ\.txt"),
}
_PREFIXES = ("", "CASE_full/", "CASE_dataset/", "case_dataset/")

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Log:
    """Rows on the session's clock.

    Attributes:
        file: the file that they were read from.
        time_s: (n,) seconds.
        values: (n, n_columns) sensors in their units, or valence and arousal (0.5..9.5).
        video: (n,) video ids.
    """

    file: Path
    time_s: Values
    values: Values
    video: Values


def _selected_variant(options: Options) -> str:
    """The variant to read, a key of ``_FILES``; refuses an unknown one."""
    variant = str(options.get("variant", "interpolated"))
    if variant not in _FILES:
        raise RecordingError(f"variant={variant!r} is unknown", remedy="use --option variant=interpolated or variant=raw")
    return variant


def _data_folder(root: Path, variant: str) -> str:
    """The folder of the variant relative to the root, which may be CASE_full, CASE_dataset, a folder with these, or its data folder.

    Raises:
        RecordingError: if the folder does not exist.
    """
    candidates = [f"{prefix}{data}" for prefix in _PREFIXES for data in ("data/", "")]
    for folder in candidates:
        if (root / folder / variant / "physiological").is_dir():
            return f"{folder}{variant}"
    other = next(name for name in _FILES if name != variant)
    other_exists = any((root / folder / other / "physiological").is_dir() for folder in candidates)
    raise RecordingError(
        f"holds no data/{variant}/physiological" + (f", only data/{other}" if other_exists else ""),
        file=root,
        remedy=f"read the other files with --option variant={other}"
        if other_exists
        else "point --root at CASE_full or CASE_dataset",
    )


def _metadata_folder(root: Path) -> str | None:
    """The metadata folder relative to the root; None if the root does not hold it (it is a sibling of ``data``)."""
    return next((f"{prefix}metadata" for prefix in _PREFIXES if (root / prefix / "metadata").is_dir()), None)


def participants(root: Path, options: Options) -> list[str]:
    """``S01``, ... for every physiological file, by number.

    Raises:
        RecordingError: if there is no file, a number has two (``sub_1``, ``sub_01``), or CASE has no such participant.
    """
    variant = _selected_variant(options)
    folder = safe_path(root, f"{_data_folder(root, variant)}/physiological")
    names = sorted(path.name for path in folder.iterdir())
    matches = [match for name in names if (match := re.fullmatch(_FILES[variant][2], name))]
    numbers = sorted(int(match.group(1)) for match in matches)
    problem = "" if numbers else f"holds no {_FILES[variant][0].format('N')}"
    for match in matches:
        number = int(match.group(1))
        if f"S{number:02d}" not in PEOPLE:
            problem = f"{match.group()} is unknown: CASE has participants 1 to 30"
        elif numbers.count(number) > 1:
            problem = f"participant {number} has {numbers.count(number)} files, {match.group()} is one of them"
    if problem:
        raise RecordingError(problem, file=folder, remedy="keep the published files only")
    return [f"S{number:02d}" for number in numbers]


def _participant_number(participant: str) -> int:
    """The participant's number in file names; refuses a participant that CASE does not have."""
    if participant not in PEOPLE:
        raise RecordingError(f"participant {participant!r} is unknown", remedy=f"CASE has {PEOPLE[0]} to {PEOPLE[-1]}")
    return int(participant[1:])


def _read_interpolated(root: Path, files: tuple[str, str], participant: str) -> tuple[_Log, _Log]:
    """Physiology and annotations of the interpolated variant; refuses samples that are not 1 ms apart."""
    logs = []
    for relative, clock, columns in zip(files, ("daqtime", "jstime"), (_SENSORS, list(_AXES)), strict=True):
        frame = read_table(root, relative, participant, [clock, *columns, "video"])
        values, video = frame[columns].to_numpy(), frame["video"].to_numpy()
        logs.append(_Log(root / relative, frame[clock].to_numpy() / 1000, values, video))
    physiology, annotations = logs
    steps_s = np.diff(physiology.time_s)
    check_clock(physiology.time_s, RATE_HZ, file=physiology.file, participant=participant, channel="daqtime")
    if (uneven := np.abs(steps_s - 1 / RATE_HZ) > 0.5 / RATE_HZ).any():
        row = int(uneven.argmax())
        raise RecordingError(
            f"steps {steps_s[row] * 1000:g} ms from row {row + 2} to {row + 3}, published is 1 ms everywhere",
            file=physiology.file,
            participant=participant,
            channel="daqtime",
            remedy=AGAIN,
        )
    return physiology, annotations


def _read_cells(root: Path, relative: str, participant: str) -> list[list[str]]:
    """Cells of a tab-separated metadata file, without quotes, blank lines, and the empty cell that a trailing tab leaves."""
    lines = safe_path(root, relative, participant).read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [[cell.strip().strip('"').strip() for cell in line.rstrip().split("\t")] for line in lines]
    return [row for row in rows if any(row)]


def _video_schedule(root: Path, metadata: str, participant: str) -> tuple[Values, Values]:
    """Video ids in the participant's order (n,), and the borders of their times (n + 1,), in seconds.

    Raises:
        RecordingError: if the participant's column is missing or double, or a video or its duration is unknown.
    """
    orders, durations = f"{metadata}/seqs_order.txt", f"{metadata}/videos_duration.txt"
    header, *rows = _read_cells(root, orders, participant)
    columns = [i for i, name in enumerate(header) if number_of(name) == _participant_number(participant)]
    names = ["".join(row[columns[0] : columns[0] + 1]) for row in rows] if len(columns) == 1 else []
    seconds = {}
    for row in _read_cells(root, durations, participant)[1:]:
        if len(row) != 2 or not re.fullmatch(r"\d+(\.\d+)?", row[1]):
            raise RecordingError(
                f"has the row {row}, expected a video and its ms", file=root / durations, participant=participant, remedy=AGAIN
            )
        seconds[row[0]] = float(row[1]) / 1000
    problem = "" if len(columns) == 1 else f"has {len(columns)} columns for the participant, expected 1"
    if unknown := [name for name in names if name not in VIDEOS or name not in seconds]:
        problem = f"names the video {unknown[0]!r}, which is not among {', '.join(VIDEOS)} or has no duration"
    if problem or not names:
        raise RecordingError(problem or "has no videos", file=root / orders, participant=participant, remedy=AGAIN)
    return np.array([VIDEOS[name] for name in names], dtype=float), np.cumsum([0.0, *(seconds[name] for name in names)])


def _read_raw(root: Path, files: tuple[str, str], participant: str) -> tuple[_Log, _Log, list[str]]:
    """The raw logs, converted as the release's scripts do: units, a grid of 1 ms by linear interpolation, videos by order and duration.

    Returns:
        physiology, annotations, and notes.

    Raises:
        RecordingError: if metadata are missing, a value is off the joystick's range, or a log does not last as long as the videos.
    """
    metadata = _metadata_folder(root)
    if metadata is None:
        raise RecordingError(
            "holds no metadata folder, which cuts the raw files into videos",
            file=root,
            participant=participant,
            remedy="point --root at the folder that holds data and metadata, or use --option variant=interpolated",
        )
    order, borders = _video_schedule(root, metadata, participant)
    frames = [
        read_table(root, relative, participant, names, header=False, separator="\t")
        for relative, names in zip(files, (["daqtime", *_SENSORS], ["jstime", *_AXES]), strict=True)
    ]
    volts, counts = (frame.to_numpy() for frame in frames)
    if (outside := ~(np.abs(counts[:, 1:]) <= _JOYSTICK_LIMIT)).any():
        row, column = np.argwhere(outside)[0]
        raise RecordingError(
            f"row {row + 1} has {counts[row, column + 1]:g}, expected {-_JOYSTICK_LIMIT:g}..{_JOYSTICK_LIMIT:g}",
            file=root / files[1],
            participant=participant,
            channel=list(_AXES)[column],
            remedy=AGAIN,
        )
    for relative, log, rate in ((files[0], volts, RATE_HZ), (files[1], counts, LABEL_HZ)):
        _check_covers_videos(log[:, 0], borders[-1], rate, root / relative, participant)
    gains, offsets = (np.array([channel[i] for channel in _CHANNELS]) for i in (4, 5))
    grid = np.arange(int(borders[-1] * RATE_HZ)) / RATE_HZ
    values = np.stack([np.interp(grid, volts[:, 0], column) for column in (volts[:, 1:] * gains + offsets).T], axis=1)
    steps_ms = np.diff(volts[:, 0]) * 1000
    notes = [
        f"raw samples step {steps_ms.min():.3f} to {steps_ms.max():.3f} ms: interpolated linearly to 1 ms, as the release's scripts do"
    ]
    scaled = _SCALE[0] + (_SCALE[1] - _SCALE[0]) * (counts[:, 1:] + _JOYSTICK_LIMIT) / (2 * _JOYSTICK_LIMIT)
    converted = [
        _Log(root / relative, times, rows, np.append(order, 0.0)[np.searchsorted(borders[1:], times, side="right")])
        for relative, times, rows in ((files[0], grid, values), (files[1], counts[:, 0], scaled))
    ]
    return converted[0], converted[1], notes


def _check_covers_videos(times: Values, end_s: float, rate_hz: float, file: Path, participant: str) -> None:
    """Refuse a raw log that does not cover the videos, from 0 to ``end_s``: it carries no video ids and is cut by the clock alone.

    The clock of the DAQ must start at 0; both clocks must reach the end of the last video without a step over 1 s.

    Raises:
        RecordingError: naming the times found and those of the videos.
    """
    clock = "daqtime" if rate_hz == RATE_HZ else "jstime"
    check_clock(times, rate_hz, file=file, participant=participant, channel=clock)
    longest_step_s = float(np.diff(times).max())
    late_start = clock == "daqtime" and abs(times[0]) > 1
    if late_start or times[-1] < end_s - 1 or longest_step_s > 1:
        raise RecordingError(
            f"runs from {times[0]:.3f} s to {times[-1]:.3f} s with steps up to {longest_step_s:.3f} s; the videos run from 0 to {end_s:.3f} s",
            file=file,
            participant=participant,
            channel=clock,
            remedy=AGAIN,
        )


def _check_scale(log: _Log, participant: str) -> None:
    """Refuse an annotation that is missing or outside 0.5..9.5 (to the third decimal, as stored), naming its row and axis."""
    off_scale = ~((log.values >= _SCALE[0] - 1e-3) & (log.values <= _SCALE[1] + 1e-3))
    if off_scale.any():
        row, column = np.argwhere(off_scale)[0]
        raise RecordingError(
            f"row {row + 2} (at {log.time_s[row]:.3f} s) has {log.values[row, column]:g}, expected {_SCALE[0]}..{_SCALE[1]}",
            file=log.file,
            participant=participant,
            channel=list(_AXES)[column],
            remedy=AGAIN,
        )


def _video_segment(video: int, physiology: _Log, annotations: _Log, participant: str) -> Segment:
    """One video: the samples that carry its id, and its annotations by their own clock.

    The two clocks tick independently, so the first annotation can come up to two steps after the first sample: it then holds from the start.

    Raises:
        RecordingError: if the video plays in pieces, or its annotations do not span its samples within 1 s.
    """
    rows = np.flatnonzero(physiology.video == video)
    labels = np.flatnonzero(annotations.video == video)
    begin, end = physiology.time_s[rows[0]], physiology.time_s[rows[-1]] + 1 / RATE_HZ
    times = annotations.time_s[labels] - begin
    problem = ""
    if rows[-1] - rows[0] + 1 != len(rows):
        problem = f"video {video} plays in several pieces"
    elif not len(labels):
        problem = f"holds no annotation of video {video}, which has {len(rows) / RATE_HZ:.3f} s of samples"
    elif abs(times[0]) > 1 or abs(times[-1] - (end - begin)) > 1:
        spans = [f"{span[0]:.3f} to {span[-1]:.3f} s" for span in (annotations.time_s[labels], physiology.time_s[rows])]
        problem = f"annotates video {video} from {spans[0]}, its samples run from {spans[1]}"
    if problem:
        raise RecordingError(problem, file=annotations.file, participant=participant, channel="video", remedy=AGAIN)
    if 0 < times[0] <= 2 / LABEL_HZ:
        times[0] = 0.0
    part = physiology.values[rows[0] : rows[-1] + 1]
    signals = {channel[0]: part[:, i : i + 1] for i, channel in enumerate(_CHANNELS)}
    tracks = {name: LabelTrack(times, annotations.values[labels, i]) for i, name in enumerate(_AXES)}
    return Segment(_EMOTIONAL[video], float(begin), signals, tracks)


def _read_traits(root: Path, participant: str) -> tuple[dict[str, Trait], str]:
    """Age and gender from ``metadata/participants.xlsx``, and a note on its headers, which are not confirmed.

    Raises:
        RecordingError: if the book cannot be read, or does not have one row for the participant.
    """
    import pandas as pd

    metadata = _metadata_folder(root)
    if metadata is None:
        return (
            {},
            "no metadata folder inside --root, so no age and gender: point --root at the folder that holds data and metadata",
        )
    path = safe_path(root, f"{metadata}/participants.xlsx", participant)
    try:
        check_book(path)
        frame = pd.read_excel(path, dtype=object)
    except (ValueError, KeyError, BadZipFile) as error:
        raise RecordingError(f"cannot be read ({error})", file=path, participant=participant, remedy=AGAIN) from error
    return person_traits(frame, _participant_number(participant), path, participant)


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant: one segment per emotional video, in the order of presentation; blue screens, start and end are left out.

    Raises:
        RecordingError: on a missing, truncated or unreadable file, clocks that contradict the rates or each other, or labels off the scale.
    """
    number, variant = _participant_number(participant), _selected_variant(options)
    data, names = _data_folder(root, variant), _FILES[variant]
    files = (f"{data}/physiological/{names[0].format(number)}", f"{data}/annotations/{names[1].format(number)}")
    notes: list[str] = []
    if variant == "raw":
        physiology, annotations, notes = _read_raw(root, files, participant)
    else:
        physiology, annotations = _read_interpolated(root, files, participant)
    check_clock(annotations.time_s, LABEL_HZ, file=annotations.file, participant=participant, channel="jstime")
    _check_scale(annotations, participant)
    ends = [log.time_s[-1] for log in (physiology, annotations)]
    if abs(ends[0] - ends[1]) > 1:
        raise RecordingError(
            f"ends at {ends[0]:.3f} s, the annotations end at {ends[1]:.3f} s",
            file=physiology.file,
            participant=participant,
            remedy=AGAIN,
        )
    video_codes, first_rows = np.unique(physiology.video, return_index=True)
    order = [int(video_codes[i]) for i in np.argsort(first_rows) if video_codes[i] in _EMOTIONAL]
    if not order:
        raise RecordingError(
            f"shows none of the videos 1 to 8, only {', '.join(f'{code:g}' for code in video_codes)}",
            file=physiology.file,
            participant=participant,
            channel="video",
            remedy=AGAIN,
        )
    if absent_videos := sorted(set(_EMOTIONAL) - set(order)):
        notes.append(f"no samples of video(s) {', '.join(map(str, absent_videos))}")
    if unknown_videos := [f"{code:g}" for code in video_codes if code not in (0, *VIDEOS.values())]:
        notes.append(f"samples of the unknown video(s) {', '.join(unknown_videos)} are left out")
    segments = tuple(_video_segment(video, physiology, annotations, participant) for video in order)
    channels = tuple(Channel(name, mod, RATE_HZ, TARGET_HZ, unit, str(physiology.file)) for name, _, mod, unit, *_ in _CHANNELS)
    traits, headers_note = _read_traits(root, participant)
    return Recording(participant, channels, segments, traits, (*notes, headers_note))


CASE = Dataset(
    name="case",
    signals="ECG, BVP, EDA, respiration, temperature, EMG x3",
    traits=("age", "gender"),
    labels=tuple(Label(name, name, "above_own_mean", ("low", "high")) for name in ("arousal", "valence")),
    default_labels=("arousal", "valence"),
    licence="as stated at the source, credit Sharma et al. 2019",
    obtain="https://springernature.figshare.com/collections/4260668 (CASE_full) or https://gitlab.com/karan-shr/case_dataset (raw)",
    citation="Sharma et al., A dataset of continuous affect annotations and physiological signals, Scientific Data 2019",
    participants=participants,
    read=read,
    options={"variant": "interpolated", OWN_MEAN: "time"},
    published=PEOPLE,
)
