"""``dataset.yaml`` of a user's own dataset: its fields, and what they must not say (docs/add-a-dataset.md)."""

import math
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from raylab.errors import InvalidValueError, RecordingError, first_of
from raylab.recordings.csv_labels import CodedLabel, coded_label
from raylab.recordings.name_match import clean
from raylab.recordings.recording import Baseline, Channel, OwnMean, column_problems
from raylab.recordings.safe_path import safe_path
from raylab.yaml_file import YamlFileError, read_yaml

LAYOUT = "`raylab docs add-a-dataset` describes the layout"
LABELS = "labels.csv"
MAX_RATE_HZ = 1e6
SignalKindName = Literal["eda", "bvp", "ecg", "resp", "emg", "temp", "acc"]
SessionOrder = tuple[str, ...] | dict[str, tuple[str, ...]]


class _DescriptionPart(BaseModel):
    """Base of the parts of ``dataset.yaml``: a key that is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelEntry(_DescriptionPart):
    """A channel: modality, rate of the file and of the windows in Hz (the same if not given), unit, kind of signal (by modality or name)."""

    modality: str
    rate_hz: float = Field(gt=0, le=MAX_RATE_HZ)
    target_rate_hz: float | None = Field(None, gt=0, le=MAX_RATE_HZ)
    unit: str = ""
    kind: SignalKindName | None = None


class LabelEntry(_DescriptionPart):
    """A label: how windows get their class (``raylab.recordings.Label``), class names, class index by label value, a number or a word, and for
    ``above_own_mean`` what the own mean is taken over."""

    decide: Literal["mode", "majority", "above_own_mean"] = "majority"
    classes: tuple[str, ...] = Field(("low", "high"), min_length=2)
    codes: dict[int | str, int] = {}
    own_mean: OwnMean = "time"

    @field_validator("classes", "codes", mode="before")
    @classmethod
    def _no_truth_for_a_word(cls, value: Any) -> Any:
        """YAML reads yes, no, on and off as true and false; a code that is a number in quotes is a number."""
        if not isinstance(value, list | dict):
            return value  # pydantic says what is expected
        if any(isinstance(word, bool) for word in value):
            raise ValueError("YAML reads yes, no, on, off, true and false as truth values: write these words in quotes")
        if isinstance(value, list):
            return value
        codes = [int(code) if isinstance(code, str) and re.fullmatch("[+-]?[0-9]{1,18}", code) else code for code in value]
        if len(set(codes)) < len(codes):
            raise ValueError("names a code twice, once as a number and once in quotes: keep one")
        return dict(zip(codes, value.values(), strict=True))


class BaselineEntry(_DescriptionPart):
    """The baseline condition: a label's column, the value that it has then (a number or a word), and whether only its first stretch counts."""

    label: str
    code: int | str
    first_run: bool = False


class Description(_DescriptionPart):
    """The content of ``dataset.yaml``.

    Attributes:
        name: the dataset's name; letters, digits, ``_`` and ``-``.
        channels: at least one, by name: ``NAME.csv`` holds its samples.
        labels: at least one, by name: a column of ``labels.csv``.
        traits: columns of ``traits.csv``.
        sessions: names of the session folders in the order of time, of all participants or by participant; natural order if it is empty.
        licence: terms of use, for the card.
        caution: sentence that every table of this data carries, if any.
        baseline: the condition in which participants rest before anything is asked of them, if the protocol has one.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    channels: dict[str, ChannelEntry] = Field(min_length=1)
    labels: dict[str, LabelEntry] = Field(min_length=1)
    traits: tuple[str, ...] = ()
    sessions: SessionOrder = ()
    licence: str = "the owner's"
    caution: str = ""
    baseline: BaselineEntry | None = None

    @field_validator("channels")
    @classmethod
    def _names_of_files(cls, value: dict[str, ChannelEntry]) -> dict[str, ChannelEntry]:
        """A channel's name is a file's name, and labels.csv is taken."""
        for name in value:
            if not name or name.startswith(".") or re.search(r"[/\\\x00-\x1f\x7f]", name) or f"{name}.csv".casefold() == LABELS:
                raise ValueError(
                    f"{name!r} cannot be a channel: NAME.csv must be a file in the participant's folder, other than {LABELS}"
                )
        return value

    def coded_labels(self) -> list[CodedLabel]:
        """The labels, and how the cells of their columns are read."""
        return [
            coded_label(name, entry.decide, entry.classes, entry.codes, entry.own_mean) for name, entry in self.labels.items()
        ]

    def baseline_condition(self) -> Baseline | None:
        """The baseline condition, by the code that the label's track holds; None if none is described.

        Raises:
            InvalidValueError: if its label is none, or holds ratings, or does not have the code.
        """
        entry = self.baseline
        if entry is None:
            return None
        coded = {label.label.name: label for label in self.coded_labels() if not label.is_rating}
        if entry.label not in coded:
            raise InvalidValueError(f"baseline: {entry.label!r} is no label of codes (there is {', '.join(coded) or 'none'})")
        code = coded[entry.label].value_of(str(entry.code))
        if code is None or not math.isfinite(code):
            raise InvalidValueError(
                f"baseline: {entry.code!r} is no value of label {entry.label}, expected {coded[entry.label].expected}"
            )
        return Baseline(entry.label, int(code), entry.first_run)


def _composed(value: Any) -> Any:
    """A value of YAML with all texts in NFC, as the names in tables and of folders are compared."""
    if isinstance(value, dict):
        return {_composed(key): _composed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_composed(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def read_description(root: Path) -> Description:
    """The content of ``dataset.yaml`` at the root.

    Raises:
        RecordingError: if it is no plain YAML in UTF-8, naming the line; or naming every field that is missing, unknown or of the wrong type.
    """
    path = safe_path(root, "dataset.yaml")
    try:
        return Description.model_validate(_composed(read_yaml(path)))
    except YamlFileError as error:
        raise RecordingError(str(error), remedy=LAYOUT) from error
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise RecordingError(first_of(problems), file=path, remedy=LAYOUT) from error


def refuse_impossible_columns(root: Path, description: Description) -> None:
    """Refuse labels and channels that no window could be stored with.

    Raises:
        RecordingError: naming all of them.
    """
    problems = column_problems(description.channels, description.labels)
    for name, entry in description.labels.items():
        try:
            coded_label(name, entry.decide, entry.classes, entry.codes, entry.own_mean)
        except InvalidValueError as error:
            problems.append(str(error))
    for name, channel in description.channels.items():
        try:
            Channel(name, channel.modality, channel.rate_hz, channel.target_rate_hz or channel.rate_hz, channel.unit)
        except InvalidValueError as error:
            problems.append(str(error))
    if not problems:
        try:
            description.baseline_condition()
        except InvalidValueError as error:
            problems.append(str(error))
    if problems:
        raise RecordingError("; ".join(problems), file=root / "dataset.yaml", remedy=LAYOUT)
