"""A user's own dataset without code: one folder per participant, one csv per channel (docs/add-a-dataset.md).

Layout: ``dataset.yaml`` describes the dataset; ``traits.csv`` (optional) has one row per participant; ``P1/CHANNEL.csv`` holds the samples
of a channel, one column per feature, with a header; ``P1/labels.csv`` has ``time_s`` and one column per label. A participant's folder may
hold session folders instead, each with the same files: windows never cross a session, and their order is that of time.
"""

import contextlib
import glob
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.csv_description import LABELS, LAYOUT, Description, read_description, refuse_impossible_columns
from raylab.recordings.csv_labels import CodedLabel, read_tracks
from raylab.recordings.csv_samples import read_samples
from raylab.recordings.csv_traits import FILE as TRAITS
from raylab.recordings.csv_traits import notes_on, read_trait_table, traits_of
from raylab.recordings.name_match import clean, likely_same
from raylab.recordings.recording import Channel, Dataset, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path
from raylab.recordings.session_order import in_order
from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import read_header


def describe(root: Path) -> Dataset:
    """The dataset that ``dataset.yaml`` describes.

    Raises:
        RecordingError: if the description is missing or wrong.
    """
    description = read_description(root)
    refuse_impossible_columns(root, description)
    return Dataset(
        name=description.name,
        signals=", ".join(description.channels),
        traits=description.traits,
        labels=tuple(coded.label for coded in description.coded_labels()),
        default_labels=tuple(description.labels),
        licence=description.licence,
        obtain="your own",
        citation="",
        participants=participants,
        read=read,
        caution=description.caution,
        notes=_notes(root, description),
        baseline=description.baseline_condition(),
    )


def _folders(root: Path) -> tuple[list[Path], list[str]]:
    """The sub-folders that hold a labels.csv, or sessions that do, by name; and the names of the other ones, but for hidden ones."""
    folders = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.name)
    with_labels = [path for path in folders if any(path.rglob(LABELS))]
    others = [path.name for path in folders if path not in with_labels and not path.name.startswith((".", "__"))]
    return with_labels, others


def _notes(root: Path, description: Description) -> tuple[str, ...]:
    """Sentences on the folder: what it holds that no participant is read from. A table that cannot be read is refused later, by name."""
    folders, others = _folders(root)
    notes = [f"left out, no {LABELS} in them: the folder(s) {', '.join(others)}"] if others else []
    if description.traits and (root / TRAITS).is_file():
        with contextlib.suppress(TableError):  # every participant's reading names it
            notes += notes_on(read_trait_table(root / TRAITS, description.traits), [clean(path.name) for path in folders])
    elif (root / TRAITS).exists():
        notes.append(f"{TRAITS} is not read: dataset.yaml names no traits")
    return tuple(notes)


def participants(root: Path, options: Options) -> list[str]:
    """The sub-folders that hold a labels.csv, or sessions that do, by name.

    Raises:
        RecordingError: if there is none, or two names differ only in how their letters are composed or in blanks at their ends.
    """
    names = [clean(path.name) for path in _folders(root)[0]]
    if not names:
        raise RecordingError(f"no sub-folder holds a {LABELS}", file=root, remedy=LAYOUT)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecordingError(
            f"has several folders named {', '.join(twice)} (they differ in blanks, or in how their letters are composed)",
            file=root,
            remedy="give each participant one folder, with a name of its own",
        )
    return sorted(names)


def _home(root: Path, participant: str) -> Path:
    """The participant's folder, however the letters of its name are composed.

    Raises:
        RecordingError: if it is missing, or leads out of the root.
    """
    names = [path.name for path in root.iterdir() if path.is_dir() and clean(path.name) == participant]
    return safe_path(root, names[0] if names else participant, participant)


def _file(root: Path, relative: str, participant: str | None, channel: str) -> Path:
    """A file that must exist.

    Raises:
        RecordingError: if it does not; it names a file whose name differs by little.
    """
    path = root / relative
    others = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    if path.name not in others and (likely := likely_same(path.name, others)):
        raise RecordingError(
            f"is missing; the folder holds {', '.join(likely)}",
            file=path,
            participant=participant,
            channel=channel,
            remedy=f"name it {path.name}",
        )
    return safe_path(root, relative, participant)


def _refusal(error: TableError, path: Path, participant: str, channel: str) -> RecordingError:
    return RecordingError(error.problem, file=path, participant=participant, channel=channel, remedy=error.remedy or LAYOUT)


