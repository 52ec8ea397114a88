"""A model file: weights, and everything that is needed to use them on a stream. One safetensors file; nothing in it is ever executed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from raylab.errors import RaylabError
from raylab.folds.seeding import FoldSeeds
from raylab.hashing import hash_array, hash_record
from raylab.live.core.model_bounds import (
    MOST_LOWPASS_ORDER,
    check_hyperparameters,
    check_utterance_options,
    check_windows,
    header_of,
    other_weights,
)
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

_CHECKS: dict[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (Preprocessing, Utterances)}
NOW, BEFORE = "now", "before"  # weights of the model; of the parts that a calibration starts from
CARD = "raylab"
CAUSAL = (Preprocessing.causal, Utterances.causal)  # normalizations that use nothing of the person that is still to come
READ_AGAIN = "export it again with this raylab, or use the raylab that wrote it"


class _CardPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelChannel(_CardPart):
    """One channel that the model sees: as recorded, and as its windows hold it (length, n_features)."""

    name: str
    modality: str
    recorded_hz: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    rate_hz: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    unit: str
    length: int = Field(ge=1, le=10_000_000)
    n_features: int = Field(ge=1, le=100_000)
    variable: bool = False


class CalibrationCard(_CardPart):
    """The technique's calibration stage, to be run on windows that the wearer labels.

    Attributes:
        trainable: how many layers to the parts that are then trained.
        hyper: after all overrides, as in the study.
    """

    stage: str
    trainable: dict[str, tuple[str, ...]] = Field(validation_alias=AliasChoices("trainable", "frees"))  # files of before 0.2
    hyper: dict[str, Any]


class ModelCard(_CardPart):
    """What a model is, where it comes from and how well it did.

    Attributes:
        options: the reader's; of speech they say how sound and words become features.
        people: how many people its last stage was trained on.
        participant: who was held out; a calibrated technique has seen this person's calibration windows.
        draws: of its fold: a calibration draws from them what the study's would draw.
        auroc: on the held-out person's test windows; None where it is not defined.
        no_calibration: why the wearer cannot calibrate it; empty where ``calibration`` is given.
        sentences: what a recognizer may hear, where the words are a channel.
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
        return ModelSpec.from_dict(self.model)

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        return {channel.name: (channel.length, channel.n_features) for channel in self.channels}

    @property
    def kind(self) -> DatasetKind:
        """``signals``: windows are cut from running signals; ``utterances``: each is one utterance."""
        return kind_of(self.preprocessing)

    @property
    def signals(self) -> Preprocessing:
        """How running signals become windows."""
        return _of(Preprocessing, self.preprocessing)

    @property
    def speech(self) -> Utterances:
        """How utterances become windows."""
        return _of(Utterances, self.preprocessing)

    def lines(self) -> list[str]:
        """For people."""
        how = f"{self.technique} {self.variant}".removesuffix(" -")
        score = "not defined" if self.auroc is None else f"{self.auroc:.3f} on {self.n_test} windows"
        said = [
            f"{self.spec.name} for {self.label} ({', '.join(self.classes)}), {how}, trained on {self.people} people of {self.dataset}",
            f"held out: {self.participant}, AUROC {score}; study {self.study}, trial {self.trial}",
            f"sees {', '.join(f'{c.name} ({c.recorded_hz:g} Hz, {c.unit})' for c in self.channels)}",
            f"calibration: {self.no_calibration or 'by marked windows, ' + ' or '.join(self.calibration.trainable if self.calibration else ())}",
        ]
        return [*said, *([self.caution] if self.caution else []), f"licence of the data: {self.licence}"]


