"""ASCERTAIN (Subramanian et al., IEEE TAC 2018): 58 participants, 36 film clips, self-reported arousal and valence per clip.

Layout: ``ASCERTAIN_Raw/{ECGData,GSRData}/Movie_P##/{ECG,GSR}_Clip#.mat`` (the documentation calls the folder MovieDataSegments and pads
the clip's number) and ``ASCERTAIN_Features/`` with ratings, Big Five and the quality of every trial. Every clip is one segment. Files and
ratings are in the order of the clips' ids, not in that of presentation.

Acceleration is read from the GSR files, which have it for every participant: the ECG files of the first 8 have none, and all participants
must have the same channels.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from raylab.errors import RecordingError
from raylab.recordings import ascertain_tables as tables
from raylab.recordings.matlab import Array, numeric, rate_by_time, read_mat
from raylab.recordings.recording import OWN_MEAN, Channel, Dataset, Options, Recording
from raylab.recordings.self_report import LABELS, RATINGS, RatedClip, left_out, mostly_nan, segments

PEOPLE = tuple(f"P{number:02d}" for number in range(1, tables.PEOPLE + 1))
RAW = ("ASCERTAIN_Raw/", "MovieDataSegments/", "ASCERTAIN_Raw/MovieDataSegments/", "")
RATES_HZ = {"ECG": 256.0, "GSR": 128.0}
RATE_TOLERANCE = 0.02

# Column 0 of both files is the time in ms. Columns of ECG right and left, by the number of columns: 3 for the first 8 participants, else 6.
ECG_ALONE = 8
_ECG = {3: (1, 2), 6: (4, 5)}
# Channel, file, modality, target rate (Hz; docs/protocol.md, Windows), unit.
_CHANNELS = (
    ("ecg_right", "ECG", "ecg", 64.0, "a.u."),
    ("ecg_left", "ECG", "ecg", 64.0, "a.u."),
    ("acc_x", "GSR", "acc", 8.0, "a.u."),
    ("acc_y", "GSR", "acc", 8.0, "a.u."),
    ("acc_z", "GSR", "acc", 8.0, "a.u."),
    ("eda", "GSR", "eda", 8.0, "a.u."),
)


def _raw_folder(root: Path) -> str:
    """The folder of the raw recordings, relative to the root; the published one if none exists."""
    return next((base for base in RAW if (root / base / "ECGData").is_dir()), RAW[0])


def participants(root: Path, options: Options) -> list[str]:
    """The participants that have a folder of ECG, in the order of the publication.

    Raises:
        RecordingError: if none has.
    """
    base = _raw_folder(root)
    present = [name for name in PEOPLE if (root / base / "ECGData" / f"Movie_{name}").is_dir()]
    if not present:
        raise RecordingError(
            f"holds no {base}ECGData/Movie_{PEOPLE[0]}..{PEOPLE[-1]}",
            file=root,
            remedy="unpack ASCERTAIN_Raw.zip, and point --root at the folder that holds ASCERTAIN_Raw and ASCERTAIN_Features",
        )
    return present


def _max_quality(options: Options) -> float:
    """The worst grade of a trial that is kept, 1 (perfect) to 6 (missing).

    Raises:
        RecordingError: if the option is off that scale.
    """
    max_quality = options.get("max_quality", 6)
    try:
        worst = float(max_quality)
    except (TypeError, ValueError):
        worst = 0.0
    if not 1 <= worst <= tables.MISSING:
        raise RecordingError(f"max_quality={max_quality!r} is off the scale", remedy="use 1 (perfect only) .. 6 (keep all)")
    return worst


def _clip_file(root: Path, modality: str, participant: str, clip: int) -> str | None:
    """The path of the clip's file relative to the root, its number padded or not; None if it does not exist.

    Raises:
        RecordingError: if the file exists in both spellings.
    """
    folder = f"{_raw_folder(root)}{modality}Data/Movie_{participant}"
    names = dict.fromkeys((f"{folder}/{modality}_Clip{clip}.mat", f"{folder}/{modality}_Clip{clip:02d}.mat"))
    paths = [name for name in names if (root / name).exists() or (root / name).is_symlink()]
    if len(paths) > 1:
        raise RecordingError(
            f"clip {clip} is there twice: {', '.join(Path(name).name for name in paths)}",
            file=root / folder,
            participant=participant,
            remedy="keep one",
        )
    return paths[0] if paths else None


def _read_clip(root: Path, relative: str, modality: str, participant: str, clip: int) -> Array:
    """The clip's samples (n, n_columns), time in ms first; n is 0 if the file holds an empty array.

    Raises:
        RecordingError: on another number of columns than published, or time stamps whose rate is more than 2% off the published one.
    """
    variable, file = f"Data_{modality}", root / relative
    value = read_mat(root, relative, participant, (variable,))[variable]
    n_columns = 5 if modality == "GSR" else 3 if int(participant[1:]) <= ECG_ALONE else 6
    if not value.size:
        return numeric(value.reshape(0, 0), (0, 0), file, participant, variable)
    samples = numeric(value, (None, n_columns), file, participant, f"{variable} of clip {clip}")
    measured_hz, published_hz = rate_by_time(samples[:, 0]), RATES_HZ[modality]
    if not abs(measured_hz / published_hz - 1) <= RATE_TOLERANCE:
        raise RecordingError(
            f"clip {clip}: its time stamps say {measured_hz:.1f} Hz, published are {published_hz:g} Hz",
            file=file,
            participant=participant,
            channel=f"{variable} column 0",
            remedy="download the file again, leave such trials out by their grade (--option max_quality=), or the participant "
            "(--exclude)",
        )
    return samples


def _channel_signals(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Channel name to samples (n, 1), from the arrays of the two files."""
    ecg, gsr = arrays["ECG"], arrays["GSR"]
    columns = [*(ecg[:, column] for column in _ECG[ecg.shape[1]]), *(gsr[:, column] for column in (1, 2, 3, 4))]
    return {name: column[:, None] for (name, *_), column in zip(_CHANNELS, columns, strict=True)}


