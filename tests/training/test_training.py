"""The protocol's precedence, the loop against loops by hand, the store of weights, and the identity of a stage."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from builders.windows import make_windows, with_labels
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from raylab.files import Folder
from raylab.folds.fold import Fold, RowIds
from raylab.models.network import PARTS, ModelSpec, Network, build
from raylab.models.registry import ENCODERS
from raylab.techniques.registry import TECHNIQUES
from raylab.training import stage_hash as stage_hash_module
from raylab.training.augment import Augmentation
from raylab.training.batches import Signals
from raylab.training.loop import TrainingError, _Plateau, predict, train
from raylab.training.protocol import Hyperparameters, Protocol, StageProtocol, resolve
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages, stage_hash
from raylab.training.stage_store import StageStore
from raylab.trials.run_trial import one_thread
from raylab.windows.dataset import Windows
from raylab.windows.preprocess import Preprocessing

CPU = torch.device("cpu")
NOBODY: RowIds = np.zeros(0, dtype=np.int64)
TRUNK_HEAD = ("trunk", "head")
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 16, "batch_share": 1.0}


@pytest.fixture(autouse=True)
def _as_a_worker_does() -> Iterator[None]:
    """One thread and deterministic algorithms, as in a trial."""
    with one_thread():
        yield


def subject_of(windows: Windows, encoder: str = "fcn", adapter: bool = False, width: float = 0.02) -> TrainingContext:
    """A small model for the fold that holds out P1."""
    shapes = {name: (values.shape[1], values.shape[2]) for name, values in windows.signals.items()}
    return TrainingContext(Fold(windows.index, "stress", "P1", 0), ModelSpec(encoder, width=width), adapter, shapes)


def network_of(subject: TrainingContext) -> Network:
    return build(subject.model, subject.shapes, subject.n_classes, subject.adapter, subject.fold.draws)


def staged(
    train_rows: RowIds, validation: RowIds = NOBODY, trainable: tuple[str, ...] = TRUNK_HEAD, **hyper: Any
) -> PlannedStage:
    """A stage of few epochs and large batches unless told otherwise."""
    return PlannedStage(
        "everyone_else", train_rows, validation, NOBODY, trainable, Hyperparameters(**{**QUICK, **hyper}), "", ""
    )


def people(subject: TrainingContext, *names: str) -> RowIds:
    return subject.fold.windows_of(list(names))


def run(windows: Windows, subject: TrainingContext, stage: PlannedStage, **more: Any) -> tuple[Network, Any]:
    """A network fresh from the fold's draws, trained on the stage."""
    network = network_of(subject)
    done = train(network, Signals(windows.signals), subject.fold.y, stage, subject.fold.draws, CPU, **more)
    return network, done


def cross_entropy(network: Network, windows: Windows, subject: TrainingContext, rows: RowIds) -> float:
    """Mean loss in inference mode, from the probabilities."""
    p = predict(network, Signals(windows.signals), rows, CPU)
    return float(-np.log(p[np.arange(len(rows)), subject.fold.y[rows]]).mean())


