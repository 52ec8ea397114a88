"""Golden checks: each method of a stage against its source, computed by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from builders.training import CPU, a_stage, carried_out, context_of, copied, network_of, people, same, staged
from torch.nn import functional as F

from raylab.folds.fold import RowIds
from raylab.models.network import Network
from raylab.techniques.method import (
    ClassMeans,
    Contrastive,
    EntropyMinimization,
    Episodes,
    History,
    NormStatistics,
    PeoplePenalty,
)
from raylab.training.anchored_head import STRENGTHS, UNCHOSEN, choose_strength, solve
from raylab.training.batches import Signals
from raylab.training.class_means import nearest_mean_classifier, shrunk_means, spread_within
from raylab.training.contrastive import contrastive_loss
from raylab.training.entropy import mean_entropy
from raylab.training.gradient import Loop
from raylab.training.history import counts_of_history
from raylab.training.job import Job, TrainingError, features_of
from raylab.training.loop import add_parts, predict, reader_of
from raylab.training.norm_statistics import batch_norms
from raylab.training.people_penalty import PENALTIES, reversed_gradient
from raylab.training.worker_group import ALONE
from raylab.windows.dataset import Windows


def features(network: Network, windows: Windows, rows: RowIds) -> torch.Tensor:
    return features_of(network, Signals(windows.signals), rows, CPU)


def test_class_means_by_hand() -> None:
    """Two features, one class with one window of the target's own and k = 1: its mean lies half way; the decision is the nearest mean's."""
    source, source_y = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 4.0], [6.0, 4.0]]), np.array([0, 0, 1, 1])
    own, own_y = np.array([[3.0, 2.0], [9.0, 8.0], [9.0, 8.0], [9.0, 8.0]]), np.array([0, 1, 1, 1])
    means = shrunk_means(source, source_y, own, own_y, 3, k=1.0)
    np.testing.assert_allclose([[2.0, 1.0], [8.0, 7.0]], means[:2])  # (1 + 3) / 2 and (5 + 3 x 9) / 4
    assert np.isnan(means[2]).all()

    spread = spread_within(source, source_y)
    np.testing.assert_allclose([1.0, np.inf], spread)  # the second feature does not vary within a class
    weight, bias = nearest_mean_classifier(means, np.array([1.0, 2.0]))
    for x in np.random.default_rng(0).normal(4, 3, (50, 2)):
        logits = weight @ x + bias
        distances = np.square((x - means[:2]) / [1.0, 2.0]).sum(axis=1)
        assert np.isclose(logits[0] - logits[1], (distances[1] - distances[0]) / 2)
        assert logits[2] < -1e29  # nobody has the third class


def test_class_means_of_a_trunk(made: Windows) -> None:
    """The head of the network is the classifier by the class means of its own features; k of 0 leaves the training people out."""
    context = context_of(made)
    own, source = people(context, "P1")[[0, 1, 10, 11]], people(context, "P2", "P3")
    network = carried_out(made, context, a_stage(ClassMeans(0.0), own, trainable=("head",), source=source))
    x = features(network, made, own).double().numpy()
    means = np.stack([x[:2].mean(axis=0), x[2:].mean(axis=0)])
    spread = spread_within(features(network, made, source).double().numpy(), context.fold.y[source])
    test = people(context, "P1")[[5, 15]]
    z = features(network, made, test).double().numpy()[:, None] / spread
    expected = -np.square(z - means / spread)[..., np.isfinite(spread)].sum(axis=2) / 2
    p = predict(network, Signals(made.signals), test, CPU)
    np.testing.assert_allclose(torch.softmax(torch.from_numpy(expected), dim=1).numpy(), p, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("prior", [0.0, 10.0])
def test_adabn_statistics_by_hand(made: Windows, prior: float) -> None:
    """The first layer's are those of its convolution's output over all of the target's windows, the second's those behind the first layer as it then
    is; the training people's count as ``prior`` windows."""
    context = context_of(made)
    rows = people(context, "P1")
    network = network_of(context)
    before = copied(network)
    carried_out(made, context, a_stage(NormStatistics(prior), trainable=("norm_statistics",), unlabelled=rows), network)

    tower = network.trunk.towers["a"]
    x = torch.from_numpy(made.signals["a"][rows]).transpose(1, 2)
    share = len(rows) / (len(rows) + prior)
    for number, block in enumerate(tower.blocks[:2]):
        with torch.no_grad():
            out = block.conv(block.pad(x))
        name = f"trunk.towers.a.blocks.{number}.norm.running"
        for kind, target in (("mean", out.mean(dim=(0, 2))), ("var", out.var(dim=(0, 2)))):
            expected = (1 - share) * before[f"{name}_{kind}"] + share * target
            torch.testing.assert_close(expected, network.state_dict()[f"{name}_{kind}"])
        # AdaBN normalizes the layers before by the target's windows alone
        norm = block.norm
        shape = (1, -1, 1)
        mean, var = out.mean(dim=(0, 2)).view(shape), out.var(dim=(0, 2), unbiased=False).view(shape)
        x = F.relu((out - mean) / (var + norm.eps).sqrt() * norm.weight.view(shape) + norm.bias.view(shape)).detach()
    assert all(norm.momentum == 0.01 and not norm.training for norm in batch_norms(network))


