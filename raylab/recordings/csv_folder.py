"""A user's own dataset without code: one folder per participant, one csv per channel (docs/add-a-dataset.md).

Layout: ``dataset.yaml`` describes the dataset; ``traits.csv`` (optional) has one row per participant; ``P1/CHANNEL.csv`` holds the samples
of a channel, one column per feature, with a header; ``P1/labels.csv`` has ``time_s`` and one column per label. A participant's folder may
hold session folders instead, each with the same files: windows never cross a session.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raylab.errors import RecordingError
from raylab.recordings.recording import Channel, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path
from raylab.yaml_file import YamlFileError, read_yaml

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = "docs/add-a-dataset.md describes the layout"


class _DescriptionPart(BaseModel):
    """Base of the parts of ``dataset.yaml``: a key that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelEntry(_DescriptionPart):
    """A channel: modality, rate of the file and of the windows in Hz (the same if not given), unit of the samples."""

    modality: str
    rate_hz: float = Field(gt=0)
    target_rate_hz: float | None = Field(None, gt=0)
    unit: str = ""


class LabelEntry(_DescriptionPart):
    """A label: how windows get their class (``raylab.recordings.Label``), class names, and class index by label value."""

    decide: Literal["mode", "majority", "above_own_mean"] = "majority"
    classes: tuple[str, ...] = Field(("low", "high"), min_length=2)
    codes: dict[int, int] = {}