def copied(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(expected: dict[str, torch.Tensor], actual: dict[str, torch.Tensor]) -> bool:
    """Equal names and equal bits."""
    return expected.keys() == actual.keys() and all(torch.equal(expected[name], actual[name]) for name in expected)


# The protocol


def test_the_papers_hyperparameters_are_the_default() -> None:
    """Where nobody says anything, the paper's training is used, with the encoder's batch size."""
    expected = Hyperparameters(
        epochs=100,
        patience=15,
        batch_size=16,
        batch_share=0.1,
        learning_rate=0.003,
        decay=1e-6,
        plateau_patience=10,
        plateau_factor=0.1,
    )

    assert expected == resolve(Protocol(), "everyone_else", {}, encoder_batch_size=16)


@pytest.mark.parametrize(
    ("expected", "study", "declared", "named"),
    [
        (1e-9, 0.01, 3e-4, 1e-9),
        (1e-9, None, None, 1e-9),
        (3e-4, 0.01, 3e-4, None),
        (3e-4, None, 3e-4, None),
        (0.01, 0.01, None, None),
        (0.003, None, None, None),
    ],
)
def test_precedence_of_the_protocol(expected: float, study: float | None, declared: float | None, named: float | None) -> None:
    """A study naming the stage goes before the stage's declaration, that before the study, and that before the paper."""
    stages = {"calibration": StageProtocol(learning_rate=named), "another": StageProtocol(learning_rate=0.5, epochs=7)}
    protocol = Protocol(learning_rate=study, stages=stages)

    hyper = resolve(protocol, "calibration", {"learning_rate": declared} if declared else {}, encoder_batch_size=4)

    assert Hyperparameters(learning_rate=expected) == hyper


def test_precedence_goes_field_by_field() -> None:
    """A stage named by the study for one field keeps what is said elsewhere of the others."""
    protocol = Protocol(epochs=50, patience=5, batch_size=8, stages={"calibration": StageProtocol(epochs=2)})

    hyper = resolve(protocol, "calibration", {"patience": 9}, encoder_batch_size=16)

    assert (hyper.epochs, hyper.patience, hyper.batch_size) == (2, 9, 8)
    assert resolve(Protocol(), "calibration", {}, encoder_batch_size=16).batch_size == 16


def test_a_study_can_set_every_hyperparameter() -> None:
    """What a study may set is what a training uses, no field more and none less."""
    assert {field.name for field in fields(Hyperparameters)} == set(StageProtocol.model_fields)


@pytest.mark.parametrize(
    ("expected", "size", "share", "count"),
    [
        (4, 4, 0.1, 1000),
        (4, 4, 0.1, 40),
        (3, 4, 0.1, 39),
        (1, 4, 0.1, 5),
        (16, 16, 0.1, 160),
        (15, 16, 0.1, 159),
        (29, 64, 0.29, 100),
        (2, 2, 1.0, 3),
    ],
)
def test_a_batch_is_at_most_its_share_of_the_windows(expected: int, size: int, share: float, count: int) -> None:
    """The batch size is capped at the share (a tenth) of the training windows, rounded down, and is at least 1."""
    assert expected == Hyperparameters(batch_size=size, batch_share=share).batch(count)


# Plateau and early stopping


def test_plateau_and_early_stopping_follow_keras() -> None:
    """A sequence worked out by hand: the plateau needs a gain of more than 1e-4, early stopping any gain at all."""
    plateau = _Plateau(Hyperparameters(learning_rate=1.0, patience=4, plateau_patience=2, plateau_factor=0.1))
    by_hand = [  # loss, learning rate after it, best so far, stop
        (1.0, 1.0, True, False),
        (0.99995, 1.0, True, False),  # not 1e-4 better than 1.0: the plateau waits 1, early stopping does not
        (0.99992, 1e-1, True, False),  # the plateau waited 2
        (0.9, 1e-1, True, False),
        (0.9, 1e-1, False, False),  # equal is not better: both wait 1
        (0.95, 1e-2, False, False),  # 2 and 2; the plateau starts to count anew
        (0.91, 1e-2, False, False),  # 1 and 3
        (0.89995, 1e-3, True, False),  # better for early stopping, the plateau's second
        (0.9, 1e-3, False, False),  # 1 and 1
        (0.9, 1e-4, False, False),  # 2 and 2
        (0.9, 1e-4, False, False),  # 1 and 3
        (0.9, 1e-5, False, True),  # 2 and 4: stop
    ]

    for loss, rate, best, stop in by_hand:
        assert (best, stop) == plateau.step(loss)
        assert rate == pytest.approx(plateau.rate, rel=1e-12)


def test_the_best_validation_epochs_weights_are_kept(made: Windows) -> None:
    """After training, the validation loss is the curve's smallest, and training stopped ``patience`` epochs after it."""
    subject = subject_of(made, width=0.05)
    rows, validation = people(subject, "P2", "P3"), people(subject, "P4", "P5")
    stage = staged(rows, validation, epochs=60, patience=4, plateau_patience=2, learning_rate=0.03)

    network, done = run(made, subject, stage)

    losses = [epoch["val_loss"] for epoch in done.curve]
    assert int(np.argmin(losses)) + 1 == done.best_epoch
    assert done.best_epoch + 4 == len(done.curve) < 60
    assert min(losses) < min(losses[-4:])  # the last weights would not do
    assert min(losses) == pytest.approx(cross_entropy(network, made, subject, validation), rel=1e-5)
    assert list(range(1, len(losses) + 1)) == [epoch["epoch"] for epoch in done.curve]


def test_the_curves_learning_rate_follows_the_plateau(made: Windows) -> None:
    """Each epoch runs at the rate that the plateau gives after the validation losses before it."""
    subject = subject_of(made)
    stage = staged(people(subject, "P2"), people(subject, "P3"), epochs=12, patience=12, plateau_patience=1, plateau_factor=0.5)

    _, done = run(made, subject, replace(stage, hyper=replace(stage.hyper, learning_rate=0.1)))

    plateau, expected = _Plateau(replace(stage.hyper, learning_rate=0.1)), []
    for epoch in done.curve:
        expected.append(plateau.rate)
        plateau.step(epoch["val_loss"])
    assert expected == [epoch["learning_rate"] for epoch in done.curve]
    assert len(set(expected)) > 1


def test_without_validation_the_last_epoch_is_kept(made: Windows) -> None:
    """A calibration has no validation part: all epochs run, and the last weights stay."""
    subject = subject_of(made)

    network, done = run(made, subject, staged(people(subject, "P2"), epochs=5, patience=1, plateau_patience=1))
    four, _ = run(made, subject, staged(people(subject, "P2"), epochs=4))

    assert 5 == len(done.curve) == done.best_epoch
    assert not any("val_loss" in epoch for epoch in done.curve)
    assert {0.003} == {epoch["learning_rate"] for epoch in done.curve}
    assert not same(copied(four), copied(network))


# What moves and what stands still


@pytest.mark.parametrize("trainable", [("head",), ("adapter", "head"), ("trunk",), TRUNK_HEAD, PARTS], ids="+".join)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_only_freed_parts_move(made: Windows, encoder: str, trainable: tuple[str, ...]) -> None:
    """Frozen parts keep every bit, batch norm statistics included; in freed parts every weight and statistic moves."""
    subject = subject_of(made, encoder, adapter=True)
    before = copied(network_of(subject))

    network, _ = run(made, subject, staged(people(subject, "P2", "P3"), people(subject, "P4"), trainable))

    moved = {name for name, value in network.state_dict().items() if not torch.equal(before[name], value)}
    freed = {name for name in before if name.split(".")[0] in trainable and "bias_hh" not in name}
    # A bias right before batch norm has no gradient but rounding noise: it may move or not.
    idle = {name for name in freed if name.endswith("1.bias") and f"{name.removesuffix('1.bias')}2.running_mean" in before}
    assert freed - idle == moved - idle


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_part_that_is_not_freed_drops_nothing(made: Windows, encoder: str) -> None:
    """With a learning rate of almost nothing, training the head sees the loss of inference mode; freeing the trunk does not."""
    subject = subject_of(made, encoder, adapter=True, width=0.05)
    rows = people(subject, "P2", "P3")
    expected = cross_entropy(network_of(subject), made, subject, rows)

    for trainable in (("head",), ("adapter", "head")):
        _, done = run(made, subject, staged(rows, trainable=trainable, epochs=1, learning_rate=1e-12))
        assert expected == pytest.approx(done.curve[0]["loss"], rel=1e-5)
    _, done = run(made, subject, staged(rows, trainable=TRUNK_HEAD, epochs=1, learning_rate=1e-12))
    assert expected != pytest.approx(done.curve[0]["loss"], rel=1e-3)


def loop_by_hand(network: Network, windows: Windows, subject: TrainingContext, stage: PlannedStage) -> list[float]:
    """The plain loop over a network whose every part is evaluated for every batch; the mean loss of each epoch."""
    hyper, draws = stage.hyper, subject.fold.draws
    torch.manual_seed(draws.integer("dropout"))
    shuffle = draws.generator("shuffle")
    y = torch.from_numpy(subject.fold.y.astype(np.int64))
    optimizer = torch.optim.Adam(network.set_trainable(stage.trainable), lr=hyper.learning_rate, eps=1e-7)
    step, losses = 0, []
    for _ in range(hyper.epochs):
        order, total = shuffle.permutation(stage.train), 0.0
        for start in range(0, len(order), hyper.batch_size):
            rows = order[start : start + hyper.batch_size]
            optimizer.param_groups[0]["lr"] = hyper.learning_rate / (1 + hyper.decay * step)
            optimizer.zero_grad()
            loss = F.cross_entropy(network(Signals(windows.signals).batch(rows, CPU)), y[torch.from_numpy(rows)])
            loss.backward()
            optimizer.step()
            step, total = step + 1, total + loss.item() * len(rows)
        losses.append(total / len(order))
    return losses


@pytest.mark.parametrize("trainable", [("head",), ("adapter", "head"), TRUNK_HEAD], ids="+".join)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_loop_equals_a_loop_by_hand(made: Windows, encoder: str, trainable: tuple[str, ...]) -> None:
    """Training on the frozen trunk's features, computed once, is training with the trunk evaluated for each batch.

    In double precision: in single, Adam makes steps of the rounding noise in biases before batch norm.
    """
    subject = subject_of(made, encoder, adapter=True)
    stage = staged(people(subject, "P2", "P3"), trainable=trainable, batch_size=7, learning_rate=0.01, decay=0.1)
    doubled = Windows(made.index, {name: values.astype(np.float64) for name, values in made.signals.items()})
    expected, network = network_of(subject).double(), network_of(subject).double()
    losses = loop_by_hand(expected, doubled, subject, stage)

    done = train(network, Signals(doubled.signals), subject.fold.y, stage, subject.fold.draws, CPU)

    np.testing.assert_allclose(losses, [epoch["loss"] for epoch in done.curve], rtol=1e-9)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-6, atol=1e-9, msg=name)
    assert losses[-1] < losses[0]