def test_online_statistics_by_hand(made: Windows) -> None:
    """The third window's first layer is normalized by the statistics of the training people (two windows' worth) and of windows one to three; the
    network is left as it was, and a window's features do not depend on which others are asked for."""
    context = context_of(made)
    rows = people(context, "P1")
    network = network_of(context)
    before = copied(network)
    stage = a_stage(NormStatistics(2.0, online=True), trainable=(), unlabelled=rows)
    carried_out(made, context, stage, network)
    reader = reader_of([stage], made.index.participant_index)
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    norm = network.trunk.towers["a"].blocks[0].norm
    hook = norm.register_forward_hook(
        lambda layer, inputs, out: found.append((layer.running_mean.clone(), layer.running_var.clone()))
    )
    every = reader(network, Signals(made.signals), rows, CPU)
    hook.remove()
    block = network.trunk.towers["a"].blocks[0]
    with torch.no_grad():
        out = block.conv(block.pad(torch.from_numpy(made.signals["a"][rows[:3]]).transpose(1, 2)))
    means = torch.cat([torch.zeros(2, out.shape[1]), out.mean(dim=2)])  # the training people's mean is 0 here, their variance 1
    variances = torch.cat([torch.ones(2, out.shape[1]), out.var(dim=2, unbiased=False)])
    torch.testing.assert_close(means.mean(dim=0), found[2][0])
    torch.testing.assert_close(variances.mean(dim=0) + means.var(dim=0, unbiased=False), found[2][1])
    assert same(before, copied(network))
    assert torch.equal(every[[3, 7]], reader(network, Signals(made.signals), rows[[3, 7]], CPU))
    assert not torch.equal(every, features(network, made, rows))


def test_the_anchored_head_is_the_minimum() -> None:
    """The gradient at the solution is 0: that of the cross-entropy is strength times the distance to the head of before; a strong anchor keeps it."""
    torch.manual_seed(0)
    x, y = torch.randn(12, 5).double(), torch.tensor([0, 1, 2] * 4)
    head = (torch.randn(3, 5).double(), torch.randn(3).double())
    weight, bias = (part.requires_grad_(True) for part in solve(head, x, y, strength=0.7))
    loss = F.cross_entropy(x @ weight.T + bias, y, reduction="sum")
    gradients = torch.autograd.grad(loss, (weight, bias))
    for part, gradient, old in zip((weight, bias), gradients, head, strict=True):
        torch.testing.assert_close(gradient, -0.7 * (part - old).detach(), rtol=1e-4, atol=1e-6)
    kept = solve(head, x, y, strength=1e9)
    torch.testing.assert_close(kept, head, rtol=1e-6, atol=1e-6)


