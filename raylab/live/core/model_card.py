"""The card of a model file: the model, its channels and preprocessing, its origin in a study and its score, as checked fields."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from raylab.live.core.model_bounds import MOST_LOWPASS_ORDER, check_utterance_options, check_windows
from raylab.models.network import AUTO, PARTS, ModelSpec
from raylab.models.registry import FUSIONS, model_names
from raylab.recordings import DATASETS
from raylab.recordings.recording import DatasetKind
from raylab.windows.card import kind_of
from raylab.windows.preprocess import Preprocessing, required_settings
from raylab.windows.utterances import Utterances

NOT_CALIBRATED = "non_personalized"  # the technique whose models can be calibrated and have not been

T = TypeVar("T", Preprocessing, Utterances)

_ADAPTERS: dict[type, TypeAdapter[Any]] = {cls: TypeAdapter(cls) for cls in (Preprocessing, Utterances)}
CAUSAL_NORMALIZATIONS = (Preprocessing.causal, Utterances.causal)  # those that use no later samples


class _CardPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelChannel(_CardPart):
    """One channel of the model: as it is recorded, and as its windows hold it (length, n_features)."""

    name: str
    modality: str
    recorded_hz: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    rate_hz: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    unit: str
    length: int = Field(ge=1, le=10_000_000)
    n_features: int = Field(ge=1, le=100_000)
    variable: bool = False


class CalibrationCard(_CardPart):
    """The technique's calibration stage, which can train on windows that the wearer labels.

    Attributes:
        trainable: choice of layers (``all``, ``last``) to the parts that are then trained.
        hyper: hyperparameters after all overrides, as in the study.
    """

    stage: str
    trainable: dict[str, tuple[str, ...]] = Field(validation_alias=AliasChoices("trainable", "frees"))  # files of before 0.2
    hyper: dict[str, Any]


class NewPersonEstimate(_CardPart):
    """How the models of a study did on people whom they had not seen, one score a person.

    Attributes:
        technique, variant: that they were personalized by.
        n: people; mean, sd (missing with one), low and high: of their scores in ``metric``.
    """

    technique: str
    variant: str
    metric: str
    n: int = Field(ge=1)
    mean: float = Field(allow_inf_nan=False)
    sd: float | None = Field(None, allow_inf_nan=False)
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @property
    def line(self) -> str:
        """``a new person, non_personalized: auroc 0.712, SD 0.133 between people, from 0.410 to 0.930 (34 people)``."""
        name = f"{self.technique} {self.variant}".removesuffix(" -")
        spread = "" if self.sd is None else f", SD {self.sd:.3f} between people"
        return f"a new person, {name}: {self.metric} {self.mean:.3f}{spread}, from {self.low:.3f} to {self.high:.3f} ({self.n} held out in turn)"


class ModelCard(_CardPart):
    """Description of a model: its network, its origin in a study, its score.

    Attributes:
        options: of the reader; of speech they decide how sound and words become features.
        people: number of participants that its stages were trained on, all of them together; the target too, if a stage trained on the
            target's calibration windows.
        target_windows: number of these windows; None in files of before they were counted.
        participant: the target of the study, who was held out; a calibrated technique has seen the target's calibration windows.
        draws: fields of the fold's ``FoldSeeds``: a calibration by the wearer makes the same random draws as the study's.
        auroc: on the target's test windows; None if it is not defined.
        estimates: of a model that is trained on everyone (``participant`` is empty): what the study's models reached on people held out in turn.
        no_calibration: why the wearer cannot calibrate it; empty if ``calibration`` is given.
        sentences: that can be recognized, if the words are a channel.
    """

    format: Literal[1]
    raylab: str
    commit: str
    study: str
    trial: str
    dataset: str
    reader: str
    label: str
    classes: tuple[str, ...]
    model: dict[str, Any]
    technique: str
    variant: str
    adapter: bool
    participant: str
    people: int
    target_windows: int | None = None
    seed: int
    draws: dict[str, Any]
    stages: tuple[str, ...]
    channels: tuple[ModelChannel, ...]
    preprocessing: dict[str, Any]
    options: dict[str, Any]
    fingerprint: str
    n_test: int
    auroc: float | None
    caution: str
    licence: str
    calibration: CalibrationCard | None
    no_calibration: str
    sentences: tuple[str, ...]
    estimates: tuple[NewPersonEstimate, ...] = ()

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: dict[str, Any]) -> dict[str, Any]:
        texts = [value.get(name, "") for name in ("encoder", "fusion", "channels")]
        modalities, width = value.get("modalities", []), value.get("width", 1.0)
        if not (isinstance(modalities, list) and all(isinstance(text, str) for text in (*texts, *modalities))):
            raise ValueError("encoder, fusion, channels and modalities of a model are texts")
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < math.inf:
            raise ValueError(f"width {width!r} of a model is no number above 0")
        spec = ModelSpec.from_dict(value)
        if spec.encoder not in model_names() or spec.fusion not in FUSIONS:
            raise ValueError(f"encoder {spec.encoder!r} with fusion {spec.fusion!r} is unknown to this raylab")
        if spec.channels not in ("", AUTO):
            raise ValueError(f"channels {spec.channels!r} of a model are unknown to this raylab")
        return value

    @property
    def spec(self) -> ModelSpec:
        """The model as a study declares it."""
        return ModelSpec.from_dict(self.model)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Channel to the shape of its windows, (length, n_features)."""
        return {channel.name: (channel.length, channel.n_features) for channel in self.channels}

    @property
    def kind(self) -> DatasetKind:
        """``signals``: windows are cut from running signals; ``utterances``: each is one utterance."""
        return kind_of(self.preprocessing)

    @property
    def signals(self) -> Preprocessing:
        """The preprocessing of running signals."""
        return _from_fields(Preprocessing, self.preprocessing)

    @property
    def speech(self) -> Utterances:
        """The preprocessing of utterances."""
        return _from_fields(Utterances, self.preprocessing)

    @property
    def is_calibrated(self) -> bool:
        """Whether the study itself ran the calibration stage, which it did not if that is borrowed from another technique."""
        return self.calibration is not None and self.technique != NOT_CALIBRATED

    def lines(self) -> list[str]:
        """The card as lines of text."""
        technique = f"{self.technique} {self.variant}".removesuffix(" -")
        score = "not defined" if self.auroc is None else f"{self.auroc:.3f} on {self.n_test} windows"
        people = f"{self.people} {'person' if self.people == 1 else 'people'} of {self.dataset}"
        if self.target_windows:
            people += f", {self.target_windows} calibration windows of {self.participant} among them"
        lines = [
            f"{self.spec.name} for {self.label} ({', '.join(self.classes)}), {technique}, trained on {people}",
            f"held out: {self.participant}, AUROC {score}; study {self.study}, trial {self.trial}"
            if self.participant
            else f"held out: nobody; study {self.study}",
            *(estimate.line for estimate in self.estimates),
            f"sees {', '.join(f'{c.name} ({c.recorded_hz:g} Hz, {c.unit})' for c in self.channels)}",
            f"calibration: {self.no_calibration or 'by marked windows, ' + ' or '.join(self.calibration.trainable if self.calibration else ())}",
        ]
        return [*lines, *([self.caution] if self.caution else []), f"licence of the data: {self.licence}"]


