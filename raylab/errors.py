"""Errors with one root: each names the file, participant, channel or value, and says what to do.

``RaylabError`` is what a user can act on, and the command line prints its message alone. Whatever else leaves a command is a fault in raylab.
"""

import re
from typing import Any

SHOWN_CHARACTERS = 60  # of a value that is refused
SHOWN_PROBLEMS = 5  # of a file that is refused
SHOWN_WORD, SHOWN_SENTENCE = 200, 2000  # characters of a name within a problem, and of a problem


# Words of torch, oneDNN (which says no more than this when its code or its scratch space finds no room), C++ and the system.
_NO_MEMORY = re.compile(
    r"can(no|')t allocate memory|out of memory|unable to allocate|bad_alloc|could not create a primitive", re.IGNORECASE
)


class RaylabError(Exception):
    """Something that the user gave, or a machine has, cannot be used; the message names it and the remedy."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Between processes the message and the attributes travel as they are: a subclass may be made from other arguments."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[RaylabError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> RaylabError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


class InvalidValueError(RaylabError, ValueError):
    """A value that was given is none that can be used. It is a ValueError too: in a study file, pydantic gathers it with the others."""


class RecordingError(RaylabError):
    """A recording that cannot be read or used."""

    def __init__(
        self, problem: str, *, file: object = None, participant: str | None = None, channel: str | None = None, remedy: str
    ) -> None:
        origin = [
            f"{name} {value}" for name, value in (("participant", participant), ("channel", channel), ("file", file)) if value
        ]
        super().__init__(f"{', '.join(origin) or 'recording'}: {readable(problem)}. What to do: {readable(remedy)}")


class StudyError(RaylabError):
    """A study that cannot be run; carries every problem found, not only the first."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("this study cannot run:\n" + "\n".join(f"  - {problem}" for problem in problems))


def memory_ran_out(error: BaseException) -> bool:
    """Whether a library's or the system's error says that memory could not be had; not one that raylab has put into words."""
    if isinstance(error, RaylabError):
        return False
    return isinstance(error, MemoryError) or bool(isinstance(error, RuntimeError | OSError) and _NO_MEMORY.search(str(error)))


def shown(value: Any) -> str:
    """The beginning of a value, for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def readable(sentence: str) -> str:
    """A sentence whose length somebody can read: of a name without end, and of the sentence, the middle is left out."""
    return _without_middle(re.sub(rf"\S{{{SHOWN_WORD + 1},}}", lambda word: _without_middle(word[0], SHOWN_WORD), sentence))


def _without_middle(text: str, longest: int = SHOWN_SENTENCE) -> str:
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... ({len(text) - 2 * half:,} characters) ... {text[-half:]}"


def first_of(problems: list[str]) -> str:
    """The first problems of a file in one line, and how many more there are."""
    more = [f"and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
    return "; ".join([*problems[:SHOWN_PROBLEMS], *more])