def test_the_strength_is_what_helps_pseudo_targets() -> None:
    """People whose calibration windows mislead get the strongest anchor, people who differ from everyone a weak one; nobody: the middle."""
    torch.manual_seed(1)
    head = (torch.tensor([[3.0, 0.0], [-3.0, 0.0]]).double(), torch.zeros(2).double())
    x = torch.randn(40, 2).double()
    like_all, other_way = (x[:, 0] < 0).long(), (x[:, 0] > 0).long()
    misled = (x[:8], 1 - like_all[:8], x[8:], like_all[8:])
    different = (x[:8], other_way[:8], x[8:], other_way[8:])
    assert STRENGTHS[-1] == choose_strength(head, [misled])
    assert STRENGTHS[1] >= choose_strength(head, [different])
    assert UNCHOSEN == choose_strength(head, [])


def test_low_rank_updates_have_the_rank_and_start_as_nothing(made: Windows) -> None:
    """Before training the network predicts the same bits; after it each layer behaves as one whose weight has an added matrix of rank 2."""
    context = context_of(made, width=0.06)
    network = network_of(context)
    rows = people(context, "P2")
    before = features(network, made, rows)
    stage = a_stage(
        staged(rows).method, rows, trainable=("low_rank", "head"), adds={"low_rank": 2}, epochs=5, learning_rate=0.01
    )
    add_parts(network, stage, context.fold.draws)
    assert torch.equal(before, features(network, made, rows))
    trunk = {name: value.clone() for name, value in network.state_of(["trunk"]).items()}
    carried_out(made, context, stage, network)
    assert same(trunk, network.state_of(["trunk"]))
    after = features(network, made, rows)
    assert not torch.equal(before, after)
    assert network.low_rank is not None
    merged = network_of(context)
    merged.load_parts(trunk)
    with torch.no_grad():
        for name, update in network.low_rank.updates.items():
            change = update.change
            assert torch.linalg.matrix_rank(change.flatten(1)) <= 2
            merged.trunk.get_submodule(name.replace("/", ".")).weight.add_(change)
    torch.testing.assert_close(features(merged, made, rows), after, rtol=1e-4, atol=1e-5)
    assert 6 == len(network.low_rank.updates)  # three convolutions of each of two towers


def test_film_starts_as_nothing_and_reads_the_past_only(made: Windows) -> None:
    """Untrained, the modulation changes no logit; a window's context is the mean over the windows before it, drawn to the centre by the prior."""
    context = context_of(made)
    network = network_of(context)
    rows = people(context, "P1")
    method = History("past", prior=2.0)
    stage = a_stage(method, trainable=("film", "head"), adds={"film": 3}, unlabelled=rows)
    plain = network.classify(features(network, made, rows))
    add_parts(network, stage, context.fold.draws)
    joined = reader_of([stage], made.index.participant_index)(network, Signals(made.signals), rows, CPU)
    torch.testing.assert_close(plain, network.classify(joined))
    h, c = joined.chunk(2, dim=1)
    torch.testing.assert_close(h, features(network, made, rows))
    torch.testing.assert_close(torch.zeros_like(c[0]), c[0])
    torch.testing.assert_close(h[:5].sum(dim=0) / 7, c[5])
    assert [0, 1, 2] == counts_of_history(np.arange(10), np.array([0, 1, 2]), "past").tolist()
    assert [2, 2] == counts_of_history(np.arange(10), np.array([0, 9]), "first").tolist()
    assert [10, 10] == counts_of_history(np.arange(10), np.array([0, 9]), "all").tolist()


