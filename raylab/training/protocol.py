"""Hyperparameters: the paper's as defaults, the study's and a stage's on top (PROTOCOL, Training)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from raylab.training.augment import Augmentation


class StageProtocol(BaseModel):
    """What a study may set for one stage by name; None leaves it to the stage, the study, the paper, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int | None = Field(None, ge=1)
    patience: int | None = Field(None, ge=1)
    batch_size: int | None = Field(None, ge=1)
    batch_share: float | None = Field(None, gt=0, le=1)
    learning_rate: float | None = Field(None, gt=0)
    decay: float | None = Field(None, ge=0)
    plateau_patience: int | None = Field(None, ge=1)
    plateau_factor: float | None = Field(None, gt=0, le=1)
    augmentation: Augmentation | None = None


class Protocol(StageProtocol):
    """What a study may set for all its stages, and by name for one of them."""

    stages: dict[str, StageProtocol] = {}


@dataclass(frozen=True)
class Hyperparameters:
    """What one training uses, after all overrides.

    Attributes:
        batch_size: windows a step, before the cap.
        batch_share: a batch is at most this share of the training windows (the paper: a tenth).
        learning_rate: Adam's, divided by (1 + decay * step) at each step.
        patience: epochs without a better validation loss before training stops.
        plateau_patience: the same before the learning rate is multiplied by ``plateau_factor``.
        augmentation: of the training windows; none in the paper.
    """

    epochs: int = 100
    patience: int = 15
    batch_size: int = 4
    batch_share: float = 0.1
    learning_rate: float = 0.003
    decay: float = 1e-6
    plateau_patience: int = 10
    plateau_factor: float = 0.1
    augmentation: Augmentation | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values. Without augmentation there is no word of it: stages keep the hashes that they had before there was one."""
        values = asdict(replace(self, augmentation=None))
        del values["augmentation"]
        return values | ({"augmentation": self.augmentation.as_dict()} if self.augmentation else {})

    def batch(self, count: int) -> int:
        """Windows a step for a training set of ``count``."""
        return max(1, min(self.batch_size, int(count * self.batch_share + 1e-9)))


def resolve(protocol: Protocol, stage: str, declared: Mapping[str, Any], encoder_batch_size: int) -> Hyperparameters:
    """Precedence: the study naming the stage > the stage's declaration > the study > the paper (batch size: the encoder's)."""
    named = protocol.stages.get(stage)
    return Hyperparameters(
        **{"batch_size": encoder_batch_size, **_declared(protocol), **declared, **(_declared(named) if named else {})}
    )


def _declared(protocol: StageProtocol) -> dict[str, Any]:
    """The fields that are not left to others, as they are."""
    return {name: value for name in StageProtocol.model_fields if (value := getattr(protocol, name)) is not None}
