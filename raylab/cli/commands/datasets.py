"""`raylab datasets`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.cli.plugin_option import PluginFiles
from raylab.plugins import shown_origin
from raylab.recordings import DATASETS
from raylab.recordings.availability import availability


def datasets(
    root: Annotated[
        str | None, typer.Option(help="a folder that holds datasets (in sub-folders of their names) or one of them")
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """List the datasets: what each needs, how to obtain it, and what of it is in a folder.

    Example: raylab datasets --root ~/data
    """
    for dataset in DATASETS.values():
        people = f"{len(dataset.published)} participants; " if dataset.published else ""
        say(f"{dataset.name}: {people}{dataset.signals}{shown_origin('DATASETS', dataset.name)}")
        say(
            f"  labels: {', '.join(label.name for label in dataset.labels) or 'yours'}; traits: {', '.join(dataset.traits) or 'yours, if any'}"
        )
        say(f"  licence: {dataset.licence}; obtain: {dataset.obtain}")
        if dataset.options:
            say("  options: " + ", ".join(f"{name}={value}" for name, value in dataset.options.items()))
        if root and dataset.needs_root:
            say(f"  {availability(dataset, Path(root))}")
