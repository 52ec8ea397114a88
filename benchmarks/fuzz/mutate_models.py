"""Damage behind the digest of a model file: another card or other weights, and the digest that goes with them."""

import json
import random
from collections.abc import Sequence

import numpy as np
import torch
from safetensors.torch import load, save

from benchmarks.fuzz.mutate_bytes import BINARY, Mutator
from benchmarks.fuzz.mutate_trees import change_tree
from raylab.live.core.model_file import CARD, _digest


def change_model(data: bytes, rng: random.Random) -> bytes:
    """A model file with another card or other weights, and the digest that goes with them: what a hostile writer would send."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        tensors, card = dict(load(data)), header["__metadata__"][CARD]
        if rng.random() < 0.7:
            card = json.dumps(change_tree(json.loads(card), rng))
        else:
            name = rng.choice(list(tensors))
            other = _other_tensor(tensors.pop(name), rng)
            tensors |= {} if other is None else {rng.choice((name, name, f"{name}x")): other}
        return bytes(save(tensors, {CARD: card, "digest": _digest(card, tensors)}))
    except Exception:  # an earlier change has damaged the file, or a card that JSON cannot hold
        return rng.choice(BINARY)(data, rng)


def _other_tensor(tensor: torch.Tensor, rng: random.Random) -> torch.Tensor | None:
    """Another shape, type or value; None for none."""
    return rng.choice(
        (
            lambda: None,
            lambda: tensor.reshape(-1).clone(),
            lambda: tensor.to(torch.float64),
            lambda: tensor.to(torch.int8),
            lambda: torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else tensor,
            lambda: torch.full_like(tensor, 1e38) if tensor.is_floating_point() else tensor,
            lambda: torch.zeros(0, dtype=tensor.dtype),
            lambda: torch.from_numpy(np.repeat(tensor.numpy(), 2, axis=0)) if tensor.ndim else tensor,
        )
    )()


MODEL: Sequence[Mutator] = (*[change_model] * 10, *BINARY)
