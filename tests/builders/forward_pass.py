"""The forward pass of the paper's encoders by hand, on arrays (batch, maps, length), and small networks to compare with."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from raylab.folds.seeding import FoldSeeds
from raylab.models.network import PARTS, ModelSpec, Network, build

Array = npt.NDArray[np.float64]
Weights = dict[str, Array]
SHAPES = {"a": (9, 1), "b": (12, 2)}  # an odd length and a channel with two features
DRAWS = FoldSeeds(seed=0, dataset="made", label="stress", target="P1")


def tiny(encoder: str, adapter: bool = False, width: float = 0.02, seed: int = 0) -> Network:
    """A network of a few units per layer on two channels."""
    return build(ModelSpec(encoder, width=width), SHAPES, 2, adapter, FoldSeeds(seed, "made", "stress", "P1"))


# The forward pass by hand, on arrays (batch, maps, length); ``w`` holds a module's weights by torch's names.
def under(w: Weights, prefix: str) -> Weights:
    """The weights below a prefix, without it."""
    return {name.removeprefix(f"{prefix}."): value for name, value in w.items() if name.startswith(f"{prefix}.")}


def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def dense(x: Array, w: Weights) -> Array:
    return x @ w["weight"].T + w["bias"]


def normed(x: Array, w: Weights, training: bool) -> Array:
    mean = x.mean(axis=(0, 2)) if training else w["running_mean"]
    variance = x.var(axis=(0, 2)) if training else w["running_var"]
    by_map = [v[None, :, None] for v in (mean, variance, w["weight"], w["bias"])]
    return np.asarray((x - by_map[0]) / np.sqrt(by_map[1] + 1e-3) * by_map[2] + by_map[3])


def conv(x: Array, w: Weights, training: bool) -> Array:
    """'same' convolution and batch norm; where the padding is odd, the end gets one more than the start."""
    kernel, bias = w["conv.weight"], w["conv.bias"]
    size, length = kernel.shape[2], x.shape[2]
    start = (size - 1) // 2
    padded = np.pad(x, ((0, 0), (0, 0), (start, size - 1 - start)))
    out = np.zeros((len(x), len(kernel), length)) + bias[None, :, None]
    for t in range(length):
        for tap in range(size):
            out[:, :, t] += padded[:, :, t + tap] @ kernel[:, :, tap].T
    return normed(out, under(w, "norm"), training)


def fcn(x: Array, w: Weights, training: bool) -> Array:
    x = x.transpose(0, 2, 1)
    for block in range(3):
        x = relu(conv(x, under(w, f"blocks.{block}"), training))
    return np.asarray(x.mean(axis=2))


def resnet(x: Array, w: Weights, training: bool) -> Array:
    x = x.transpose(0, 2, 1)
    for number in range(3):
        block = under(w, f"blocks.{number}")
        out = relu(conv(x, under(block, "convs.0"), training))
        out = relu(conv(out, under(block, "convs.1"), training))
        out = conv(out, under(block, "convs.2"), training)
        shortcut = (conv if number < 2 else normed)(x, under(block, "shortcut"), training)
        x = relu(out + shortcut)
    return np.asarray(x.mean(axis=2))


def mlp_lstm(x: Array, w: Weights, training: bool) -> Array:
    assert not training, "dropout has no forward pass by hand"
    half = x.shape[1] // 2
    lstm = under(w, "lstm")
    units = lstm["weight_hh_l0"].shape[1]
    h, c = np.zeros((len(x), units)), np.zeros((len(x), units))
    for step in range(2):
        out = x[:, step * half : (step + 1) * half].reshape(len(x), -1)
        for layer in (1, 4, 7):  # dropout, dense, relu, three times
            out = relu(dense(out, under(w, f"dense.{layer}")))
        gates = out @ lstm["weight_ih_l0"].T + lstm["bias_ih_l0"] + h @ lstm["weight_hh_l0"].T
        i, f, g, o = (gates[:, k * units : (k + 1) * units] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


BY_HAND: dict[str, Callable[[Array, Weights, bool], Array]] = {"fcn": fcn, "resnet": resnet, "mlp_lstm": mlp_lstm}


def logits_by_hand(
    network: Network, encoder: str, windows: dict[str, npt.NDArray[np.float32]], training: bool = False
) -> Array:
    """Towers, fusion, adapter where there is one, and the dense layer below the softmax, in numpy."""
    w = {name: value.double().numpy() for name, value in network.state_of(PARTS).items()}
    towers = [BY_HAND[encoder](x.astype(np.float64), under(w, f"trunk.towers.{name}"), training) for name, x in windows.items()]
    features = np.concatenate(towers, axis=1)
    if network.adapter is not None:
        features = relu(dense(features, under(w, "adapter")))
    return dense(features, under(w, "head"))


def shaken(network: Network) -> Network:
    """Every weight and statistic drawn at random, so that none is at a value that hides a mistake (gamma 1, bias 0)."""
    rng = np.random.default_rng(5)
    state = {}
    for name, value in network.state_dict().items():
        if "bias_hh" in name or "num_batches_tracked" in name:  # Keras has neither
            continue
        drawn = rng.uniform(0.5, 2.0, value.shape) if "running_var" in name else rng.normal(0.0, 0.5, value.shape)
        state[name] = torch.from_numpy(drawn.astype(np.float32))
    network.load_parts(state)
    return network


def some_windows(count: int = 5) -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(0, 1, (count, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
