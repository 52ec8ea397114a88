"""Hyperparameters of a training: those of Han et al. as defaults, overridden by a study and by a stage (docs/protocol.md, Training)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from pydantic import Field

from raylab.models.precision import FLOAT32, Precision
from raylab.strict_part import MAX_COUNT, StrictPart
from raylab.training.augment import Augmentation
from raylab.training.regularize import Regularization

REFERENCE: Final = "reference"
SETTINGS = ("augmentation", "regularization")  # hyperparameters that are sets of settings, not single values
BUFFER = "shuffle_buffer"


class StageProtocol(StrictPart):
    """Hyperparameters that a study may set for one stage, by name.

    None means not set: then the stage's own value is used, else the study's general one, else that of Han et al. Units and meaning of the
    fields: see ``Hyperparameters``.
    """

    epochs: int | None = Field(None, ge=1, le=MAX_COUNT)
    patience: int | None = Field(None, ge=1, le=MAX_COUNT)
    batch_size: int | None = Field(None, ge=1, le=MAX_COUNT)
    batch_share: float | None = Field(None, gt=0, le=1)
    learning_rate: float | None = Field(None, gt=0)
    decay: float | None = Field(None, ge=0)
    plateau_patience: int | None = Field(None, ge=1, le=MAX_COUNT)
    plateau_factor: float | None = Field(None, gt=0, le=1)
    shuffle_buffer: int | None = Field(None, ge=2, le=MAX_COUNT)
    augmentation: Augmentation | None = None
    regularization: Regularization | None = None


class Protocol(StageProtocol):
    """The ``protocol:`` of a study: hyperparameters for all of its stages, and under ``stages`` for single ones by name.

    ``numerics``: ``reference`` trains every stage by itself; ``stacked`` trains stages of one shape side by side, in other orders of summation and so
    to other bits (``raylab.training.stacked``). ``precision``: the arithmetic in which all networks of the study are trained and evaluated
    (``raylab.models.precision``).
    """

    numerics: Literal["reference", "stacked"] = REFERENCE
    precision: Precision = FLOAT32
    stages: dict[str, StageProtocol] = Field({})

    @cached_property
    def as_config(self) -> dict[str, Any]:
        """Plain values without the defaults, from which a worker makes it again; the same object for all trials of a study."""
        return self.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of one training, after all overrides. Defaults: docs/protocol.md, Training.

    Attributes:
        epochs: the largest number of epochs.
        patience: epochs without a better validation loss before training stops (early stopping).
        batch_size: windows per optimizer step, before the cap of ``batch_share``; by default the encoder's (4, ``mlp_lstm`` 16).
        batch_share: a batch is at most this share of the training windows.
        learning_rate: step size of Adam, divided by (1 + decay * step) at each step.
        decay: inverse-time decay of the learning rate per step.
        plateau_patience: epochs without a better validation loss before the learning rate is multiplied by ``plateau_factor``.
        plateau_factor: see ``plateau_patience``.
        shuffle_buffer: windows in the buffer that an epoch draws from (``raylab.training.epoch_order``); None: a permutation of all windows.
        augmentation: changes of the training windows; None, as in the study by Han et al.
        regularization: weight decay, dropout, label smoothing, mixup, channel dropout; None, as in the study by Han et al.
    """

    epochs: int = 100
    patience: int = 15
    batch_size: int = 4
    batch_share: float = 0.1
    learning_rate: float = 0.003
    decay: float = 1e-6
    plateau_patience: int = 10
    plateau_factor: float = 0.1
    shuffle_buffer: int | None = None
    augmentation: Augmentation | None = None
    regularization: Regularization | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, which are part of a stage's hash.

        The keys ``augmentation``, ``regularization`` and ``shuffle_buffer`` are absent if there is none, so that stages keep the hashes that they
        had before these existed.
        """
        values = {name: value for name, value in vars(self).items() if name not in SETTINGS and (name != BUFFER or value)}
        return values | {name: part.as_dict() for name in SETTINGS if (part := getattr(self, name))}

    def batch(self, count: int) -> int:
        """Windows per step for a training set of ``count`` windows, at least 1."""
        # the 1e-9 makes up for rounding: 0.29 * 100 is 28.999... in floating point
        return max(1, min(self.batch_size, int(count * self.batch_share + 1e-9)))


def resolve(protocol: Protocol, stage: str, declared: Mapping[str, Any], encoder_batch_size: int) -> Hyperparameters:
    """The hyperparameters of a stage.

    Precedence, highest first: the study under the stage's name, the stage's declaration, the study for all stages, the defaults. So a study
    changes what a technique declares only by naming the stage.

    Args:
        protocol: the study's.
        stage: the stage's name.
        declared: the stage's ``overrides``.
        encoder_batch_size: the default batch size.
    """
    named = protocol.stages.get(stage)
    if isinstance(
        settings := declared.get("regularization"), Mapping
    ):  # a declaration cannot name what comes after it in the order of packages
        declared = {**declared, "regularization": Regularization(**settings)}
    return Hyperparameters(
        **{"batch_size": encoder_batch_size, **_declared(protocol), **declared, **(_declared(named) if named else {})}
    )


def _declared(protocol: StageProtocol) -> dict[str, Any]:
    """The fields that are set. Not ``model_dump``: an augmentation stays an object."""
    return {name: value for name in StageProtocol.model_fields if (value := getattr(protocol, name)) is not None}
