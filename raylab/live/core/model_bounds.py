"""Bounds of a model file, checked before anything of its card's size is built: a card may name any width, and any length of a window."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from raylab.errors import RaylabError
from raylab.models.build import build_estimator
from raylab.models.network import PARTS, ModelSpec, Network
from raylab.models.registry import CLASSICAL_MODELS
from raylab.recordings.utterances import OPTIONS, check_options

# Number types that raylab's models are made of, and that numpy has.
TYPES = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL")
MOST_HEADER = 8_000_000
MOST_CHANNELS, MOST_CLASSES = 256, 1000
MOST_VALUES = 4_000_000  # of a window: a minute of a waveform is a quarter of it
MOST_RECORDED = 16_000_000  # values of a window as recorded, before it is resampled
MOST_LOWPASS_ORDER = 20

Shapes = Mapping[str, tuple[int, int]]


def header_of(data: bytes, path: str) -> dict[str, Any]:
    """The header of a safetensors file.

    Raises:
        ValueError: if the file has none, or one that is too long to be a model's, or names a tensor that is larger than the file.
        RaylabError: if a tensor is of a type that no model of raylab has.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError("it ends before its header does")
    if length > MOST_HEADER:
        raise ValueError(f"its header has {length} bytes, at most {MOST_HEADER} are read")
    try:
        header = json.loads(data[8 : 8 + length])
    except RecursionError:
        raise ValueError("its header nests too deep") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no mapping")
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__" and isinstance(entry, dict)}
    sides = {name: entry.get("shape") for name, entry in tensors.items()}
    for name, shape in sides.items():
        if not isinstance(shape, list) or not all(type(side) is int and 0 <= side <= len(data) for side in shape):
            raise ValueError(f"{name} is larger than the file, or of no size")
    other = [f"{name} is {entry.get('dtype')}" for name, entry in tensors.items() if entry.get("dtype") not in TYPES]
    if other:
        raise RaylabError(
            f"{path} holds numbers of a type that raylab does not write ({', '.join(other[:3])}; expected {', '.join(TYPES)}): "
            "export the model again with `raylab export`"
        )
    return header


def check_windows(channels: Sequence[tuple[str, int, int, float]], classes: Sequence[str]) -> None:
    """Refuse windows and classes of impossible size.

    Args:
        channels: name, length, number of features, and recorded samples for each of a window.

    Raises:
        ValueError: saying which.
    """
    for what, names, most in (
        ("channel", [name for name, *_ in channels], MOST_CHANNELS),
        ("class", list(classes), MOST_CLASSES),
    ):
        if not 1 <= len(names) <= most:
            raise ValueError(f"{len(names)} of kind {what}, expected 1 to {most}")
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{what} {', '.join(repeated)} stands twice")
    n_values = sum(length * n_features for _, length, n_features, _ in channels)
    n_recorded = sum(length * n_features * max(1.0, factor) for _, length, n_features, factor in channels)
    if n_values > MOST_VALUES or n_recorded > MOST_RECORDED:
        raise ValueError(
            f"a window of {n_values} values from {n_recorded:.0f} recorded ones; at most {MOST_VALUES} and {MOST_RECORDED} are read"
        )


def check_utterance_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a speech reader that mean nothing.

    Raises:
        ValueError: saying which.
    """
    try:
        check_options({**OPTIONS, **options})
    except RaylabError as error:
        raise ValueError(str(error)) from error


def other_weights(spec: ModelSpec, shapes: Shapes, n_classes: int, adapter: bool, found: Mapping[str, Tensor]) -> list[str]:
    """The names of weights that are missing, superfluous, or of another shape or type than those of the card's model; none of it is allocated."""
    if spec.encoder in CLASSICAL_MODELS:
        expected = _classical_shapes(spec, shapes, n_classes, found)
        return _differences({name: (shape, torch.float64) for name, shape in expected.items()}, found)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):  # shapes without memory
            network = Network(spec, shapes, n_classes, adapter)
    except Exception as error:  # a width or length that no layer can have raises nearly anything
        return [f"no network has these sizes: {error}"[:200]]
    state = {name: value for name, value in network.state_dict().items() if name.split(".")[0] in PARTS}
    return _differences({name: (tuple(value.shape), value.dtype) for name, value in state.items()}, found)


def _differences(expected: Mapping[str, tuple[tuple[int, ...], torch.dtype]], found: Mapping[str, Tensor]) -> list[str]:
    """Names in one of both only; and those of another shape or type."""
    common = sorted(set(expected) & set(found))
    other = [name for name in common if expected[name] != (tuple(found[name].shape), found[name].dtype)]
    details = [f"{name} is {list(found[name].shape)}, expected {list(expected[name][0])}" for name in other]
    return sorted(set(expected) ^ set(found)) + details


def _classical_shapes(
    spec: ModelSpec, shapes: Shapes, n_classes: int, found: Mapping[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """The arrays of a fitted classical model; some numbers, such as that of support vectors, are the file's own."""
    learned = found["classes"].tolist() if "classes" in found and found["classes"].dim() == 1 else []
    classes = [int(value) for value in learned if value in range(n_classes)]
    if not classes or len(classes) != len(learned) or classes != sorted(set(classes)):
        return {f"classes from 0 to {n_classes - 1}, found {learned[:5]}": ()}
    return build_estimator(spec.encoder, shapes, n_classes, chooses=spec.chooses_channels).stored_shapes(
        dict(shapes), len(classes), found
    )