def test_something_is_learned(made: Windows) -> None:
    """The made windows carry their class: training brings the held-out person's loss well under a coin's."""
    subject = subject_of(made, width=0.05)

    network, _ = run(
        made, subject, staged(people(subject, "P2", "P3", "P4"), people(subject, "P5"), epochs=15, learning_rate=0.01)
    )

    assert cross_entropy(network, made, subject, subject.fold.target_windows) < 0.4 < math.log(2)


# Steps


def test_the_last_short_batch_is_kept(made: Windows) -> None:
    """21 windows in batches of 4 are six steps an epoch, the last of one window."""
    subject = subject_of(made)
    sizes: list[int] = []

    _, done = run(
        made, subject, staged(people(subject, "P2", "P3")[:21], batch_size=4), on_batch=lambda rows: sizes.append(len(rows))
    )

    assert sizes == [4, 4, 4, 4, 4, 1] * 3
    assert done.steps == 18


@pytest.mark.parametrize("trainable", [("head",), TRUNK_HEAD], ids="+".join)
def test_the_optimizer_receives_exactly_the_planned_windows(made: Windows, trainable: tuple[str, ...]) -> None:
    """Every epoch's batches hold every training window once, no validation window, in another order than before."""
    subject = subject_of(made)
    rows, validation = people(subject, "P2", "P4"), people(subject, "P3")
    batches: list[RowIds] = []

    _, done = run(made, subject, staged(rows, validation, trainable, batch_size=8), on_batch=batches.append)

    epochs = [np.concatenate(batches[i : i + 5]) for i in range(0, 15, 5)]
    assert len(batches) == 15
    for epoch in epochs:
        np.testing.assert_array_equal(rows, np.sort(epoch))
    assert not any(np.array_equal(before, after) for before, after in pairwise(epochs))
    np.testing.assert_array_equal(rows, done.seen)


