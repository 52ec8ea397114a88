"""Initial weights are Keras's, drawn from the fold's seeds and from nothing else."""

import numpy as np
import pytest
import torch
from builders.forward_pass import DRAWS, tiny
from torch import nn

from raylab.models.network import PARTS, ModelSpec, Network, build
from raylab.models.registry import ENCODERS


def fans(network: Network) -> dict[str, tuple[torch.Tensor, int]]:
    """Every Glorot weight by name, with fan in + fan out as Keras counts them."""
    found: dict[str, tuple[torch.Tensor, int]] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d):
            found[name] = module.weight.detach(), (module.in_channels + module.out_channels) * module.kernel_size[0]
        elif isinstance(module, nn.Linear):
            found[name] = module.weight.detach(), module.in_features + module.out_features
        elif isinstance(module, nn.LSTM):
            found[name] = (
                module.weight_ih_l0.detach(),
                module.input_size + 4 * module.hidden_size,
            )  # Keras: one kernel for four gates
    return found


@pytest.mark.parametrize("encoder", ENCODERS)
def test_weights_start_glorot_uniform(encoder: str) -> None:
    """Initial weights fill the interval of Glorot's limits, do not leave it, and have its standard deviation."""
    network = build(ModelSpec(encoder, width=0.25), {"a": (80, 1), "b": (40, 3)}, 2, True, DRAWS)

    weights = fans(network)

    assert {"adapter", "head"} < weights.keys()
    for name, (weight, fan) in weights.items():
        limit, count = float(np.sqrt(6 / fan)), weight.numel()
        largest, sd = float(weight.abs().max()), float(weight.std(correction=0))
        assert limit * (1 - min(0.5, 12 / count)) < largest <= limit * (1 + 1e-6), name
        assert sd == pytest.approx(limit / np.sqrt(3), rel=2 / np.sqrt(count)), name


@pytest.mark.parametrize("encoder", ENCODERS)
def test_biases_start_at_zero_and_batch_norm_neutral(encoder: str) -> None:
    """All biases start at 0 but the LSTM's forget gate (1); batch norm starts with gamma 1, mean 0, variance 1."""
    network = tiny(encoder, adapter=True)

    for name, value in network.state_of(PARTS).items():
        if "bias_ih" in name:
            i, f, g, o = value.chunk(4)
            assert not i.any() and not g.any() and not o.any(), name
            assert (f == 1).all(), name
        elif name.endswith(("bias", "running_mean", "bias_hh_l0", "num_batches_tracked")):
            assert not value.any(), name
        elif name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
            assert (value == 1).all(), name


def test_recurrent_weights_start_orthogonal() -> None:
    """The LSTM's recurrent kernel W, in Keras's orientation (units, 4 units), satisfies W W^T = I."""
    network = tiny("mlp_lstm", width=0.05)

    kernels = [value.double().numpy().T for name, value in network.state_of(PARTS).items() if "weight_hh" in name]

    assert [kernel.shape for kernel in kernels] == [(25, 100), (25, 100)]
    for kernel in kernels:
        np.testing.assert_allclose(np.eye(25), kernel @ kernel.T, atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_trunk_starts_the_same_with_and_without_adapter(encoder: str) -> None:
    """Techniques with and without adapter start from the same trunk (common random numbers)."""
    plain, adapted = tiny(encoder), tiny(encoder, adapter=True)

    expected = plain.state_of(("trunk",))
    actual = adapted.state_of(("trunk",))

    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert plain.adapter is None and adapted.adapter is not None


@pytest.mark.parametrize("encoder", ENCODERS)
def test_draws_decide_the_initial_weights(encoder: str) -> None:
    """The same draws give the same weights whatever was drawn before, and another seed gives others in every part."""
    torch.manual_seed(1)
    first = tiny(encoder, adapter=True).state_of(PARTS)
    torch.manual_seed(2)
    again = tiny(encoder, adapter=True).state_of(PARTS)
    other = tiny(encoder, adapter=True, seed=1).state_of(PARTS)

    assert all(torch.equal(first[name], again[name]) for name in first)
    matrices = [name for name, value in first.items() if value.ndim > 1]
    assert set(PARTS) == {name.split(".")[0] for name in matrices}
    assert not any(torch.equal(first[name], other[name]) for name in matrices)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_towers_and_parts_start_differently(encoder: str) -> None:
    """Two channels of one shape get different initial weights, not one draw used twice."""
    network = build(ModelSpec(encoder, width=0.02), {"a": (8, 1), "b": (8, 1)}, 2, False, DRAWS)

    state = network.state_of(("trunk",))

    matrices = [name for name, value in state.items() if value.ndim > 1 and ".a." in name]
    assert not any(torch.equal(state[name], state[name.replace(".a.", ".b.")]) for name in matrices)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_building_leaves_the_global_random_state_alone(encoder: str) -> None:
    """Building a network draws nothing from torch's global generator."""
    torch.manual_seed(7)
    before = torch.get_rng_state()

    tiny(encoder, adapter=True)

    assert torch.equal(before, torch.get_rng_state())
