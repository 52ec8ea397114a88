"""The identity of a stage: whatever decides its weights changes its hash, and nothing else does."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
from builders.training import NOBODY, context_of, people, staged
from builders.windows import make_windows, with_labels

from raylab.folds.fold import Fold
from raylab.models.network import AUTO, ModelSpec
from raylab.techniques.method import ClassMeans, Episodes, History, Method, NormStatistics
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.stage import Asking
from raylab.training import stage_hash as stage_hash_module
from raylab.training.augment import Augmentation
from raylab.training.protocol import SETTINGS, Hyperparameters, Protocol, StageProtocol
from raylab.training.regularize import Regularization
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages, stage_hash
from raylab.windows.dataset import Windows
from raylab.windows.preprocess import Preprocessing

Case = tuple[PlannedStage, TrainingContext]


def a_case() -> Case:
    context = context_of(make_windows({f"P{i}": [0] * 5 + [1] * 5 for i in range(1, 6)}))
    return staged(people(context, "P2", "P3"), people(context, "P4")), context


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
    "stage.asks": with_stage(asks=Asking("recorded", "test")),
    "stage.asks: another rule": with_stage(asks=Asking("recorded", "loss")),
    "stage.asks: another order": with_stage(asks=Asking("uncertain", "test")),
    **{f"stage.hyper.{field.name}": with_hyper(field.name) for field in fields(Hyperparameters) if field.name not in SETTINGS},
    "stage.hyper.shuffle_buffer": lambda case: with_stage(hyper=replace(case[0].hyper, shuffle_buffer=64))(case),
    "stage.hyper.augmentation": lambda case: with_stage(hyper=replace(case[0].hyper, augmentation=Augmentation(noise=0.1)))(
        case
    ),
    "stage.hyper.augmentation: another": lambda case: with_stage(
        hyper=replace(case[0].hyper, augmentation=Augmentation(noise=0.2))
    )(case),
    "stage.hyper.regularization": lambda case: with_stage(
        hyper=replace(case[0].hyper, regularization=Regularization(mixup=0.1))
    )(case),
    "stage.hyper.regularization: another": lambda case: with_stage(
        hyper=replace(case[0].hyper, regularization=Regularization(dropout=0.1))
    )(case),
    "stage.method": with_stage(method=ClassMeans()),
    "stage.method: another setting": with_stage(method=ClassMeans(k=1.0)),
    "stage.method: another": with_stage(method=Episodes()),
    "stage.adds": with_stage(adds={"low_rank": 4}),
    "stage.adds: another size": with_stage(adds={"low_rank": 8}),
    "stage.unlabelled": with_stage(unlabelled=np.arange(10)),
    "stage.source": with_stage(source=np.arange(40, 50)),
    "stage.pseudo_targets": with_stage(pseudo_targets=((np.arange(30, 32), np.arange(35, 40)),)),
    "stage.pseudo_targets: exchanged": with_stage(pseudo_targets=((np.arange(35, 40), np.arange(30, 32)),)),
    "stage.weights": with_stage(weights=np.linspace(0.5, 1.5, 30)),
    "stage.weights: others": with_stage(weights=np.linspace(1.5, 0.5, 30)),
    "context.adapter": with_subject(adapter=True),
    "context.workers": with_subject(workers=2),
    "context.precision": with_subject(precision="bf16"),
    "context.precision: another": with_subject(precision="tf32"),
    "context.shapes: length": with_subject(shapes={"a": (8, 1), "b": (15, 1)}),
    "context.shapes: n_features": with_subject(shapes={"a": (8, 1), "b": (16, 2)}),
    "context.shapes: name": with_subject(shapes={"a": (8, 1), "c": (16, 1)}),
    "context.shapes: order": with_subject(shapes={"b": (16, 1), "a": (8, 1)}),
    "context.shapes: fewer": with_subject(shapes={"a": (8, 1)}),
    "context.model.encoder": with_model(encoder="resnet"),
    "context.model.fusion": with_model(fusion="early"),
    "context.model.width": with_model(width=0.03),
    "context.model.channels": with_model(channels=AUTO),
    "context.fold.seed": with_fold(seed=1),
    "context.fold.target": with_fold(target="P5"),
    "context.fold.held_out_with": with_fold(held_out_with=("P5",)),
    "context.fold.shares": with_fold(shares=(0.8, 0.1, 0.1)),
    "context.fold.label": lambda case: with_fold(label="other")(with_classes(stress=TWO, other=TWO)(case)),
    "context.fold.index: dataset": with_card(dataset="another"),
    "context.fold.index: data": with_card(fingerprint="made-1"),
    "context.fold.index: preprocessing": with_card(preprocessing=Preprocessing(normalization="past")),
    "context.fold.index: class names": with_classes(stress=["calm", "stress"]),
    "context.fold.index: classes": with_classes(stress=[*TWO, "class2"]),
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
    """The changes above cover each field of a planned stage, of its context and of the model; a new field needs one."""
    named = {name.split(":")[0].split(" ")[0] for name in CHANGES}
    parts = {".".join(name.split(".")[:2]) for name in named}

    # A stage's name, what it looked at to choose its windows and what it predicts decide no weight; its fold is its context's; the hash is computed.
    no_weight = {"stage.name", "stage.signals_used", "stage.hash", "stage.predicts", "stage.fold"}
    assert {f"stage.{field.name}" for field in fields(PlannedStage)} - no_weight == {p for p in parts if p.startswith("stage")}
    assert {f"context.{field.name}" for field in fields(TrainingContext)} == {p for p in parts if p.startswith("context")}
    # A subset of people, windows matched in time and a choice of channels or modalities show in the window ids and the shapes.
    assert {f"context.model.{field.name}" for field in fields(ModelSpec)} - {"context.model.modalities"} == {
        n for n in named if n.startswith("context.model")
    }
    assert {f"context.fold.{field.name}" for field in fields(Fold)} - {
        "context.fold.n_participants",
        "context.fold.channels",
        "context.fold.match",
    } == {n for n in named if n.startswith("context.fold")}


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


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_a_classical_model_has_no_precision(precision: str) -> None:
    """What networks compute in leaves its hash."""
    stage, context = with_model(encoder="lda", width=1.0)(a_case())

    assert stage_hash(stage, context) == stage_hash(*with_subject(precision=precision)((stage, context)))


@pytest.mark.parametrize("method", [History("past"), NormStatistics(online=True)], ids=["history", "online statistics"])
def test_windows_that_are_only_looked_at_in_prediction_leave_the_hash(method: Method) -> None:
    """Weights that do not depend on the target's unlabelled windows are one training, whatever the target's windows are."""
    stage, context = with_stage(method=method)(a_case())
    assert stage_hash(stage, context) == stage_hash(replace(stage, unlabelled=people(context, "P1")), context)


def test_window_ids_identify_windows_not_row_numbers(made: Windows) -> None:
    """The hash is of the window ids behind the rows, so an index with other ids gives another hash."""
    context = context_of(made)
    stage = staged(people(context, "P2"))
    moved = replace(context, fold=replace(context.fold, index=replace(made.index, window=made.index.window + 1)))

    assert stage_hash(stage, context) != stage_hash(stage, moved)


def test_planned_stages_hang_together(made: Windows) -> None:
    """Each stage continues from the one before, carries its own identity, and shares its first stage with other techniques."""
    context = context_of(made)
    protocol = Protocol(stages={"calibration": StageProtocol(epochs=2)})

    def stages(technique: str, **variant: Any) -> tuple[PlannedStage, ...]:
        return plan_stages(context, TECHNIQUES[technique].stages(variant), protocol)

    first, second = stages("fine_tuning", layers="last", budget=0.2, draw="initial", unit="window")
    (alone,) = stages("non_personalized")

    assert ("", first.hash) == (first.parent, second.parent)
    assert [stage_hash(first, context), stage_hash(second, context)] == [first.hash, second.hash]
    assert alone.hash == first.hash
    assert second.hash != stages("fine_tuning", layers="last", budget=0.3, draw="initial", unit="window")[1].hash
    assert {"epochs": 2, "learning_rate": 3e-4, "batch_size": 2}.items() <= asdict(second.hyper).items()