def test_the_learning_rate_decays_with_every_step(made: Windows) -> None:
    """Step n, counted over epochs from 0, runs at rate / (1 + decay n)."""
    subject = subject_of(made)
    rates: list[float] = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        run(made, subject, staged(people(subject, "P2"), epochs=2, batch_size=8, learning_rate=0.01, decay=0.5))
    finally:
        hook.remove()

    assert [0.01 / (1 + 0.5 * step) for step in range(6)] == pytest.approx(rates, rel=1e-12)


def test_every_epoch_is_told(made: Windows) -> None:
    """``on_epoch`` gets the records of the curve, one by one."""
    subject = subject_of(made)
    told: list[dict[str, float]] = []

    _, done = run(made, subject, staged(people(subject, "P2"), people(subject, "P3")), on_epoch=told.append)

    assert told == done.curve
    assert {"epoch", "loss", "learning_rate", "val_loss"} == told[0].keys()


@pytest.mark.parametrize(("person", "what"), [("P2", "loss"), ("P3", "val_loss")])
@pytest.mark.parametrize("trainable", [("head",), TRUNK_HEAD], ids="+".join)
def test_a_nan_in_a_window_names_the_stage(trainable: tuple[str, ...], person: str, what: str) -> None:
    """One sample that is not a number, in training or validation, ends the training with an error that names the stage."""
    windows = make_windows({name: [0, 1] * 5 for name in ("P1", "P2", "P3")})
    subject = subject_of(windows)
    windows.signals["b"][people(subject, person)[3], 2, 0] = np.nan

    with pytest.raises(TrainingError, match=rf"^{what} is nan in epoch 1 of stage everyone_else .*check the windows for NaN"):
        run(windows, subject, staged(people(subject, "P2"), people(subject, "P3"), trainable))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_two_trainings_are_equal_to_the_bit(made: Windows, encoder: str) -> None:
    """The same stage from the same weights gives the same bits and the same curve, whatever was drawn in between."""
    subject = subject_of(made, encoder)
    stage = staged(people(subject, "P2", "P3"), people(subject, "P4"))

    first, done = run(made, subject, stage)
    torch.manual_seed(99)
    again, done_again = run(made, subject, stage)

    assert same(copied(first), copied(again))
    assert done.curve == done_again.curve
    assert not same(copied(network_of(subject)), copied(first))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_continuing_from_a_stored_stage_is_the_same(made: Windows, encoder: str, tmp_path: Any) -> None:
    """A second stage gives the same bits after the first was trained here and after it was loaded from the store."""
    subject = subject_of(made, encoder)
    first, second = staged(people(subject, "P2", "P3")), staged(people(subject, "P1")[::2], trainable=("head",), batch_size=2)
    network, _ = run(made, subject, first)
    store = StageStore(Folder(tmp_path))
    store.save("first", network.state_of(first.trainable))
    train(network, Signals(made.signals), subject.fold.y, second, subject.fold.draws, CPU)

    resumed = network_of(subject)
    resumed.load_parts(store.load("first") or {})
    train(resumed, Signals(made.signals), subject.fold.y, second, subject.fold.draws, CPU)

    assert same(copied(network), copied(resumed))


