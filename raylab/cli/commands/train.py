"""`raylab train`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.cli.plugin_option import PluginFiles
from raylab.live.train_general import train_general


def train(
    study: Annotated[
        str, typer.Argument(help="the run folder of a study: what it trained, and how well that did on people it had not seen")
    ],
    model: Annotated[str, typer.Option(help="a model of the study, as tables name it")],
    out: Annotated[Path, typer.Option(help="the model file to write")],
    technique: Annotated[
        str, typer.Option(help="fine_tuning: a wearer calibrates it, by the recipe of the study")
    ] = "non_personalized",
    variant: Annotated[str | None, typer.Option(help="of the technique, as tables name it, if the study has several")] = None,
    dataset: Annotated[str | None, typer.Option(help="if the study has several")] = None,
    label: Annotated[str | None, typer.Option(help="if the study has several")] = None,
    windows: Annotated[str | None, typer.Option(help="folder that the study's windows are in, if it has moved")] = None,
    plugin: PluginFiles = None,
) -> None:
    """Train a model for new people: on everyone of a study, with the study's own estimate of how it will do.

    Example: raylab train runs/wesad --model fcn --technique fine_tuning --out stress.raylab
    """
    wanted = {
        name: value for name, value in (("dataset", dataset), ("label", label), ("variant", variant)) if value is not None
    }
    for line in train_general(study, model, technique, out, wanted, windows, say).card.lines():
        say(line)
    say(f"written to {out} ({out.stat().st_size / 1e6:.1f} MB); follow a stream with: raylab live {out} --source ...")
