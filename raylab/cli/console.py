"""The consoles that commands print to. Whatever a name or a file holds is printed as text: it neither commands the terminal nor ends the command."""

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from raylab.names import printable

for stream in (sys.stdout, sys.stderr):
    if reconfigure := getattr(stream, "reconfigure", None):  # a notebook's streams have none
        reconfigure(errors="backslashreplace")  # a terminal or a log in ASCII or Latin-1 gets \xfc for what it cannot show

# markup and emoji are off: [red] or :smile: may be a name; a table in a log or a pipe is not cut to the 80 columns that rich assumes there
console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 150)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(line: str) -> None:
    """Print a line to standard output, brackets and all."""
    console.print(printable(line))


def say_aside(line: str) -> None:
    """Print a line to standard error."""
    errors.print(printable(line))


def say_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of plain texts to standard output."""
    table = Table(*map(printable, headings), box=SIMPLE_HEAD, title=printable(title), title_justify="left")
    for row in rows:
        table.add_row(*map(printable, row))
    console.print(table)
