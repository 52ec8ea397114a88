"""The techniques, one declaration each (docs/protocol.md, Techniques; docs/add-a-technique.md).

The first six are those of the study (Han et al. 2024): non-personalized, fine-tuning, hybrid, cluster-specific, multi-task with a task per user or
per cluster, and user-dependent. Those after them are of other sources, which their methods name (``raylab.techniques.method``). Every entry of the
table is run by the tests over all techniques, so adding one adds its tests.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raylab.techniques.method import (
    AnchoredHead,
    ClassMeans,
    Contrastive,
    EntropyMinimization,
    Episodes,
    History,
    NormStatistics,
    PeoplePenalty,
)
from raylab.techniques.own_blocks import OtherBlocks
from raylab.techniques.selection import (
    Calibration,
    CalibrationBesideSource,
    Cluster,
    EveryoneElse,
    EveryoneElseAndCalibration,
    EveryoneElseBesideUnlabelled,
    Nearest,
    SimilarWeigh,
    Unlabelled,
)
from raylab.techniques.stage import AUTO, Asking, Stage, Technique, TechniqueAxis, Value, Variant

TRUNK_HEAD = ("trunk", "head")
ADAPTER_HEAD = ("adapter", "head")

# Tuning on calibration windows: a tenth of the base learning rate and batches of 2, since there are few windows. The study's public code tunes at
# Adam(1e-9), which hardly moves a weight (docs/protocol.md, Departures).
CALIBRATION_OVERRIDES = {"learning_rate": 3e-4, "batch_size": 2, "batch_share": 1.0}
# Training on calibration windows alone starts from random weights, so it needs the base learning rate.
USER_DEPENDENT_OVERRIDES = {"learning_rate": 0.003, "batch_size": 16, "batch_share": 0.1}
# Losses over people need several people in a batch, with several windows each.
PEOPLE_OVERRIDES = {"batch_size": 32, "batch_share": 1.0}
# What changes windows at every step has no place where features are computed once, where views are made, or where batches are whole people.
UNCHANGED = {"augmentation": None, "regularization": None}
PRETRAIN_OVERRIDES = {"epochs": 30, "batch_size": 64, "batch_share": 1.0, **UNCHANGED}
TENT_OVERRIDES = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "batch_share": 1.0, **UNCHANGED}


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
FEW = TechniqueAxis("budget", (1, 3, 5, 10), _is_budget, BUDGET.description)


def _unlabelled(default: tuple[Value, ...], *values: Value) -> TechniqueAxis:
    """What is looked at of the target without labels: every table names it."""
    return TechniqueAxis(
        "unlabelled",
        default,
        lambda value: value in values,
        "of the target's windows, without labels: " + ", ".join(str(value) for value in values),
        always_named=True,
    )


def _number(name: str, default: float, low: float, description: str) -> TechniqueAxis:
    """An axis of numbers of at least ``low``, with one default."""
    return TechniqueAxis(
        name,
        (default,),
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value < float("inf"),
        description,
    )


SHRINK = _number("k", 5, 0, "windows that the training people's class mean counts for, from 0")
PRIOR = _number("prior", 10, 0, "windows that the training people's statistics count for, from 0 (AdaBN)")
STRENGTH = TechniqueAxis(
    "strength",
    ("chosen",),
    lambda value: value == "chosen" or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0),
    "chosen (on pseudo-targets), or a number above 0",
)
TEMPERATURE = _number("temperature", 0.5, 0.01, "of the weights, in median distances between people")
RANK = TechniqueAxis("rank", (4,), lambda value: isinstance(value, int) and 1 <= value <= 1024, "a whole number from 1")
PENALTY = _axis("penalty", ("groupdro", "vrex", "coral", "dann", "mixup"), "groupdro", "vrex", "coral", "dann", "mixup")
PENALTY_STRENGTH = _number("strength", 1.0, 0, "factor of the penalty, from 0; with mixup alpha / 0.2")
EPISODE_STEP = TechniqueAxis(
    "step",
    (0.5,),
    lambda value: isinstance(value, int | float) and 0 < value <= 1,
    "share of the way to a person's weights, above 0 to 1",
)
EVERYONE = Stage("everyone_else", EveryoneElse(), TRUNK_HEAD)
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
        EVERYONE,
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
    return (EVERYONE, Stage("task", similar, ADAPTER_HEAD))


def _beside_source(v: Variant) -> CalibrationBesideSource:
    return CalibrationBesideSource(**_calibration_axes(v))


def _norm_statistics(v: Variant, prior: float) -> Stage:
    """The statistics of batch norm from the target's unlabelled windows; those of the past are taken when a window is predicted."""
    online = v["unlabelled"] == "past"
    frees = () if online else ("norm_statistics",)
    return Stage("norm_statistics", Unlabelled(v["unlabelled"]), frees, method=NormStatistics(prior, online))


def _head_map(v: Variant) -> tuple[Stage, ...]:
    strength = None if v["strength"] == "chosen" else float(v["strength"])
    return (EVERYONE, Stage("head_map", _beside_source(v), ("head",), method=AnchoredHead(strength)))


def _adapted(stage: str, frees: str, adds: Mapping[str, int], v: Variant) -> tuple[Stage, ...]:
    """The non-personalized stage, then a narrow part and the head on calibration windows."""
    return (EVERYONE, Stage(stage, Calibration(**_calibration_axes(v)), (frees, "head"), CALIBRATION_OVERRIDES, adds=adds))


