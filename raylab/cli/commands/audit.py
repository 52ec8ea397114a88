"""`raylab audit`."""

from typing import Annotated

import typer

from raylab.cli.console import say, say_table
from raylab.files import Folder
from raylab.validity.audit import audits_of
from raylab.validity.audit_page import CAPTION, HEAD, as_dict, markdown, page, sentences, table_rows
from raylab.windows.dataset import read_card


def audit(
    windows: Annotated[str, typer.Argument(help="prepared windows: a path or a URI")],
    label: Annotated[
        list[str] | None, typer.Option(help="a label of the windows; repeat for several; all unless given")
    ] = None,
    out: Annotated[str | None, typer.Option(help="folder for audit.json, audit.md and audit.html")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="end with exit code 1 if the clock decides a label")] = False,
) -> None:
    """Ask what a dataset can show: whether the clock tells its labels, and what single channels tell without a network.

    Example: raylab audit windows/wesad --label stress --out audit/wesad
    """
    audits = audits_of(windows, label)
    card = read_card(Folder(windows))
    for found in audits:
        say_table(f"{card.dataset} / {found.label}", HEAD, table_rows(found))
        for sentence in sentences(found):
            say(f"- {sentence}")
    say(CAPTION)
    if out is not None:
        folder = Folder(out)
        folder.write_json(
            "audit.json", {"dataset": card.dataset, "fingerprint": card.fingerprint, "labels": [as_dict(a) for a in audits]}
        )
        folder.write("audit.md", markdown(card, audits).encode())
        folder.write("audit.html", page(card, audits).encode())
        say(f"written to {out}; open {out}/audit.html in a browser")
    if strict and any(found.fixed for found in audits):
        raise typer.Exit(1)
