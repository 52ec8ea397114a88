"""The base of every part of a study file: what a user writes is taken as written, or refused by its key."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

MAX_COUNT = 1_000_000_000  # of epochs, windows, people: beyond it a number is a typing mistake


class StrictPart(BaseModel):
    """A part of a study file. A key that it does not have is an error, so that a typing mistake cannot be a silent default; so is a number that
    is infinite or NaN, and `true` in the place of a number, which pydantic would take for 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        if field.annotation is not bool and _has_truth(value):
            raise ValueError("true and false (also yes, no, on, off) are no value of this key; write text in quotes")
        return value


def _has_truth(value: Any) -> bool:
    """Whether the value is a boolean, or a list or a mapping of lists that has one."""
    if isinstance(value, list | tuple):
        return any(isinstance(item, bool) for item in value)
    if isinstance(value, dict):
        return any(isinstance(item, bool) or (isinstance(item, list) and _has_truth(item)) for item in value.values())
    return isinstance(value, bool)


def refuse_repeated(values: Any) -> Any:
    """The values of a list, none of them twice.

    Raises:
        ValueError: naming those that stand twice.
    """
    if isinstance(values, list) and (twice := list(dict.fromkeys(str(value) for value in values if values.count(value) > 1))):
        raise ValueError(f"it names {', '.join(twice)} twice; name each once")
    return values
