"""Model files: weights, and everything that is needed to use them on a stream. One safetensors file; nothing in it is ever executed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from raylab.errors import RaylabError, first_of, readable
from raylab.hashing import hash_array, hash_record
from raylab.live.core.model_bounds import header_of, other_weights
from raylab.live.core.model_card import ModelCard, check_card
from raylab.models.build import Model, build_estimator
from raylab.models.network import Network
from raylab.models.registry import CLASSICAL_MODELS
from raylab.windows.card_problems import field_problem

NOW, BEFORE = "now", "before"  # prefixes: weights of the model; of the parts that a calibration trains, before it
CARD = "raylab"  # key of the card among the metadata
EXPORT_AGAIN = "export it again with this raylab, or use the raylab that wrote it"


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

    def network(self, calibrated: bool = True, untrained: Model | None = None) -> Model:
        """The model with its weights.

        Args:
            calibrated: whether as the study left it, or as it was before it saw any window of the target.
            untrained: takes the weights; a new one that can only predict unless given (``_blank``).

        Raises:
            RaylabError: if the weights are not this model's, or the file does not hold those of before the target was seen.
        """
        self.refuse_other_weights()
        if not calibrated:
            self._refuse_calibrated_only()
        network = _blank(self.card) if untrained is None else untrained
        network.load_parts(self.weights)
        if not calibrated and self.weights_before:
            network.load_parts(self.weights_before)
        return network

    def _refuse_calibrated_only(self) -> None:
        """Refuse to take weights that have seen the target's calibration windows for those of before.

        Raises:
            RaylabError: naming the weights of before that the file lacks.
        """
        if not self.card.is_calibrated or self.card.calibration is None:
            return
        parts = {part for trained in self.card.calibration.trainable.values() for part in trained}
        classical = self.card.spec.encoder in CLASSICAL_MODELS
        missing = [
            name for name in sorted(set(self.weights) - set(self.weights_before)) if classical or name.split(".")[0] in parts
        ]
        if missing:
            raise RaylabError(
                f"this {self.card.spec.encoder} of {self.card.technique} has seen the calibration windows of {self.card.participant}, and its file "
                f"does not hold what it was before ({', '.join(missing[:3])}): it cannot be calibrated. Use it without --calibrate, or export "
                "a trial of non_personalized or fine_tuning"
            )

    def refuse_other_weights(self) -> None:
        """Refuse weights that are not of the card's network, before a network of the card's size is built.

        Raises:
            RaylabError: naming some of them.
        """
        card = self.card
        differing = other_weights(card.spec, card.shapes, len(card.classes), card.adapter, self.weights)
        equal = {
            name
            for name, value in self.weights_before.items()
            if name in self.weights and self.weights[name].shape == value.shape
        }
        differing += sorted(f"{BEFORE}.{name}" for name in set(self.weights_before) - equal)
        if differing:
            raise RaylabError(
                f"the model file's weights are not those of its network ({', '.join(differing[:3])}); {EXPORT_AGAIN}"
            )


def _blank(card: ModelCard) -> Model:
    """A model of which every weight is still to be loaded, so that none needs to be drawn from a study's seeds."""
    if card.spec.encoder in CLASSICAL_MODELS:
        return build_estimator(card.spec.encoder, card.shapes, len(card.classes), chooses=card.spec.chooses_channels)
    with torch.random.fork_rng(devices=[]):  # torch's own initial weights leave the process's random stream as it was
        return Network(card.spec, card.shapes, len(card.classes), card.adapter)


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
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RaylabError(
            f"{path} cannot be read ({error.strerror or error}); write a model file with `raylab export`"
        ) from error
    return from_bytes(data, str(path))


def from_bytes(data: bytes, path: str) -> LiveModel:
    """The model in the bytes of a file.

    Args:
        path: named in messages.

    Raises:
        RaylabError: as ``read_model``.
    """
    try:
        metadata = header_of(data, path).get("__metadata__", {})
        tensors = load(data)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError, OverflowError) as error:
        raise RaylabError(f"{path} is no model file ({error}); write one with `raylab export`") from error
    if CARD not in metadata:
        raise RaylabError(f"{path} holds weights and no card: it is no model file; write one with `raylab export`")
    if metadata.get("digest") != _digest(metadata[CARD], tensors):
        raise RaylabError(f"{path} is damaged: its contents are not those that were written; export it again")
    try:
        card = ModelCard.model_validate_json(metadata[CARD])
        check_card(card)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        fields = [field_problem(detail) for detail in error.errors()] if isinstance(error, ValidationError) else [str(error)]
        raise RaylabError(
            f"{path} holds what this raylab does not know; {EXPORT_AGAIN}. {readable(first_of(fields))}"
        ) from error
    parts = {
        prefix: {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
        for prefix in (NOW, BEFORE)
    }
    model = LiveModel(card, parts[NOW], parts[BEFORE])
    try:
        model.refuse_other_weights()
    except RaylabError as error:
        raise RaylabError(f"{path}: {error}") from None
    return model
