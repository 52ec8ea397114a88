"""``AnchoredHead``: the head that fits the calibration windows best while it stays near the head of before (maximum a posteriori).

Minimized is the sum of the cross-entropy over the calibration windows plus strength / 2 times the squared distance of weights and biases to those of
before: the posterior's mode with a Gaussian prior around the training people's head, of variance 1 / strength (the hierarchical view of
fine-tuning; Li, Grandvalet and Davoine 2018, Explicit inductive bias for transfer learning, equation 2, with the head alone). On fixed features this
is convex, so it is solved (L-BFGS in double precision) instead of stepped: the stage's learning rate and epochs have no effect.

How strong the prior should be is a question about people, which the target cannot answer without a look at its test. It is asked of pseudo-targets:
people who validated the base training, to whom the trunk was not fitted either. Each gives the calibration windows that the target gives.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raylab.folds.fold import RowIds
from raylab.techniques.method import AnchoredHead
from raylab.training.job import Job, TrainingError, TrainingResult, features_of

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)  # part of the numerics: a change raises NUMERICS (raylab.training.stage_hash)
UNCHOSEN = 10.0  # if no pseudo-target has enough windows
Head = tuple[Tensor, Tensor]


def solve(head: Head, x: Tensor, y: Tensor, strength: float) -> Head:
    """Weights (n_classes, n_features) and biases (n_classes,) of the minimum.

    Args:
        head: those of before, in double precision.
        x: (n, n_features) features of the calibration windows.
        y: (n,) their classes.
    """
    moved = [part.clone().requires_grad_(True) for part in head]
    optimizer = torch.optim.LBFGS(
        moved, max_iter=200, tolerance_grad=1e-8, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def objective() -> float:
        optimizer.zero_grad()
        distance = sum(((new - old) ** 2).sum() for new, old in zip(moved, head, strict=True))
        loss = F.cross_entropy(x @ moved[0].T + moved[1], y, reduction="sum") + strength / 2 * distance
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        return float(loss.detach())

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    return moved[0].detach(), moved[1].detach()


def choose_strength(head: Head, people: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]) -> float:
    """The strength with the lowest cross-entropy on the pseudo-targets' test windows, averaged over them; of equals the strongest.

    Args:
        people: of each pseudo-target features and classes of the calibration windows, and of the test windows.
    """
    if not people:
        return UNCHOSEN
    losses = []
    for strength in STRENGTHS:
        solved = [(solve(head, x, y, strength), test_x, test_y) for x, y, test_x, test_y in people]
        losses.append(np.mean([float(F.cross_entropy(x @ w.T + b, y)) for (w, b), x, y in solved]))
    return STRENGTHS[len(losses) - 1 - int(np.argmin(losses[::-1]))]


def fit_anchored_head(job: Job) -> TrainingResult:
    """Set the head of a network to the minimum; the record of the training says the strength."""
    network, stage, method = job.network, job.stage, job.stage.method
    assert isinstance(method, AnchoredHead)
    linear = network.head
    if not isinstance(linear, torch.nn.Linear):
        raise TrainingError(
            "head_map moves a linear head, and this network has another; use late, early, stacked or attention fusion"
        )
    head = (linear.weight.detach().cpu().double(), linear.bias.detach().cpu().double())

    def of(rows: RowIds) -> tuple[Tensor, Tensor]:
        x = features_of(network, job.signals, rows, job.device).cpu().double()
        return x, torch.from_numpy(job.classes[rows])

    strength = method.strength
    if strength is None:
        strength = choose_strength(head, [(*of(given), *of(rest)) for given, rest in stage.pseudo_targets if len(rest)])
    x, y = of(stage.train)
    weight, bias = solve(head, x, y, strength)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    network.eval()
    return job.computed_at_once(float(F.cross_entropy(x @ weight.T + bias, y)), strength=strength)
