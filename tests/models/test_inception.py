"""The encoder ``inception`` against the published architecture: its parameters, counted by hand, and its modules, written out."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from raylab.models.inception import Inception


def _module(n_in: int) -> int:
    """A module with a bottleneck: 1 x 1 to 32 maps; kernels of 40, 20, 10, 32 to 32 maps; 1 x 1 after pooling; batch norm of 128."""
    return n_in * 32 + 32 * 32 * (40 + 20 + 10) + n_in * 32 + 2 * 128


@pytest.mark.parametrize(
    ("n_features", "first"),
    # one feature needs no bottleneck, as in the public code: its kernels read it directly
    [(1, 32 * (40 + 20 + 10) + 32 + 2 * 128), (3, _module(3))],
)
def test_parameters_are_the_published_ones(n_features: int, first: int) -> None:
    """Six modules and two shortcuts (1 x 1 to 128 maps with batch norm), no biases: 420,192 for one feature."""
    expected = first + 5 * _module(128) + (n_features * 128 + 2 * 128) + (128 * 128 + 2 * 128)

    counted = sum(parameter.numel() for parameter in Inception(100, n_features, 1.0).parameters())

    assert expected == counted
    if n_features == 1:
        assert 420_192 == counted


def test_a_module_is_what_the_paper_draws() -> None:
    """Convolutions of three lengths behind a bottleneck and one behind max pooling, side by side, batch norm and ReLU; 'same' length."""
    encoder = Inception(50, 2, 0.25).eval()
    module, x = encoder.blocks[0], torch.randn(3, 2, 50, generator=torch.Generator().manual_seed(0))
    weights = module.state_dict()
    inner = np.einsum("oi,nil->nol", weights["bottleneck.weight"][:, :, 0].numpy(), x.numpy())
    parts = []
    for number, kernel in enumerate((40, 20, 10)):
        padded = np.pad(inner, ((0, 0), (0, 0), (kernel // 2 - 1, kernel // 2)))
        stretches = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=2)
        parts.append(np.einsum("oik,nilk->nol", weights[f"convs.{number}.weight"].numpy(), stretches))
    x_padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    pooled = np.lib.stride_tricks.sliding_window_view(x_padded, 3, axis=2).max(axis=3)
    parts.append(np.einsum("oi,nil->nol", weights["after_pool.weight"][:, :, 0].numpy(), pooled))
    expected = np.maximum(np.concatenate(parts, axis=1) / np.sqrt(1 + 1e-3), 0)  # batch norm as it starts

    with torch.no_grad():
        np.testing.assert_allclose(expected, module(x, None).numpy(), atol=1e-5)


def test_a_shortcut_leads_around_every_three_modules() -> None:
    """The input of the modules passes a convolution of length 1 and is added before ReLU, twice."""
    encoder = Inception(30, 1, 0.1).eval()
    x = torch.randn(2, 30, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = before = x.transpose(1, 2)
        for third, shortcut in enumerate(encoder.shortcuts):
            for block in encoder.blocks[3 * third : 3 * third + 3]:
                out = block(out, None)
            assert isinstance(shortcut.conv, torch.nn.Conv1d)
            out = before = F.relu(out + shortcut.norm(shortcut.conv(before)))  # type: ignore[operator]  # a module attribute

        torch.testing.assert_close(out.mean(dim=2), encoder(x))
