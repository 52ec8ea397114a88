"""Model files: weights, and everything that is needed to use them on a stream. One safetensors file; nothing in it is ever executed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from raylab.errors import RaylabError
from raylab.folds.seeding import FoldSeeds
from raylab.hashing import hash_array, hash_record
from raylab.models.build import Model, build_model
from raylab.models.network import PARTS, ModelSpec
from raylab.models.registry import FUSIONS, MODEL_NAMES
from raylab.recordings import DATASETS
from raylab.recordings.recording import DatasetKind
from raylab.training.augment import Augmentation
from raylab.training.protocol import Hyperparameters
from raylab.windows.card import kind_of
from raylab.windows.preprocess import Preprocessing
from raylab.windows.utterances import Utterances

T = TypeVar("T", Preprocessing, Utterances)

NOW, BEFORE = "now", "before"  # prefixes: weights of the model; of the parts that a calibration trains, before it
CARD = "raylab"  # key of the card among the metadata
CAUSAL_NORMALIZATIONS = (Preprocessing.causal, Utterances.causal)  # those that use no later samples
EXPORT_AGAIN = "export it again with this raylab, or use the raylab that wrote it"


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


class ModelCard(_CardPart):
    """Description of a model: its network, its origin in a study, its score.

    Attributes:
        options: of the reader; of speech they decide how sound and words become features.
        people: number of participants that its last stage was trained on.
        participant: the target of the study, who was held out; a calibrated technique has seen the target's calibration windows.
        draws: fields of the fold's ``FoldSeeds``: a calibration by the wearer makes the same random draws as the study's.
        auroc: on the target's test windows; None if it is not defined.
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

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: dict[str, Any]) -> dict[str, Any]:
        spec = ModelSpec.from_dict(value)
        if spec.encoder not in MODEL_NAMES or spec.fusion not in FUSIONS:
            raise ValueError(f"encoder {spec.encoder!r} with fusion {spec.fusion!r} is unknown to this raylab")
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

    def lines(self) -> list[str]:
        """The card as lines of text."""
        technique = f"{self.technique} {self.variant}".removesuffix(" -")
        score = "not defined" if self.auroc is None else f"{self.auroc:.3f} on {self.n_test} windows"
        lines = [
            f"{self.spec.name} for {self.label} ({', '.join(self.classes)}), {technique}, trained on {self.people} people of {self.dataset}",
            f"held out: {self.participant}, AUROC {score}; study {self.study}, trial {self.trial}",
            f"sees {', '.join(f'{c.name} ({c.recorded_hz:g} Hz, {c.unit})' for c in self.channels)}",
            f"calibration: {self.no_calibration or 'by marked windows, ' + ' or '.join(self.calibration.trainable if self.calibration else ())}",
        ]
        return [*lines, *([self.caution] if self.caution else []), f"licence of the data: {self.licence}"]


