"""What is wrong with the content of a card, in words."""

from typing import Any

from pydantic_core import ErrorDetails

from raylab.hashing import hash_record

SHOWN_CHARACTERS = 60  # of a value that is refused


def content_digest(content: dict[str, Any]) -> str | None:
    """Digest of a card's content; None if it holds what no digest can be made of."""
    try:
        return hash_record(content)
    except ValueError:  # NaN, which raylab does not write
        return None


def field_problem(detail: ErrorDetails) -> str:
    """A sentence on one field."""
    steps = [str(step) for step in detail["loc"]]
    if steps[:1] == ["preprocessing"]:
        del steps[1:2]  # pydantic's own step between the settings and their fields: the kind
    field = ".".join(steps)
    message = detail["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if detail["type"] == "missing":
        return f"{field} is missing"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{field} is no field of it"
    if isinstance(detail["input"], dict | list) or not field:
        return f"{field}: {message}" if field else message
    return f"{field} is {str(detail['input'])[:SHOWN_CHARACTERS]!r}: {message}"
