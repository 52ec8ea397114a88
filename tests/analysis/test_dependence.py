"""The variance inflation of a study's techniques: who shares training with whom, what a run must have stored, and the bound otherwise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import analysis
from analysis.scores.run_folder import RunTables
from analysis.statistics import dependence
from analysis.statistics.dependence import (
    CEILING,
    COLUMNS,
    FLOOR,
    SHARED_TRAINING,
    above_chance,
    inflation_of,
    retrained_bound,
    variance_inflations,
)
from raylab.trials.run_trial import participants_bitmap

N, WINDOWS = 6, 16
PEOPLE = [f"P{k}" for k in range(N)]


def _bitmap(who: list[int]) -> str:
    return participants_bitmap(np.array(who, dtype=np.int32))


def _stages(technique: str, target: int) -> tuple[list[str], list[str]]:
    """The stages of a trial, and who each of them trains on."""
    others = [k for k in range(N) if k != target]
    plans = {
        "non_personalized": (["base"], [others]),
        "fine_tuning": (["base", "tuned"], [others, [target]]),
        "hybrid": (["mixed"], [[*others, target]]),
        "user_dependent": (["own"], [[target]]),
        "cluster_specific": (["cluster"], [others[::2]]),
        "cluster_tuned": (["cluster", "tuned"], [others[::2], [target]]),
    }
    stages, members = plans[technique]
    return [f"{stage}{target}" for stage in stages], [_bitmap(who) for who in members]


TECHNIQUES = ("non_personalized", "fine_tuning", "hybrid", "user_dependent", "cluster_specific", "cluster_tuned")


def _tables(
    techniques: tuple[str, ...] = TECHNIQUES,
    models: tuple[str, ...] = ("m",),
    signal: float = 0.0,
    auroc: float = 0.9,
    changed: Mapping[str, Any] | None = None,
) -> RunTables:
    """A run of six people with 16 windows each; calibrated techniques leave out the first half of the target's. ``changed``: of every record."""
    rng = np.random.default_rng(0)
    y = np.arange(WINDOWS) % 2
    summaries = [
        {"dataset": "d", "label": "l", "participant": name, "position": k, "window": 1000 * k + i, "y": y[i]}
        | {"features": (rng.normal(0, 1, 3) + signal * y[i]).astype(np.float32)}
        for k, name in enumerate(PEOPLE)
        for i in range(WINDOWS)
    ]
    trials, predictions = [], []
    for model in models:
        for technique in techniques:
            for k, name in enumerate(PEOPLE):
                stages, members = _stages(technique, k)
                record = {
                    "trial": f"{model}-{technique}-{name}",
                    "dataset": "d",
                    "label": "l",
                    "model": model,
                    "technique": technique,
                }
                record |= {"variant": "-", "participant": name, "seed": 0, "status": "ok", "auroc": auroc + k / 100}
                trials.append(record | {"stages": stages, "trained_on": members} | dict(changed or {}))
                first = 0 if technique in ("non_personalized", "cluster_specific") else WINDOWS // 2
                predictions.append(
                    pd.DataFrame(
                        {"trial": record["trial"], "participant": name, "window": 1000 * k + np.arange(first, WINDOWS)}
                    ).assign(purged=False)
                )
    frame = pd.DataFrame(trials)
    return RunTables(frame, frame, pd.concat(predictions, ignore_index=True), (), window_summaries=pd.DataFrame(summaries))


def _by_technique(tables: RunTables) -> pd.DataFrame:
    return variance_inflations(tables).set_index("technique")


def test_a_bitmap_names_positions() -> None:
    """Positions 0, 2 and 2 are 5; of a cohort of hundreds bits beyond any machine word stand too; a record without one names no stage."""
    assert "5" == _bitmap([0, 2, 2])
    assert [[True, False, True, False]] == [list(who) for who in dependence._members(["5"], 4)]
    assert [70, 299] == np.flatnonzero(dependence._members([_bitmap([299, 70])], 300)[0]).tolist()
    assert 2 == len(dependence._members(["3", "4"], 3))
    assert () == dependence._members(None, 3) == dependence._members(float("nan"), 3)


@pytest.mark.parametrize(
    ("technique", "shares"),
    [("fine_tuning", True), ("hybrid", True), ("user_dependent", True), ("cluster_specific", False), ("cluster_tuned", False)],
)
def test_who_shares_the_references_training(technique: str, shares: bool) -> None:
    """Continued, repeated with the target added, or the target alone: the small bound. Trained on some of the others: Nadeau and Bengio's,
    whether or not the target is added behind."""
    trials = _tables(("non_personalized", technique)).trials
    references, records = (trials[trials["technique"].eq(name)] for name in ("non_personalized", technique))
    if technique == "cluster_tuned":  # its last stage has the target alone, but goes on from its cluster's
        assert not set(records.iloc[0]["stages"]) & set(references.iloc[0]["stages"])
    assert shares == dependence._shares_training(records, references)


