"""Networks: parts by name, widths, names, and weights that go from one to another."""

import json
from itertools import combinations

import pytest
import torch
from builders.forward_pass import DRAWS, SHAPES, tiny
from torch import nn

from raylab.models.layers import scaled
from raylab.models.network import PARTS, ModelSpec, Network, build
from raylab.models.registry import ENCODERS

SUBSETS = [parts for size in range(len(PARTS) + 1) for parts in combinations(PARTS, size)]
FEATURES = {
    "fcn": 128,
    "resnet": 128,
    "mlp_lstm": 500,
    "cnn": 256,
    "rnn": 256,
    "cnn_rnn": 128,
    "transformer": 64,
    "inception": 128,
}


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
