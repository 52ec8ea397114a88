"""Bounds and decisions of a trial: the oracle's blocks, the windows that were asked for, and whom calibration is kept from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from builders.windows import make_windows

from raylab.files import Folder
from raylab.folds.fold import Fold, FoldError, RowIds
from raylab.models.network import ModelSpec
from raylab.techniques.own_blocks import OtherBlocks
from raylab.techniques.registry import TECHNIQUES
from raylab.testing import check_leaks, check_stages, simulated_windows
from raylab.training.protocol import Protocol
from raylab.training.stage_hash import PlannedStage, TrainingContext, plan_stages
from raylab.training.stage_store import StageStore
from raylab.training.stage_tree import own_stages, predicted_parts
from raylab.trials.keep_general import KeepDecision, decide
from raylab.trials.plan import plan
from raylab.trials.pseudo_targets import StandIn, expected_gain, groups_of, plan_pseudo_targets, pseudo_folds
from raylab.trials.run_trial import Outcome, run_trial
from raylab.trials.study import parse_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

GROUPS = 4


def _trials(
    windows: Windows, techniques: list[Any], participants: list[str], encoder: str = "fcn", **changes: Any
) -> list[Trial]:
    content = {
        "name": "bounds",
        "datasets": [{"windows": "made", "label": "stress", "participants": participants}],
        "models": [{"encoder": encoder, **({"width": 1 / 64} if encoder == "fcn" else {})}],
        "techniques": techniques,
        "protocol": {"epochs": 1, "batch_size": 16},
    }
    return list(plan(parse_study({**content, **changes}, "test"), {"made": windows.index}))


def _run(trials: list[Trial], windows: Windows, folder: Path) -> list[Outcome]:
    store = StageStore(Folder(folder))
    outcomes = [run_trial(trial, windows, store) for trial in trials]
    assert {"ok"} == {outcome.status for outcome in outcomes}, [outcome.record.get("traceback") for outcome in outcomes]
    return outcomes


# oracle


def test_each_block_is_predicted_by_a_model_that_saw_neither_it_nor_what_overlaps_it() -> None:
    """The blocks are disjoint, cover all windows and hold every label; what shares samples with a block is not trained on."""
    fold = Fold(simulated_windows(4, runs=2, run=10).index, "stress", "P1", 0)
    splits = [OtherBlocks(k, 5).choose(fold) for k in range(5)]
    predicted = [split.predicts for split in splits]
    assert fold.target_windows.tolist() == sorted(np.concatenate([rows for rows in predicted if rows is not None]))
    for split in splits:
        assert split.predicts is not None
        assert {0, 1} == set(fold.y[split.predicts]) == set(fold.y[split.train])
        assert not len(fold.overlapping(split.train, split.predicts))
        assert len(fold.overlapping(np.setdiff1d(fold.target_windows, split.predicts), split.predicts)) == len(
            fold.target_windows
        ) - len(split.predicts) - len(split.train)


def test_too_few_windows_for_the_blocks_are_missing_with_a_reason() -> None:
    """An empty block would predict nothing."""
    windows = make_windows({f"P{i}": [0, 1] * 2 for i in range(4)})
    fold = Fold(windows.index, "stress", "P1", 0)
    with pytest.raises(FoldError, match="participant P1 has too few windows for 5 blocks: block 5"):
        OtherBlocks(4, 5).choose(fold)


def test_the_oracle_is_above_the_rest_where_labels_are_a_persons_own(tmp_path: Path) -> None:
    """Simulated: in P1 the level says the opposite of what it says in the seven others. Without its labels a linear model is wrong about P1; the
    oracle is better, it predicts every window, its table name says what it is, and it runs on a model without weights to continue from."""
    windows = simulated_windows(8, runs=4)
    mine = np.flatnonzero(windows.index.participant_index == 0)
    for values in windows.signals.values():
        values[mine] *= -1
    for name, described in windows.index.statistics.items():
        described[mine] = -described[mine] if name else described[mine]
    trials = _trials(windows, ["non_personalized", {"name": "oracle", "fit": "together"}], ["P1"], encoder="lda")
    general, bound = _run(trials, windows, tmp_path)
    assert ("oracle (not attainable)", 5, len(mine) - 1) == (
        bound.record["technique"],
        len(bound.trained),
        bound.record["n_test"],
    )
    assert general.record["auroc"] < 0.3
    assert bound.record["auroc"] > general.record["auroc"]


def test_a_resumed_oracle_predicts_the_same(tmp_path: Path) -> None:
    """From stored blocks, and where one block's file has gone."""
    windows = simulated_windows(5)
    trials = _trials(windows, ["oracle"], ["P1"])
    first = _run(trials, windows, tmp_path)[0]
    again = _run(trials, windows, tmp_path)[0]
    assert (6, 0, 6) == (len(first.trained), len(again.trained), again.record["stages_reused"])
    (tmp_path / "stages" / f"{trials[0].stages[2]}.safetensors").unlink()
    third = _run(trials, windows, tmp_path)[0]
    assert [trials[0].stages[2]] == third.trained
    assert first.predictions is not None and again.predictions is not None and third.predictions is not None
    assert first.predictions.equals(again.predictions) and first.predictions.equals(third.predictions)