def _check_published_as_missing(root: Path, modality: str, participant: str, clip: int, grade: float | None) -> None:
    """Accept a trial without signals if the publication says so: by quality 6, or by the features' list of failures.

    Raises:
        RecordingError: if neither says so, because then a file was lost.
    """
    number = int(participant[1:])
    if grade == tables.MISSING or clip in tables.failures(root, modality, number, participant):
        return
    raise RecordingError(
        f"clip {clip} is missing or empty, but graded {'not at all' if grade is None else f'{grade:g}'} in {tables.QUALITY} (6 is "
        "missing) and in no list of failures",
        file=root / f"{_raw_folder(root)}{modality}Data/Movie_{participant}/{modality}_Clip{clip}.mat",
        participant=participant,
        channel=f"Data_{modality}",
        remedy="unpack ASCERTAIN_Raw.zip again, or leave the participant out with --exclude",
    )


def _read_clips(root: Path, participant: str, worst: float) -> tuple[dict[int, RatedClip], dict[str, list[str]]]:
    """Signals and ratings by clip id; and the clips left out, by reason."""
    number = int(participant[1:])
    ratings = tables.ratings(root, number, participant)
    grades = {modality: tables.quality(root, modality, number, participant) for modality in RATES_HZ}
    clips: dict[int, RatedClip] = {}
    omitted: dict[str, list[str]] = {}
    for clip in range(1, tables.CLIPS + 1):
        low_grades = [
            f"{modality} quality {grade:g}" for modality in RATES_HZ if (grade := grades[modality].get(clip, 1.0)) > worst
        ]
        if low_grades:
            omitted.setdefault(f"graded worse than {worst:g}", []).append(f"{clip} ({', '.join(low_grades)})")
            continue
        arrays: dict[str, Array] = {}
        for modality in RATES_HZ:
            relative = _clip_file(root, modality, participant, clip)
            samples = _read_clip(root, relative, modality, participant, clip) if relative else None
            if samples is None or not samples.size:
                _check_published_as_missing(root, modality, participant, clip, grades[modality].get(clip))
            else:
                arrays[modality] = samples
        if absent_modalities := [modality for modality in RATES_HZ if modality not in arrays]:
            omitted.setdefault(f"no {' and no '.join(absent_modalities)}, as published", []).append(str(clip))
            continue
        arousal, valence = ratings[:, clip - 1]
        signals = _channel_signals(arrays)
        if arousal != arousal or valence != valence:  # noqa: PLR0124 (NaN differs from itself)
            omitted.setdefault("no rating", []).append(str(clip))
        elif mostly_nan(signals):
            omitted.setdefault("more than half of a channel is NaN", []).append(str(clip))
        else:
            clips[clip] = RatedClip(str(clip), signals, float(arousal), float(valence))
    return clips, omitted


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant, one segment per clip.

    Raises:
        RecordingError: on a missing or damaged file, an unexpected shape, a rate that the time stamps contradict, or a rating or grade
            off its scale.
    """
    order = options.get("order", "clip")
    if order not in ("clip", "presentation"):
        raise RecordingError(f"order={order!r} is unknown", remedy="use order=clip or order=presentation")
    if participant not in PEOPLE:
        raise RecordingError(
            f"is nobody of ASCERTAIN ({PEOPLE[0]}..{PEOPLE[-1]})", participant=participant, remedy="correct the name"
        )
    number, base = int(participant[1:]), _raw_folder(root)
    clips, omitted = _read_clips(root, participant, _max_quality(options))
    if not clips:
        raise RecordingError(
            f"has no usable clip ({'; '.join(left_out(omitted))})",
            file=root / base,
            participant=participant,
            remedy="raise --option max_quality=, or leave the participant out with --exclude",
        )
    order_of_clips = tables.presentation(root, number, participant) if order == "presentation" else sorted(clips)
    channels = tuple(
        Channel(name, modality, RATES_HZ[file], target, unit, str(root / f"{base}{file}Data/Movie_{participant}"))
        for name, file, modality, target, unit in _CHANNELS
    )
    clip_segments, duration_notes = segments([clips[clip] for clip in order_of_clips if clip in clips], channels)
    traits, trait_notes = tables.traits(root, number, participant)
    reader_note = (
        f"clips in the order of {'their ids, not of presentation (--option order=)' if order == 'clip' else 'Dt_Order_Movie.mat'}; ECG "
        f"with {3 if number <= ECG_ALONE else 6} columns, acceleration from the GSR files; whether EDA is resistance or conductance "
        "is not confirmed"
    )
    notes = (*left_out(omitted), *duration_notes, *trait_notes, reader_note)
    return Recording(participant, channels, clip_segments, traits, notes, uneven_s=math.inf)


ASCERTAIN = Dataset(
    name="ascertain",
    signals="ECG x2, EDA, ACC x3",
    traits=tables.TRAITS,
    labels=LABELS,
    default_labels=RATINGS,
    licence="the owners' terms; research use, credit Subramanian et al. 2018",
    obtain="https://ascertain-dataset.github.io/",
    citation="Subramanian et al., ASCERTAIN: Emotion and Personality Recognition Using Commercial Sensors, IEEE TAC 2018",
    participants=participants,
    read=read,
    options={"max_quality": 6, "order": "clip", OWN_MEAN: "clip"},
    caution="ASCERTAIN has one rating a clip: all windows of a clip share a class, so a technique that uses target labels may learn "
    "the clip.",
    published=PEOPLE,
)
