"""The protocol's precedence: a study's words on a stage, the stage's own, the study's, the paper's."""

from dataclasses import fields

import pytest

from raylab.training.protocol import Hyperparameters, Protocol, StageProtocol, resolve


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
