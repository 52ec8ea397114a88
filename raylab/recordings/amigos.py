"""AMIGOS (Miranda-Correa et al. 2018): 40 people, 16 short videos, self-reported arousal and valence a video.

Layout: ``Data_Original_P##/Data_Original_P##.mat`` (the paper's input: EEG, ECG, GSR and acceleration at the devices' rates) or
``Data_Preprocessed_P##/Data_Preprocessed_P##.mat`` (128 Hz, no acceleration), flat or in a folder a participant; ``Metadata_xlsx/``.
Every trial is one segment, in the order of presentation. Ratings are joined by video id: the trials of a file and the videos of a person
stand in different orders, and the id is the only name they share.
"""

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
from raylab.recordings.recording import Channel, Dataset, Options, Recording
from raylab.recordings.self_report import LABELS, RATINGS, RatedClip, left_out, mostly_nan, segments

PEOPLE = tuple(f"P{number:02d}" for number in range(1, 41))
LONG_VIDEOS = ("N1", "P1", "B1", "U1")
TRIALS = 20  # cells of every variable: 16 short videos, 4 long ones

RELEASES = {"original": "Data_Original", "preprocessed": "Data_Preprocessed"}
# The study's 31 of 40: its preprocessing drops these.
NOT_IN_PAPER = tuple(f"P{number:02d}" for number in (8, 9, 12, 21, 22, 23, 24, 28, 33))

EEG = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
PRESTIMULUS_SAMPLES = 640  # samples before the video in the preprocessed release, 5 s
TARGET_HZ = 8.0

# Original files: variable, columns, rate (Hz); then channel, variable, column, modality.
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
    """One video as the file holds it: its channels, the first columns of its variables, its own arousal and valence if any."""

    video: str
    signals: Mapping[str, Array]
    stamps: Mapping[str, Array]
    rating: tuple[float, float] | None = None


def _release(options: Options) -> str:
    release = str(options.get("release", "original"))
    if release not in RELEASES:
        raise RecordingError(f"release={release!r} is unknown", remedy=f"use release={' or release='.join(RELEASES)}")
    return release


def _places(root: Path, release: str, participant: str) -> list[str]:
    """Where the participant's file is: flat or in its own folder, in the root or in a folder of the release."""
    stem = f"{RELEASES[release]}_{participant}"
    folders = ("", f"{RELEASES[release]}/", f"{RELEASES[release].lower()}/")
    found: dict[Path, str] = {}
    for relative in (f"{folder}{inner}{stem}.mat" for folder in folders for inner in (f"{stem}/", "")):
        if (root / relative).exists():
            found.setdefault((root / relative).resolve(), relative)
    return list(found.values())


def participants(root: Path, options: Options) -> list[str]:
    """The people whose file is there; ``subset=paper`` leaves out the nine whom the study left out."""
    release, subset = _release(options), options.get("subset", "all")
    if subset not in ("all", "paper"):
        raise RecordingError(f"subset={subset!r} is unknown", remedy="use subset=all or subset=paper")
    people = [name for name in PEOPLE if _places(root, release, name)]
    kept = [name for name in people if subset == "all" or name not in NOT_IN_PAPER]
    if not kept:
        raise RecordingError(
            f"holds no {RELEASES[release]}_P##.mat" + (f" of the subset {subset}" if people else ""),
            file=root,
            remedy="point --root at the folder with the unpacked zip files, or ask for the other release with --option release=",
        )
    return kept


def _file(root: Path, release: str, participant: str) -> str:
    if participant not in PEOPLE:
        raise RecordingError(
            f"is nobody of AMIGOS ({PEOPLE[0]}..{PEOPLE[-1]})", participant=participant, remedy="correct the name"
        )
    found = _places(root, release, participant)
    if len(found) > 1:
        raise RecordingError(f"is there twice: {', '.join(found)}", file=root, participant=participant, remedy="keep one")
    stem = f"{RELEASES[release]}_{participant}"
    return found[0] if found else f"{stem}/{stem}.mat"