# The store


@pytest.fixture
def store(tmp_path: Any) -> StageStore:
    return StageStore(Folder(tmp_path))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_stored_parts_come_back_to_the_bit(store: StageStore, made: Windows, encoder: str) -> None:
    """What is saved is loaded, for the parts that the stage freed and no others."""
    network = network_of(subject_of(made, encoder, adapter=True))
    state = network.state_of(("adapter", "head"))

    store.save("abc", state)

    loaded = store.load("abc")
    assert loaded is not None
    assert same(state, loaded)
    assert {"adapter", "head"} == {name.split(".")[0] for name in loaded}
    assert {"abc"} == store.hashes()
    assert store.has("abc")


def test_a_stage_that_was_not_stored_is_none(store: StageStore) -> None:
    """An empty store has nothing and says so with None."""
    assert not store.has("abc")
    assert store.load("abc") is None
    assert set() == store.hashes()
    assert store.trainings() == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_treated_as_missing(store: StageStore, made: Windows, share: float) -> None:
    """A file that ends early gives None, so that the stage is trained again, and saving repairs it."""
    state = network_of(subject_of(made)).state_of(PARTS)
    store.save("abc", state)
    data = store.folder.read("stages/abc.safetensors")
    store.folder.write("stages/abc.safetensors", data[: int(share * len(data))])

    assert store.load("abc") is None
    store.save("abc", state)
    assert same(state, store.load("abc") or {})


def test_a_file_with_a_wrong_byte_is_treated_as_missing(store: StageStore, made: Windows) -> None:
    """One bit of one weight changed on disk is noticed; a file from before there were digests is believed."""
    state = network_of(subject_of(made)).state_of(PARTS)
    store.save("abc", state)
    data = bytearray(store.folder.read("stages/abc.safetensors"))
    data[-3] ^= 1
    store.folder.write("stages/abc.safetensors", bytes(data))
    store.folder.write("stages/old.safetensors", safetensors.torch.save(state))

    assert store.load("abc") is None
    assert same(state, store.load("old") or {})


def test_a_training_says_that_it_repairs(store: StageStore) -> None:
    """A training of a stage whose file is there is one that was needed again; the first one of a stage is not."""
    store.begin("abc", {"trial": "first"})
    store.folder.write("stages/abc.safetensors", b"damaged")
    store.begin("abc", {"trial": "second"})

    assert {"first": False, "second": True} == {row["trial"]: row["repairs"] for row in store.trainings()}


