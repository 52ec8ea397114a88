"""The cases that `raylab validate` runs: a known truth each, and the verdict expected for each variant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["better", "worse", "no difference"]
Expectation = Literal["better", "not better", "no difference"]

# Small models and short trainings: hours, not days. Departures from the paper's protocol are here, and on the page.
# user_dependent's default batch is n/10, one window at these budgets, and batch norm over one window removes its level.
MODEL: dict[str, Any] = {"encoder": "fcn", "width": 0.0625}
PROTOCOL: dict[str, Any] = {
    "epochs": 5,
    "batch_size": 64,
    "stages": {
        "calibration": {"epochs": 10, "learning_rate": 0.003},
        "task": {"epochs": 10, "batch_size": 64, "batch_share": 0.1},
        "calibration_alone": {"epochs": 20, "batch_size": 4, "batch_share": 1.0},
    },
}
# In the pool of all participants, a few windows of the target weigh little, and hybrid stops at the least loss of the validation
# participants, which is early: it learns the target only with more windows, and with many large steps from the first epoch on.
EARLY_STEPS: dict[str, Any] = {"everyone_else_and_calibration": {"batch_size": 4, "learning_rate": 0.01}}
# A head has to learn another direction than the trunk's, from few windows: with more steps.
HEADS_LEARN: dict[str, Any] = {"task": {"epochs": 30, "batch_size": 64, "batch_share": 0.1}}
HEADS_LEARN_LONG: dict[str, Any] = {"task": {"epochs": 60, "batch_size": 64, "batch_share": 0.1}}
STEP_S = 10.0  # adjacent windows that do not overlap, so that none is purged
# Minutes of a recording: without an effect, with a plain effect, and if few windows of one participant must suffice; 5.4 otherwise.
SHORTEST, SHORT, LONG = 2.7, 4.0, 8.0

HYBRID, ALONE, CLUSTER = "hybrid", "user_dependent", "cluster_specific"

BY_WINDOW = {"unit": "window"}  # the paper's way; the case ``blocks`` is about the other one

PANEL: list[Any] = [
    "non_personalized",
    {"name": "fine_tuning", "layers": ["all", "last"], "budget": 0.4, **BY_WINDOW},
    {"name": "hybrid", "budget": 0.4, **BY_WINDOW},
    {"name": "cluster_specific", "k": 2},
    {"name": "multi_task", "task": ["user", "cluster"]},
    {"name": "user_dependent", "budget": 0.4, **BY_WINDOW},
]
BY_BOTH = ["traits", "data"]


@dataclass(frozen=True)
class ValidityCase:
    """A known truth, the techniques to try on it, and the expected verdicts.

    Attributes:
        name: of the case.
        truth: option ``truth`` of the ``known_truth`` dataset.
        techniques: as in a study.
        expected: verdict by a prefix of ``technique variant``; the longest prefix decides, variants without one are only reported.
        options: of the recordings, in addition to the truth and the seed.
        shuffled: whether labels are shuffled within each participant after the windows are made.
        stages: settings of stages in addition to ``PROTOCOL``.
        contrast: two variants whose gains are compared with each other too; the first is expected to be larger.
    """

    name: str
    truth: str
    techniques: list[Any]
    expected: Mapping[str, Expectation]
    options: Mapping[str, Any] = field(default_factory=dict)
    shuffled: bool = False
    stages: Mapping[str, Any] = field(default_factory=dict)
    contrast: tuple[str, str] | None = None

    @property
    def protocol(self) -> dict[str, Any]:
        """Its study's departures from the paper's protocol."""
        return {**PROTOCOL, "stages": {**PROTOCOL["stages"], **self.stages}}

    @property
    def null(self) -> bool:
        """Whether there is no effect to find, so that any verdict is false."""
        return set(self.expected.values()) == {"no difference"}

    def expectation(self, variant: str) -> Expectation | None:
        """The verdict expected for a variant, ``technique variant``; None if there is none."""
        prefixes = [prefix for prefix in self.expected if variant.startswith(prefix)]
        return self.expected[max(prefixes, key=len)] if prefixes else None


_NOT_BETTER: dict[str, Expectation] = dict.fromkeys(("fine_tuning", HYBRID, ALONE, CLUSTER, "multi_task"), "not better")
_OTHERS_CANNOT: dict[str, Expectation] = dict.fromkeys((CLUSTER, "multi_task"), "not better")
_NOTHING: dict[str, Expectation] = {"": "no difference"}

CASES: dict[str, ValidityCase] = {
    case.name: case
    for case in (
        ValidityCase("no_signal", "no_signal", PANEL, _NOTHING, {"minutes": SHORTEST}),
        ValidityCase("shuffled_labels", "homogeneous", PANEL, _NOTHING, {"minutes": SHORTEST}, shuffled=True),
        ValidityCase("homogeneous", "homogeneous", PANEL, _NOT_BETTER, {"strength": 1.0, "minutes": SHORT}),
        ValidityCase(
            "shifted",
            "shifted",
            PANEL,
            # the target's few windows change hybrid's pool a little; the last layer works on what the pool's trunk has learned, which is little
            {"fine_tuning layers=all": "better", ALONE: "better", **_OTHERS_CANNOT},
            {"strength": 2.0, "minutes": SHORT},
        ),
        ValidityCase(
            "shifted_recognizable",
            "shifted_recognizable",
            [
                "non_personalized",
                {"name": "fine_tuning", "layers": "all", "budget": 0.6, **BY_WINDOW},
                {"name": "hybrid", "budget": 0.6, **BY_WINDOW},
                {"name": "cluster_specific", "k": 2},
                {"name": "user_dependent", "budget": 0.6, **BY_WINDOW},
            ],
            {"fine_tuning": "better", ALONE: "better", HYBRID: "better", CLUSTER: "not better"},
            {"strength": 3.0, "minutes": LONG},
            stages=EARLY_STEPS,
        ),
        ValidityCase(
            "clustered",
            "clustered",
            [
                "non_personalized",
                {"name": "cluster_specific", "k": 2},
                {"name": "multi_task", "task": ["user", "cluster"]},
            ],
            {CLUSTER: "better", "multi_task": "better"},
            {"strength": 2.0},
            stages=HEADS_LEARN,
        ),
        ValidityCase(
            "clustered_hidden",
            "clustered_hidden",
            [
                "non_personalized",
                {"name": "cluster_specific", "k": 2, "by": BY_BOTH},
                {"name": "multi_task", "task": ["user", "cluster"], "by": BY_BOTH},
            ],
            {
                **_OTHERS_CANNOT,
                "cluster_specific k=2 by=data": "better",
                "multi_task task=user by=data": "better",
                "multi_task task=cluster by=data": "better",
            },
            {"strength": 2.0, "minutes": LONG},
            stages=HEADS_LEARN_LONG,
        ),
        ValidityCase(
            "drift",
            "drift",
            [
                "non_personalized",
                {"name": "fine_tuning", "layers": "all", "budget": 0.4, "draw": ["initial", "random"], **BY_WINDOW},
            ],
            {"fine_tuning layers=all budget=0.4 draw=random": "better"},
            {"strength": 3.0},
            contrast=("fine_tuning layers=all budget=0.4 draw=random", "fine_tuning layers=all budget=0.4"),
        ),
        ValidityCase(
            "blocks",
            "blocks",
            [
                "non_personalized",
                {"name": "fine_tuning", "layers": "all", "budget": 0.5, "draw": "random", "unit": ["window", "block"]},
            ],
            {
                "fine_tuning layers=all budget=0.5 draw=random": "better",
                "fine_tuning layers=all budget=0.5 draw=random unit=block": "not better",
            },
            {"strength": 2.0},
        ),
    )
}
