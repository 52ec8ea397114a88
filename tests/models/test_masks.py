"""Windows of variable length: whatever stands beyond a window's end, and however far it is padded, changes nothing."""

import pytest
import torch
from torch import Tensor, nn

from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.network import ModelSpec, Network, build
from raylab.models.registry import ENCODERS, FUSIONS

VARIABLE = [name for name, encoder in ENCODERS.items() if encoder.variable]
SHAPES = {"a": (12, 3), "b": (9, 2), "c": (30, 1)}
LENGTHS = {"a": [12, 7, 1, 0, 3], "b": [9, 0, 9, 2, 5]}  # ``c`` is full; two windows lack a modality
DRAWS = FoldSeeds(seed=0, dataset="made", label="emotion", target="P1")


def network_of(encoder: str, fusion: str = "late") -> Network:
    """A small network without dropout: what it draws depends on the shape that it fills."""
    network = build(ModelSpec(encoder, fusion, width=0.1), SHAPES, 3, FUSIONS[fusion].accepts_adapter, DRAWS)
    made = torch.Generator().manual_seed(3)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1 and "bias_hh" not in name:  # at 0, as they start, biases hide what padding does
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=made)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return network


def batch_of(more: int, beyond: float) -> Batch:
    """Five windows, padded by ``more`` steps, with noise of this size beyond every window's end."""
    made, noise = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    lengths = {name: torch.tensor(steps) for name, steps in LENGTHS.items()}
    values = {}
    for name, (length, n_features) in SHAPES.items():
        x = torch.randn(5, length, n_features, generator=made)
        if name in lengths:
            x = torch.cat([x, torch.zeros(5, more, n_features)], dim=1)
            end = torch.arange(length + more) >= lengths[name][:, None]
            x = torch.where(end[:, :, None], beyond * torch.randn(x.shape, generator=noise), x)
        values[name] = x
    return Batch(values, lengths)


def close(expected: Tensor, actual: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("encoder", VARIABLE)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_more_padding_changes_no_prediction(fusion: str, encoder: str) -> None:
    """In inference mode logits are the same with 0 or 7 steps more, zeros or noise beyond the end; and windows differ."""
    network = network_of(encoder, fusion).eval()
    with torch.no_grad():
        expected = network(batch_of(0, 0.0))

        close(expected, network(batch_of(0, 100.0)))
        close(expected, network(batch_of(7, 0.0)))
        close(expected, network(batch_of(7, 100.0)))

    assert (expected[0] - expected[1:]).abs().amax(dim=1).min() > 1e-4


@pytest.mark.parametrize("encoder", VARIABLE)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_more_padding_changes_no_training(fusion: str, encoder: str) -> None:
    """In training mode outputs, gradients and batch statistics are the same with padding and noise beyond the end."""

    def trained(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        network = network_of(encoder, fusion)
        network.set_trainable(("trunk", "adapter", "head"))
        out = network.features(batch)
        network.classify(out).square().sum().backward()  # type: ignore[no-untyped-call]
        found = {name: value for name, value in network.named_buffers() if "num_batches" not in name}
        slopes = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        largest = max(
            float(slope.abs().max()) for slope in slopes.values()
        )  # a bias before batch norm has rounding noise alone
        return out, found | {name: slope / largest for name, slope in slopes.items()}

    expected, moved = trained(batch_of(0, 0.0))
    actual, also = trained(batch_of(7, 100.0))

    close(expected, actual)
    assert moved.keys() == also.keys()
    for name, value in moved.items():
        torch.testing.assert_close(also[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("encoder", VARIABLE)
def test_a_short_window_in_a_batch_is_what_it_is_alone(encoder: str) -> None:
    """Beside longer windows a window gets the features that its valid steps get by themselves, without any mask."""
    tower = ENCODERS[encoder].build(12, 3, 0.1).eval()
    batch = batch_of(4, 100.0)
    with torch.no_grad():
        together = tower(batch.values["a"], batch.lengths["a"])

        for row, steps in enumerate(LENGTHS["a"]):
            if steps:
                close(tower(batch.values["a"][row : row + 1, :steps], None)[0], together[row])


@pytest.mark.parametrize("encoder", VARIABLE)
def test_full_windows_with_lengths_are_full_windows(encoder: str) -> None:
    """Saying that all steps are valid gives what saying nothing gives, in training and in inference mode."""
    x, full = batch_of(0, 0.0).values["c"], torch.full((5,), 30)
    network = network_of(encoder)
    tower = network.trunk.get_submodule("towers.c")
    for training in (False, True):
        tower.train(training)

        close(tower(x, None), tower(x, full))


@pytest.mark.parametrize("encoder", VARIABLE)
@pytest.mark.parametrize("length", [1, 2, 300])
def test_windows_of_any_length_are_taken(encoder: str, length: int) -> None:
    """One step (the embedding of a sentence), two, or more than recurrence and attention see: trained on, features are numbers that differ."""
    tower = ENCODERS[encoder].build(length, 4, 0.1).train()

    out = tower(torch.randn(6, length, 4, generator=torch.Generator().manual_seed(0)), None)

    assert out.isfinite().all() and out.std() > 0
    out.sum().backward()


def test_a_batch_in_which_all_lack_a_modality_leaves_its_statistics() -> None:
    """Without a single step there is nothing to normalize by: the tower is as it was, and nothing is infinite."""
    network = network_of("fcn")
    network.set_trainable(("trunk", "head"))
    before = {name: value.clone() for name, value in network.named_buffers() if ".a." in name}
    batch = batch_of(0, 0.0)

    out = network(Batch(batch.values, {**batch.lengths, "a": torch.zeros(5, dtype=torch.int64)}))

    assert out.isfinite().all()
    assert before and all(torch.equal(value, dict(network.named_buffers())[name]) for name, value in before.items())


def test_mlp_lstm_refuses_windows_of_variable_length() -> None:
    """Its two halves of a padded window would not be halves of the signal: it says so."""
    with pytest.raises(ValueError, match="mlp_lstm takes windows of one length only"):
        network_of("mlp_lstm")(batch_of(0, 0.0))
