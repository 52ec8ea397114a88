"""AMIGOS (Miranda-Correa et al., IEEE TAC 2018): 40 participants, 16 short videos, self-reported arousal and valence per video.

Layout: ``Data_Original_P##/Data_Original_P##.mat`` (the paper's input: EEG, ECG, GSR and acceleration at the devices' rates) or
``Data_Preprocessed_P##/Data_Preprocessed_P##.mat`` (128 Hz, no acceleration), flat or in one folder per participant; ``Metadata_xlsx/``.
Every trial becomes one segment, in the order of presentation; the four long videos are not read.

Ratings are joined by video id: the trials of a file and the videos of a participant have different orders, and the id is the only name
that they share. The study's public code joins them by presentation position.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raylab.errors import RecordingError
from raylab.recordings.amigos_tables import (
    SCALE,
    SELF_ASSESSMENT,
    SHORT_VIDEOS,
    TRAITS,
    Assessment,
    assessments,
    presentation_order,
    traits_of,
)
from raylab.recordings.matlab import LAYOUT, Array, cells, numeric, rate_by_time, read_mat, text
from raylab.recordings.recording import OWN_MEAN, Channel, Dataset, Options, Recording
from raylab.recordings.self_report import LABELS, RATINGS, RatedClip, left_out, mostly_nan, segments

PEOPLE = tuple(f"P{number:02d}" for number in range(1, 41))
LONG_VIDEOS = ("N1", "P1", "B1", "U1")
TRIALS = 20  # cells of every variable: 16 short videos and 4 long ones

RELEASES = {"original": "Data_Original", "preprocessed": "Data_Preprocessed"}
# The preprocessing of the study's public code drops these nine of 40 participants.
NOT_IN_PAPER = tuple(f"P{number:02d}" for number in (8, 9, 12, 21, 22, 23, 24, 28, 33))

EEG = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
PRESTIMULUS_SAMPLES = 640  # before each video in the preprocessed release: 5 s
TARGET_HZ = 8.0

# Original files: columns and rate (Hz) by variable; then channel, variable, column, modality.
_ORIGINAL = {"EEG_DATA": (25, 128.0), "ECG_DATA": (6, 256.0), "GSR_DATA": (5, 128.0)}
_ORIGINAL_CHANNELS = (
    *((f"eeg_{name.lower()}", "EEG_DATA", 3 + i, "eeg") for i, name in enumerate(EEG)),
    ("ecg_right", "ECG_DATA", 1, "ecg"),
    ("ecg_left", "ECG_DATA", 2, "ecg"),
    ("gsr", "GSR_DATA", 1, "eda"),
    ("acc_x", "GSR_DATA", 2, "acc"),
    ("acc_y", "GSR_DATA", 3, "acc"),
    ("acc_z", "GSR_DATA", 4, "acc"),
)
_PREPROCESSED = {"joined_data": (17, 128.0)}
_PREPROCESSED_CHANNELS = (
    *((f"eeg_{name.lower()}", "joined_data", i, "eeg") for i, name in enumerate(EEG)),
    ("ecg_right", "joined_data", 14, "ecg"),
    ("ecg_left", "joined_data", 15, "ecg"),
    ("gsr", "joined_data", 16, "eda"),
)


_CHANNELS = {"original": _ORIGINAL_CHANNELS, "preprocessed": _PREPROCESSED_CHANNELS}


@dataclass(frozen=True)
class _Trial:
    """One video as the file holds it.

    Attributes:
        video: the video's id.
        signals: channel name to samples (n, 1).
        stamps: variable name to its first column (n,), which may be the time in ms.
        rating: the trial's own arousal and valence (preprocessed release only), if any.
    """

    video: str
    signals: Mapping[str, Array]
    stamps: Mapping[str, Array]
    rating: tuple[float, float] | None = None


def _selected_release(options: Options) -> str:
    """The release to read, a key of ``RELEASES``.

    Raises:
        RecordingError: if the option is unknown.
    """
    release = str(options.get("release", "original"))
    if release not in RELEASES:
        raise RecordingError(f"release={release!r} is unknown", remedy=f"use release={' or release='.join(RELEASES)}")
    return release


def _existing_paths(root: Path, release: str, participant: str) -> list[str]:
    """Paths, relative to the root, at which the participant's file exists: flat or in its own folder, in the root or in a folder of the release.

    A file that is reached by two paths counts once.
    """
    stem = f"{RELEASES[release]}_{participant}"
    folders = ("", f"{RELEASES[release]}/", f"{RELEASES[release].lower()}/")
    paths: dict[Path, str] = {}
    for relative in (f"{folder}{inner}{stem}.mat" for folder in folders for inner in (f"{stem}/", "")):
        if (root / relative).exists():
            paths.setdefault((root / relative).resolve(), relative)
    return list(paths.values())


def participants(root: Path, options: Options) -> list[str]:
    """The participants that have a file; ``subset=paper`` leaves out the nine that the study left out.

    Raises:
        RecordingError: if an option is unknown, or no participant is left.
    """
    release, subset = _selected_release(options), options.get("subset", "all")
    if subset not in ("all", "paper"):
        raise RecordingError(f"subset={subset!r} is unknown", remedy="use subset=all or subset=paper")
    present = [name for name in PEOPLE if _existing_paths(root, release, name)]
    selected = [name for name in present if subset == "all" or name not in NOT_IN_PAPER]
    if not selected:
        raise RecordingError(
            f"holds no {RELEASES[release]}_P##.mat" + (f" of the subset {subset}" if present else ""),
            file=root,
            remedy="point --root at the folder with the unpacked zip files, or ask for the other release with --option release=",
        )
    return selected


def _participant_file(root: Path, release: str, participant: str) -> str:
    """The path of the participant's file relative to the root; the published path if there is none.

    Raises:
        RecordingError: if AMIGOS has no such participant, or the file exists twice.
    """
    if participant not in PEOPLE:
        raise RecordingError(
            f"is nobody of AMIGOS ({PEOPLE[0]}..{PEOPLE[-1]})", participant=participant, remedy="correct the name"
        )
    paths = _existing_paths(root, release, participant)
    if len(paths) > 1:
        raise RecordingError(f"is there twice: {', '.join(paths)}", file=root, participant=participant, remedy="keep one")
    stem = f"{RELEASES[release]}_{participant}"
    return paths[0] if paths else f"{stem}/{stem}.mat"


def _video_ids(content: Mapping[str, Any], root: Path, file: Path, participant: str) -> tuple[list[str], list[str]]:
    """The video id of each of the 20 cells ("" if none is given), and notes; never by position alone.

    Without VideoIDs the trials are named by the published presentation order, which must agree with the self-assessments.

    Raises:
        RecordingError: on an unknown or repeated video, or if the two tables disagree on the order.
    """
    if "VideoIDs" in content:
        ids = [text(cell) for cell in cells(content["VideoIDs"], TRIALS, file, participant, "VideoIDs")]
        named = [video for video in ids if video]
        unknown_videos = [video for video in named if video not in (*SHORT_VIDEOS, *LONG_VIDEOS)]
        if unknown_videos or len(set(named)) < len(named):
            repeated = sorted({video for video in named if named.count(video) > 1})
            raise RecordingError(
                f"names unknown videos {', '.join(unknown_videos)}"
                if unknown_videos
                else f"names video {', '.join(repeated)} twice",
                file=file,
                participant=participant,
                channel="VideoIDs",
                remedy=LAYOUT,
            )
        return ids, []
    order = presentation_order(root, participant)
    ratings = assessments(root, participant)
    misplaced = [video for i, video in enumerate(order) if video in ratings and ratings[video].position != i + 1]
    if misplaced:
        raise RecordingError(
            f"has no VideoIDs, and the two tables disagree on when {', '.join(misplaced)} was shown "
            "(Short_Videos_Order, SelfAsessment.xlsx)",
            file=file,
            participant=participant,
            channel="VideoIDs",
            remedy="get the release whose .mat files carry VideoIDs",
        )
    return [*order, *LONG_VIDEOS], ["no VideoIDs in the file: trials are named by the sheet Short_Videos_Order"]


def _read_trials(
    root: Path, relative: str, release: str, participant: str
) -> tuple[list[_Trial], dict[str, list[str]], list[str]]:
    """The trials of the short videos; the ids of videos left out, by reason; notes.

    In the preprocessed release the 5 s before each video are cut off.

    Raises:
        RecordingError: on an unexpected shape, or signals without a video id.
    """
    file, layout = root / relative, _ORIGINAL if release == "original" else _PREPROCESSED
    own_variables = () if release == "original" else ("VideoIDs", "labels_selfassessment")
    content = read_mat(root, relative, participant, (*layout, *own_variables), ("VideoIDs",))
    ids, notes = _video_ids(content, root, file, participant)
    columns = {name: cells(content[name], TRIALS, file, participant, name) for name in layout}
    rating_cells = (
        cells(content["labels_selfassessment"], TRIALS, file, participant, "labels_selfassessment")
        if own_variables
        else [None] * TRIALS
    )
    trials: list[_Trial] = []
    omitted: dict[str, list[str]] = {}
    for i, video in enumerate(ids):
        parts = {name: column[i] for name, column in columns.items()}
        if video in LONG_VIDEOS or (not video and not any(np.size(part) for part in parts.values())):
            continue
        trial_name = f"trial {i + 1} (video {video})"
        if not video:
            raise RecordingError(
                f"{trial_name} has signals but no video", file=file, participant=participant, channel="VideoIDs", remedy=LAYOUT
            )
        if empty := [name for name, part in parts.items() if not np.size(part)]:
            omitted.setdefault(f"no {', '.join(empty)}", []).append(video)
            continue
        arrays = {
            name: numeric(part, (None, layout[name][0]), file, participant, f"{name} {trial_name}")[
                PRESTIMULUS_SAMPLES * bool(own_variables) :
            ]
            for name, part in parts.items()
        }
        signals = {name: arrays[variable][:, column : column + 1] for name, variable, column, _ in _CHANNELS[release]}
        if not all(len(part) for part in arrays.values()):
            omitted.setdefault("no longer than the 5-s baseline", []).append(video)
        elif mostly_nan(signals):
            omitted.setdefault("more than half of a channel is NaN", []).append(video)
        else:
            stamps = {name: part[:, 0] for name, part in arrays.items()}
            trials.append(_Trial(video, signals, stamps, _trial_rating(rating_cells[i], file, participant, video)))
    return trials, omitted, notes


def _trial_rating(cell: Any, file: Path, participant: str, video: str) -> tuple[float, float] | None:
    """Arousal and valence (1..9) of a trial of the preprocessed release; None if it has no answers (1 x 0) or one of the two is NaN.

    Raises:
        RecordingError: if a rating is off its scale.
    """
    if cell is None or not np.size(cell):
        return None
    row = numeric(cell, (1, 12), file, participant, f"labels_selfassessment video {video}")[0]
    for name, value in zip(("arousal", "valence"), row, strict=False):
        if not (np.isnan(value) or SCALE[0] <= value <= SCALE[1]):
            raise RecordingError(
                f"video {video} has the value {value:g}, the scale is {SCALE[0]:g}..{SCALE[1]:g}",
                file=file,
                participant=participant,
                channel=f"labels_selfassessment {name}",
                remedy=LAYOUT,
            )
    return None if np.isnan(row[:2]).any() else (float(row[0]), float(row[1]))


def _rate_note(trials: list[_Trial], file: Path, participant: str) -> str:
    """A note on the rates that the first columns give, if they are times in ms, which the publisher does not confirm.

    A rate is a property of the device, so the median over the trials decides: a gap in one trial does not refuse a participant.

    Raises:
        RecordingError: if the first column is a time in ms and gives a rate that is 2% off the published one.
    """
    findings = []
    for name, (columns, published_hz) in _ORIGINAL.items():
        measured_hz = float(np.median([rate_by_time(trial.stamps[name]) for trial in trials]))
        is_ms = published_hz / 2 < measured_hz < published_hz * 2
        if is_ms and abs(measured_hz / published_hz - 1) > 0.02:
            raise RecordingError(
                f"the time stamps in column 0 say {measured_hz:.1f} Hz, published are {published_hz:g} Hz",
                file=file,
                participant=participant,
                channel=name,
                remedy=LAYOUT,
            )
        findings.append(
            f"{name} {columns} columns" + (f" at {measured_hz:.1f} Hz by column 0" if is_ms else ", column 0 is no time in ms")
        )
    return (
        f"{'; '.join(findings)}; ECG columns 1, 2 are read as right, left and GSR columns 1, 2-4 as GSR, ACC x, y, z (order and units "
        "are not confirmed by the publisher)"
    )


def _join_ratings(
    trials: list[_Trial], assessments_by_video: Mapping[str, Assessment], release: str, omitted: dict[str, list[str]]
) -> tuple[list[RatedClip], list[str]]:
    """The trials with their ratings, joined by video id, in the order of presentation; and notes.

    The original release takes the ratings of SelfAsessment.xlsx, the preprocessed release those of the .mat file; a difference of more than 0.01
    between the two is noted. Videos without a rating are added to the videos left out.
    """
    clips, notes, differing = [], [], []
    for trial in trials:
        entry = assessments_by_video.get(trial.video)
        table_rating = (
            (entry.arousal, entry.valence) if entry and entry.arousal is not None and entry.valence is not None else None
        )
        rating = table_rating if release == "original" else trial.rating
        if rating is None:
            omitted.setdefault("no self-assessment", []).append(trial.video)
            continue
        clips.append(RatedClip(trial.video, trial.signals, *rating))
        if table_rating is not None and not np.allclose(rating, table_rating, rtol=0, atol=0.01):
            differing.append(trial.video)
    if differing:
        notes.append(f"{SELF_ASSESSMENT} rates videos {', '.join(differing)} otherwise than the .mat, whose ratings are used")
    if without_position := [clip.name for clip in clips if clip.name not in assessments_by_video]:
        notes.append(f"when videos {', '.join(without_position)} were shown is unknown: they stand last")
    clips.sort(key=lambda clip: assessments_by_video[clip.name].position if clip.name in assessments_by_video else TRIALS)
    return clips, notes


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant, one segment per short video.

    Raises:
        RecordingError: on a missing or damaged file, an unexpected shape, a trial without a name, or a rating off its scale.
    """
    release = _selected_release(options)
    relative = _participant_file(root, release, participant)
    trials, omitted, notes = _read_trials(root, relative, release, participant)
    clips, join_notes = _join_ratings(trials, assessments(root, participant), release, omitted)
    if not clips:
        raise RecordingError(
            f"has no usable trial ({'; '.join(left_out(omitted)) or 'none is there'})",
            file=root / relative,
            participant=participant,
            remedy="leave the participant out with --exclude",
        )
    layout, file = _ORIGINAL if release == "original" else _PREPROCESSED, root / relative
    channels = tuple(
        Channel(name, modality, layout[variable][1], TARGET_HZ, "a.u.", str(file))
        for name, variable, _, modality in _CHANNELS[release]
    )
    clip_segments, duration_notes = segments(clips, channels)
    traits, trait_notes = traits_of(root, participant)
    release_note = (
        _rate_note(trials, file, participant)
        if release == "original"
        else "the 5-s baseline is cut; whether GSR is resistance or conductance is not confirmed by the publisher"
    )
    return Recording(
        participant,
        channels,
        clip_segments,
        traits,
        (*notes, *left_out(omitted), *join_notes, *duration_notes, *trait_notes, release_note),
        uneven_s=math.inf,
    )


AMIGOS = Dataset(
    name="amigos",
    signals="original: EEG x14, ECG x2, GSR, ACC x3; preprocessed: EEG x14, ECG x2, GSR",
    traits=TRAITS,
    labels=LABELS,
    default_labels=RATINGS,
    licence="by agreement with QMUL (EULA), academic research only",
    obtain="https://www.eecs.qmul.ac.uk/mmv/datasets/amigos/",
    citation="Miranda-Correa et al., AMIGOS: A Dataset for Affect, Personality and Mood Research on Individuals and Groups, "
    "IEEE TAC 2018",
    participants=participants,
    read=read,
    options={"release": "original", "subset": "all", OWN_MEAN: "time"},
    caution="AMIGOS has one rating a video: all windows of a video share a class, so a technique that uses target labels may "
    "learn the video.",
    published=PEOPLE,
)
