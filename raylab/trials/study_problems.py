"""From pydantic's errors to sentences: each names the key, the value and, for a key that does not exist, those that do."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from raylab.errors import shown

ALTERNATIVES = ("str", "int", "float", "constrained-float", "constrained-int", "literal['auto']", "constrained-str")
IN_WORDS = {
    "model_type": "it has to be a mapping of keys to values",
    "dict_type": "it has to be a mapping of keys to values",
    "list_type": "it has to be a list",
    "string_type": "it has to be text",
    "int_type": "it has to be a whole number",
    "int_parsing": "it has to be a whole number",
    "int_from_float": "it has to be a whole number",
    "float_type": "it has to be a number",
    "float_parsing": "it has to be a number",
    "bool_parsing": "it has to be true or false",
    "bool_type": "it has to be true or false",
    "too_short": "it has to name at least one",
    "finite_number": "it has to be a finite number",
}
IN_QUOTES = "; YAML reads it as a number or a date: write it in quotes"


def _part_of(annotation: Any) -> type[BaseModel] | None:
    """The part of a study that a field of this type holds, however deep in lists and optional types; None for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for inner in get_args(annotation) if (part := _part_of(inner))), None)


def _part_at(root: type[BaseModel], steps: tuple[int | str, ...]) -> type[BaseModel]:
    """The part of a study that these steps lead to."""
    part = root
    for step in steps:
        if isinstance(step, str) and step in part.model_fields:
            part = _part_of(part.model_fields[step].annotation) or part
    return part


def sentences(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """Every problem, once, in the order of the file.

    Args:
        root: the part that was validated.
    """
    return list(dict.fromkeys(_sentences(error, root)))


def _sentences(error: ValidationError, root: type[BaseModel]) -> Iterator[str]:
    details = error.errors(include_url=False)
    for detail in details:
        steps = detail["loc"]
        # a value that may be text or a number gives an error for each of them
        alternatives = [
            other
            for other in details
            if other["loc"][:-1] == steps[:-1] and other["loc"][-1:] and other["loc"][-1] in ALTERNATIVES
        ]
        if steps and steps[-1] in ALTERNATIVES and alternatives:
            messages = dict.fromkeys(_message(other).removeprefix("it has to be ") for other in alternatives)
            yield f"{_name(steps[:-1])}: it has to be {' or '.join(messages)}, not {shown(detail['input'])}"
            continue
        field = _name(steps)
        prefix = f"{field}: " if field else ""
        if detail["type"] == "extra_forbidden":
            yield prefix + _no_such_key(str(steps[-1]), _part_at(root, steps[:-1]))
        elif detail["type"] == "missing":
            yield f"{prefix}is missing"
        elif detail["type"] == "invalid_key":
            yield f"{prefix}a key has to be text; write it in quotes"
        elif detail["type"] == "value_error":
            yield prefix + _message(detail)
        else:
            quotes = (
                IN_QUOTES if detail["type"] == "string_type" and not isinstance(detail["input"], list | dict | None) else ""
            )
            yield f"{prefix}{_message(detail)}, not {shown(detail['input'])}{quotes}"


def _message(detail: ErrorDetails) -> str:
    """The problem in words that end in what was expected."""
    if detail["type"] in IN_WORDS:
        return IN_WORDS[detail["type"]]
    return (
        detail["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "it has to be")
        .replace("Input should", "it should")
    )


def _name(steps: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in steps)


def _no_such_key(key: str, part: type[BaseModel]) -> str:
    names = list(part.model_fields)
    close = get_close_matches(key, names, n=1)
    return f"is no key of it{f'; did you mean {close[0]}?' if close else ''} (there are {', '.join(names)})"
