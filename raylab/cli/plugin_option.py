"""``--plugin FILE.py``: the same option of every command that knows techniques, models, datasets or metrics by name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from raylab.plugins import enter_files, enter_installed


def _enter(paths: list[Path] | None) -> list[Path] | None:
    enter_installed()
    enter_files(paths or ())
    return paths


# Eager: its callback runs before other options are checked, so that these may have names that a plugin adds.
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        is_eager=True,
        callback=_enter,
        help="techniques, models, datasets or metrics of your own (`raylab docs extend`); its code is run; repeat for several",
    ),
]


def one_of(names: Callable[[], Iterable[str]]) -> Callable[[str | None], str | None]:
    """A callback that refuses a value that is none of the names, which are asked for when plugins have been entered.

    Raises:
        typer.BadParameter: listing the names.
    """

    def check(value: str | None) -> str | None:
        if value is not None and value not in (known := tuple(names())):
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, known))}.")
        return value

    return check