def test_every_training_is_accounted_for(store: StageStore) -> None:
    """Each attempt is noted when it starts and again when it is completed; two attempts at one stage are two trainings."""
    first, second = store.begin("abc", {"trial": "t1"}), store.begin("abc", {"trial": "t2"})

    store.complete(first, {"steps": 12, "curve": [{"epoch": 1, "loss": 0.5}]})

    account = {record["trial"]: record for record in store.trainings()}
    assert first != second
    assert {trial: record["status"] for trial, record in account.items()} == {"t1": "completed", "t2": "started"}
    assert {"abc"} == {record["stage"] for record in account.values()}
    assert (account["t1"]["steps"], account["t1"]["curve"]) == (12, [{"epoch": 1, "loss": 0.5}])
    assert account["t1"]["started"] <= account["t1"]["ended"]
    assert "ended" not in account["t2"]


# Identity

Case = tuple[PlannedStage, TrainingContext]


def a_case() -> Case:
    subject = subject_of(make_windows({f"P{i}": [0] * 5 + [1] * 5 for i in range(1, 6)}))
    return staged(people(subject, "P2", "P3"), people(subject, "P4")), subject


def with_stage(**changes: Any) -> Callable[[Case], Case]:
    return lambda case: (replace(case[0], **changes), case[1])


def with_subject(**changes: Any) -> Callable[[Case], Case]:
    return lambda case: (case[0], replace(case[1], **changes))


def with_fold(**changes: Any) -> Callable[[Case], Case]:
    return lambda case: (case[0], replace(case[1], fold=replace(case[1].fold, **changes)))


def with_model(**changes: Any) -> Callable[[Case], Case]:
    return lambda case: (case[0], replace(case[1], model=replace(case[1].model, **changes)))


def with_card(**changes: Any) -> Callable[[Case], Case]:
    def change(case: Case) -> Case:
        index = case[1].fold.index
        return with_fold(index=replace(index, card=index.card.changed(**changes)))(case)

    return change


def with_hyper(name: str) -> Callable[[Case], Case]:
    def change(case: Case) -> Case:
        return with_stage(hyper=replace(case[0].hyper, **{name: getattr(case[0].hyper, name) * 2}))(case)

    return change


def with_classes(**classes: list[str]) -> Callable[[Case], Case]:
    """Labels of these classes."""
    return lambda case: with_card(**with_labels(case[1].fold.index.card, classes))(case)


