"""The consoles that commands print to."""

import sys

from rich.console import Console

# a table in a log or a pipe is not cut to the 80 columns that rich assumes there
console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 150)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def say(line: str) -> None:
    """Print a line to standard output, brackets and all."""
    console.print(line, markup=False)


def say_aside(line: str) -> None:
    """Print a line to standard error."""
    errors.print(line, markup=False)
