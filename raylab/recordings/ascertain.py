"""ASCERTAIN (Subramanian et al. 2018): 58 people, 36 film clips, self-reported arousal and valence a clip.

Layout: ``ASCERTAIN_Raw/{ECGData,GSRData}/Movie_P##/{ECG,GSR}_Clip#.mat`` (the documentation calls the folder MovieDataSegments and pads
the clip's number) and ``ASCERTAIN_Features/`` with ratings, Big Five and the quality of every trial. Every clip is one segment; files and
ratings are in the order of the clips' ids, not of presentation.

Acceleration is read from the GSR files, which have it for everyone: the ECG files of the first 8 people have none, and people must have
the same channels.
"""

from collections.abc import Mapping
from pathlib import Path

from raylab.errors import RecordingError
from raylab.recordings import ascertain_tables as tables
from raylab.recordings.matlab import Array, numeric, rate_by_time, read_mat
from raylab.recordings.recording import Channel, Dataset, Options, Recording
from raylab.recordings.self_report import LABELS, RATINGS, RatedClip, left_out, mostly_nan, segments

PEOPLE = tuple(f"P{number:02d}" for number in range(1, tables.PEOPLE + 1))
RAW = ("ASCERTAIN_Raw/", "MovieDataSegments/", "ASCERTAIN_Raw/MovieDataSegments/", "")
RATES_HZ = {"ECG": 256.0, "GSR": 128.0}
RATE_TOLERANCE = 0.02

# Time in ms is column 0 of both files. ECG right and left by the number of columns: 3 for the first 8 people, 6 for the others.
ECG_ALONE = 8
_ECG = {3: (1, 2), 6: (4, 5)}
# name, file, modality, target rate (Hz; PROTOCOL, Windows), unit
_CHANNELS = (
    ("ecg_right", "ECG", "ecg", 64.0, "a.u."),
    ("ecg_left", "ECG", "ecg", 64.0, "a.u."),
    ("acc_x", "GSR", "acc", 8.0, "a.u."),
    ("acc_y", "GSR", "acc", 8.0, "a.u."),
    ("acc_z", "GSR", "acc", 8.0, "a.u."),
    ("eda", "GSR", "eda", 8.0, "a.u."),
)


def _base(root: Path) -> str:
    return next((base for base in RAW if (root / base / "ECGData").is_dir()), RAW[0])


def participants(root: Path, options: Options) -> list[str]:
    """The people who have a folder of ECG, in the order of the publication."""
    base = _base(root)
    found = [name for name in PEOPLE if (root / base / "ECGData" / f"Movie_{name}").is_dir()]
    if not found:
        raise RecordingError(
            f"holds no {base}ECGData/Movie_{PEOPLE[0]}..{PEOPLE[-1]}",
            file=root,
            remedy="unpack ASCERTAIN_Raw.zip, and point --root at the folder that holds ASCERTAIN_Raw and ASCERTAIN_Features",
        )
    return found


def _max_quality(options: Options) -> float:
    asked = options.get("max_quality", 6)
    try:
        worst = float(asked)
    except (TypeError, ValueError):
        worst = 0.0
    if not 1 <= worst <= tables.MISSING:
        raise RecordingError(f"max_quality={asked!r} is off the scale", remedy="use 1 (perfect only) .. 6 (keep all)")
    return worst


def _clip_file(root: Path, modality: str, participant: str, clip: int) -> str | None:
    """The clip's file, its number padded or not; None where there is none.

    Raises:
        RecordingError: where both spellings are there.
    """
    folder = f"{_base(root)}{modality}Data/Movie_{participant}"
    names = dict.fromkeys((f"{folder}/{modality}_Clip{clip}.mat", f"{folder}/{modality}_Clip{clip:02d}.mat"))
    found = [name for name in names if (root / name).exists() or (root / name).is_symlink()]
    if len(found) > 1:
        raise RecordingError(
            f"clip {clip} is there twice: {', '.join(Path(name).name for name in found)}",
            file=root / folder,
            participant=participant,
            remedy="keep one",
        )
    return found[0] if found else None


def _array(root: Path, relative: str, modality: str, participant: str, clip: int) -> Array:
    """The clip's samples (n, columns), n possibly 0, at the promised rate by its own time stamps."""
    variable, file = f"Data_{modality}", root / relative
    value = read_mat(root, relative, participant, (variable,))[variable]
    wanted = 5 if modality == "GSR" else 3 if int(participant[1:]) <= ECG_ALONE else 6
    if not value.size:
        return numeric(value.reshape(0, 0), (0, 0), file, participant, variable)
    samples = numeric(value, (None, wanted), file, participant, f"{variable} of clip {clip}")
    rate, promised = rate_by_time(samples[:, 0]), RATES_HZ[modality]
    if not abs(rate / promised - 1) <= RATE_TOLERANCE:
        raise RecordingError(
            f"clip {clip}: its time stamps say {rate:.1f} Hz, published are {promised:g} Hz",
            file=file,
            participant=participant,
            channel=f"{variable} column 0",
            remedy="download the file again, leave such trials out by their grade (--option max_quality=), or the participant "
            "(--exclude)",
        )
    return samples


