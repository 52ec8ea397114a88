"""The techniques, one declaration each (docs/protocol.md, Techniques; docs/add-a-technique.md).

The six are those of the study (Han et al. 2024): non-personalized, fine-tuning, hybrid, cluster-specific, multi-task with a task per user or
per cluster, and user-dependent. Every entry of the table is run by the tests over all techniques, so adding one adds its tests.
"""

from dataclasses import replace
from typing import Any

from raylab.techniques.selection import Calibration, Cluster, EveryoneElse, EveryoneElseAndCalibration, Nearest
from raylab.techniques.stage import AUTO, Stage, Technique, TechniqueAxis, Value, Variant

TRUNK_HEAD = ("trunk", "head")
ADAPTER_HEAD = ("adapter", "head")

# Tuning on calibration windows: a tenth of the base learning rate and batches of 2, since there are few windows. The study's public code tunes at
# Adam(1e-9), which hardly moves a weight (docs/protocol.md, Departures).
CALIBRATION_OVERRIDES = {"learning_rate": 3e-4, "batch_size": 2, "batch_share": 1.0}
# Training on calibration windows alone starts from random weights, so it needs the base learning rate.
USER_DEPENDENT_OVERRIDES = {"learning_rate": 0.003, "batch_size": 16, "batch_share": 0.1}


def _axis(name: str, default: tuple[Value, ...], *values: Value) -> TechniqueAxis:
    """An axis of a few named values."""
    return TechniqueAxis(name, default, lambda value: value in values, "one of " + ", ".join(str(value) for value in values))


def _is_budget(value: Value) -> bool:
    return (isinstance(value, float) and 0 < value < 1) or (
        isinstance(value, int) and not isinstance(value, bool) and value >= 0
    )


def _is_k(value: Value) -> bool:
    return value in ("silhouette", "silhouette_smallest") or (
        isinstance(value, int) and not isinstance(value, bool) and value >= 2
    )


BUDGET = TechniqueAxis(
    "budget", (0.2, 0.3, 0.4, 0.5), _is_budget, "a share of each label between 0 and 1, or a whole number of windows per label"
)
LAYERS = _axis("layers", ("all", "last"), "all", "last")
DRAW = _axis("draw", ("initial",), "initial", "random")
# Windows of a run that are tested beside windows of it that calibrated may be told by the run: whole runs where there are several.
UNIT = replace(_axis("unit", (AUTO,), AUTO, "window", "block"), unnamed="window")
K = TechniqueAxis(
    "k", (2, 3, 4, 5, "silhouette"), _is_k, "a number of clusters from 2, silhouette, or silhouette_smallest (the public code)"
)
BY = _axis("by", ("traits",), "traits", "data", "both")
TASK = _axis("task", ("user", "cluster"), "user", "cluster")


def _calibration_axes(v: Variant) -> dict[str, Any]:
    """The values of the axes that say which windows of the target are calibration windows."""
    return {name: v[name] for name in ("budget", "draw", "unit")}


def _fine_tuning(v: Variant) -> tuple[Stage, ...]:
    """The non-personalized stage, then the calibration windows: all layers, or the head only."""
    return (
        Stage("everyone_else", EveryoneElse(), TRUNK_HEAD),
        Stage(
            "calibration",
            Calibration(**_calibration_axes(v)),
            TRUNK_HEAD if v["layers"] == "all" else ("head",),
            CALIBRATION_OVERRIDES,
        ),
    )


def _multi_task(v: Variant) -> tuple[Stage, ...]:
    """Trunk and head on all other participants, the adapter frozen at its random weights; then adapter and head on the task's participants.

    The trunk of the first stage is shared, so a second task costs one small training more.
    """
    similar = Nearest(v["by"]) if v["task"] == "user" else Cluster(v["by"], "silhouette", within=True)
    return (Stage("everyone_else", EveryoneElse(), TRUNK_HEAD), Stage("task", similar, ADAPTER_HEAD))


TECHNIQUES: dict[str, Technique] = {
    technique.name: technique
    for technique in (
        Technique(
            "non_personalized",
            "one model for everyone, trained on everyone else",
            axes=(),
            stages=lambda v: (Stage("everyone_else", EveryoneElse(), TRUNK_HEAD),),
        ),
        Technique(
            "fine_tuning",
            "the same model, tuned on the target's calibration windows: all layers, or the last",
            axes=(LAYERS, BUDGET, DRAW, UNIT),
            stages=_fine_tuning,
        ),
        Technique(
            "hybrid",
            "one training on everyone else and the target's calibration windows together",
            axes=(BUDGET, DRAW, UNIT),
            stages=lambda v: (
                Stage("everyone_else_and_calibration", EveryoneElseAndCalibration(**_calibration_axes(v)), TRUNK_HEAD),
            ),
        ),
        Technique(
            "cluster_specific",
            "one training on the people of the target's cluster",
            axes=(K, BY),
            stages=lambda v: (Stage("cluster", Cluster(v["by"], v["k"]), TRUNK_HEAD),),
        ),
        Technique(
            "multi_task",
            "a shared trunk; an adapter and head per user (the most similar one's is used) or per cluster",
            axes=(TASK, BY),
            stages=_multi_task,
            adapter=True,
        ),
        Technique(
            "user_dependent",
            "the target's calibration windows alone, from random weights",
            axes=(BUDGET, DRAW, UNIT),
            stages=lambda v: (
                Stage("calibration_alone", Calibration(**_calibration_axes(v)), TRUNK_HEAD, USER_DEPENDENT_OVERRIDES),
            ),
        ),
    )
}

REFERENCE_TECHNIQUE = "non_personalized"
