"""The techniques, one declaration each (docs/protocol.md, Techniques; docs/add-a-technique.md).

The six are those of the study (Han et al. 2024): non-personalized, fine-tuning, hybrid, cluster-specific, multi-task with a task per user or
per cluster, and user-dependent. Every entry of the table is run by the tests over all techniques, so adding one adds its tests.
"""

from typing import Any

from raylab.techniques.own_blocks import OtherBlocks
from raylab.techniques.selection import Calibration, Cluster, EveryoneElse, EveryoneElseAndCalibration, Nearest
from raylab.techniques.stage import Asking, Stage, Technique, TechniqueAxis, Value, Variant

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
UNIT = _axis("unit", ("window",), "window", "block")
K = TechniqueAxis(
    "k", (2, 3, 4, 5, "silhouette"), _is_k, "a number of clusters from 2, silhouette, or silhouette_smallest (the public code)"
)
BY = _axis("by", ("traits",), "traits", "data", "both")
TASK = _axis("task", ("user", "cluster"), "user", "cluster")


BLOCKS = TechniqueAxis(
    "blocks",
    (5,),
    lambda value: isinstance(value, int) and 2 <= value <= 20,
    "a number of blocks of the target's time, 2 to 20",
)
FIT = _axis("fit", ("tuned",), "tuned", "together")
LAST_OR_ALL = _axis("layers", ("last",), "all", "last")
POOL = TechniqueAxis(
    "pool",
    (0.5,),
    lambda value: _is_budget(value) and value != 0,
    "windows that may be asked for: a budget of fine_tuning above 0",
)
STOP = _axis("stop", ("test", "loss", "entropy"), "test", "loss", "entropy")
ORDER = _axis("order", ("recorded",), "recorded", "uncertain")
PSEUDO_GROUPS = 5  # ten trainings on everyone else more, for all targets together


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


def _oracle(v: Variant) -> tuple[Stage, ...]:
    """One model for each block of the target's time, which predicts it: the general one tuned on all other blocks, or both kinds together."""
    blocks = range(v["blocks"])
    if v["fit"] == "together":
        return tuple(
            Stage(f"block_{k + 1}", OtherBlocks(k, len(blocks), with_others=True), TRUNK_HEAD, after="") for k in blocks
        )
    tuned = (
        Stage(f"block_{k + 1}", OtherBlocks(k, len(blocks)), TRUNK_HEAD, CALIBRATION_OVERRIDES, after="everyone_else")
        for k in blocks
    )
    return (Stage("everyone_else", EveryoneElse(), TRUNK_HEAD), *tuned)


def _adaptive(v: Variant) -> tuple[Stage, ...]:
    """Fine-tuning on windows that are asked for one by one out of a pool, all of which is kept out of the test."""
    asks = Asking(v["order"], v["stop"])
    parts = TRUNK_HEAD if v["layers"] == "all" else ("head",)
    return (
        Stage("everyone_else", EveryoneElse(), TRUNK_HEAD),
        Stage("calibration", Calibration(v["pool"]), parts, CALIBRATION_OVERRIDES, asks=asks),
    )


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
        Technique(
            "adaptive",
            "fine-tuning on windows of the target that are asked for one by one, until a rule says that there are enough labels",
            axes=(STOP, ORDER, POOL, LAST_OR_ALL),
            stages=_adaptive,
        ),
        Technique(
            "when_to_personalize",
            "fine-tuning, or the general model if people who stand in for the target let expect no gain",
            axes=(LAST_OR_ALL, BUDGET, DRAW, UNIT),
            stages=_fine_tuning,
            pseudo_groups=PSEUDO_GROUPS,
        ),
        Technique(
            "oracle",
            "a bound that nobody can have: tuned on all of the target's own labels, by cross-validation over blocks of time",
            axes=(BLOCKS, FIT),
            stages=_oracle,
            attainable=False,
        ),
    )
}

REFERENCE_TECHNIQUE = "non_personalized"
