"""The techniques of the study (PROTOCOL, Folds and techniques), one declaration each. Being listed is being tested."""

from raylab.techniques.selection import Calibration, EveryoneElse
from raylab.techniques.stage import Axis, Stage, Technique, Value, Variant

TRUNK_HEAD = ("trunk", "head")

# The study's fine-tuning ran at Adam(1e-9), which hardly moves a weight; raylab's default is a tenth of the base rate.
CALIBRATES = {"learning_rate": 3e-4, "batch_size": 2, "batch_share": 1.0}


def _is_budget(value: Value) -> bool:
    return (isinstance(value, float) and 0 < value < 1) or (
        isinstance(value, int) and not isinstance(value, bool) and value >= 0
    )


BUDGET = Axis(
    "budget", (0.2, 0.3, 0.4, 0.5), _is_budget, "a share of each label between 0 and 1, or a whole number of windows per label"
)
LAYERS = Axis("layers", ("all", "last"), lambda value: value in ("all", "last"), "all or last")


def _calibration(variant: Variant) -> Calibration:
    budget = variant["budget"]
    assert not isinstance(budget, str)
    return Calibration(budget)


def _fine_tuning(variant: Variant) -> tuple[Stage, ...]:
    frees = TRUNK_HEAD if variant["layers"] == "all" else ("head",)
    return (
        Stage("everyone_else", EveryoneElse(), TRUNK_HEAD),
        Stage("calibration", _calibration(variant), frees, CALIBRATES),
    )


TECHNIQUES: dict[str, Technique] = {
    technique.name: technique
    for technique in (
        Technique(
            "non_personalized",
            "one model for everyone, trained on everyone else",
            axes=(),
            stages=lambda variant: (Stage("everyone_else", EveryoneElse(), TRUNK_HEAD),),
        ),
        Technique(
            "fine_tuning",
            "the same model, tuned on the target's calibration windows: all layers, or the last",
            axes=(LAYERS, BUDGET),
            stages=_fine_tuning,
        ),
    )
}

BASELINE = "non_personalized"
