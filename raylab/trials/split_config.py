"""`folds:` and `search:` of a study file."""

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_serializer, model_validator

from raylab.folds.split_scheme import SplitScheme
from raylab.techniques.stage import Value
from raylab.training.protocol import StageProtocol

ONE_OUT = "leave_one_participant_out"
SPLITS = f"{ONE_OUT}, {{group_k_fold: 5}}, {{split: [0.8, 0.1, 0.1]}} or {{train_on: WINDOWS}}"

WIDTH, MAX_WIDTH = "width", 4

Candidate = Mapping[str, Value]
Share = Annotated[float, Field(gt=0, lt=1)]


class SplitConfig(BaseModel):
    """Who or what is held out. At most one of the three; without any, one participant after the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group_k_fold: int | None = Field(None, ge=2)
    split: tuple[Share, Share, Share] | None = None
    train_on: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "SplitConfig":
        if len(self.model_fields_set) > 1:
            raise ValueError(f"folds are one of {SPLITS}")
        if self.split and abs(sum(self.split) - 1) > 1e-6:
            raise ValueError(f"the shares of a split (training, validation, test) add up to {sum(self.split):g}, not to 1")
        return self

    @model_serializer
    def _short(self) -> Any:
        """As a study writes it."""
        found = {
            "group_k_fold": self.group_k_fold,
            "split": list(self.split) if self.split else None,
            "train_on": self.train_on,
        }
        return {name: value for name, value in found.items() if value is not None} or ONE_OUT

    def kind(self, corpus: str = "") -> SplitScheme:
        """For folds; ``corpus``: the name of the other dataset, where one is trained on."""
        return SplitScheme(self.group_k_fold or 0, self.split or (), corpus)


def _as_mapping(value: Any) -> Any:
    if isinstance(value, str):
        if value != ONE_OUT:
            raise ValueError(f"folds are one of {SPLITS}")
        return {}
    return value


Folds = Annotated[SplitConfig, BeforeValidator(_as_mapping)]


class Search(BaseModel):
    """Values to choose from, every combination, for each outer fold on its training people alone: of the model's width and of any
    hyperparameter that `protocol:` knows.

    Each combination is scored on inner folds over these people (one out, or groups of them), trained as ``non_personalized``, by the study's
    primary metric; the first of equally good ones is taken. What a stage declares itself stays as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axes: dict[str, list[Value]]
    folds: Folds = SplitConfig()

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, value: Any) -> Any:
        """As a study writes it, the axes stand beside ``folds``."""
        if not isinstance(value, dict) or "axes" in value:
            return value
        return {
            "axes": {k: v for k, v in value.items() if k != "folds"},
            **({"folds": value["folds"]} if "folds" in value else {}),
        }

    @model_validator(mode="after")
    def _can_be_chosen(self) -> "Search":
        if self.folds.split or self.folds.train_on:
            raise ValueError(f"inner folds are by people: {ONE_OUT} or {{group_k_fold: 5}}")
        known = (WIDTH, *(name for name in StageProtocol.model_fields if name != "augmentation"))  # which is no single value
        if unknown := sorted(set(self.axes) - set(known)):
            raise ValueError(f"cannot be searched: {', '.join(unknown)}; there are {', '.join(known)}")
        if len(self.points) < 2:
            raise ValueError("there is nothing to choose from: give at least two values of width or of a hyperparameter")
        for name, values in self.axes.items():
            for value in values:
                _allowed(name, value)
        return self

    @model_serializer
    def _short(self) -> dict[str, Any]:
        return {**self.axes, "folds": self.folds.model_dump(mode="json")}

    @property
    def points(self) -> list[Candidate]:
        """Every combination, the last axis fastest."""
        return [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]


def _allowed(name: str, value: Value) -> None:
    """Whether a study could say so outright.

    Raises:
        ValueError: with the value and the reason.
    """
    if name == WIDTH:
        if isinstance(value, str) or not 0 < value <= MAX_WIDTH:
            raise ValueError(f"width {value} is not between 0 and {MAX_WIDTH}")
        return
    try:
        StageProtocol.model_validate({name: value})
    except ValidationError as error:
        raise ValueError(f"{name} {value}: {error.errors()[0]['msg']}") from error


def format_candidate(point: Candidate) -> str:
    """``width=0.5 learning_rate=0.001``."""
    return " ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in point.items())