def _from_fields(cls: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from its fields.

    Raises:
        ValueError: if one is unknown, missing or of another type.
    """
    known = {field.name for field in fields(cls)}
    required = set(required_settings(values)) if cls is Preprocessing else known
    if wrong := (set(values) - known) | (required - set(values)):
        raise ValueError(f"preprocessing has {', '.join(sorted(wrong))} more or less than {cls.__name__} knows")
    checked: T = _ADAPTERS[cls].validate_json(json.dumps(dict(values)))
    return checked


def check_card(card: ModelCard) -> None:
    """Refuse values that this raylab does not know.

    Raises:
        ValueError: naming the value.
    """
    if card.reader not in DATASETS:
        raise ValueError(f"dataset {card.reader!r} is unknown")
    if card.calibration and (unknown := {part for parts in card.calibration.trainable.values() for part in parts} - set(PARTS)):
        raise ValueError(f"the parts {', '.join(sorted(unknown))} are unknown")
    check_windows([(c.name, c.length, c.n_features, c.recorded_hz / c.rate_hz) for c in card.channels], card.classes)
    preprocessing = card.speech if card.kind == "utterances" else card.signals
    if preprocessing.normalization != preprocessing.causal:
        raise ValueError(
            f"normalization {preprocessing.normalization!r} is none that a stream can have ({' or '.join(CAUSAL_NORMALIZATIONS)})"
        )
    if not preprocessing.can_stream:
        raise ValueError(
            "scale 'zscore' and detrend 'running_median' are none that a stream can have (minmax; none or high_pass)"
        )
    if not (0 < preprocessing.window_s < 3600 and 0 < preprocessing.step_s < 3600):
        raise ValueError(f"windows of {preprocessing.window_s} s every {preprocessing.step_s} s")
    if preprocessing.kind == "utterances":
        if missing := [name for name in ("trim_db", "step_ms") if name not in card.options]:
            raise ValueError(f"the options {', '.join(missing)} are missing")
        check_utterance_options(card.options)
        return
    if preprocessing.lowpass_order > MOST_LOWPASS_ORDER:
        raise ValueError(f"a low-pass of order {preprocessing.lowpass_order}")
    for channel in card.channels:
        factor = channel.recorded_hz / channel.rate_hz
        if (
            channel.variable
            or abs(factor - round(factor)) > 1e-9
            or channel.length != round(preprocessing.window_s * channel.rate_hz)
        ):
            raise ValueError(
                f"channel {channel.name}: {channel.length} samples of {channel.rate_hz:g} Hz from {channel.recorded_hz:g} Hz are no window"
            )