def _video_ids(content: Mapping[str, Any], root: Path, file: Path, participant: str) -> tuple[list[str], list[str]]:
    """The video of each of the 20 cells ("" where nothing names it), and notes; never by position alone.

    Without VideoIDs the trials are named by the published presentation order, which must agree with the self-assessments.
    """
    if "VideoIDs" in content:
        ids = [text(cell) for cell in cells(content["VideoIDs"], TRIALS, file, participant, "VideoIDs")]
        known = [video for video in ids if video]
        odd = [video for video in known if video not in (*SHORT_VIDEOS, *LONG_VIDEOS)]
        if odd or len(set(known)) < len(known):
            twice = sorted({video for video in known if known.count(video) > 1})
            raise RecordingError(
                f"names unknown videos {', '.join(odd)}" if odd else f"names video {', '.join(twice)} twice",
                file=file,
                participant=participant,
                channel="VideoIDs",
                remedy=LAYOUT,
            )
        return ids, []
    shown = presentation_order(root, participant)
    said = assessments(root, participant)
    wrong = [video for i, video in enumerate(shown) if video in said and said[video].position != i + 1]
    if wrong:
        raise RecordingError(
            f"has no VideoIDs, and the two tables disagree on when {', '.join(wrong)} was shown "
            "(Short_Videos_Order, SelfAsessment.xlsx)",
            file=file,
            participant=participant,
            channel="VideoIDs",
            remedy="get the release whose .mat files carry VideoIDs",
        )
    return [*shown, *LONG_VIDEOS], ["no VideoIDs in the file: trials are named by the sheet Short_Videos_Order"]


def _trials(root: Path, relative: str, release: str, participant: str) -> tuple[list[_Trial], dict[str, list[str]], list[str]]:
    """The file's short-video trials; videos left out, by reason; notes."""
    file, layout = root / relative, _ORIGINAL if release == "original" else _PREPROCESSED
    own = () if release == "original" else ("VideoIDs", "labels_selfassessment")
    content = read_mat(root, relative, participant, (*layout, *own), ("VideoIDs",))
    ids, notes = _video_ids(content, root, file, participant)
    columns = {name: cells(content[name], TRIALS, file, participant, name) for name in layout}
    said = (
        cells(content["labels_selfassessment"], TRIALS, file, participant, "labels_selfassessment") if own else [None] * TRIALS
    )
    trials: list[_Trial] = []
    left: dict[str, list[str]] = {}
    for i, video in enumerate(ids):
        parts = {name: column[i] for name, column in columns.items()}
        if video in LONG_VIDEOS or (not video and not any(np.size(part) for part in parts.values())):
            continue
        where = f"trial {i + 1} (video {video})"
        if not video:
            raise RecordingError(
                f"{where} has signals but no video", file=file, participant=participant, channel="VideoIDs", remedy=LAYOUT
            )
        if empty := [name for name, part in parts.items() if not np.size(part)]:
            left.setdefault(f"no {', '.join(empty)}", []).append(video)
            continue
        arrays = {
            name: numeric(part, (None, layout[name][0]), file, participant, f"{name} {where}")[
                PRESTIMULUS_SAMPLES * bool(own) :
            ]
            for name, part in parts.items()
        }
        signals = {name: arrays[variable][:, column : column + 1] for name, variable, column, _ in _CHANNELS[release]}
        if not all(len(part) for part in arrays.values()):
            left.setdefault("no longer than the 5-s baseline", []).append(video)
        elif mostly_nan(signals):
            left.setdefault("more than half of a channel is NaN", []).append(video)
        else:
            stamps = {name: part[:, 0] for name, part in arrays.items()}
            trials.append(_Trial(video, signals, stamps, _own_rating(said[i], file, participant, video)))
    return trials, left, notes