TWO = ["class0", "class1"]
CHANGES: dict[str, Callable[[Case], Case]] = {
    "stage.train: one less": lambda case: with_stage(train=case[0].train[:-1])(case),
    "stage.train: another": lambda case: with_stage(train=np.sort(np.append(case[0].train[1:], people(case[1], "P5")[0])))(
        case
    ),
    "stage.validation: one less": lambda case: with_stage(validation=case[0].validation[:-1])(case),
    "stage.validation: none": with_stage(validation=NOBODY),
    "stage.train and validation exchanged": lambda case: with_stage(train=case[0].validation, validation=case[0].train)(case),
    "stage.trainable": with_stage(trainable=("head",)),
    "stage.parent": with_stage(parent="abc"),
    **{
        f"stage.hyper.{field.name}": with_hyper(field.name) for field in fields(Hyperparameters) if field.name != "augmentation"
    },
    "stage.hyper.augmentation": lambda case: with_stage(hyper=replace(case[0].hyper, augmentation=Augmentation(noise=0.1)))(
        case
    ),
    "stage.hyper.augmentation: another": lambda case: with_stage(
        hyper=replace(case[0].hyper, augmentation=Augmentation(noise=0.2))
    )(case),
    "subject.adapter": with_subject(adapter=True),
    "subject.workers": with_subject(workers=2),
    "subject.shapes: length": with_subject(shapes={"a": (8, 1), "b": (15, 1)}),
    "subject.shapes: n_features": with_subject(shapes={"a": (8, 1), "b": (16, 2)}),
    "subject.shapes: name": with_subject(shapes={"a": (8, 1), "c": (16, 1)}),
    "subject.shapes: order": with_subject(shapes={"b": (16, 1), "a": (8, 1)}),
    "subject.shapes: fewer": with_subject(shapes={"a": (8, 1)}),
    "subject.model.encoder": with_model(encoder="resnet"),
    "subject.model.fusion": with_model(fusion="early"),
    "subject.model.width": with_model(width=0.03),
    "subject.fold.seed": with_fold(seed=1),
    "subject.fold.target": with_fold(target="P5"),
    "subject.fold.held_out_with": with_fold(held_out_with=("P5",)),
    "subject.fold.shares": with_fold(shares=(0.8, 0.1, 0.1)),
    "subject.fold.label": lambda case: with_fold(label="other")(with_classes(stress=TWO, other=TWO)(case)),
    "subject.fold.index: dataset": with_card(dataset="another"),
    "subject.fold.index: data": with_card(fingerprint="made-1"),
    "subject.fold.index: preprocessing": with_card(preprocessing=Preprocessing(normalization="past")),
    "subject.fold.index: class names": with_classes(stress=["calm", "stress"]),
    "subject.fold.index: classes": with_classes(stress=[*TWO, "class2"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_decides_the_weights_changes_the_hash(change: Callable[[Case], Case]) -> None:
    """A stage that differs in one thing that its weights depend on has another hash."""
    assert stage_hash(*a_case()) != stage_hash(*change(a_case()))


def test_all_changes_have_different_hashes() -> None:
    """No two of the changes above share a hash."""
    hashes = [stage_hash(*change(a_case())) for change in CHANGES.values()]

    assert len(CHANGES) == len(set(hashes))


def test_every_field_is_changed_by_a_test() -> None:
    """The changes above cover each field of a planned stage, of its subject and of the model; a new field needs one."""
    named = {name.split(":")[0].split(" ")[0] for name in CHANGES}
    parts = {".".join(name.split(".")[:2]) for name in named}

    # A stage's name and what it looked at to choose its windows decide no weight beyond the windows, and the hash is what is computed.
    assert {f"stage.{field.name}" for field in fields(PlannedStage)} - {"stage.name", "stage.signals_used", "stage.hash"} == {
        p for p in parts if p.startswith("stage")
    }
    assert {f"subject.{field.name}" for field in fields(TrainingContext)} == {p for p in parts if p.startswith("subject")}
    # A subset of people and a choice of channels or modalities show in the window ids and the shapes.
    assert {f"subject.model.{field.name}" for field in fields(ModelSpec)} - {"subject.model.modalities"} == {
        n for n in named if n.startswith("subject.model")
    }
    assert {f"subject.fold.{field.name}" for field in fields(Fold)} - {
        "subject.fold.n_participants",
        "subject.fold.channels",
    } == {n for n in named if n.startswith("subject.fold")}


def test_numerics_change_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raising NUMERICS gives every stage another hash."""
    before = stage_hash(*a_case())

    monkeypatch.setattr(stage_hash_module, "NUMERICS", stage_hash_module.NUMERICS + 1)

    assert before != stage_hash(*a_case())


@pytest.mark.parametrize(
    "change", [lambda case: case, with_stage(name="another", hash="abc")], ids=["nothing", "name and hash"]
)
def test_the_same_stage_has_the_same_hash(change: Callable[[Case], Case]) -> None:
    """What decides no weight (made anew; under another name) leaves the hash."""
    assert stage_hash(*a_case()) == stage_hash(*change(a_case()))


def test_window_ids_identify_windows_not_row_numbers(made: Windows) -> None:
    """The hash is of the window ids behind the rows, so an index with other ids gives another hash."""
    subject = subject_of(made)
    stage = staged(people(subject, "P2"))
    moved = replace(subject, fold=replace(subject.fold, index=replace(made.index, window=made.index.window + 1)))

    assert stage_hash(stage, subject) != stage_hash(stage, moved)


def test_planned_stages_hang_together(made: Windows) -> None:
    """Each stage continues from the one before, carries its own identity, and shares its first stage with other techniques."""
    subject = subject_of(made)
    protocol = Protocol(stages={"calibration": StageProtocol(epochs=2)})

    def stages(technique: str, **variant: Any) -> tuple[PlannedStage, ...]:
        return plan_stages(subject, TECHNIQUES[technique].stages(variant), protocol)

    first, second = stages("fine_tuning", layers="last", budget=0.2, draw="initial", unit="window")
    (alone,) = stages("non_personalized")

    assert ("", first.hash) == (first.parent, second.parent)
    assert [stage_hash(first, subject), stage_hash(second, subject)] == [first.hash, second.hash]
    assert alone.hash == first.hash
    assert second.hash != stages("fine_tuning", layers="last", budget=0.3, draw="initial", unit="window")[1].hash
    assert {"epochs": 2, "learning_rate": 3e-4, "batch_size": 2}.items() <= asdict(second.hyper).items()
