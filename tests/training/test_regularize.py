"""Regularization: each kind by itself against a reference, people kept apart by mixup, channels that stay, the same draws every time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from builders.training import CPU, context_of, copied, network_of, people, run, same, staged
from builders.windows import make_windows, with_card
from torch.nn import functional as F

from raylab.errors import InvalidValueError, StudyError
from raylab.models.batch import Batch
from raylab.models.keras_defaults import ADAM_EPSILON
from raylab.models.network import AUTO
from raylab.training.batches import Signals
from raylab.training.loop import predict, train
from raylab.training.protocol import Hyperparameters, Protocol
from raylab.training.regularize import Regularization, Regularizer, Targets
from raylab.trials.plan import check_datasets
from raylab.trials.study import parse_study

WINDOWS = make_windows({f"P{i}": [0, 1] * 6 for i in range(1, 6)})
N = 400


def regularizer(seed: int = 0, **settings: float) -> Regularizer:
    return Regularizer(Regularization(**settings), np.random.default_rng(seed))


def some_batch(n: int = N) -> Batch:
    made = torch.Generator().manual_seed(0)
    return Batch({"a": torch.randn(n, 5, 2, generator=made), "b": torch.randn(n, 3, 1, generator=made)})


def trained(regularization: Regularization | None, trainable: tuple[str, ...] = ("trunk", "head"), **more: Any) -> Any:
    """Three epochs on P2 and P3, validated on P4."""
    context = context_of(WINDOWS, width=0.05)
    rows, validation = people(context, "P2", "P3"), people(context, "P4")
    stage = staged(rows, validation, trainable, batch_size=8, regularization=regularization)
    return run(WINDOWS, context, stage, people=WINDOWS.index.participant_index, **more)


def test_label_smoothing_is_torchs() -> None:
    """The loss of a step is torch's, of logits and of the channels' votes; without smoothing it is the plain cross-entropy."""
    logits, y = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    votes = torch.stack([logits, -logits], dim=1)

    assert torch.equal(F.cross_entropy(logits, y), Targets(y).loss(logits))
    expected = F.cross_entropy(logits, y, label_smoothing=0.2)
    torch.testing.assert_close(expected, Targets(y, smoothing=0.2).loss(logits))
    expected = (expected + F.cross_entropy(-logits, y, label_smoothing=0.2)) / 2
    torch.testing.assert_close(expected, Targets(y, smoothing=0.2).votes_loss(votes))


def test_a_mixtures_loss_is_that_of_its_mixed_labels() -> None:
    """Zhang et al.'s equation: the cross-entropy against labels mixed in the same shares."""
    made = torch.Generator().manual_seed(0)
    logits, y, partner, share = torch.randn(8, 3, generator=made), torch.arange(8) % 3, torch.ones(8).long(), torch.rand(8)
    soft = share[:, None] * F.one_hot(y, 3) + (1 - share)[:, None] * F.one_hot(partner, 3)

    torch.testing.assert_close(F.cross_entropy(logits, soft), Targets(y, partner, share).loss(logits))