# adaptive


@pytest.mark.parametrize(("unit", "resolved", "pool"), [("window", "window", 24), ("auto", "block", 32)])
def test_what_was_asked_for_is_recorded_trained_on_and_taken_over_from_the_store(
    unit: str, resolved: str, pool: int, tmp_path: Path
) -> None:
    """The record has the ids in their order; the whole pool is out of the test, so the windows are those of fine_tuning with the pool as budget:
    windows of each class, or whole runs of 8 where people have several."""
    windows = simulated_windows(5, runs=4)
    trials = _trials(
        windows,
        [
            {"name": "adaptive", "stop": "loss", "pool": 12, "unit": unit},
            {"name": "fine_tuning", "layers": "last", "budget": 12, "unit": unit},
        ],
        ["P1"],
    )
    assert [resolved] * 2 == [trial.variant["unit"] for trial in trials]
    store, received = StageStore(Folder(tmp_path)), dict[str, set[int]]()

    def watch(stage: PlannedStage, rows: RowIds) -> None:
        received.setdefault(stage.hash, set()).update(rows.tolist())

    first, fixed = (run_trial(trial, windows, store, on_batch=watch) for trial in trials)
    asked = first.record["asked"]
    assert 12 <= len(asked) == first.record["labels_used"] < pool == fixed.record["labels_used"]
    assert sorted(asked) == sorted(windows.index.window[row] for row in received[trials[0].stages[1]])
    assert first.predictions is not None and fixed.predictions is not None
    assert first.predictions["window"].equals(fixed.predictions["window"])
    again = run_trial(trials[0], windows, store)
    assert (asked, len(asked), []) == (again.record["asked"], again.record["labels_used"], again.trained)
    assert again.predictions is not None and first.predictions.equals(again.predictions)


# when_to_personalize


def _planned(windows: Windows, target: str) -> tuple[TrainingContext, tuple[PlannedStage, ...]]:
    shapes = {name: (values.shape[1], values.shape[2]) for name, values in windows.signals.items()}
    fold = Fold(windows.index, "stress", target, 0)
    context = TrainingContext(fold, ModelSpec("fcn", width=1 / 64), False, shapes)
    stages = TECHNIQUES["when_to_personalize"].stages({"layers": "last", "budget": 0.2, "draw": "initial", "unit": "window"})
    return context, plan_stages(context, stages, Protocol()) + plan_pseudo_targets(context, stages, Protocol(), GROUPS)


def test_stand_ins_know_nothing_of_the_target_and_share_their_trainings() -> None:
    """No training window of the target's group; G (G - 1) / 2 trainings on everyone else for all targets together, G - 1 calibrations a person."""
    windows = simulated_windows(12)
    inner: dict[str, set[str]] = {}
    for target in windows.index.participants:
        context, stages = _planned(windows, target)
        group = next(group for group in groups_of(context.fold, GROUPS) if target in group)
        away = [windows.index.participants.index(name) for name in group]
        own = {stage.hash for stage in own_stages(stages)}
        for stage in stages:
            if stage.fold is not None:
                rows = np.concatenate([stage.train, stage.validation])
                assert not np.isin(windows.index.participant_index[rows], away).any()
                assert stage.hash not in own
                inner.setdefault(stage.name, set()).add(stage.hash)
        assert {name for other in groups_of(context.fold, GROUPS) for name in other} - set(group) == {
            fold.target for fold in pseudo_folds(context.fold, GROUPS)
        }
    assert {"everyone_else": GROUPS * (GROUPS - 1) // 2, "calibration": 12 * (GROUPS - 1)} == {
        name: len(hashes) for name, hashes in inner.items()
    }


