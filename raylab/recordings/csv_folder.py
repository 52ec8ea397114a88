"""A user's own dataset without code: one folder per participant, one csv per channel (docs/add-a-dataset.md).

Layout: ``dataset.yaml`` says what there is; ``traits.csv`` (optional) has one row per participant; ``P1/CHANNEL.csv`` holds the samples
of a channel, one column per feature, with a header; ``P1/labels.csv`` has ``time_s`` and a column per label. A participant's folder may
hold session folders instead, each with the same files: windows never cross a session.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raylab.errors import RecordingError
from raylab.recordings.recording import Channel, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait
from raylab.recordings.safe_path import safe_path

if TYPE_CHECKING:
    import pandas as pd

LAYOUT = "docs/add-a-dataset.md describes the layout"


class _DescriptionPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelEntry(_DescriptionPart):
    modality: str
    rate_hz: float = Field(gt=0)
    target_rate_hz: float | None = Field(None, gt=0)
    unit: str = ""


class LabelEntry(_DescriptionPart):
    decide: Literal["mode", "majority", "above_own_mean"] = "majority"
    classes: tuple[str, ...] = Field(("low", "high"), min_length=2)
    codes: dict[int, int] = {}


class Description(_DescriptionPart):
    """What ``dataset.yaml`` says."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    channels: dict[str, ChannelEntry] = Field(min_length=1)
    labels: dict[str, LabelEntry] = Field(min_length=1)
    traits: tuple[str, ...] = ()
    licence: str = "the owner's"
    caution: str = ""


def _description(root: Path) -> Description:
    path = safe_path(root, "dataset.yaml")
    try:
        return Description.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        problems = (
            [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            if isinstance(error, ValidationError)
            else [str(error)]
        )
        raise RecordingError("; ".join(problems), file=path, remedy=LAYOUT) from error


def describe(root: Path) -> Dataset:
    """The dataset that ``dataset.yaml`` describes."""
    said = _description(root)
    labels = tuple(Label(name, name, entry.decide, entry.classes, entry.codes) for name, entry in said.labels.items())
    return Dataset(
        name=said.name,
        signals=", ".join(said.channels),
        traits=said.traits,
        labels=labels,
        default_labels=tuple(said.labels),
        licence=said.licence,
        obtain="your own",
        citation="",
        participants=participants,
        read=read,
        caution=said.caution,
    )


def participants(root: Path, options: Options) -> list[str]:
    """The sub-folders that hold a labels.csv, or sessions that do, by name."""
    found = sorted(path.name for path in root.iterdir() if path.is_dir() and any(path.rglob("labels.csv")))
    if not found:
        raise RecordingError("no sub-folder holds a labels.csv", file=root, remedy=LAYOUT)
    return found


def _table(root: Path, relative: str, participant: str | None, channel: str | None = None) -> "pd.DataFrame":
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


def _samples(root: Path, folder: str, participant: str, channel: str) -> npt.NDArray[np.float64]:
    """(n_samples, n_features)."""
    import pandas as pd

    relative = f"{folder}/{channel}.csv"
    frame = _table(root, relative, participant, channel)
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


def _tracks(root: Path, folder: str, participant: str, said: Description, seconds: float) -> dict[str, LabelTrack]:
    """A value holds until the next row, the last one until the recording ends; an empty cell is no label."""
    import pandas as pd

    relative = f"{folder}/labels.csv"
    frame = _table(root, relative, participant, "labels")
    missing = [name for name in ("time_s", *said.labels) if name not in frame.columns]
    problem = f"lacks the column(s) {', '.join(missing)}" if missing else ""
    times = frame["time_s"].to_numpy(dtype=np.float64) if not missing else np.zeros(0)
    if not problem and not (np.diff(times) > 0).all():
        row = int((np.diff(times) <= 0).argmax())
        problem = f"time_s does not rise in row {row + 3}: {times[row + 1]:g} after {times[row]:g}"
    for name, entry in said.labels.items() if not problem else ():
        known = set(entry.codes)
        odd = sorted(set(frame[name].dropna()) - known) if entry.decide != "above_own_mean" and known else []
        if odd and entry.decide == "majority":
            problem = f"label {name} has the value {odd[0]:g}, expected {', '.join(map(str, sorted(known)))} or nothing"
    if problem:
        raise RecordingError(problem, file=root / relative, participant=participant, channel="labels", remedy=LAYOUT)
    if times[-1] < seconds:
        times = np.append(times, seconds)
        frame = pd.concat([frame, frame.tail(1)], ignore_index=True)
    return {name: LabelTrack(times, frame[name].to_numpy(dtype=np.float64)) for name in said.labels}


def _traits(root: Path, participant: str, said: Description) -> dict[str, Trait]:
    import pandas as pd

    if not said.traits:
        return {}
    frame = _table(root, "traits.csv", None)
    if missing := [name for name in ("participant", *said.traits) if name not in frame.columns]:
        raise RecordingError(f"lacks the column(s) {', '.join(missing)}", file=root / "traits.csv", remedy=LAYOUT)
    rows = frame[frame["participant"].astype(str) == participant]
    if len(rows) > 1:
        raise RecordingError(
            f"names the participant in {len(rows)} rows", file=root / "traits.csv", participant=participant, remedy="keep one"
        )
    found = {str(name): value for name, value in rows.iloc[0].items()} if len(rows) else {}
    return {
        name: value if isinstance(value, str) else float(value)
        for name, value in found.items()
        if name in said.traits and pd.notna(value)
    }


def read(root: Path, participant: str, options: Options) -> Recording:
    """One participant's folder, a segment per session.

    Raises:
        RecordingError: on anything missing, not a number, out of order or not described.
    """
    said = _description(root)
    home = safe_path(root, participant, participant)
    sessions = (
        [participant]
        if (home / "labels.csv").exists()
        else [f"{participant}/{path.name}" for path in sorted(home.iterdir()) if path.is_dir()]
    )
    segments, start = [], 0.0
    for folder in sessions:
        signals = {name: _samples(root, folder, participant, name) for name in said.channels}
        seconds = min(len(signals[name]) / entry.rate_hz for name, entry in said.channels.items())
        segments.append(Segment(Path(folder).name, start, signals, _tracks(root, folder, participant, said, seconds)))
        start += seconds
    channels = tuple(
        Channel(
            name, entry.modality, entry.rate_hz, entry.target_rate_hz or entry.rate_hz, entry.unit, str(home / f"{name}.csv")
        )
        for name, entry in said.channels.items()
    )
    return Recording(participant, channels, tuple(segments), _traits(root, participant, said))


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