def _signals(arrays: Mapping[str, Array]) -> dict[str, Array]:
    ecg, gsr = arrays["ECG"], arrays["GSR"]
    columns = [*(ecg[:, column] for column in _ECG[ecg.shape[1]]), *(gsr[:, column] for column in (1, 2, 3, 4))]
    return {name: column[:, None] for (name, *_), column in zip(_CHANNELS, columns, strict=True)}


def _missing(root: Path, modality: str, participant: str, clip: int, grade: float | None) -> None:
    """Accept a trial without signals where the publication says so: quality 6, or the features' list of failures.

    Raises:
        RecordingError: where nothing says so, for then a file was lost.
    """
    person = int(participant[1:])
    if grade == tables.MISSING or clip in tables.failures(root, modality, person, participant):
        return
    raise RecordingError(
        f"clip {clip} is missing or empty, but graded {'not at all' if grade is None else f'{grade:g}'} in {tables.QUALITY} (6 is "
        "missing) and in no list of failures",
        file=root / f"{_base(root)}{modality}Data/Movie_{participant}/{modality}_Clip{clip}.mat",
        participant=participant,
        channel=f"Data_{modality}",
        remedy="unpack ASCERTAIN_Raw.zip again, or leave the participant out with --exclude",
    )


def _clips(root: Path, participant: str, worst: float) -> tuple[dict[int, RatedClip], dict[str, list[str]]]:
    """Clip id to its signals and ratings; and the clips left out, by reason."""
    person = int(participant[1:])
    said = tables.ratings(root, person, participant)
    grades = {modality: tables.quality(root, modality, person, participant) for modality in RATES_HZ}
    clips: dict[int, RatedClip] = {}
    left: dict[str, list[str]] = {}
    for clip in range(1, tables.CLIPS + 1):
        bad = [f"{modality} quality {grade:g}" for modality in RATES_HZ if (grade := grades[modality].get(clip, 1.0)) > worst]
        if bad:
            left.setdefault(f"graded worse than {worst:g}", []).append(f"{clip} ({', '.join(bad)})")
            continue
        arrays: dict[str, Array] = {}
        for modality in RATES_HZ:
            relative = _clip_file(root, modality, participant, clip)
            samples = _array(root, relative, modality, participant, clip) if relative else None
            if samples is None or not samples.size:
                _missing(root, modality, participant, clip, grades[modality].get(clip))
            else:
                arrays[modality] = samples
        if absent := [modality for modality in RATES_HZ if modality not in arrays]:
            left.setdefault(f"no {' and no '.join(absent)}, as published", []).append(str(clip))
            continue
        arousal, valence = said[:, clip - 1]
        signals = _signals(arrays)
        if arousal != arousal or valence != valence:  # noqa: PLR0124 (NaN is not itself)
            left.setdefault("no rating", []).append(str(clip))
        elif mostly_nan(signals):
            left.setdefault("more than half of a channel is NaN", []).append(str(clip))
        else:
            clips[clip] = RatedClip(str(clip), signals, float(arousal), float(valence))
    return clips, left


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant, a segment a clip.

    Raises:
        RecordingError: on a missing or damaged file, an unexpected shape, a rate that the time stamps contradict, a rating or grade
            off its scale.
    """
    order = options.get("order", "clip")
    if order not in ("clip", "presentation"):
        raise RecordingError(f"order={order!r} is unknown", remedy="use order=clip or order=presentation")
    if participant not in PEOPLE:
        raise RecordingError(
            f"is nobody of ASCERTAIN ({PEOPLE[0]}..{PEOPLE[-1]})", participant=participant, remedy="correct the name"
        )
    person, base = int(participant[1:]), _base(root)
    clips, left = _clips(root, participant, _max_quality(options))
    if not clips:
        raise RecordingError(
            f"has no usable clip ({'; '.join(left_out(left))})",
            file=root / base,
            participant=participant,
            remedy="raise --option max_quality=, or leave the participant out with --exclude",
        )
    shown = tables.presentation(root, person, participant) if order == "presentation" else sorted(clips)
    channels = tuple(
        Channel(name, modality, RATES_HZ[file], target, unit, str(root / f"{base}{file}Data/Movie_{participant}"))
        for name, file, modality, target, unit in _CHANNELS
    )
    made, uneven = segments([clips[clip] for clip in shown if clip in clips], channels)
    traits, untold = tables.traits(root, person, participant)
    said = (
        f"clips in the order of {'their ids, not of presentation (--option order=)' if order == 'clip' else 'Dt_Order_Movie.mat'}; ECG "
        f"with {3 if person <= ECG_ALONE else 6} columns, acceleration from the GSR files; whether EDA is resistance or conductance "
        "is not confirmed"
    )
    return Recording(participant, channels, made, traits, (*left_out(left), *uneven, *untold, said))


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
    options={"max_quality": 6, "order": "clip"},
    caution="ASCERTAIN has one rating a clip: all windows of a clip share a class, so a technique that uses target labels may learn "
    "the clip.",
    published=PEOPLE,
)
