"""``NormStatistics``: the means and variances of batch norm taken from the target's unlabelled windows, without a gradient.

AdaBN (Li et al. 2016, Revisiting batch normalization for practical domain adaptation, algorithm 1) with the training people's statistics counted as a
number of windows (Schneider et al. 2020, Improving robustness against common corruptions by covariate shift adaptation, equation 3): with N such
windows and n of the target, mean = (N m_s + n m_t) / (N + n), and the variance alike. N = 0 is AdaBN.
"""

import torch
from torch import Tensor, nn

from raylab.folds.fold import RowIds
from raylab.models.network import Network
from raylab.techniques.method import NormStatistics
from raylab.training.batches import Signals
from raylab.training.job import Job, TrainingResult

MOST = 1024  # windows, evenly spaced over all, which bounds the memory: layers are normalized by all windows together


def batch_norms(network: Network) -> list[nn.BatchNorm1d]:
    """The batch norms of the channels that are used."""
    idle = {layer for module in network.trunk.unused for layer in module.modules()}
    return [m for m in network.trunk.modules() if isinstance(m, nn.BatchNorm1d) and m not in idle]


def _statistics(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def set_norm_statistics(job: Job) -> TrainingResult:
    """Set the statistics; ``online`` leaves them to the prediction (``OnlineStatistics``).

    Each layer's are those of its input when the layers before it are normalized by the target's windows, as in AdaBN. A layer that none of the
    windows reaches (a missing channel) keeps the training people's.
    """
    method, network = job.stage.method, job.network
    assert isinstance(method, NormStatistics)
    if method.online:
        return job.computed_at_once(0.0)
    rows = job.stage.unlabelled
    rows = rows[:: -(-len(rows) // MOST)]
    norms = batch_norms(network)
    before = [tuple(value.clone() for value in _statistics(norm)) for norm in norms]
    momentum = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.no_grad():
        network.features(job.signals.batch(rows, job.device))
        share = len(rows) / (len(rows) + method.prior)
        for norm, old, its_momentum in zip(norms, before, momentum, strict=True):
            norm.momentum = its_momentum
            for value, source in zip(_statistics(norm), old, strict=True):
                value.copy_((1 - share) * source + share * value)
    network.eval()
    return job.computed_at_once(0.0)


class OnlineStatistics:
    """Reads windows one by one in the order of time: each is normalized by the statistics of the training people, of the windows before it, and of
    itself.

    Each window counts as one, the training people's statistics as ``prior``. A window that lacks a channel moves nothing. The network is left as it
    was.

    Args:
        rows: all windows of the target, in the order of time, also those that are not asked for.
        prior: windows that the training people's statistics count for.
    """

    def __init__(self, rows: RowIds, prior: float) -> None:
        self.rows, self.prior = rows, prior

    def __call__(self, network: Network, signals: Signals, rows: RowIds, device: torch.device) -> Tensor:
        """Features (n, n_fused) of these rows."""
        norms = batch_norms(network)
        before = [tuple(value.clone() for value in _statistics(norm)) for norm in norms]
        wanted, features = set(rows.tolist()), {}
        network.eval()
        with torch.no_grad():
            count = self.prior
            for row in self.rows[self.rows <= rows.max()] if len(rows) else self.rows[:0]:
                batch = signals.batch(self.rows[self.rows == row], device)
                whole = all(bool((steps > 0).all()) for steps in batch.lengths.values())
                count += whole
                hooks = [norm.register_forward_pre_hook(_Move(1 / count)) for norm in norms] if whole else []
                found = network.features(batch)
                for hook in hooks:
                    hook.remove()
                if int(row) in wanted:
                    features[int(row)] = found[0]
            for norm, old in zip(norms, before, strict=True):
                for value, source in zip(_statistics(norm), old, strict=True):
                    value.copy_(source)
        parts = [features[int(row)] for row in rows]
        return torch.stack(parts) if parts else torch.zeros(0, network.trunk.n_out, device=device)


class _Move:
    """Before a batch norm normalizes one window, its statistics move by ``share`` to those that include it.

    The variance is about the new mean: (1 - a) v + a v' + a (1 - a) (m' - m)^2, for a window of mean m' and variance v' over its steps.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm1d)
        mean, variance = _statistics(norm)
        x = inputs[0].to(mean.dtype)  # bfloat16 under `precision: bf16`, in which no statistics are taken
        of_window, spread = x.mean(dim=(0, 2)), x.var(dim=(0, 2), unbiased=False)
        a, distance = self.share, of_window - mean
        variance.copy_((1 - a) * variance + a * spread + a * (1 - a) * distance.square())
        mean.add_(a * distance)