def _from_fields(cls: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from its fields.

    Raises:
        ValueError: if one is unknown or missing.
    """
    expected = {field.name for field in fields(cls)}
    if set(values) != expected:
        raise ValueError(
            f"preprocessing has {', '.join(sorted(set(values) ^ expected))} more or less than {cls.__name__} knows"
        )
    return cls(**values)


def hyper_of(calibration: CalibrationCard) -> Hyperparameters:
    """The hyperparameters of a calibration stage, from the fields that ``Hyperparameters.as_dict`` wrote."""
    values = dict(calibration.hyper)
    augmentation = values.pop("augmentation", None)
    return Hyperparameters(**values, augmentation=Augmentation(**augmentation) if augmentation else None)


@dataclass(frozen=True)
class LiveModel:
    """The content of a model file.

    Attributes:
        weights: of all its parts.
        weights_before: of the parts that a calibration trains, before the study's own calibration; empty if the study did none.
    """

    card: ModelCard
    weights: Mapping[str, Tensor]
    weights_before: Mapping[str, Tensor]

    def network(self, calibrated: bool = True) -> Model:
        """The model with its weights.

        Args:
            calibrated: whether as the study left it, or as it was before it saw any window of the target.

        Raises:
            RaylabError: if the weights are not this model's.
        """
        card = self.card
        network = build_model(card.spec, card.shapes, len(card.classes), card.adapter, FoldSeeds(**card.draws))
        expected = network.state_of(PARTS)
        _refuse_other_weights(expected, self.weights)
        network.load_parts(self.weights)
        if not calibrated and self.weights_before:
            network.load_parts(self.weights_before)
        return network

    @property
    def hyper(self) -> Hyperparameters:
        """Hyperparameters of the calibration stage."""
        assert self.card.calibration is not None
        return hyper_of(self.card.calibration)


def _refuse_other_weights(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Compare names and shapes, unless nothing is expected: a classical model has no arrays before it is fitted.

    Raises:
        RaylabError: if they differ.
    """
    if not expected:
        return
    differing = sorted(set(expected) ^ set(weights))
    differing += sorted(name for name in set(expected) & set(weights) if expected[name].shape != weights[name].shape)
    if differing:
        raise RaylabError(f"the model file's weights are not those of its network ({', '.join(differing[:3])}); {EXPORT_AGAIN}")


def _digest(card: str, tensors: Mapping[str, Tensor]) -> str:
    return hash_record([card, {name: hash_array(_array(value)) for name, value in sorted(tensors.items())}])


def _array(value: Tensor) -> npt.NDArray[Any]:
    return np.ascontiguousarray(value.numpy())


def as_bytes(model: LiveModel) -> bytes:
    """The bytes of a model file."""
    tensors = {f"{NOW}.{name}": value for name, value in model.weights.items()}
    tensors |= {f"{BEFORE}.{name}": value.clone() for name, value in model.weights_before.items()}
    card = model.card.model_dump_json()
    return bytes(save(tensors, {CARD: card, "digest": _digest(card, tensors)}))


def write_model(model: LiveModel, path: Path) -> None:
    """Write a model file; it appears at its path only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(as_bytes(model))
    partial.replace(path)


def read_model(path: Path) -> LiveModel:
    """Read a model file.

    Raises:
        RaylabError: if it is no model file, is damaged, has another format, or names something that this raylab does not know.
    """
    return from_bytes(path.read_bytes(), str(path))


def from_bytes(data: bytes, path: str) -> LiveModel:
    """The model in the bytes of a file.

    Args:
        path: named in messages.

    Raises:
        RaylabError: as ``read_model``.
    """
    try:
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise RaylabError(f"{path} is no model file ({error}); write one with `raylab export`") from error
    if CARD not in metadata:
        raise RaylabError(f"{path} holds weights and no card: it is no model file; write one with `raylab export`")
    if metadata.get("digest") != _digest(metadata[CARD], tensors):
        raise RaylabError(f"{path} is damaged: its contents are not those that were written; export it again")
    try:
        card = ModelCard.model_validate_json(metadata[CARD])
        _check_card(card)
    except (ValidationError, ValueError, TypeError) as error:
        raise RaylabError(f"{path} holds what this raylab does not know; {EXPORT_AGAIN}. {error}") from error
    parts = {
        prefix: {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
        for prefix in (NOW, BEFORE)
    }
    return LiveModel(card, parts[NOW], parts[BEFORE])


def _check_card(card: ModelCard) -> None:
    """Refuse values that this raylab does not know.

    Raises:
        ValueError: naming the value.
    """
    if card.calibration:
        hyper_of(card.calibration)
    if card.reader not in DATASETS:
        raise ValueError(f"dataset {card.reader!r} is unknown")
    preprocessing = card.speech if card.kind == "utterances" else card.signals
    if preprocessing.normalization != preprocessing.causal:
        raise ValueError(
            f"normalization {preprocessing.normalization!r} is none that a stream can have ({' or '.join(CAUSAL_NORMALIZATIONS)})"
        )
    if not (0 < preprocessing.window_s < 3600 and 0 < preprocessing.step_s < 3600):
        raise ValueError(f"windows of {preprocessing.window_s} s every {preprocessing.step_s} s")
    if preprocessing.kind == "utterances":
        if missing := [name for name in ("trim_db", "step_ms") if name not in card.options]:
            raise ValueError(f"the options {', '.join(missing)} are missing")
        return
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


def draws_of(draws: FoldSeeds) -> dict[str, Any]:
    """The draws as a card holds them."""
    return asdict(draws)
