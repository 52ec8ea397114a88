"""Whole runs calibrate where people have several, single windows where they have one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders.studies import study
from builders.windows import make_windows

from raylab.folds.calibration import run_counts
from raylab.trials.choices import calibration_sentences
from raylab.trials.plan import check_datasets, plan
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex

ONE = [0] * 5 + [1] * 5
SEVERAL = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]


def made(*people: list[int]) -> WindowIndex:
    return make_windows({f"P{k}": list(labels) for k, labels in enumerate(people)}, step_s=10.0).index


def tuned(**axes: Any) -> Study:
    return parse_study(study(techniques=[{"name": "fine_tuning", "layers": "last", "budget": 0.4, **axes}]), "test")


def trials(index: WindowIndex, **axes: Any) -> list[Trial]:
    return list(plan(tuned(**axes), {"made": index}))


def sentences(index: WindowIndex, **axes: Any) -> list[str]:
    (dataset,) = check_datasets(tuned(**axes), {"made": index})
    return calibration_sentences(tuned(**axes), dataset)


@pytest.mark.parametrize(
    ("people", "unit"),
    [
        ([SEVERAL] * 4, "block"),
        ([SEVERAL, SEVERAL, SEVERAL, ONE], "block"),
        ([SEVERAL, SEVERAL, ONE, ONE], "window"),  # more than half
        ([SEVERAL, SEVERAL, ONE, [0] * 9], "block"),  # a person of one class counts nowhere
        ([[0, 0, 1, 1, 0, 0]] * 4, "window"),  # one run of class 1
        ([[0, 0, -1, -1, 0, 0, 1, 1, -1, -1, 1, 1]] * 4, "block"),  # a stretch without label ends a run
    ],
)
def test_the_unit_follows_the_runs_of_most_people(people: list[list[int]], unit: str) -> None:
    index = made(*people)
    assert unit == run_counts(index, "stress", index.participants).unit


def test_utterances_have_no_runs() -> None:
    """Every one is a segment of its own, so single ones calibrate."""
    counts = run_counts(made(SEVERAL, SEVERAL, SEVERAL), "stress", ["P0", "P1", "P2"])
    assert "window" == replace(counts, timed=False).unit


@pytest.mark.parametrize(("people", "unit"), [([SEVERAL] * 4, "block"), ([ONE] * 4, "window")])
def test_a_study_that_names_no_unit_plans_that_of_the_data(people: list[list[int]], unit: str) -> None:
    """Equal keys and stages to the study that names it, and a name that says so: no name stands for two protocols."""
    index = made(*people)
    usual, named = trials(index), trials(index, unit=unit)

    assert [(trial.key, trial.stages) for trial in named] == [(trial.key, trial.stages) for trial in usual]
    assert {"layers=last budget=0.4" + (" unit=block" if unit == "block" else "")} == {t.labels["variant"] for t in usual}
    both = {trial.labels["variant"]: trial.key for trial in trials(index, unit=["window", "block"]) if trial.target == "P0"}
    assert {"layers=last budget=0.4", "layers=last budget=0.4 unit=block"} == set(both) and len(set(both.values())) == 2
    assert len(usual) == len(trials(index, unit=["auto", unit]))  # named twice, run once


def test_no_run_is_on_both_sides() -> None:
    """The windows that calibrate are whole runs."""
    index = made(*[SEVERAL] * 4)
    for trial in trials(index):
        assert "block" == trial.variant["unit"] and not trial.problem
    from raylab.trials.plan import stages_of  # noqa: PLC0415

    _, stages = stages_of(trials(index)[0], index)
    assert [0, 1, 2, 3, 4, 5] == stages[-1].train.tolist()
    assert [0, 1, 6, 7] != stages[-1].train.tolist() and np.all(np.diff(stages[-1].train) == 1)


def test_tables_say_which_unit_calibrates_and_why() -> None:
    """Whole runs, and who is left without a score; single windows, and that a gain may be the run's identity."""
    (blocks,) = sentences(made(SEVERAL, SEVERAL, SEVERAL, ONE))
    assert "unit: auto, since 3 of 4 people have several runs of each class" in blocks
    assert "1 of 4 people have one run of a class, which leaves them no test window of it and no AUROC" in blocks
    (windows,) = sentences(made(*[ONE] * 4))
    assert "share a run" in windows and "run_identity" in windows and "0 of 4" in windows
    (explicit,) = sentences(made(*[SEVERAL] * 4), unit="window")
    assert "although 4 of 4 people have several runs" in explicit
    none = parse_study(study(techniques=["non_personalized"]), "test")
    (dataset,) = check_datasets(none, {"made": made(*[ONE] * 4)})
    assert [] == calibration_sentences(none, dataset)