def _simulated_decision(windows: Windows, target: str, gains: Mapping[str, bool], seed: int) -> tuple[KeepDecision, float]:
    """``decide`` for one target with simulated predictions, and the gain that calibration would bring.

    In people who gain, the general model has the classes turned around and the calibrated one is right; in the others the general model is right
    and calibration makes it noise.
    """
    context, stages = _planned(windows, target)
    y = windows.index.labels["stress"]
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (2, len(y)))

    def predict(stage: PlannedStage, rows: RowIds) -> npt.NDArray[np.float32]:
        calibrated = stage.name == "calibration"
        names = [windows.index.participants[k] for k in windows.index.participant_index[rows]]
        gain = np.array([gains[name] for name in names])
        strength = np.where(gain, 3.0 if calibrated else -3.0, 0.5 if calibrated else 3.0)
        logit = strength * (2.0 * (y[rows] == 1) - 1) + noise[int(calibrated), rows]
        p = 1 / (1 + np.exp(-logit))
        return np.stack([1 - p, p], axis=1).astype(np.float32)

    part = predicted_parts(stages, context.fold)[0]
    decision = decide(context, stages, part, predict)
    return decision, 1.0 if gains[target] else -1.0


def test_losers_are_avoided_and_gainers_kept_where_half_gain_and_half_lose() -> None:
    """Simulated: of 12 people 6 gain from calibration and 6 lose. Nearly all decisions are right, and a decision is between two paths."""
    windows = simulated_windows(12, runs=4)
    right = 0
    gains = {name: k % 2 == 0 for k, name in enumerate(windows.index.participants)}
    for target in windows.index.participants:
        decision, gain = _simulated_decision(windows, target, gains, seed=1)
        right += (decision.expected_gain > 0) == (gain > 0)
        assert (["everyone_else"] if decision.kept_general else ["everyone_else", "calibration"]) == [
            stage.name for stage in decision.part.path
        ]
    assert right >= 11


def test_nobody_is_kept_from_calibration_where_all_gain() -> None:
    """Simulated: without anybody who loses, all people are personalized; where all lose, none is."""
    windows = simulated_windows(12)
    for everyone in (True, False):
        gains = dict.fromkeys(windows.index.participants, everyone)
        decisions = [_simulated_decision(windows, target, gains, 0)[0] for target in windows.index.participants[:4]]
        assert [not everyone] * 4 == [decision.kept_general for decision in decisions]


def test_the_line_and_its_limits() -> None:
    """Gains on a line are continued; few stand-ins, one AUROC for all or none of the target's own give the mean; without any, no gain is expected."""
    line = [StandIn(x, 2 * x - 1) for x in (0.0, 0.5, 1.0, 1.5)]
    assert 3.0 == pytest.approx(expected_gain(2.0, line))
    assert pytest.approx(-0.5) == expected_gain(2.0, line[:2])
    assert 0.1 == pytest.approx(expected_gain(5.0, [StandIn(1.0, 0.1)] * 6))
    assert 0.5 == pytest.approx(expected_gain(float("nan"), line))
    assert 0.0 == expected_gain(1.0, [StandIn(1.0, float("nan"))])


def test_the_decision_runs_as_a_trial_and_is_on_record(tmp_path: Path) -> None:
    """Trained by the worker: what is predicted is one of the two models' predictions, to the bit."""
    windows = simulated_windows(6)
    axes = {"layers": "last", "budget": 2}
    techniques = ["non_personalized", {"name": "fine_tuning", **axes}, {"name": "when_to_personalize", **axes}]
    general, tuned, decided = _run(_trials(windows, techniques, ["P1"]), windows, tmp_path)
    record = decided.record
    assert record["kept_general"] == (record["expected_gain"] <= 0)
    assert general.predictions is not None and tuned.predictions is not None and decided.predictions is not None
    expected = (general if record["kept_general"] else tuned).predictions
    assert expected is not None
    p = dict(zip(expected["window"].to_pylist(), expected["p"].to_pylist(), strict=True))
    assert tuned.predictions["window"].equals(decided.predictions["window"])
    assert [p[window] for window in decided.predictions["window"].to_pylist()] == decided.predictions["p"].to_pylist()


def test_too_few_people_and_a_drawn_number_of_them_are_missing_with_a_reason() -> None:
    """People cannot both be drawn by number and stand in."""
    few = simulated_windows(3)
    trial = _trials(few, [{"name": "when_to_personalize", "budget": 2}], ["P1"])[0]
    assert "nobody can stand in for P1" in trial.problem or "too few" in trial.problem
    some = _trials(
        simulated_windows(6),
        [{"name": "when_to_personalize", "budget": 2}],
        ["P1"],
        datasets=[{"windows": "made", "label": "stress", "participants": ["P1"], "people": 3}],
    )[0]
    assert "leave one of them out" in some.problem


@pytest.mark.parametrize("name", ["oracle", "adaptive", "when_to_personalize"])
def test_the_test_of_all_techniques_covers_them(name: str) -> None:
    """It follows paths that are no chain, pools, and stages of people who stand in."""
    technique, windows = TECHNIQUES[name], simulated_windows(6)
    check_stages(technique, technique.variants({})[0], "fcn", windows)
    check_leaks(technique, technique.variants({})[0], windows)