def test_mixup_mixes_different_people_only() -> None:
    """Every window becomes share times itself plus the rest of a window of another person, in all channels alike; labels likewise."""
    batch, who, y = some_batch(), np.arange(N) % 4, torch.arange(N)

    mixed, targets = regularizer(mixup=0.5).mixed(batch, Targets(y), who)

    assert targets.partner is not None and targets.share is not None
    partner = targets.partner.numpy()  # classes are row numbers here
    assert (who != who[partner]).all()
    assert len(np.unique(partner)) > N / 2
    for name, x in batch.values.items():
        share = targets.share[:, None, None]
        torch.testing.assert_close(share * x + (1 - share) * x[targets.partner], mixed.values[name])
    # Beta(0.5, 0.5) has mean 1/2 and variance 1/8
    assert float(targets.share.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(targets.share.var()) == pytest.approx(0.125, abs=0.02)


def test_a_person_alone_is_not_mixed() -> None:
    """Windows without a partner keep every bit and their label, and cost the same draws, so that what is drawn next is the same."""
    batch, y, by_two, by_one = some_batch(), torch.arange(N), regularizer(mixup=0.2), regularizer(mixup=0.2)

    by_two.mixed(batch, Targets(y), np.arange(N) % 2)
    mixed, targets = by_one.mixed(batch, Targets(y), np.zeros(N, dtype=np.int64))

    assert all(torch.equal(x, mixed.values[name]) for name, x in batch.values.items())
    assert targets.share is not None and (targets.share == 1).all() and torch.equal(y, targets.y)
    assert by_two.generator.random() == by_one.generator.random()


def test_mixup_of_windows_of_variable_length_is_refused() -> None:
    """In a batch, and before a study runs, for networks alone."""
    batch = Batch(some_batch().values, {"a": torch.full((N,), 3)})
    with pytest.raises(InvalidValueError, match="mixup adds windows sample by sample"):
        regularizer(mixup=0.2).mixed(batch, Targets(torch.zeros(N).long()), np.arange(N))
    a, b = WINDOWS.index.card.channels
    windows = with_card(WINDOWS, channels=(a, b.changed(variable=True)))
    study = _study({"mixup": 0.2})
    with pytest.raises(StudyError, match="mixup adds windows sample by sample, and made has b of variable length"):
        check_datasets(study, {"w": windows.index})
    assert check_datasets(study, {"w": WINDOWS.index})
    assert check_datasets(_study({"mixup": 0.2}, encoder="lda"), {"w": windows.index})


def test_channel_dropout_leaves_a_channel() -> None:
    """Each channel is dropped in this share of the windows, as if it were missing; a window keeps at least one of those that it has."""
    batch = Batch(some_batch().values, {"a": torch.tensor([5, 4, 0, 2] * (N // 4))})

    found = regularizer(channel_dropout=0.3).without_some_channels(batch, ["a", "b"])

    a, b = found.lengths["a"], found.lengths["b"]
    assert set(b.tolist()) == {0, 3}
    assert ((a > 0) | (b > 0)).all()
    has_a = batch.lengths["a"] > 0
    assert torch.equal(b[~has_a], torch.full((N // 4,), 3))
    assert torch.equal(a[a > 0], batch.lengths["a"][a > 0])
    assert float((a[has_a] == 0).float().mean()) == pytest.approx(
        0.3 - 0.09 / 2, abs=0.06
    )  # of two dropped ones one comes back
    alone = regularizer(channel_dropout=0.9).without_some_channels(some_batch(), ["b"])
    assert (alone.lengths["b"] == 3).all() and "a" not in alone.lengths


def test_dropout_keeps_the_mean() -> None:
    """Factors are 0 or 1 / (1 - p), in these shares; without dropout there are none."""
    factors = regularizer(dropout=0.25).kept_features(200, 50, CPU)

    assert factors is not None
    assert [0.0, pytest.approx(4 / 3)] == factors.unique().tolist()
    assert float(factors.mean()) == pytest.approx(1.0, abs=0.02)
    assert regularizer().kept_features(2, 2, CPU) is None


def test_weight_decay_is_adamws() -> None:
    """One step of a stage with weight decay is one step of torch's AdamW; and not one of Adam."""
    context = context_of(WINDOWS, width=0.05)
    rows = people(context, "P2")
    decay = Regularization(weight_decay=0.1)
    stage = staged(rows, epochs=1, batch_size=len(rows), regularization=decay)
    by_hand, order = network_of(context), context.fold.draws.generator("shuffle").permutation(rows)
    optimizer = torch.optim.AdamW(
        by_hand.set_trainable(stage.trainable), stage.hyper.learning_rate, eps=ADAM_EPSILON, weight_decay=0.1, fused=True
    )
    logits = by_hand(Signals(WINDOWS.signals).batch(order, CPU))
    F.cross_entropy(logits, torch.from_numpy(context.fold.y[order].astype(np.int64))).backward()
    optimizer.step()

    network, _ = run(WINDOWS, context, stage)
    plain, _ = run(WINDOWS, context, replace(stage, hyper=replace(stage.hyper, regularization=None)))

    assert same(copied(by_hand), copied(network))
    assert not same(copied(plain), copied(network))


KINDS = {"weight_decay": 0.1, "dropout": 0.3, "label_smoothing": 0.1, "mixup": 0.3, "channel_dropout": 0.4}


@pytest.mark.parametrize("trainable", [("trunk", "head"), ("head",)], ids="+".join)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_training_and_repeats_itself(kind: str, trainable: tuple[str, ...]) -> None:
    """Also above a frozen trunk: the same stage gives the same bits twice, and others than without it."""
    settings = Regularization(**{kind: KINDS[kind]})

    once, again, without = (copied(trained(given, trainable)[0]) for given in (settings, settings, None))

    assert same(once, again)
    assert not same(once, without)


def test_all_at_zero_change_no_bit() -> None:
    """A set in which everything is off trains as without it."""
    assert same(copied(trained(None)[0]), copied(trained(Regularization())[0]))


def test_validation_is_not_regularized() -> None:
    """The validation loss is that of the network as it predicts: recorded in the first epoch of a training that changes nothing."""
    settings = Regularization(**{**KINDS, "weight_decay": 0.0})
    losses = [trained(given, ("head",), on_epoch=lambda epoch: None)[1].curve[0]["val_loss"] for given in (settings, None)]
    frozen = [_untouched(given) for given in (settings, None)]

    assert losses[0] != losses[1]  # other steps were taken
    assert frozen[0] == frozen[1]


def _untouched(regularization: Regularization | None) -> float:
    """The validation loss after an epoch of steps of no size."""
    context = context_of(WINDOWS, width=0.05)
    stage = staged(
        people(context, "P2", "P3"),
        people(context, "P4"),
        ("head",),
        epochs=1,
        learning_rate=1e-300,
        regularization=regularization,
    )
    _, done = run(WINDOWS, context, stage, people=WINDOWS.index.participant_index)
    return float(done.curve[0]["val_loss"])


def test_channel_dropout_and_a_choice_go_together() -> None:
    """Of the chosen channels at least one stays, so that no window is empty."""
    context = context_of(WINDOWS, width=0.05)
    context = replace(context, model=replace(context.model, channels=AUTO))
    network = network_of(context)
    network.select_channels(("b",))
    stage = staged(people(context, "P2", "P3"), regularization=Regularization(channel_dropout=0.9))
    plain = network_of(context)
    plain.select_channels(("b",))

    train(network, Signals(WINDOWS.signals), context.fold.y, stage, context.fold.draws, CPU)
    train(plain, Signals(WINDOWS.signals), context.fold.y, staged(stage.train), context.fold.draws, CPU)

    # not the weights: masks give sums in another order, and a bias before batch norm has a gradient of rounding noise alone
    expected, actual = (predict(model, Signals(WINDOWS.signals), stage.train, CPU) for model in (plain, network))
    np.testing.assert_allclose(expected, actual, atol=1e-3)


def _study(regularization: dict[str, Any], encoder: str = "fcn", fusion: str = "late", **more: Any) -> Any:
    content = {
        "name": "x",
        "datasets": [{"windows": "w", "label": "stress", **more}],
        "models": [{"encoder": encoder, "fusion": fusion}],
        "techniques": ["non_personalized"],
        "protocol": {"regularization": regularization},
    }
    return parse_study(content, "s")


def test_what_makes_no_sense_is_refused() -> None:
    """Unknown kinds, shares beyond 1, dropout of votes, and channel dropout of a single channel."""
    assert Regularization(mixup=0.2) == _study({"mixup": 0.2}).protocol.regularization
    with pytest.raises(StudyError, match=r"regularization\.mixupp: is no key of it; did you mean mixup"):
        _study({"mixupp": 0.2})
    with pytest.raises(StudyError, match=r"regularization\.dropout: it has to be less than 1"):
        _study({"dropout": 1.0})
    for fusion in ("weighted", "stacked"):
        with pytest.raises(StudyError, match=f"dropout drops fused features, and {fusion} fusion has none"):
            _study({"dropout": 0.1}, fusion=fusion)
    with pytest.raises(StudyError, match="channel_dropout keeps one channel, and fcn has no other on made"):
        check_datasets(_study({"channel_dropout": 0.1}, channels=["a"]), {"w": WINDOWS.index})
    assert check_datasets(_study({"channel_dropout": 0.1, "dropout": 0.1}, encoder="svm"), {"w": WINDOWS.index})


def test_a_stage_sets_its_own() -> None:
    """As every setting of a stage, it replaces that of the study as a whole."""
    content = {"regularization": {"mixup": 0.2}, "stages": {"calibration": {"regularization": {"weight_decay": 0.1}}}}

    protocol = Protocol.model_validate(content)

    assert Regularization(weight_decay=0.1) == protocol.stages["calibration"].regularization


def test_without_regularization_hyperparameters_are_what_they_were() -> None:
    """The record that a stage's hash is made of has no word of it unless there is some."""
    plain, settings = Hyperparameters(), Regularization(dropout=0.2)

    assert not {"regularization", "augmentation"} & plain.as_dict().keys()
    assert {**plain.as_dict(), "regularization": settings.as_dict()} == replace(plain, regularization=settings).as_dict()