def _of(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass from its fields.

    Raises:
        ValueError: where there are others, or some are missing.
    """
    known = {field.name for field in fields(kind)}
    if set(values) != known:
        raise ValueError(f"preprocessing has {', '.join(sorted(set(values) ^ known))} more or less than {kind.__name__} knows")
    checked: T = _CHECKS[kind].validate_json(json.dumps(dict(values)))
    return checked


def hyper_of(calibration: CalibrationCard) -> Hyperparameters:
    """The stage's hyperparameters, as ``Hyperparameters.as_dict`` wrote them."""
    values = dict(calibration.hyper)
    augmentation = values.pop("augmentation", None)
    return Hyperparameters(**values, augmentation=Augmentation(**augmentation) if augmentation else None)


@dataclass(frozen=True)
class LiveModel:
    """A model as it is in a file.

    Attributes:
        weights: of all its parts.
        before: of the parts that a calibration trains, before the calibration that the study did; empty where it did none.
    """

    card: ModelCard
    weights: Mapping[str, Tensor]
    before: Mapping[str, Tensor]

    def network(self, calibrated: bool = True) -> Model:
        """The model, ready to predict.

        Args:
            calibrated: as the study left it; otherwise as it was before it saw anything of the held-out person.

        Raises:
            RaylabError: where the weights are not this model's.
        """
        card = self.card
        self.refuse_other_weights()
        network = build_model(card.spec, card.shapes, len(card.classes), card.adapter, FoldSeeds(**card.draws))
        network.load_parts(self.weights)
        if not calibrated and self.before:
            network.load_parts(self.before)
        return network

    def refuse_other_weights(self) -> None:
        """Refuse weights that are not of the card's network, before a network of the card's size is built.

        Raises:
            RaylabError: naming some of them.
        """
        card = self.card
        wrong = other_weights(card.spec, card.shapes, len(card.classes), card.adapter, self.weights)
        same = {name for name, value in self.before.items() if name in self.weights and self.weights[name].shape == value.shape}
        wrong += sorted(f"{BEFORE}.{name}" for name in set(self.before) - same)
        if wrong:
            raise RaylabError(f"the model file's weights are not those of its network ({', '.join(wrong[:3])}); {READ_AGAIN}")

    @property
    def hyper(self) -> Hyperparameters:
        """Of the calibration stage."""
        assert self.card.calibration is not None
        return hyper_of(self.card.calibration)


def _digest(card: str, tensors: Mapping[str, Tensor]) -> str:
    return hash_record([card, {name: hash_array(_array(value)) for name, value in sorted(tensors.items())}])


def _array(value: Tensor) -> npt.NDArray[Any]:
    return np.ascontiguousarray(value.numpy())


def as_bytes(model: LiveModel) -> bytes:
    """A model file's content."""
    tensors = {f"{NOW}.{name}": value for name, value in model.weights.items()}
    tensors |= {f"{BEFORE}.{name}": value.clone() for name, value in model.before.items()}
    card = model.card.model_dump_json()
    return bytes(save(tensors, {CARD: card, "digest": _digest(card, tensors)}))


def write_model(model: LiveModel, path: Path) -> None:
    """Write a model file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(as_bytes(model))
    partial.replace(path)


def read_model(path: Path) -> LiveModel:
    """Read a model file.

    Raises:
        RaylabError: where it is no model file, damaged, of another format, or names what this raylab does not know.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RaylabError(
            f"{path} cannot be read ({error.strerror or error}); write a model file with `raylab export`"
        ) from error
    return from_bytes(data, str(path))


def from_bytes(data: bytes, path: str) -> LiveModel:
    """A model file's content; ``path`` is named in messages."""
    try:
        said = header_of(data, path).get("__metadata__", {})
        tensors = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError, OverflowError) as error:
        raise RaylabError(f"{path} is no model file ({error}); write one with `raylab export`") from error
    if CARD not in said:
        raise RaylabError(f"{path} holds weights and no card: it is no model file; write one with `raylab export`")
    if said.get("digest") != _digest(said[CARD], tensors):
        raise RaylabError(f"{path} is damaged: its contents are not those that were written; export it again")
    try:
        card = ModelCard.model_validate_json(said[CARD])
        _check(card)
    except (ValidationError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise RaylabError(f"{path} holds what this raylab does not know; {READ_AGAIN}. {error}") from error
    parts = {
        kind: {name.removeprefix(f"{kind}."): value for name, value in tensors.items() if name.startswith(f"{kind}.")}
        for kind in (NOW, BEFORE)
    }
    model = LiveModel(card, parts[NOW], parts[BEFORE])
    try:
        model.refuse_other_weights()
    except RaylabError as error:
        raise RaylabError(f"{path}: {error}") from None
    return model


def _check(card: ModelCard) -> None:
    """Refuse values that mean nothing to this raylab.

    Raises:
        ValueError: saying which.
    """
    FoldSeeds(**card.draws)
    if card.calibration:
        hyper_of(card.calibration)
        check_hyperparameters(card.calibration.hyper)
        if unknown := {part for parts in card.calibration.trainable.values() for part in parts} - set(PARTS):
            raise ValueError(f"the parts {', '.join(sorted(unknown))} are unknown")
    check_windows([(c.name, c.length, c.n_features, c.recorded_hz / c.rate_hz) for c in card.channels], card.classes)
    if card.reader not in DATASETS:
        raise ValueError(f"dataset {card.reader!r} is unknown")
    how = card.speech if card.kind == "utterances" else card.signals
    if how.normalization != how.causal:
        raise ValueError(f"normalization {how.normalization!r} is none that a stream can have ({' or '.join(CAUSAL)})")
    if not (0 < how.window_s < 3600 and 0 < how.step_s < 3600):
        raise ValueError(f"windows of {how.window_s} s every {how.step_s} s")
    if how.kind == "utterances":
        if lacking := [name for name in ("trim_db", "step_ms") if name not in card.options]:
            raise ValueError(f"the options {', '.join(lacking)} are missing")
        check_utterance_options(card.options)
        return
    if how.lowpass_order > MOST_LOWPASS_ORDER:
        raise ValueError(f"a low-pass of order {how.lowpass_order}")
    for channel in card.channels:
        factor = channel.recorded_hz / channel.rate_hz
        if channel.variable or abs(factor - round(factor)) > 1e-9 or channel.length != round(how.window_s * channel.rate_hz):
            raise ValueError(
                f"channel {channel.name}: {channel.length} samples of {channel.rate_hz:g} Hz from {channel.recorded_hz:g} Hz are no window"
            )


def draws_of(draws: FoldSeeds) -> dict[str, Any]:
    """As a card holds them."""
    return asdict(draws)
