"""The consoles that commands print to. Whatever a name or a file holds is printed as text: it neither commands the terminal nor ends the command."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from raylab.names import printable
from raylab.runs.progress import Log, ProgressLine

for stream in (sys.stdout, sys.stderr):
    if reconfigure := getattr(stream, "reconfigure", None):  # a notebook's streams have none
        reconfigure(errors="backslashreplace")  # a terminal or a log in ASCII or Latin-1 gets \xfc for what it cannot show

WIDE = 180  # columns of a log or a pipe, and of a terminal from which on tables are printed with all their columns
# markup and emoji are off: [red] or :smile: may be a name; a table in a log or a pipe is not cut to the 80 columns that rich assumes there
console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)
errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(line: str) -> None:
    """Print a line to standard output, brackets and all."""
    console.print(printable(line))


def say_aside(line: str) -> None:
    """Print a line to standard error."""
    errors.print(printable(line))


@contextmanager
def live_progress() -> Iterator[Log]:
    """A ``say`` that draws a run's progress lines as one bar on a terminal, under the lines that stay; in a log or a pipe they are lines."""
    if not console.is_terminal:
        yield say
        return
    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=1)),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("starting", total=None)

        def log(line: str) -> None:
            if isinstance(line, ProgressLine):
                bar.update(task, description=printable(line), completed=line.done, total=line.total)
            else:
                say(line)

        yield log


def is_wide() -> bool:
    """Whether tables have room for all their columns."""
    return console.width >= WIDE


def say_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], names: int = 0) -> None:
    """Print a table of plain texts to standard output.

    Args:
        names: how many of the first columns may go on in another line; the others are numbers, and stay in one. 0: all may.
    """
    columns = [
        Column(printable(heading), no_wrap=bool(names) and place >= names, overflow="fold", justify="left")
        for place, heading in enumerate(headings)
    ]
    table = Table(*columns, box=SIMPLE_HEAD, title=printable(title), title_justify="left")
    if not is_wide():
        table.padding, table.pad_edge = (0, 1, 0, 0), False
    for row in rows:
        table.add_row(*map(printable, row))
    console.print(table)
