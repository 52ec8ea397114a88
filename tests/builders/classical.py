"""Windows of three classes for the models without a network."""

import numpy as np
import torch

from raylab.models.batch import Batch
from raylab.models.registry import CLASSICAL_MODELS

CLASSES = np.array([0, 1, 2] * 10)


def batch_for(name: str, lacking: tuple[int, ...] = ()) -> Batch:
    """``made_batch`` for a model; whole windows for one that takes no others."""
    return made_batch(lacking, whole=not CLASSICAL_MODELS[name].variable)


def made_batch(lacking: tuple[int, ...] = (), whole: bool = False) -> Batch:
    """30 windows of three classes in ``a`` (20 steps, 2 features) and ``b`` (9 steps, of variable length).

    Args:
        lacking: windows without ``b``.
        whole: every other window has all steps of ``b``.
    """
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(0, 1, (30, 20, 2)), "b": rng.normal(0, 1, (30, 9, 1))}
    values["a"][:, :, 0] += CLASSES[:, None] * np.linspace(0, 2, 20)  # a class is a slope
    values["b"] += CLASSES[:, None, None]
    steps = np.where(np.isin(np.arange(30), lacking), 0, 9 if whole else 3 + np.arange(30) % 7)
    values["b"][np.arange(9) >= steps[:, None]] = 0.0
    return Batch({name: torch.from_numpy(x.astype(np.float32)) for name, x in values.items()}, {"b": torch.from_numpy(steps)})


def some_of(batch: Batch, rows: np.ndarray) -> Batch:  # type: ignore[type-arg]  # positions or a mask
    """These windows alone."""
    return Batch({name: x[rows] for name, x in batch.values.items()}, {name: n[rows] for name, n in batch.lengths.items()})