def _own_rating(cell: Any, file: Path, participant: str, video: str) -> tuple[float, float] | None:
    """Arousal and valence of a preprocessed trial; None where the trial has no answers (1 x 0)."""
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


def _rates(trials: list[_Trial], file: Path, participant: str) -> str:
    """What the first columns say of the rates, if they are times in ms (unconfirmed); a rate they contradict is refused.

    A rate is a property of the device, so the median over the trials decides: a trial with a gap does not refuse a person.
    """
    said = []
    for name, (columns, promised) in _ORIGINAL.items():
        rate = float(np.median([rate_by_time(trial.stamps[name]) for trial in trials]))
        is_ms = promised / 2 < rate < promised * 2
        if is_ms and abs(rate / promised - 1) > 0.02:
            raise RecordingError(
                f"the time stamps in column 0 say {rate:.1f} Hz, published are {promised:g} Hz",
                file=file,
                participant=participant,
                channel=name,
                remedy=LAYOUT,
            )
        said.append(
            f"{name} {columns} columns" + (f" at {rate:.1f} Hz by column 0" if is_ms else ", column 0 is no time in ms")
        )
    return (
        f"{'; '.join(said)}; ECG columns 1, 2 are read as right, left and GSR columns 1, 2-4 as GSR, ACC x, y, z (order and units "
        "are not confirmed by the publisher)"
    )


def _joined(
    trials: list[_Trial], said: Mapping[str, Assessment], release: str, left: dict[str, list[str]]
) -> tuple[list[RatedClip], list[str]]:
    """Trials with their ratings by video id, in the order of presentation; and notes."""
    clips, notes, differ = [], [], []
    for trial in trials:
        entry = said.get(trial.video)
        table = (entry.arousal, entry.valence) if entry and entry.arousal is not None and entry.valence is not None else None
        rating = table if release == "original" else trial.rating
        if rating is None:
            left.setdefault("no self-assessment", []).append(trial.video)
            continue
        clips.append(RatedClip(trial.video, trial.signals, *rating))
        if table is not None and not np.allclose(rating, table, rtol=0, atol=0.01):
            differ.append(trial.video)
    if differ:
        notes.append(f"{SELF_ASSESSMENT} rates videos {', '.join(differ)} otherwise than the .mat, whose ratings are used")
    if unplaced := [clip.name for clip in clips if clip.name not in said]:
        notes.append(f"when videos {', '.join(unplaced)} were shown is unknown: they stand last")
    clips.sort(key=lambda clip: said[clip.name].position if clip.name in said else TRIALS)
    return clips, notes


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant, a segment a short video.

    Raises:
        RecordingError: on a missing or damaged file, an unexpected shape, a trial that nothing names, or a rating off its scale.
    """
    release = _release(options)
    relative = _file(root, release, participant)
    trials, left, notes = _trials(root, relative, release, participant)
    clips, more = _joined(trials, assessments(root, participant), release, left)
    if not clips:
        raise RecordingError(
            f"has no usable trial ({'; '.join(left_out(left)) or 'none is there'})",
            file=root / relative,
            participant=participant,
            remedy="leave the participant out with --exclude",
        )
    layout, file = _ORIGINAL if release == "original" else _PREPROCESSED, root / relative
    channels = tuple(
        Channel(name, modality, layout[variable][1], TARGET_HZ, "a.u.", str(file))
        for name, variable, _, modality in _CHANNELS[release]
    )
    made, uneven = segments(clips, channels)
    traits, missing = traits_of(root, participant)
    said = (
        _rates(trials, file, participant)
        if release == "original"
        else "the 5-s baseline is cut; whether GSR is resistance or conductance is not confirmed by the publisher"
    )
    return Recording(participant, channels, made, traits, (*notes, *left_out(left), *more, *uneven, *missing, said))


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
    options={"release": "original", "subset": "all"},
    caution="AMIGOS has one rating a video: all windows of a video share a class, so a technique that uses target labels may "
    "learn the video.",
    published=PEOPLE,
)
