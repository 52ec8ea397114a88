"""Encoders and networks against a forward pass in numpy."""

import numpy as np
import pytest
import torch
from builders.forward_pass import BY_HAND, DRAWS, logits_by_hand, shaken, softmax, some_windows, tiny

from raylab.models.batch import Batch
from raylab.models.keras_defaults import batch_norm
from raylab.models.network import PARTS, ModelSpec, build
from raylab.models.registry import ENCODERS
from raylab.training.batches import Signals
from raylab.training.loop import predict

WRIST = {"acc_x": (80, 1), "acc_y": (80, 1), "acc_z": (80, 1), "bvp": (640, 1), "eda": (40, 1), "temp": (40, 1)}
# PROTOCOL, Models: (all without torch's second LSTM bias, trainable, that bias)
COUNTS = {
    "fcn": (1_595_906, 1_589_762, 0),
    "resnet": (3_040_898, 3_025_538, 0),
    "mlp_lstm": (15_267_002, 15_267_002, 12_000),
}
PAPER_BATCH_SIZES = {"fcn": 4, "resnet": 4, "mlp_lstm": 16}


@pytest.mark.parametrize("encoder", BY_HAND)
def test_parameter_counts_are_the_public_codes(encoder: str) -> None:
    """On WESAD's wrist channels a network has exactly the parameters that PROTOCOL counts."""
    network = build(ModelSpec(encoder), WRIST, 2, False, DRAWS)
    everything, trainable, second_bias = COUNTS[encoder]

    stored = {name: value for name, value in network.state_dict().items() if "num_batches_tracked" not in name}
    frozen = {name: value for name, value in stored.items() if "bias_hh" in name}

    assert everything == sum(value.numel() for value in stored.values()) - sum(value.numel() for value in frozen.values())
    assert trainable == sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert second_bias == sum(value.numel() for value in frozen.values())
    assert not any(value.any() for value in frozen.values())
    assert trainable == sum(parameter.numel() for parameter in network.set_trainable(PARTS))


@pytest.mark.parametrize("encoder", BY_HAND)
def test_batch_sizes_are_the_papers(encoder: str) -> None:
    """Every encoder carries the paper's batch size."""
    assert PAPER_BATCH_SIZES[encoder] == ENCODERS[encoder].batch_size


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("encoder", BY_HAND)
def test_inference_equals_the_forward_pass_by_hand(encoder: str, adapter: bool) -> None:
    """In inference mode a network computes what the layers of PROTOCOL compute when written out in numpy."""
    network, windows = shaken(tiny(encoder, adapter, width=0.06)), some_windows()
    expected = logits_by_hand(network, encoder, windows)

    rows = np.arange(5, dtype=np.int64)
    p = predict(network, Signals(windows), rows, torch.device("cpu"))
    with torch.no_grad():
        logits = network.double()(Batch({name: torch.from_numpy(x).double() for name, x in windows.items()})).numpy()

    assert np.ptp(expected, axis=0).min() > 0.01  # windows differ, so the comparison says something
    np.testing.assert_allclose(expected, logits, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(softmax(expected), p, atol=1e-5)


@pytest.mark.parametrize("encoder", [name for name in BY_HAND if name != "mlp_lstm"])
def test_training_mode_normalizes_by_the_batch(encoder: str) -> None:
    """A freed trunk uses the statistics of its batch, as in the forward pass by hand."""
    network, windows = shaken(tiny(encoder, width=0.06)), some_windows()
    expected = logits_by_hand(network, encoder, windows, training=True)

    network.double().set_trainable(("trunk", "head"))
    with torch.no_grad():
        logits = network(Batch({name: torch.from_numpy(x).double() for name, x in windows.items()})).numpy()

    np.testing.assert_allclose(expected, logits, rtol=1e-9, atol=1e-9)


def test_running_statistics_take_a_hundredth_of_the_batch() -> None:
    """In training mode batch norm's running mean and variance move by 0.01 of the way (Keras's momentum 0.99)."""
    rng = np.random.default_rng(2)
    x, mean, variance = rng.normal(3.0, 2.0, (4, 3, 7)), rng.normal(0, 1, 3), rng.uniform(0.5, 2.0, 3)
    layer = batch_norm(3).double().train()
    layer.load_state_dict(
        {"running_mean": torch.from_numpy(mean.copy()), "running_var": torch.from_numpy(variance.copy())}, strict=False
    )

    out = layer(torch.from_numpy(x)).detach().numpy()

    batch_mean, batch_variance = x.mean(axis=(0, 2)), x.var(axis=(0, 2))
    normalized = (x - batch_mean[:, None]) / np.sqrt(batch_variance[:, None] + 1e-3)
    np.testing.assert_allclose(normalized, out, rtol=1e-9)
    np.testing.assert_allclose(0.99 * mean + 0.01 * batch_mean, layer.running_mean, rtol=1e-9)
    unbiased = x.var(axis=(0, 2), ddof=1)  # torch's running variance; Keras's is biased (PROTOCOL: left different and known)
    np.testing.assert_allclose(0.99 * variance + 0.01 * unbiased, layer.running_var, rtol=1e-9)
