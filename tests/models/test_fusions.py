"""Fusions: what each computes, what a missing modality does, and what attention says of modalities with known information."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from builders.windows import make_windows
from torch.nn import functional as F

from raylab.folds.fold import Fold
from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.fusions import masked_softmax
from raylab.models.network import ModelSpec, Network, build
from raylab.models.registry import FUSIONS
from raylab.models.timebase import TimeBase
from raylab.training.batches import Signals
from raylab.training.loop import attention, predict, train
from raylab.training.protocol import Hyperparameters
from raylab.training.stage_hash import PlannedStage
from raylab.trials.run_trial import one_thread
from raylab.windows.dataset import Windows

Array = npt.NDArray[np.float32]

CPU = torch.device("cpu")
SHAPES = {"a": (8, 1), "b": (16, 2)}
DRAWS = FoldSeeds(seed=0, dataset="made", label="stress", target="P1")
NOBODY = np.zeros(0, dtype=np.int64)


@pytest.fixture(autouse=True)
def _as_a_worker_does() -> Iterator[None]:
    with one_thread():
        yield


def network_of(fusion: str) -> Network:
    """A small network on both channels with three classes."""
    network = build(ModelSpec("fcn", fusion, 0.05), SHAPES, 3, False, DRAWS)
    made = torch.Generator().manual_seed(5)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):  # at 0, as they start, they hide what a missing modality does
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=made)
    return network


def some(count: int = 6, lacking: tuple[int, ...] = ()) -> Batch:
    """Windows of ``a`` and ``b``; those ``lacking`` have no ``b``."""
    made = torch.Generator().manual_seed(3)
    values = {name: torch.randn(count, *shape, generator=made) for name, shape in SHAPES.items()}
    steps = torch.tensor([0 if row in lacking else 16 for row in range(count)])
    return Batch(values, {"b": steps} if lacking else {})


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_missing_modality_takes_no_part(fusion: str) -> None:
    """What stands in the place of a missing modality changes nothing, and a window without any gets the same answer as every other such one."""
    network, batch = network_of(fusion).eval(), some(lacking=(1, 4))
    other = Batch({**batch.values, "b": batch.values["b"] + 5.0 * (batch.lengths["b"] == 0)[:, None, None]}, batch.lengths)
    nothing = Batch(batch.values, {name: torch.zeros(6, dtype=torch.int64) for name in SHAPES})
    with torch.no_grad():
        assert torch.equal(network(batch), network(other))
        assert not torch.allclose(network(batch)[1], network(some())[1], atol=1e-3)
        p = torch.softmax(network(nothing), dim=1)

    torch.testing.assert_close(p, p[:1].expand_as(p))
    assert p.isfinite().all()


def test_attention_weights_sum_to_one_and_a_missing_modality_has_exactly_none() -> None:
    """Every window has its own weights; where a modality is missing the others share its weight; where all are, nobody has any."""
    network, batch = network_of("attention").eval(), some(lacking=(1, 4))
    nothing = Batch(batch.values, {name: torch.zeros(6, dtype=torch.int64) for name in SHAPES})
    with torch.no_grad():
        weights, none = network.attention(batch), network.attention(nothing)

    assert weights is not None and none is not None
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(6))
    assert [[1.0, 0.0]] * 2 == weights[[1, 4]].tolist()
    assert (weights[[0, 2, 3, 5]] > 0).all()
    assert len({round(value, 5) for value in weights[[0, 2, 3, 5], 0].tolist()}) == 4
    assert not none.any()


@pytest.mark.parametrize("fusion", [name for name in FUSIONS if name != "attention"])
def test_only_attention_weighs_windows(fusion: str) -> None:
    """The other fusions have no weights of a window to give."""
    assert network_of(fusion).attention(some()) is None


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_has_a_description(fusion: str) -> None:
    """``raylab models`` prints it."""
    assert FUSIONS[fusion].description


def test_a_softmax_over_those_present() -> None:
    """Worked out by hand: weights of those present are their exponentials over their sum."""
    found = masked_softmax(torch.tensor([[0.0, np.log(3.0), 50.0]]), torch.tensor([[True, True, False]]))

    np.testing.assert_allclose([[0.25, 0.75, 0.0]], found, rtol=1e-6)


def test_weighted_is_the_weighted_average_of_the_channels_probabilities() -> None:
    """Probabilities are the sum of weight times each channel's own; equal weights at the start; of a missing channel none."""
    network, batch = network_of("weighted").eval(), some(lacking=(1,))
    scores = network.head.get_parameter("scores")
    assert not scores.any()
    with torch.no_grad():
        scores.copy_(torch.tensor([0.0, np.log(4.0)]))
        features = network.features(batch)
        votes = network.votes(features)
        assert votes is not None
        each = torch.softmax(votes, dim=2)
        expected = 0.2 * each[:, 0] + 0.8 * each[:, 1]
        expected[1] = each[1, 0]

        torch.testing.assert_close(expected, torch.softmax(network.classify(features), dim=1))


