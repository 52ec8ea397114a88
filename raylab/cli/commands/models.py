"""`raylab models`."""

from raylab.cli.console import say
from raylab.cli.plugin_option import PluginFiles
from raylab.models.registry import CLASSICAL_MODELS, ENCODERS, FUSIONS, can_stack
from raylab.plugins import shown_origin


def models(plugin: PluginFiles = None) -> None:
    """List the encoders and fusions that a study may name.

    Example: raylab models
    """
    say("encoder:")
    for encoder in ENCODERS.values():
        short = "" if encoder.variable else "; not for channels of variable length"
        short += "" if can_stack(encoder.name) else "; each fold trained alone (no stacks)"
        origin = shown_origin("ENCODERS", encoder.name)
        say(f"  {encoder.name}: {encoder.description}; batch {encoder.batch_size} unless a study says otherwise{short}{origin}")
    for model in CLASSICAL_MODELS.values():
        missing = f" ({model.missing})" if model.missing else ""
        say(
            f"  {model.name}: {model.description}; no network, each fold fitted alone{missing}{shown_origin('CLASSICAL_MODELS', model.name)}"
        )
    say("fusion:")
    for fusion in FUSIONS.values():
        short = "" if can_stack(fusion=fusion.name) else "; each fold trained alone (no stacks)"
        say(f"  {fusion.name}: {fusion.description}{short}{shown_origin('FUSIONS', fusion.name)}")
