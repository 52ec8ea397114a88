"""`raylab docs`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.errors import RaylabError

PAGES = Path(__file__).resolve().parents[2] / "pages"  # links to docs/ in a checkout, files in an installed package


def docs(page: Annotated[str | None, typer.Argument(help="a page to print; a list of them unless given")] = None) -> None:
    """List the pages of the documentation, or print one.

    Example: raylab docs start
    """
    pages = {path.stem: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
    if page is None:
        for name, text in pages.items():
            say(f"{name}: {text.splitlines()[0].lstrip('# ')}")
        return
    name = page.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise RaylabError(f"there is no page {page!r}; there are {', '.join(pages)}")
    for line in pages[name].splitlines():
        say(line)