def test_stacked_is_a_linear_classifier_on_the_channels_logits() -> None:
    """Its head is one dense layer on the votes, beside which stands whether there is one."""
    network, batch = network_of("stacked").eval(), some(lacking=(1,))
    with torch.no_grad():
        features = network.features(batch)
        votes = network.votes(features)
        assert votes is not None
        present = torch.tensor([[1.0, 1.0]] * 6)
        present[1, 1] = 0.0
        weight, bias = network.head.get_parameter("weight"), network.head.get_parameter("bias")
        expected = torch.cat([votes.flatten(1), present], dim=1) @ weight.T + bias

        assert not votes[1, 1].any() and votes[0].any()
        torch.testing.assert_close(expected, network(batch))


@pytest.mark.parametrize("fusion", ["weighted", "stacked"])
def test_a_channels_vote_learns_from_its_own_loss_alone(fusion: str) -> None:
    """One step on the votes' mean cross-entropy moves the trunk as training does; the loss of the fused decision moves the head alone."""
    windows = make_windows({f"P{i}": [0, 1] * 6 for i in range(1, 4)})
    shapes = {name: values.shape[1:] for name, values in windows.signals.items()}
    fold = Fold(windows.index, "stress", "P1", 0)
    rows = fold.windows_of(["P2", "P3"])
    hyper = Hyperparameters(epochs=1, batch_size=len(rows), batch_share=1.0, decay=0.0)
    stage = PlannedStage("everyone_else", rows, NOBODY, NOBODY, ("trunk", "head"), hyper, "", "")
    signals = Signals({name: values.astype(np.float64) for name, values in windows.signals.items()})
    by_hand, trained = (build(ModelSpec("fcn", fusion, 0.05), shapes, 2, False, fold.draws).double() for _ in range(2))

    train(trained, signals, fold.y, stage, fold.draws, CPU)

    parameters = by_hand.set_trainable(("trunk", "head"))
    optimizer = torch.optim.Adam(parameters, lr=hyper.learning_rate, eps=1e-7)
    order = fold.draws.generator("shuffle").permutation(rows)
    y = torch.from_numpy(fold.y[order].astype(np.int64))
    features = by_hand.features(signals.batch(order, CPU))
    votes = by_hand.votes(features)
    assert votes is not None
    trunk_loss = torch.stack([F.cross_entropy(votes[:, k], y) for k in range(2)]).mean()
    head_loss = F.cross_entropy(by_hand.classify(features.detach()), y)
    (trunk_loss + head_loss).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    for name, value in by_hand.state_dict().items():
        if "conv.bias" not in name:  # before batch norm: a gradient of rounding noise alone
            torch.testing.assert_close(trained.state_dict()[name], value, rtol=1e-6, atol=1e-9, msg=name)


# The time base of early fusion


def test_the_time_base_aggregates_finer_channels_and_interpolates_coarser_ones() -> None:
    """Worked out by hand: of 8, 4 and 2 samples the base has 4 steps."""
    base = TimeBase({"fine": 8, "mid": 4, "coarse": 2})
    fine, mid, coarse = torch.arange(8.0), torch.tensor([5.0, 1.0, 7.0, 2.0]), torch.tensor([0.0, 4.0])

    joined, lengths = base.join(Batch({n: x[None, :, None] for n, x in (("fine", fine), ("mid", mid), ("coarse", coarse))}))

    assert lengths is None
    assert [0.5, 2.5, 4.5, 6.5] == joined[0, :, 0].tolist()
    assert mid.tolist() == joined[0, :, 1].tolist()
    assert [0.0, 1.0, 3.0, 4.0] == joined[0, :, 2].tolist()  # centres at 1 and 3 of 4; held beyond them