def _robust(v: Variant) -> tuple[Stage, ...]:
    """One training on everyone else against a penalty; mixup between people is a regularization of it."""
    if v["penalty"] == "mixup":
        overrides = {**PEOPLE_OVERRIDES, "regularization": {"mixup": 0.2 * v["strength"]}}
        return (Stage("robust", EveryoneElse(), TRUNK_HEAD, overrides),)
    return (
        Stage("robust", EveryoneElse(), TRUNK_HEAD, PEOPLE_OVERRIDES, method=PeoplePenalty(v["penalty"], float(v["strength"]))),
    )


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
    return (EVERYONE, *tuned)


def _adaptive(v: Variant) -> tuple[Stage, ...]:
    """Fine-tuning on windows that are asked for one by one out of a pool, all of which is kept out of the test."""
    asks = Asking(v["order"], v["stop"])
    parts = TRUNK_HEAD if v["layers"] == "all" else ("head",)
    return (
        EVERYONE,
        Stage("calibration", Calibration(v["pool"], unit=v["unit"]), parts, CALIBRATION_OVERRIDES, asks=asks),
    )


TECHNIQUES: dict[str, Technique] = {
    technique.name: technique
    for technique in (
        Technique(
            "non_personalized",
            "one model for everyone, trained on everyone else",
            axes=(),
            stages=lambda v: (EVERYONE,),
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
            "prototypes",
            "the nearest class mean in feature space, the target's from calibration windows shrunk towards the training people's",
            axes=(FEW, SHRINK, DRAW, UNIT),
            stages=lambda v: (EVERYONE, Stage("prototypes", _beside_source(v), ("head",), method=ClassMeans(float(v["k"])))),
        ),
        Technique(
            "adabn",
            "the statistics of batch norm from the target's unlabelled windows",
            axes=(_unlabelled(("past", "first", "all"), "past", "first", "all"), PRIOR),
            stages=lambda v: (EVERYONE, _norm_statistics(v, float(v["prior"]))),
        ),
        Technique(
            "head_map",
            "the head tuned on calibration windows with a penalty for leaving the training people's, its strength chosen on pseudo-targets",
            axes=(FEW, STRENGTH, DRAW, UNIT),
            stages=_head_map,
        ),
        Technique(
            "similarity_weighting",
            "one training on everyone else, in which the people who are like the target count more",
            axes=(BY, TEMPERATURE),
            stages=lambda v: (Stage("similarity_weighting", SimilarWeigh(v["by"], float(v["temperature"])), TRUNK_HEAD),),
        ),
        Technique(
            "lora",
            "low-rank updates of the trunk's layers, and the head, on calibration windows",
            axes=(RANK, BUDGET, DRAW, UNIT),
            stages=lambda v: _adapted("lora", "low_rank", {"low_rank": v["rank"]}, v),
        ),
        Technique(
            "affine",
            "scale and shift of the trunk's normalization layers, and the head, on calibration windows",
            axes=(BUDGET, DRAW, UNIT),
            stages=lambda v: _adapted("affine", "norm_affine", {}, v),
        ),
        Technique(
            "history",
            "features modulated by a person's own unlabelled history, the target's as the training people's",
            axes=(_unlabelled(("past", "first", "all"), "past", "first", "all"),),
            stages=lambda v: (
                EVERYONE,
                Stage(
                    "history",
                    EveryoneElseBesideUnlabelled(v["unlabelled"]),
                    ("film", "head"),
                    UNCHANGED,
                    History(v["unlabelled"]),
                    {"film": 8},
                ),
            ),
        ),
        Technique(
            "robust",
            "one training on everyone else, made to hold over people; nothing of the target",
            axes=(PENALTY, PENALTY_STRENGTH),
            stages=_robust,
        ),
        Technique(
            "reptile",
            "base weights from which one person is learned in a few steps, then the target's calibration windows",
            axes=(EPISODE_STEP, BUDGET, DRAW, UNIT),
            stages=lambda v: (
                Stage("episodes", EveryoneElse(), TRUNK_HEAD, {"batch_size": 16}, Episodes(float(v["step"]))),
                Stage("calibration", Calibration(**_calibration_axes(v)), TRUNK_HEAD, CALIBRATION_OVERRIDES),
            ),
        ),
        Technique(
            "pretrain",
            "a trunk pretrained without labels on everyone else, and the target's unlabelled windows if asked; then as fine-tuning of the head",
            axes=(_unlabelled(("none", "first", "all"), "none", "first", "all"), BUDGET, DRAW, UNIT),
            stages=lambda v: (
                Stage(
                    "pretrain",
                    EveryoneElseBesideUnlabelled(v["unlabelled"], validates=False),
                    ("trunk",),
                    PRETRAIN_OVERRIDES,
                    Contrastive(),
                ),
                EVERYONE,
                Stage("calibration", Calibration(**_calibration_axes(v)), ("head",), CALIBRATION_OVERRIDES),
            ),
        ),
        Technique(
            "tent",
            "batch norm's statistics from the target's unlabelled windows, then its scale and shift by the entropy of the predictions",
            axes=(_unlabelled(("first", "all"), "first", "all"), PRIOR),
            stages=lambda v: (
                EVERYONE,
                _norm_statistics(v, float(v["prior"])),
                Stage("tent", Unlabelled(v["unlabelled"]), ("norm_affine",), TENT_OVERRIDES, EntropyMinimization()),
            ),
            warning="tent makes a model surer of what it predicts, right or wrong: it can end in one class for all windows. Its probabilities are "
            "no reliable ones, and a gain in one cohort says little about another.",
        ),
        Technique(
            "adaptive",
            "fine-tuning on windows of the target that are asked for one by one, until a rule says that there are enough labels",
            axes=(STOP, ORDER, POOL, LAST_OR_ALL, UNIT),
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