def _read_channel(
    root: Path, folders: list[str], participant: str, channel: str, description: Description
) -> list[npt.NDArray[np.float64]]:
    """The samples of a channel by session, each (n_samples, n_features).

    Raises:
        RecordingError: if a file is no plain table of numbers, or its columns are not those of the other sessions and participants.
    """
    samples, reference, reference_file = [], _first_header(root, channel), "the first participant's"
    for folder in folders:
        path = _file(root, f"{folder}/{channel}.csv", participant, channel)
        try:
            names, values = read_samples(path, description.labels)
        except TableError as error:
            raise _refusal(error, path, participant, channel) from error
        if reference and names != reference and max(len(names), len(reference)) > 1:
            raise RecordingError(
                f"has the columns {', '.join(names)}, and {reference_file} file has {', '.join(reference)}",
                file=path,
                participant=participant,
                channel=channel,
                remedy="give every file of a channel the same columns in the same order",
            )
        if not reference:
            reference, reference_file = names, "the first session's"
        samples.append(values)
    return samples


def _first_header(root: Path, channel: str) -> tuple[str, ...]:
    """The columns of the channel in the first participant's first file; empty if it cannot be read."""
    home = next(iter(_folders(root)[0]), root)
    paths = sorted(home.rglob(f"{glob.escape(channel)}.csv"))
    return read_header(paths[0]) if paths else ()


def _sessions(root: Path, home: Path, participant: str, description: Description) -> tuple[list[str], list[str]]:
    """The folders to read, relative to the root, in the order of time; and notes.

    Raises:
        RecordingError: if the participant's folder holds labels and sessions both, or a session's place in time is not known.
    """
    folders = [path for path in home.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    if (home / LABELS).exists():
        if both := sorted(path.name for path in folders if (path / LABELS).exists()):
            raise RecordingError(
                f"holds a {LABELS}, and so do its session folders {', '.join(both)}",
                file=home,
                participant=participant,
                remedy="keep the files of the whole recording, or the session folders, not both",
            )
        return [home.name], []
    try:
        names, note = in_order([path.name for path in folders], description.sessions, participant)
    except ValueError as error:
        raise RecordingError(str(error), file=home, participant=participant, remedy=LAYOUT) from error
    if not names:
        raise RecordingError(f"holds neither {LABELS} nor session folders", file=home, participant=participant, remedy=LAYOUT)
    return [f"{home.name}/{name}" for name in names], [note] if note else []


def _read_traits(root: Path, participant: str, description: Description) -> tuple[dict[str, Trait], list[str]]:
    """The participant's traits, and notes on those that the table lacks.

    Raises:
        RecordingError: if the table is missing or wrong, or does not have the participant in one row.
    """
    if not description.traits:
        return {}, []
    path = _file(root, TRAITS, participant, "traits")
    try:
        table = read_trait_table(path, description.traits)
        return traits_of(table, participant, [clean(folder.name) for folder in _folders(root)[0]])
    except TableError as error:
        raise _refusal(error, path, participant, "traits") from error


def _tracks(root: Path, folder: str, participant: str, labels: list[CodedLabel], seconds: float) -> Mapping[str, LabelTrack]:
    path = _file(root, f"{folder}/{LABELS}", participant, "labels")
    try:
        return read_tracks(path, labels, seconds)
    except TableError as error:
        raise _refusal(error, path, participant, "labels") from error


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant's folder, one segment per session.

    Raises:
        RecordingError: on anything missing, not a number, out of order or not described.
    """
    description = read_description(root)
    home = _home(root, participant)
    sessions, notes = _sessions(root, home, participant, description)
    samples = {name: _read_channel(root, sessions, participant, name, description) for name in description.channels}
    segments, start, labels = [], 0.0, description.coded_labels()
    for number, folder in enumerate(sessions):
        signals = {name: values[number] for name, values in samples.items()}
        seconds = min(len(signals[name]) / entry.rate_hz for name, entry in description.channels.items())
        tracks = _tracks(root, folder, participant, labels, seconds)
        segments.append(Segment(Path(folder).name, start, signals, tracks, source=str(root / folder)))
        start += seconds
    channels = tuple(
        Channel(
            name,
            entry.modality,
            entry.rate_hz,
            entry.target_rate_hz or entry.rate_hz,
            entry.unit,
            str(home / f"{name}.csv"),
            kind=entry.kind or "",
        )
        for name, entry in description.channels.items()
    )
    traits, trait_notes = _read_traits(root, participant, description)
    return Recording(participant, channels, tuple(segments), traits, (*notes, *trait_notes))


CSV_FOLDER = Dataset(
    name="csv_folder",
    signals="yours: one csv per channel",
    traits=(),
    labels=(),
    default_labels=(),
    licence="the owner's",
    obtain="`raylab docs add-a-dataset` describes the layout",
    citation="",
    participants=participants,
    read=read,
    describe=describe,
)