def test_a_shorter_window_has_fewer_steps_that_last_as_long() -> None:
    """Half of the finest channel's samples are half of the steps; a text of three tokens covers them; beyond is nothing."""
    base = TimeBase({"audio": 8, "video": 4, "text": 3})
    values = {"audio": torch.arange(8.0), "video": torch.tensor([1.0, 2.0, 3.0, 4.0]), "text": torch.tensor([0.0, 3.0, 6.0])}
    lengths = {"audio": torch.tensor([4, 0]), "video": torch.tensor([2, 3]), "text": torch.tensor([3, 0])}

    joined, steps = base.join(Batch({n: x[None, :, None].expand(2, -1, -1) for n, x in values.items()}, lengths))

    assert steps is not None
    assert [2, 3] == steps.tolist()
    assert [[0.5, 1.0, 0.75], [2.5, 2.0, 5.25], [0.0] * 3, [0.0] * 3] == joined[0].tolist()
    assert [[0.0, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 3.0, 0.0], [0.0] * 3] == joined[1].tolist()


def test_the_last_group_of_samples_is_the_mean_of_those_there() -> None:
    """Three samples in groups of two: the mean of the first two, and the third by itself; a fourth beyond the end is not seen."""
    base = TimeBase({"fine": 8, "mid": 4, "coarse": 2})
    x = {"fine": torch.tensor([0.0, 1.0, 5.0, 99.0, 0.0, 0.0, 0.0, 0.0]), "mid": torch.zeros(4), "coarse": torch.zeros(2)}

    joined, steps = base.join(Batch({name: v[None, :, None] for name, v in x.items()}, {"fine": torch.tensor([3])}))

    assert steps is not None and [2] == steps.tolist()
    assert [0.5, 5.0, 0.0, 0.0] == joined[0, :, 0].tolist()


# A cohort with known truth


def weights_of_the_held_out(windows: Windows, target: str) -> tuple[Array, float]:
    """Trained on everyone else: attention's weights on the target's windows (n, 2), and the share of them whose class is found."""
    fold = Fold(windows.index, "stress", target, 0)
    shapes = {name: (values.shape[1], values.shape[2]) for name, values in windows.signals.items()}
    network = build(ModelSpec("fcn", "attention", 0.1), shapes, 2, False, fold.draws)
    rows, validation = fold.windows_of(fold.others[:-1]), fold.windows_of(fold.others[-1:])
    hyper = Hyperparameters(epochs=12, batch_size=16, batch_share=1.0)
    stage = PlannedStage("everyone_else", rows, validation, NOBODY, ("trunk", "head"), hyper, "", "")
    signals, tested = Signals(windows.signals), fold.target_windows
    train(network, signals, fold.y, stage, fold.draws, CPU)
    weights = attention(network, signals, tested, CPU)
    assert weights is not None
    return weights, float((predict(network, signals, tested, CPU).argmax(axis=1) == fold.y[tested]).mean())


def test_a_modality_without_information_gets_less_than_half_of_its_share() -> None:
    """Simulated: ``a`` carries the class, ``b`` is noise. Over held-out people attention gives ``b`` less than a quarter, windows differ, and
    the class is found."""
    windows = make_windows({f"P{i}": [0, 1] * 15 for i in range(1, 7)}, length=16)
    rng = np.random.default_rng(4)
    windows.signals["b"][:] = rng.normal(0, 1, windows.signals["b"].shape)

    found = [weights_of_the_held_out(windows, target) for target in ("P1", "P2", "P3")]

    noise = [weights[:, 1] for weights, _ in found]
    assert np.mean([right for _, right in found]) > 0.9
    assert np.mean(noise) < 0.5 / 2
    assert min(np.std(weights) for weights in noise) > 1e-3