def _penalty(kind: str, made: Windows, strength: float = 1.0) -> tuple[Any, Network, RowIds]:
    context = context_of(made)
    network = network_of(context)
    rows = people(context, "P2", "P3", "P4")
    stage = a_stage(PeoplePenalty(kind, strength), rows)  # type: ignore[arg-type]  # one of the four
    y = context.fold.y.astype(np.int64)
    job = Job(
        network, Signals(made.signals), y, stage, context.fold.draws, CPU, lambda rows: None, lambda epoch: None, ALONE,
        made.index.participant_index,
    )  # fmt: skip
    return PENALTIES[kind](job), network, rows


def test_penalties_over_people_by_hand(made: Windows) -> None:
    """VREx, CORAL and GroupDRO on losses and features whose values are known."""
    each, who = torch.tensor([1.0, 3.0, 5.0, 7.0]), torch.tensor([0, 0, 2, 2])
    x = torch.tensor([[0.0], [2.0], [10.0], [14.0]])
    vrex, _, _ = _penalty("vrex", made, 0.5)
    assert 4 + 0.5 * 4 == float(vrex.trained(each, x, who, None))  # means 2 and 6: mean 4, variance 4
    coral, _, _ = _penalty("coral", made, 0.1)
    # means 1 and 12, variances 2 and 8
    assert np.isclose(4 + 0.1 * (11**2 + 6**2), float(coral.trained(each, x, who, None)))
    dro, _, _ = _penalty("groupdro", made, 100.0)
    q = np.exp([2.0, 0.0, 6.0])
    expected = (q[0] * 2 + q[2] * 6) / (q[0] + q[2])
    assert np.isclose(expected, float(dro.trained(each, x, who, None)))
    np.testing.assert_allclose(q / q.sum(), dro.q.numpy(), rtol=1e-5)


def test_batches_over_people_hold_runs_of_each(made: Windows) -> None:
    """An epoch has every window once, in runs of at most eight of one person."""
    objective, _, rows = _penalty("vrex", made)
    order = objective.order(rows, np.random.default_rng(0))
    assert sorted(order) == sorted(rows)
    who = made.index.participant_index[order]
    runs = np.diff(np.concatenate([[-1], np.flatnonzero(np.diff(who)), [len(who) - 1]]))
    assert set(runs % 4) == {0}  # 20 windows are runs of 8, 8 and 4


def test_dann_reverses_the_gradient_for_the_trunk(made: Windows) -> None:
    """The classifier of people descends and the trunk ascends: what reaches the features is -factor times the classifier's gradient."""
    x = torch.randn(4, 3, requires_grad=True)
    (plain,) = torch.autograd.grad((x**2).sum(), x)
    (reverse,) = torch.autograd.grad((reversed_gradient(x, 0.3) ** 2).sum(), x)
    torch.testing.assert_close(reverse, -0.3 * plain)
    assert torch.equal(x, reversed_gradient(x, 0.3))

    dann, network, _ = _penalty("dann", made)
    features = torch.randn(6, network.trunk.n_out, requires_grad=True)
    who = torch.tensor([0, 0, 1, 1, 2, 2])

    class AtTheEnd:
        result = type("Result", (), {"steps": 10**6})

    objective = dann.trained(torch.zeros(6), features, who, AtTheEnd)
    (at_features,) = torch.autograd.grad(objective, features, retain_graph=True)
    for_people = F.cross_entropy(dann.classifier(features), who)
    (by_itself,) = torch.autograd.grad(for_people, features, retain_graph=True)
    torch.testing.assert_close(at_features, -by_itself)
    weight = dann.classifier[0].weight
    (of_classifier,) = torch.autograd.grad(objective, weight)
    torch.testing.assert_close(of_classifier, torch.autograd.grad(for_people, weight)[0])


