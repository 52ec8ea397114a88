"""The ``folds:`` and ``search:`` parts of a study file (docs/decisions/0016-kinds-of-folds.md)."""

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_serializer, model_validator

from raylab.folds.split_scheme import SplitScheme
from raylab.strict_part import MAX_COUNT, StrictPart
from raylab.techniques.stage import Value
from raylab.training.protocol import SETTINGS, StageProtocol

ONE_OUT = "leave_one_participant_out"
SPLITS = f"{ONE_OUT}, {{group_k_fold: 5}}, {{split: [0.8, 0.1, 0.1]}} or {{train_on: WINDOWS}}"

WIDTH, MAX_WIDTH = "width", 4
MAX_COMBINATIONS = 100_000  # of the values of axes: more is a typing mistake, and making them would never end

Candidate = Mapping[str, Value]  # one combination of a search: name of a hyperparameter, or width, to its value
Share = Annotated[float, Field(gt=0, lt=1)]


def _printable(text: str) -> str:
    """The path itself, without characters that no path of windows has.

    Raises:
        ValueError: if it has one.
    """
    if any(ord(character) < ord(" ") for character in text):
        raise ValueError(f"the path {text!r} holds a control character")
    return text


def _all_printable(paths: str | list[str] | None) -> str | list[str] | None:
    """The same of one path or of several."""
    for path in [paths] if isinstance(paths, str) else paths or ():
        _printable(path)
    return paths


Path = Annotated[str, AfterValidator(_printable)]  # of windows, relative to the root of a run


def combinations(axes: Mapping[str, list[Value]]) -> int:
    """How many combinations the values of these axes have.

    Raises:
        ValueError: if an axis has no value or an impossible one, or if there are more combinations than a study can mean.
    """
    if empty := [name for name, values in axes.items() if not values]:
        raise ValueError(f"{', '.join(empty)} names no value; give values, or leave it out")
    if large := [name for name, values in axes.items() if any(isinstance(v, int) and abs(v) > MAX_COUNT for v in values)]:
        raise ValueError(f"{', '.join(large)}: a whole number is at most {MAX_COUNT:,}")
    count = prod(len(values) for values in axes.values())
    if count > MAX_COMBINATIONS:
        raise ValueError(
            f"the values of {', '.join(axes)} have {count:,} combinations; a study has at most {MAX_COMBINATIONS:,}"
        )
    return count


class SplitConfig(StrictPart):
    """The ``folds:`` of a study or a dataset: which participants or windows are held out.

    At most one of the fields is set. Without any, one participant after the other is held out, which is the study's way (Han et al.).

    Attributes:
        group_k_fold: participants are drawn into so many groups, and each group is held out once.
        split: shares of training, validation and test in a random split of windows, which leaks participants.
        train_on: path of the windows of another dataset to train on, or of several; all participants of this one are held out. ``PATH#LABEL``: that
            label stands for the entry's, its classes in their order.
    """

    group_k_fold: int | None = Field(None, ge=2, le=MAX_COUNT)
    split: tuple[Share, Share, Share] | None = None
    train_on: Annotated[str | Annotated[list[str], Field(min_length=1)] | None, AfterValidator(_all_printable)] = None

    @property
    def corpora(self) -> tuple[str, ...]:
        """The paths of ``train_on``."""
        return tuple([self.train_on] if isinstance(self.train_on, str) else self.train_on or ())

    @model_validator(mode="after")
    def _one_kind(self) -> "SplitConfig":
        if len(self.model_fields_set) > 1:
            raise ValueError(f"folds are one of {SPLITS}")
        if self.split and abs(sum(self.split) - 1) > 1e-6:
            raise ValueError(f"the shares of a split (training, validation, test) add up to {sum(self.split):g}, not to 1")
        return self

    @model_serializer
    def _short(self) -> Any:
        """In the form in which a study file has it."""
        fields = {
            "group_k_fold": self.group_k_fold,
            "split": list(self.split) if self.split else None,
            "train_on": self.train_on,
        }
        return {name: value for name, value in fields.items() if value is not None} or ONE_OUT

    def kind(self, corpus: str = "") -> SplitScheme:
        """The scheme that makes the folds.

        Args:
            corpus: name of the other dataset, if one is trained on.
        """
        return SplitScheme(self.group_k_fold or 0, self.split or (), corpus)


def _as_mapping(value: Any) -> Any:
    """``leave_one_participant_out`` is the only scheme that is written as a word: it sets no field."""
    if isinstance(value, str):
        if value != ONE_OUT:
            raise ValueError(f"folds are one of {SPLITS}")
        return {}
    return value


Folds = Annotated[SplitConfig, BeforeValidator(_as_mapping)]


class Search(StrictPart):
    """The ``search:`` of a study: a grid of hyperparameters, from which one combination (candidate) is selected for each outer fold.

    Each candidate is scored on inner folds over the training participants of the outer fold, trained as ``non_personalized``, by the study's
    primary metric; of equally good candidates the first is selected. It applies to all techniques, so that they keep a common base; a
    hyperparameter that a stage declares itself stays as it is.

    Attributes:
        axes: name to the values to try: ``width``, or any hyperparameter of ``protocol:`` with a single value.
        folds: the inner folds; participants are held out one by one, or in groups.
    """

    axes: dict[str, list[Value]]
    folds: Folds = SplitConfig()

    @model_validator(mode="before")
    @classmethod
    def _axes_gathered(cls, value: Any) -> Any:
        """A study file writes the axes next to ``folds``, not under a key of their own."""
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
        searchable = (WIDTH, *(name for name in StageProtocol.model_fields if name not in SETTINGS))
        if unknown := sorted(set(self.axes) - set(searchable)):
            raise ValueError(f"cannot be searched: {', '.join(unknown)}; there are {', '.join(searchable)}")
        if combinations(self.axes) < 2:
            raise ValueError("there is nothing to choose from: give at least two values of width or of a hyperparameter")
        for name, values in self.axes.items():
            for value in values:
                _check_value(name, value)
        return self

    @model_serializer
    def _short(self) -> dict[str, Any]:
        return {**self.axes, "folds": self.folds.model_dump(mode="json")}

    @property
    def candidates(self) -> list[Candidate]:
        """All combinations of the axes' values, the last axis fastest."""
        return [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]


def _check_value(name: str, value: Value) -> None:
    """Check that a study could set this value without a search.

    Raises:
        ValueError: if it could not, with the value and the reason.
    """
    if name == WIDTH:
        if isinstance(value, str) or not 0 < value <= MAX_WIDTH:
            raise ValueError(f"width {value} is not between 0 and {MAX_WIDTH}")
        return
    try:
        StageProtocol.model_validate({name: value})
    except ValidationError as error:
        raise ValueError(f"{name} {value}: {error.errors()[0]['msg']}") from error


def format_candidate(candidate: Candidate) -> str:
    """The candidate as in tables: ``width=0.5 learning_rate=0.001``; empty for an empty one."""
    parts = (f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in candidate.items())
    return " ".join(parts)
