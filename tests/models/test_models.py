"""Encoders and networks against a forward pass in numpy, Keras's initial weights, and parts by name."""

import json
from collections.abc import Callable
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.keras_defaults import batch_norm
from raylab.models.layers import scaled
from raylab.models.network import PARTS, ModelSpec, Network, build
from raylab.models.registry import ENCODERS
from raylab.training.batches import Signals
from raylab.training.loop import predict

Array = npt.NDArray[np.float64]
Weights = dict[str, Array]

WRIST = {"acc_x": (80, 1), "acc_y": (80, 1), "acc_z": (80, 1), "bvp": (640, 1), "eda": (40, 1), "temp": (40, 1)}
SHAPES = {"a": (9, 1), "b": (12, 2)}  # an odd length and a channel with two features
DRAWS = FoldSeeds(seed=0, dataset="made", label="stress", target="P1")
SUBSETS = [parts for size in range(len(PARTS) + 1) for parts in combinations(PARTS, size)]

# PROTOCOL, Models: (all without torch's second LSTM bias, trainable, that bias)
COUNTS = {
    "fcn": (1_595_906, 1_589_762, 0),
    "resnet": (3_040_898, 3_025_538, 0),
    "mlp_lstm": (15_267_002, 15_267_002, 12_000),
}
PAPER_BATCH_SIZES = {"fcn": 4, "resnet": 4, "mlp_lstm": 16}
FEATURES = {"fcn": 128, "resnet": 128, "mlp_lstm": 500, "cnn": 256, "rnn": 256, "cnn_rnn": 128, "transformer": 64}


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


@pytest.mark.parametrize("parts", SUBSETS, ids="+".join)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_free_frees_the_named_parts_only(encoder: str, parts: tuple[str, ...]) -> None:
    """Freed parts run in training mode with trainable parameters, all other parts in inference mode with none."""
    network = tiny(encoder, adapter=True)
    network.set_trainable(PARTS if not parts else ("trunk",))  # whatever was free before does not matter

    freed = network.set_trainable(parts)

    for name in PARTS:
        part = network.part(name)
        assert part is not None
        assert {name in parts} == {module.training for module in part.modules()}
        assert {key: name in parts and "bias_hh" not in key for key, _ in part.named_parameters()} == {
            key: parameter.requires_grad for key, parameter in part.named_parameters()
        }
    assert {id(p) for p in network.parameters() if p.requires_grad} == {id(p) for p in freed}
    assert len({id(p) for p in freed}) == len(freed)


def test_free_skips_an_adapter_that_is_not_there() -> None:
    """Freeing the adapter of a network without one frees the rest."""
    network = tiny("fcn")

    freed = network.set_trainable(("adapter", "head"))

    assert network.part("adapter") is None
    assert [id(network.head.weight), id(network.head.bias)] == [id(parameter) for parameter in freed]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_width_scales_every_layer(encoder: str) -> None:
    """At width 0.5 every layer but the output has half the units, and so are the features."""

    def units(width: float) -> list[int]:
        network = Network(ModelSpec(encoder, width=width), SHAPES, 2, adapter=True)
        layers = [m for name, m in network.named_modules() if name != "head"]
        convolutions = [m.out_channels for m in layers if isinstance(m, nn.Conv1d)]
        norms = [m.num_features for m in layers if isinstance(m, nn.BatchNorm1d)]
        denses = [m.out_features for m in layers if isinstance(m, nn.Linear)]
        return [network.trunk.n_out, *convolutions, *norms, *denses, *[m.hidden_size for m in layers if isinstance(m, nn.LSTM)]]

    assert len(SHAPES) * FEATURES[encoder] == units(1.0)[0]
    assert [count // 2 for count in units(1.0)] == units(0.5)


def test_width_leaves_at_least_one_unit() -> None:
    """A width rounds to whole units and never to none."""
    assert [scaled(128, width) for width in (1.0, 0.5, 0.02, 0.0001)] == [128, 64, 3, 1]


def test_model_names_say_what_departs_from_the_paper() -> None:
    """Tables call a model by its encoder, and add a fusion or width that is not the paper's, and the modalities where they are some."""
    assert ["fcn", "resnet w0.25"] == [ModelSpec("fcn").name, ModelSpec("resnet", width=0.25).name]
    assert "rnn attention w0.5 acoustic+text" == ModelSpec("rnn", "attention", 0.5, ("acoustic", "text")).name


@pytest.mark.parametrize(
    "spec", [ModelSpec("fcn"), ModelSpec("rnn", "early", 0.5, ("acoustic", "text"))], ids=lambda spec: spec.name
)
def test_a_model_is_made_again_from_plain_values(spec: ModelSpec) -> None:
    """What Tune stores of a model gives the same model; one that says nothing of modalities is stored as it always was."""
    stored = spec.as_dict()

    assert spec == ModelSpec.from_dict(json.loads(json.dumps(stored)))
    assert ("modalities" in stored) == bool(spec.modalities)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_parts_carry_weights_from_one_network_to_another(encoder: str) -> None:
    """Loading the trunk's state overwrites the trunk and leaves the head."""
    source, target = tiny(encoder, seed=0), tiny(encoder, seed=1)
    head = {name: value.clone() for name, value in target.state_of(("head",)).items()}

    target.load_parts(source.state_of(("trunk",)))

    trunk = source.state_of(("trunk",))
    assert all(torch.equal(value, target.state_of(("trunk",))[name]) for name, value in trunk.items())
    assert all(torch.equal(value, target.state_of(("head",))[name]) for name, value in head.items())


def test_weights_of_another_network_are_refused() -> None:
    """Loading names that the network does not have is an error that names them."""
    with pytest.raises(ValueError, match=r"weights of another network: adapter\.weight"):
        tiny("fcn").load_parts(tiny("fcn", adapter=True).state_of(("adapter",)))


def test_a_window_too_short_for_two_steps_is_refused() -> None:
    """mlp_lstm says so where a channel has fewer samples than steps."""
    with pytest.raises(ValueError, match="at least 2 samples, found 1"):
        build(ModelSpec("mlp_lstm", width=0.02), {"a": (1, 1)}, 2, False, DRAWS)