def test_a_run_without_summaries_has_the_bound() -> None:
    """1.5 if training is shared, else 1 + n / (n - 1)."""
    tables = _tables()
    table = _by_technique(RunTables(tables.plan, tables.trials, tables.predictions, ()))
    assert COLUMNS == variance_inflations(tables).columns.tolist()
    assert {"bound"} == set(table["inflation_source"]) and "non_personalized" not in table.index
    assert {SHARED_TRAINING} == set(table.loc[["fine_tuning", "hybrid", "user_dependent"], "inflation"])
    assert pytest.approx(1 + N / (N - 1)) == table.loc["cluster_specific", "inflation"]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_run_whose_records_do_not_say_who_was_trained_on_has_the_bound(missing: object) -> None:
    """Shared stages still tell fine-tuning; of the others nothing is known, so they have the larger bound. Without stages, so has it."""
    table = _by_technique(_tables(changed={"trained_on": missing}))
    assert {"bound"} == set(table["inflation_source"])
    assert SHARED_TRAINING == table.loc["fine_tuning", "inflation"]
    assert pytest.approx(retrained_bound(N)) == table.loc["hybrid", "inflation"] == table.loc["cluster_specific", "inflation"]
    bare = _tables()
    bare = bare.with_trials(bare.trials.drop(columns=["stages", "trained_on"]))
    assert np.allclose(_by_technique(bare)["inflation"], retrained_bound(N))


def test_windows_that_were_not_described_leave_the_bound() -> None:
    """A trial that predicts a window which the summaries lack is not repeated."""
    tables = _tables(("non_personalized", "fine_tuning"))
    tables.predictions.loc[tables.predictions["trial"].eq("m-fine_tuning-P3"), "window"] += 500_000
    assert (SHARED_TRAINING, "bound") == tuple(_by_technique(tables).loc["fine_tuning", ["inflation", "inflation_source"]])


def test_with_both_it_is_simulated_and_within_its_limits() -> None:
    """A signal that is sure leaves little to luck; without one, a technique that retrains has more of it than one that shares training."""
    table = _by_technique(_tables())
    assert {"simulated"} == set(table["inflation_source"])
    assert table["inflation"].between(FLOOR, CEILING).all()
    pd.testing.assert_frame_equal(table, _by_technique(_tables()))


def test_a_reference_at_chance_is_not_taken_below_the_bound() -> None:
    """The surrogate falls with a signal, which must then be the cohort's own."""
    table = _by_technique(_tables(auroc=0.47))
    assert {"simulated, not under the bound"} == set(table["inflation_source"])
    assert (table["inflation"] >= SHARED_TRAINING).all()
    assert table.loc["cluster_specific", "inflation"] >= retrained_bound(N)


def test_inflations_reach_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """``analysis.compare`` takes the table as it is, variant by variant."""
    tables = _tables(("non_personalized", "fine_tuning"))
    rng = np.random.default_rng(1)
    scores = tables.trials.assign(auroc=rng.uniform(0.5, 1, len(tables.trials)), against="", scoring="paired")
    inflations = analysis.variance_inflations(tables)
    row = analysis.compare(scores, inflations=inflations).set_index("technique").loc["fine_tuning"]
    assert tuple(inflations.loc[0, ["inflation", "inflation_source"]]) == tuple(row[["inflation", "inflation_source"]])


def test_models_that_share_a_plan_are_simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three models, one plan: each technique's surrogate runs once, and all models have its inflation."""
    techniques: list[int] = []
    simulate = dependence.simulated_differences

    def counted(cohort: Any, pairs: Any) -> Any:
        techniques.append(len(pairs))
        return simulate(cohort, pairs)

    monkeypatch.setattr(dependence, "simulated_differences", counted)
    table = variance_inflations(_tables(models=("m", "n", "o")))
    assert len(TECHNIQUES) - 1 == sum(techniques)
    assert (table.groupby("technique")["inflation"].nunique() == 1).all() and 3 * (len(TECHNIQUES) - 1) == len(table)


def test_the_lowest_seed_and_trials_that_ended_well_count() -> None:
    """Another seed adds nothing; a failed trial is not looked at; no trial at all is an empty table."""
    tables = _tables(("non_personalized", "fine_tuning"))
    again = tables.trials.assign(seed=1, trial="again " + tables.trials["trial"])
    failed = tables.trials.iloc[[0]].assign(status="failed", trial="failed", technique="hybrid")
    more = RunTables(
        tables.plan, pd.concat([tables.trials, again, failed]), tables.predictions, (), window_summaries=tables.window_summaries
    )
    pd.testing.assert_frame_equal(variance_inflations(tables), variance_inflations(more))
    assert variance_inflations(RunTables(tables.plan, tables.trials.iloc[:0], tables.predictions, ())).empty


def test_limits_by_hand() -> None:
    """No surrogate: the bound. Above chance: the surrogate between floor and ceiling. Else: the larger of the two."""
    assert (1.5, "bound") == inflation_of(float("nan"), 1.5, True)
    assert [(1.25, "simulated"), (1.4, "simulated"), (4.0, "simulated")] == [
        inflation_of(x, 2.1, True) for x in (0.7, 1.4, 9.0)
    ]
    words = "simulated, not under the bound"
    assert [(2.1, words), (2.5, words), (4.0, words)] == [inflation_of(x, 2.1, False) for x in (0.7, 2.5, 9.0)]
    assert [1.0, 3.0, pytest.approx(2 + 1 / 33)] == [retrained_bound(n) for n in (1, 2, 34)]


def test_above_chance_is_a_one_sided_test_with_the_bound() -> None:
    """scipy's one-sided t, its statistic divided by the root of the bound; missing scores are left out."""
    rng = np.random.default_rng(0)
    for mean in (0.48, 0.52, 0.55, 0.6):
        x = rng.normal(mean, 0.1, 15)
        t = stats.ttest_1samp(x, 0.5).statistic / np.sqrt(retrained_bound(15))
        assert (stats.t.sf(t, 14) < 0.05) == above_chance(x) == above_chance(np.append(x, np.nan))
    assert above_chance(np.full(4, 0.7)) and not above_chance(np.full(4, 0.5)) and not above_chance(np.array([np.nan]))
