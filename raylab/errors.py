"""Errors that a user can act on: each says which file, participant, channel and value, and what to do."""


class RaylabError(Exception):
    """Something in the input is wrong; the message names it and the remedy. The command line prints it without a traceback."""


class RecordingError(RaylabError):
    """A recording that cannot be read or used."""

    def __init__(
        self, problem: str, *, file: object = None, participant: str | None = None, channel: str | None = None, remedy: str
    ) -> None:
        where = [
            f"{name} {value}" for name, value in (("participant", participant), ("channel", channel), ("file", file)) if value
        ]
        super().__init__(f"{', '.join(where) or 'recording'}: {problem}. What to do: {remedy}")


class StudyError(RaylabError):
    """A study that cannot be run; carries every problem found, not only the first."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("this study cannot run:\n" + "\n".join(f"  - {problem}" for problem in problems))