class Description(_DescriptionPart):
    """The content of ``dataset.yaml``.

    Attributes:
        name: the dataset's name; letters, digits, ``_`` and ``-``.
        channels: at least one, by name: ``NAME.csv`` holds its samples.
        labels: at least one, by name: a column of ``labels.csv``.
        traits: columns of ``traits.csv``.
        licence: terms of use, for the card.
        caution: sentence that every table of this data carries, if any.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    channels: dict[str, ChannelEntry] = Field(min_length=1)
    labels: dict[str, LabelEntry] = Field(min_length=1)
    traits: tuple[str, ...] = ()
    licence: str = "the owner's"
    caution: str = ""


def _read_description(root: Path) -> Description:
    """The content of ``dataset.yaml`` at the root.

    Raises:
        RecordingError: naming every field that is missing, unknown or of the wrong type.
    """
    path = safe_path(root, "dataset.yaml")
    try:
        return Description.model_validate(read_yaml(path))
    except (ValidationError, YamlFileError) as error:
        problems = (
            [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            if isinstance(error, ValidationError)
            else [str(error)]
        )
        raise RecordingError("; ".join(problems), file=path, remedy=LAYOUT) from error


def describe(root: Path) -> Dataset:
    """The dataset that ``dataset.yaml`` describes.

    Raises:
        RecordingError: if the description is missing or wrong.
    """
    description = _read_description(root)
    labels = tuple(Label(name, name, entry.decide, entry.classes, entry.codes) for name, entry in description.labels.items())
    return Dataset(
        name=description.name,
        signals=", ".join(description.channels),
        traits=description.traits,
        labels=labels,
        default_labels=tuple(description.labels),
        licence=description.licence,
        obtain="your own",
        citation="",
        participants=participants,
        read=read,
        caution=description.caution,
    )


def participants(root: Path, options: Options) -> list[str]:
    """The sub-folders that hold a labels.csv, or sessions that do, by name.

    Raises:
        RecordingError: if there is none.
    """
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and any(path.rglob("labels.csv")))
    if not names:
        raise RecordingError("no sub-folder holds a labels.csv", file=root, remedy=LAYOUT)
    return names


def _read_csv(root: Path, relative: str, participant: str | None, channel: str | None = None) -> "pd.DataFrame":
    """The rows of a csv.

    Raises:
        RecordingError: if it is missing, cannot be read or has no rows.
    """
    import pandas as pd

    path = safe_path(root, relative, participant)
    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise RecordingError(
            f"is not a csv ({error})", file=path, participant=participant, channel=channel, remedy=LAYOUT
        ) from error
    if frame.empty:
        raise RecordingError("holds no rows", file=path, participant=participant, channel=channel, remedy=LAYOUT)
    return frame


def _read_samples(root: Path, folder: str, participant: str, channel: str) -> npt.NDArray[np.float64]:
    """The samples of a channel, (n_samples, n_features).

    Raises:
        RecordingError: naming the first cell that is no number.
    """
    import pandas as pd

    relative = f"{folder}/{channel}.csv"
    frame = _read_csv(root, relative, participant, channel)
    text = [str(name) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    if text:
        value = pd.to_numeric(frame[text[0]], errors="coerce")
        row = int(value.isna().to_numpy().argmax())
        raise RecordingError(
            f"column {text[0]!r} has {frame[text[0]].iloc[row]!r} in row {row + 2}, expected a number",
            file=root / relative,
            participant=participant,
            channel=channel,
            remedy="repair the row, or leave the participant out with --exclude",
        )
    return frame.to_numpy(dtype=np.float64)


def _read_tracks(root: Path, folder: str, participant: str, description: Description, seconds: float) -> dict[str, LabelTrack]:
    """The label tracks of a session of ``seconds`` s.

    A value holds until the next row, the last one until the recording ends; an empty cell means that there is no label.

    Raises:
        RecordingError: if a column is missing, the times do not rise, or a code of a ``majority`` label is unknown.
    """
    import pandas as pd

    relative = f"{folder}/labels.csv"
    frame = _read_csv(root, relative, participant, "labels")
    missing = [name for name in ("time_s", *description.labels) if name not in frame.columns]
    problem = f"lacks the column(s) {', '.join(missing)}" if missing else ""
    times = frame["time_s"].to_numpy(dtype=np.float64) if not missing else np.zeros(0)
    if not problem and not (np.diff(times) > 0).all():
        row = int((np.diff(times) <= 0).argmax())
        problem = f"time_s does not rise in row {row + 3}: {times[row + 1]:g} after {times[row]:g}"
    for name, entry in description.labels.items() if not problem else ():
        known_codes = set(entry.codes)
        unknown_codes = (
            sorted(set(frame[name].dropna()) - known_codes) if entry.decide != "above_own_mean" and known_codes else []
        )
        if unknown_codes and entry.decide == "majority":
            problem = f"label {name} has the value {unknown_codes[0]:g}, expected {', '.join(map(str, sorted(known_codes)))} or nothing"
    if problem:
        raise RecordingError(problem, file=root / relative, participant=participant, channel="labels", remedy=LAYOUT)
    if times[-1] < seconds:
        times = np.append(times, seconds)
        frame = pd.concat([frame, frame.tail(1)], ignore_index=True)
    return {name: LabelTrack(times, frame[name].to_numpy(dtype=np.float64)) for name in description.labels}


def _read_traits(root: Path, participant: str, description: Description) -> dict[str, Trait]:
    """The participant's row of ``traits.csv``; empty cells are left out.

    Raises:
        RecordingError: if a column is missing, or the participant has several rows.
    """
    import pandas as pd

    if not description.traits:
        return {}
    frame = _read_csv(root, "traits.csv", None)
    if missing := [name for name in ("participant", *description.traits) if name not in frame.columns]:
        raise RecordingError(f"lacks the column(s) {', '.join(missing)}", file=root / "traits.csv", remedy=LAYOUT)
    rows = frame[frame["participant"].astype(str) == participant]
    if len(rows) > 1:
        raise RecordingError(
            f"names the participant in {len(rows)} rows", file=root / "traits.csv", participant=participant, remedy="keep one"
        )
    cells = {str(name): value for name, value in rows.iloc[0].items()} if len(rows) else {}
    return {
        name: value if isinstance(value, str) else float(value)
        for name, value in cells.items()
        if name in description.traits and pd.notna(value)
    }


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant's folder, one segment per session.

    Raises:
        RecordingError: on anything missing, not a number, out of order or not described.
    """
    description = _read_description(root)
    home = safe_path(root, participant, participant)
    sessions = (
        [participant]
        if (home / "labels.csv").exists()
        else [f"{participant}/{path.name}" for path in sorted(home.iterdir()) if path.is_dir()]
    )
    segments, start = [], 0.0
    for folder in sessions:
        signals = {name: _read_samples(root, folder, participant, name) for name in description.channels}
        seconds = min(len(signals[name]) / entry.rate_hz for name, entry in description.channels.items())
        segments.append(
            Segment(Path(folder).name, start, signals, _read_tracks(root, folder, participant, description, seconds))
        )
        start += seconds
    channels = tuple(
        Channel(
            name, entry.modality, entry.rate_hz, entry.target_rate_hz or entry.rate_hz, entry.unit, str(home / f"{name}.csv")
        )
        for name, entry in description.channels.items()
    )
    return Recording(participant, channels, tuple(segments), _read_traits(root, participant, description))


CSV_FOLDER = Dataset(
    name="csv_folder",
    signals="yours: one csv per channel",
    traits=(),
    labels=(),
    default_labels=(),
    licence="the owner's",
    obtain="docs/add-a-dataset.md",
    citation="",
    participants=participants,
    read=read,
    describe=describe,
)
