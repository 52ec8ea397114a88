"""`raylab techniques`."""

from raylab.cli.console import say
from raylab.cli.plugin_option import PluginFiles
from raylab.plugins import shown_origin
from raylab.techniques.registry import TECHNIQUES


def _stand_ins(groups: int) -> str:
    """What people who stand in for the target cost (``raylab.trials.pseudo_targets``)."""
    return (
        f"; for all targets together and a seed, {groups * (groups - 1) // 2} more on everyone but 2 of {groups} groups of people, and for each "
        f"variant and person {groups - 1} calibrations of somebody who stands in"
    )


def techniques(plugin: PluginFiles = None) -> None:
    """List the techniques: what each trains on, what it needs, and how many trainings it costs.

    Example: raylab techniques
    """
    for technique in TECHNIQUES.values():
        variants = technique.variants({})
        needs = sorted(technique.needs(variants[0]))
        shared = {name for variant in variants for name in technique.parents(variant)}
        own = sum(stage.name not in shared for variant in variants for stage in technique.stages(variant))
        trainings = f"{len(variants)} variants cost" if len(variants) > 1 else "costs"
        trainings += f" {own} training{'s' if own > 1 else ''}"
        trainings += f" and 1 of {', '.join(sorted(shared))} that they share" if shared else ""
        trainings += _stand_ins(technique.pseudo_groups) if technique.pseudo_groups else ""
        say(f"{technique.name}: {technique.description}{shown_origin('TECHNIQUES', technique.name)}")
        say(f"  needs {', '.join(needs) or 'nothing of the target, no traits'}; per target and seed, its {trainings}")
        for axis in technique.axes:
            say(f"  {axis.name}: {', '.join(str(value) for value in axis.default)} (allowed: {axis.description})")
        for stage in technique.stages(variants[0]):
            overrides = ", ".join(f"{name} {value:g}" for name, value in stage.overrides.items())
            say(
                f"  stage {stage.name}: {stage.windows}, frees {' + '.join(stage.trainable)}{f'; {overrides}' if overrides else ''}"
            )
