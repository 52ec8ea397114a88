"""`raylab techniques`."""

from raylab.cli.console import say
from raylab.cli.plugin_option import PluginFiles
from raylab.plugins import shown_origin
from raylab.techniques.method import GRADIENT_DESCENT
from raylab.techniques.registry import REFERENCE_TECHNIQUE, TECHNIQUES
from raylab.techniques.stage import Stage, Technique


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
        needs = sorted(frozenset().union(*(technique.needs(variant) for variant in variants)))
        say(f"{technique.name}: {technique.description}{shown_origin('TECHNIQUES', technique.name)}")
        say(f"  needs {', '.join(needs) or 'nothing of the target, no traits'}; {_cost(technique)}")
        if technique.warning:
            say(f"  warning: {technique.warning}")
        for axis in technique.axes:
            say(f"  {axis.name}: {', '.join(str(value) for value in axis.default)} (allowed: {axis.description})")
        for stage in technique.stages(variants[0]):
            say(f"  stage {stage.name}: {_stage(stage)}")


def _cost(technique: Technique) -> str:
    """Trainings per fold (target and seed): of the default variants, and how many of them a study has anyway."""
    paths = [path for variant in technique.variants({}) for path in technique.paths(variant)]
    chains = {tuple(repr(stage) for stage in path) for path in paths}
    reference = tuple(repr(stage) for stage in TECHNIQUES[REFERENCE_TECHNIQUE].stages({}))
    shared = reference in chains and not technique.adapter
    plural = "s" if len(chains) > 1 else ""
    cost = f"{len(technique.variants({}))} variants, {len(chains)} training{plural} per target and seed"
    if shared and technique.name != REFERENCE_TECHNIQUE:
        cost += f", {len(chains) - 1} beside {REFERENCE_TECHNIQUE}, whose training they continue"
    cost += _stand_ins(technique.pseudo_groups) if technique.pseudo_groups else ""
    return cost.replace("1 variants", "1 variant")


def _stage(stage: Stage) -> str:
    overrides = ", ".join(f"{name} {'none' if value is None else value}" for name, value in stage.overrides.items())
    method = "" if stage.method == GRADIENT_DESCENT else f"; {stage.method}"
    frees = f"frees {' + '.join(stage.trainable)}" if stage.trainable else "frees nothing"
    return f"{stage.windows}, {frees}{method}{f'; {overrides}' if overrides else ''}"
