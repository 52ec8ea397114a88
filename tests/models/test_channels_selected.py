"""A model that uses some of the channels that it is offered: the others have no part in anything, and the choice is stored with the weights."""

import numpy as np
import pytest
import torch
from builders.classical import CLASSES, made_batch

from raylab.errors import InvalidValueError
from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.build import build_estimator
from raylab.models.network import AUTO, PARTS, ModelSpec, Network, build
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS

SHAPES = {"a": (12, 2), "b": (20, 1), "c": (8, 3)}
DRAWS = FoldSeeds(0, "made", "stress", "P1")


def network_of(fusion: str = "late", encoder: str = "fcn", *chosen: str) -> Network:
    spec = ModelSpec(encoder, fusion, 0.05, channels=AUTO)
    network = build(spec, SHAPES, 2, FUSIONS[fusion].accepts_adapter, DRAWS)
    if chosen:
        network.select_channels(chosen)
    return network


def batch_of(seed: int = 0, **other: float) -> Batch:
    """Six windows; ``other``: channels that hold noise of this size instead."""
    made = {name: torch.Generator().manual_seed(seed + number) for number, name in enumerate(SHAPES)}
    values = {name: torch.randn(6, *shape, generator=made[name]) for name, shape in SHAPES.items()}
    return Batch({name: other[name] * torch.randn(x.shape) if name in other else x for name, x in values.items()})


def test_the_name_and_the_hash_say_that_channels_are_chosen() -> None:
    """And nothing changes for a model that uses all of them."""
    assert "fcn w0.5 auto" == ModelSpec("fcn", width=0.5, channels=AUTO).name
    assert {"encoder": "fcn", "fusion": "late", "width": 1.0} == ModelSpec("fcn").architecture
    assert AUTO == ModelSpec("fcn", channels=AUTO).architecture["channels"]
    for spec in (ModelSpec("fcn"), ModelSpec("fcn", "late", 0.5, ("a",), AUTO)):
        assert spec == ModelSpec.from_dict(spec.as_dict())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_without_a_choice_there_is_no_buffer(fusion: str) -> None:
    """The weights of models without `auto` have the names that they had, and those with it start alike and use every channel."""
    plain = build(ModelSpec("fcn", fusion, 0.05), SHAPES, 2, FUSIONS[fusion].accepts_adapter, DRAWS).eval()
    auto = network_of(fusion).eval()

    assert plain.channels_selected is None and auto.channels_selected == tuple(SHAPES)
    assert {"trunk.selected"} == auto.state_dict().keys() - plain.state_dict().keys()
    assert all(torch.equal(value, auto.state_dict()[name]) for name, value in plain.state_dict().items())
    assert torch.equal(plain(batch_of()), auto(batch_of()))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_other_channels_have_no_part_in_the_logits(fusion: str, encoder: str) -> None:
    """Whatever a channel holds that was not chosen, logits are equal to the bit; one that was chosen changes them."""
    network = network_of(fusion, encoder, "b").eval()
    with torch.no_grad():
        logits = network(batch_of())

        assert torch.equal(logits, network(batch_of(a=100.0, c=100.0)))
        assert not torch.equal(logits, network(batch_of(b=3.0)))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_other_channels_are_not_trained(fusion: str) -> None:
    """Their towers, classifiers and tokens get no gradient, are no parameters of the optimizer, and keep their batch statistics."""
    network = network_of(fusion, "fcn", "a")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.set_trainable(PARTS), lr=0.1, weight_decay=0.1)
    features = network.features(batch_of())
    votes = network.votes(features)
    (network.classify(features).square().sum() + (0 if votes is None else votes.square().sum())).backward()
    optimizer.step()

    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not [name for name in changed if ".b." in name or ".c." in name]


def test_the_tower_of_another_channel_is_not_computed() -> None:
    """A choice of one of many channels costs one tower."""
    network = network_of("late", "fcn", "c")
    called: list[str] = []
    for name in SHAPES:
        tower = network.trunk.get_submodule(f"towers.{name}")
        tower.register_forward_hook(lambda module, inputs, out, name=name: called.append(name))

    network(batch_of())

    assert ["c"] == called


def test_the_choice_is_loaded_with_the_trunk() -> None:
    """A later stage, a resumed trial and an exported model take it over; a head alone does not hold it."""
    network, other = network_of("late", "fcn", "a", "c"), network_of()

    other.load_parts(network.state_of(("head",)))
    assert tuple(SHAPES) == other.channels_selected
    other.load_parts(network.state_of(PARTS))
    assert ("a", "c") == other.channels_selected


def test_a_choice_of_nothing_or_of_something_else_is_refused() -> None:
    """Also a choice by a model that was not declared to choose."""
    plain = build(ModelSpec("fcn", width=0.05), SHAPES, 2, False, DRAWS)
    for network, names in ((network_of(), ()), (network_of(), ("a", "z")), (plain, ("a",))):
        with pytest.raises(InvalidValueError, match="cannot choose the channels"):
            network.select_channels(names)
    with pytest.raises(InvalidValueError, match="cannot choose the channels z"):
        build_estimator("lda", SHAPES, 2, chooses=True).select_channels(("z",))


@pytest.mark.parametrize("name", [name for name, model in CLASSICAL_MODELS.items() if not model.missing])
def test_a_classical_model_sees_the_chosen_channels_alone(name: str) -> None:
    """It is what it would be if it were offered nothing else; its arrays, the choice among them, are what a model file may hold."""
    batch, shapes = made_batch(), {"a": (20, 2), "b": (9, 1)}
    model, alone = build_estimator(name, shapes, 3, chooses=True), build_estimator(name, {"a": (20, 2)}, 3)
    model.load_libraries()
    model.select_channels(("a",))
    for fitted in (model, alone):
        fitted.fit(batch, CLASSES)
    np.testing.assert_array_equal(alone.probabilities(batch), model.probabilities(batch))

    state = model.state_of(PARTS)
    again = build_estimator(name, shapes, 3, chooses=True)
    again.load_parts(state)
    assert ("a",) == again.channels_selected and alone.channels_selected is None
    np.testing.assert_array_equal(model.probabilities(batch), again.probabilities(batch))
    expected = build_estimator(name, shapes, 3, chooses=True).stored_shapes(shapes, 3, state)
    assert {key: tuple(value.shape) for key, value in state.items()} == expected


def test_a_file_without_a_valid_choice_has_other_shapes() -> None:
    """A choice that is missing, of another length, or of nothing is not what such a model has."""
    for found in ({}, {"selected": torch.ones(3)}, {"selected": torch.zeros(2)}):
        model = build_estimator("lda", {"a": (20, 2), "b": (9, 1)}, 3, chooses=True)
        assert {"selected": (2,)} == model.stored_shapes({"a": (20, 2), "b": (9, 1)}, 3, found)
