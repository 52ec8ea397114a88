"""`raylab probe`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say, say_table
from raylab.cli.named_study import read_named_study
from raylab.cli.plugin_option import PluginFiles
from raylab.errors import RaylabError
from raylab.validity.audit import CLOCK, audits_of
from raylab.validity.audit_page import CAPTION, HEAD, channel_lines, table_rows
from raylab.validity.label_flip_probe import flipped_labels
from raylab.validity.probes import PROBES
from raylab.validity.probes import probe as write_probe

DUPLICATED = "duplicated_person"
FLIPPED, CHANNELS = "flipped_labels", "channels"  # of a study; and of windows, which are looked at and not changed
ProbeKind = StrEnum("ProbeKind", {name: name for name in (*PROBES, FLIPPED, CHANNELS)})  # type: ignore[misc]  # the members are the table's


def probe(
    kind: Annotated[ProbeKind, typer.Argument(help="`raylab docs validity` describes them")],
    source: Annotated[str, typer.Argument(help="prepared windows; for flipped_labels a study file")],
    out: Annotated[str | None, typer.Option(help="folder for the changed windows: a path or a URI")] = None,
    seed: Annotated[int, typer.Option(help="of the permutation or the noise")] = 0,
    person: Annotated[str | None, typer.Option(help="who is duplicated", rich_help_panel=f"Of {DUPLICATED}")] = None,
    noise: Annotated[
        float,
        typer.Option(help="SD of noise on the duplicate's signals, which go from 0 to 1", rich_help_panel=f"Of {DUPLICATED}"),
    ] = 0.0,
    windows: Annotated[
        str | None, typer.Option(help="folder that the study's windows are in", rich_help_panel=f"Of {FLIPPED}")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="so many trials, of every variant in turn", rich_help_panel=f"Of {FLIPPED}")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="a label of the windows; repeat for several; all unless given", rich_help_panel=f"Of {CHANNELS}"),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Put a dataset through a leak probe: windows with a known right result, a study with its test labels flipped, or single channels alone.

    Example: raylab probe shuffled_labels windows/wesad --out windows/wesad_shuffled
    """
    if kind == CHANNELS:
        if out is not None or person is not None or noise or seed or windows is not None or limit is not None:
            raise RaylabError("channels takes --label only: it writes nothing, and draws nothing (raylab audit writes a page)")
        _channels(source, label)
        return
    if label:
        raise RaylabError(f"--label belongs to channels, not to {kind}")
    if kind == FLIPPED:
        if out is not None or person is not None or noise or seed:
            raise RaylabError("flipped_labels takes --windows and --limit only: it writes nothing, and draws nothing")
        flips = flipped_labels(read_named_study(Path(source)), windows or str(Path(source).absolute().parent), limit, say)
        say(flips.summary())
        if not flips.clean:
            raise typer.Exit(1)
        return
    if windows is not None or limit is not None:
        raise RaylabError(f"--windows and --limit belong to flipped_labels, not to {kind}")
    if out is None:
        raise RaylabError("give a folder for the changed windows with --out")
    card = write_probe(kind.value, source, out, seed, person, noise)
    say(card.caution)
    say(f"{out}: {len(card.participants)} people, fingerprint {card.fingerprint}")


def _channels(source: str, wanted: list[str] | None) -> None:
    """Each channel's mean, each alone and each left out, by linear models: the rows of `raylab audit` without the clock."""
    for found in audits_of(source, wanted):
        say_table(f"{source} / {found.label}", HEAD, [row for row in table_rows(found) if row[0] != CLOCK])
        for sentence in channel_lines(found):
            say(f"- {sentence}")
    say(CAPTION)