def test_reptile_moves_half_way_to_each_person(made: Windows, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one step per episode, from weights t: t + 0.5 (p - t), where p is one step of Adam without momentum, of the size of the rate."""
    context = context_of(made)
    rows = people(context, "P2")
    network = network_of(context)
    before = copied(network)
    once = a_stage(Episodes(0.5), rows, epochs=1, batch_size=20, learning_rate=0.01)
    carried_out(made, context, once, network)
    moved = network.head.weight.detach() - before["head.weight"]
    # the first step of Adam is the rate times the gradient's sign
    torch.testing.assert_close(moved.abs(), torch.full_like(moved, 0.005), rtol=1e-3, atol=1e-6)
    whole = carried_out(made, context, replace(once, method=Episodes(1.0)))
    torch.testing.assert_close(moved, 0.5 * (whole.head.weight.detach() - before["head.weight"]), rtol=1e-3, atol=1e-7)
    # two people: the second episode starts where the first one ended, and each has its own optimizer
    episodes: list[set[int]] = []
    step = Loop.step

    def watched(loop: Loop, batch: RowIds, weight: float) -> float:
        episodes.append(set(made.index.participant_index[batch].tolist()))
        return step(loop, batch, weight)

    monkeypatch.setattr(Loop, "step", watched)
    carried_out(made, context, a_stage(Episodes(0.5), people(context, "P2", "P3"), epochs=1, batch_size=10))
    assert [1, 1, 1, 1] == [len(who) for who in episodes]
    assert episodes[0] == episodes[1] != episodes[2] == episodes[3]


def test_the_contrastive_loss_by_hand() -> None:
    """Two windows whose views are equal and orthogonal to the other's: -log(e^2 / (e^2 + 2)) at temperature 0.5."""
    z = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    assert np.isclose(-np.log(np.e**2 / (np.e**2 + 2)), float(contrastive_loss(z, z, 0.5)))


def test_entropy_falls_and_no_label_is_read(made: Windows) -> None:
    """The mean entropy of two classes at 0 and 0 is log 2; a stage of it makes predictions surer, whatever the labels are."""
    assert np.isclose(np.log(2), float(mean_entropy(torch.zeros(3, 2))))
    context = context_of(made)
    rows = people(context, "P1")
    stage = a_stage(
        EntropyMinimization(), trainable=("norm_affine",), unlabelled=rows, epochs=5, learning_rate=0.01, batch_size=10
    )

    def entropy(network: Network) -> float:
        p = predict(network, Signals(made.signals), rows, CPU).astype(np.float64)
        return float(-(p * np.log(p)).sum(axis=1).mean())

    network = network_of(context)
    before = entropy(network)
    carried_out(made, context, stage, network)
    assert entropy(network) < before
    other = replace(
        context, fold=replace(context.fold, index=replace(made.index, labels={"stress": 1 - made.index.labels["stress"]}))
    )
    assert same(copied(network), copied(carried_out(made, other, stage)))


def test_a_method_cannot_read_a_label_that_the_stage_does_not_give(made: Windows) -> None:
    """A stage of cross-entropy on windows that come without labels fails: they are not there."""
    context = context_of(made)
    stage = a_stage(Wrong(), unlabelled=people(context, "P1"))
    with pytest.raises((IndexError, TrainingError)):
        carried_out(made, context, stage)


class Wrong(EntropyMinimization):
    """Declares steps on unlabelled windows, and is carried out by the cross-entropy."""


@pytest.fixture(autouse=True)
def _wrong_descends(monkeypatch: pytest.MonkeyPatch) -> None:
    from raylab.training import loop  # noqa: PLC0415  the table of methods, which this test adds to
    from raylab.training.gradient import descend  # noqa: PLC0415  used by that entry alone

    monkeypatch.setitem(loop.METHODS, Wrong, descend)


@pytest.mark.parametrize(
    "method", [PeoplePenalty("dann"), PeoplePenalty("groupdro"), Episodes(), Contrastive()], ids=lambda m: str(m)[:40]
)
def test_methods_repeat_to_the_bit(made: Windows, method: Any) -> None:
    """Twice the same stage gives the same weights."""
    context = context_of(made)
    rows, validation = people(context, "P2", "P3"), people(context, "P4")
    stage = a_stage(method, rows, validation=validation, epochs=2, batch_size=8)
    assert same(copied(carried_out(made, context, stage)), copied(carried_out(made, context, stage)))
