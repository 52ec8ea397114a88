"""`raylab models`."""

from raylab.cli.console import say
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS


def models() -> None:
    """List the encoders and fusions that a study may name.

    Example: raylab models
    """
    say("encoder:")
    for encoder in ENCODERS.values():
        short = "" if encoder.variable else "; not for channels of variable length"
        say(f"  {encoder.name}: {encoder.description}; batch {encoder.batch_size} unless a study says otherwise{short}")
    for model in CLASSICAL_MODELS.values():
        say(f"  {model.name}: {model.description}; no network" + (f" ({model.missing})" if model.missing else ""))
    say("fusion:")
    for fusion in FUSIONS.values():
        say(f"  {fusion.name}: {fusion.description}")
