"""The techniques of the study (PROTOCOL, Folds and techniques), one declaration each. Being listed is being tested."""

from typing import Any

from raylab.techniques.selection import Calibration, Cluster, EveryoneElse, EveryoneElseAndCalibration, Nearest
from raylab.techniques.stage import Stage, Technique, TechniqueAxis, Value, Variant

TRUNK_HEAD = ("trunk", "head")
ADAPTER_HEAD = ("adapter", "head")

# The study's fine-tuning ran at Adam(1e-9), which hardly moves a weight; raylab's default is a tenth of the base rate.
CALIBRATES = {"learning_rate": 3e-4, "batch_size": 2, "batch_share": 1.0}
ALONE = {"learning_rate": 0.003, "batch_size": 16, "batch_share": 0.1}


def _axis(name: str, default: tuple[Value, ...], *values: Value) -> TechniqueAxis:
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
UNIT = _axis("unit", ("window",), "window", "block")
K = TechniqueAxis(
    "k", (2, 3, 4, 5, "silhouette"), _is_k, "a number of clusters from 2, silhouette, or silhouette_smallest (the public code)"
)
BY = _axis("by", ("traits",), "traits", "data", "both")
TASK = _axis("task", ("user", "cluster"), "user", "cluster")


def _given(v: Variant) -> dict[str, Any]:
    """The axes that say which of the target's windows are given."""
    return {name: v[name] for name in ("budget", "draw", "unit")}


def _fine_tuning(v: Variant) -> tuple[Stage, ...]:
    return (
        Stage("everyone_else", EveryoneElse(), TRUNK_HEAD),
        Stage("calibration", Calibration(**_given(v)), TRUNK_HEAD if v["layers"] == "all" else ("head",), CALIBRATES),
    )


def _multi_task(v: Variant) -> tuple[Stage, ...]:
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
            stages=lambda v: (Stage("everyone_else_and_calibration", EveryoneElseAndCalibration(**_given(v)), TRUNK_HEAD),),
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
            stages=lambda v: (Stage("calibration_alone", Calibration(**_given(v)), TRUNK_HEAD, ALONE),),
        ),
    )
}

REFERENCE_TECHNIQUE = "non_personalized"
