"""Weights of windows: what a selection gives, and what the loss makes of them."""

import numpy as np
import torch
from builders.training import context_of
from builders.windows import make_windows

from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.selection import SimilarWeigh
from raylab.techniques.similarity import vectors
from raylab.training.protocol import Protocol
from raylab.training.regularize import Targets
from raylab.training.stage_hash import plan_stages


def test_weights_of_windows_are_those_of_their_people() -> None:
    """exp(-d / (temperature x median d)), mean 1 over the training windows; equal weights are the stage of everyone else."""
    ages = {f"P{i}": {"age": float(20 + 5 * i)} for i in range(1, 7)}
    windows = make_windows({name: [0] * 5 + [1] * 5 for name in ages}, traits=ages)
    context = context_of(windows)
    split = SimilarWeigh("traits", 0.5).choose(context.fold)
    assert split.weights is not None
    others, target = vectors(context.fold, "traits")
    distance = np.linalg.norm(others - target, axis=1)
    expected = np.exp(-distance / (0.5 * np.median(distance)))
    who = windows.index.participant_index[np.concatenate([split.train, split.validation])] - 1
    np.testing.assert_allclose(split.weights / split.weights[0], expected[who] / expected[who[0]])
    assert np.isclose(1, split.weights[: len(split.train)].mean())
    same_age = make_windows({name: [0] * 5 + [1] * 5 for name in ages}, traits={name: {"age": 30.0} for name in ages})
    context = context_of(same_age)
    variants = [("non_personalized", {}), ("similarity_weighting", {"by": "traits", "temperature": 0.5})]
    hashes = {plan_stages(context, TECHNIQUES[name].stages(v), Protocol())[0].hash for name, v in variants}
    assert 1 == len(hashes)


def test_a_weight_is_as_good_as_a_copy() -> None:
    """The loss with a weight of 2 is that of the window twice; weights of 1 change nothing."""
    logits, y = torch.randn(3, 2), torch.tensor([0, 1, 1])
    doubled = Targets(y, weight=torch.tensor([2.0, 1.0, 1.0])).loss(logits)
    copies = Targets(y[[0, 0, 1, 2]]).loss(logits[[0, 0, 1, 2]])
    torch.testing.assert_close(3 * doubled, 4 * copies)
    torch.testing.assert_close(Targets(y, weight=torch.ones(3)).loss(logits), Targets(y).loss(logits))
