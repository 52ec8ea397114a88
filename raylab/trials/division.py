"""`folds:` and `search:` of a study file."""

from itertools import product
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

from raylab.folds.kinds import Kind

ONE_OUT = "leave_one_participant_out"
KINDS = f"{ONE_OUT}, {{group_k_fold: 5}}, {{split: [0.8, 0.1, 0.1]}} or {{train_on: WINDOWS}}"

Share = Annotated[float, Field(gt=0, lt=1)]


class Division(BaseModel):
    """Who or what is held out. At most one of the three; without any, one participant after the other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group_k_fold: int | None = Field(None, ge=2)
    split: tuple[Share, Share, Share] | None = None
    train_on: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Division":
        if len(self.model_fields_set) > 1:
            raise ValueError(f"folds are one of {KINDS}")
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

    def kind(self, corpus: str = "") -> Kind:
        """For folds; ``corpus``: the name of the other dataset, where one is trained on."""
        return Kind(self.group_k_fold or 0, self.split or (), corpus)


def _as_mapping(value: Any) -> Any:
    if isinstance(value, str):
        if value != ONE_OUT:
            raise ValueError(f"folds are one of {KINDS}")
        return {}
    return value


Folds = Annotated[Division, BeforeValidator(_as_mapping)]


class Search(BaseModel):
    """Values to choose from, every combination, for each outer fold on its training people alone.

    Each combination is scored on inner folds over these people (one out, or groups of them), trained as ``non_personalized``, by the study's
    primary metric; the first of equally good ones is taken. What a stage declares itself stays as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: list[Annotated[float, Field(gt=0, le=4)]] | None = Field(None, min_length=1)
    learning_rate: list[Annotated[float, Field(gt=0)]] | None = Field(None, min_length=1)
    batch_size: list[Annotated[int, Field(ge=1)]] | None = Field(None, min_length=1)
    batch_share: list[Annotated[float, Field(gt=0, le=1)]] | None = Field(None, min_length=1)
    epochs: list[Annotated[int, Field(ge=1)]] | None = Field(None, min_length=1)
    patience: list[Annotated[int, Field(ge=1)]] | None = Field(None, min_length=1)
    decay: list[Annotated[float, Field(ge=0)]] | None = Field(None, min_length=1)
    folds: Folds = Division()

    @model_validator(mode="after")
    def _has_a_choice(self) -> "Search":
        if self.folds.split or self.folds.train_on:
            raise ValueError(f"inner folds are by people: {ONE_OUT} or {{group_k_fold: 5}}")
        if len(self.points) < 2:
            raise ValueError("there is nothing to choose from: give at least two values of width or of a hyperparameter")
        return self

    @property
    def points(self) -> list[dict[str, float]]:
        """Every combination, the last axis fastest."""
        axes = {name: values for name, values in self if name != "folds" and values is not None}
        return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def shown(point: dict[str, float]) -> str:
    """``width=0.5 learning_rate=0.001``."""
    return " ".join(f"{name}={value:g}" for name, value in point.items())
