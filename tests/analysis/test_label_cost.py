"""Labels against gain beside fixed budgets at equal cost, and losers that were avoided: on small tables made by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis.scores.run_folder import RunTables
from analysis.statistics.label_cost import AVOIDED_COLUMNS, COST_COLUMNS, label_cost, losers_avoided

CELL = {"dataset": "d", "label": "l", "model": "m", "seed": 0}
FIVE, TEN, ASKED = ("fine_tuning", "layers=last budget=5"), ("fine_tuning", "layers=last budget=10"), ("adaptive", "stop=test")


def _tables(labels: dict[tuple[str, str], float], right: dict[tuple[str, str], int], people: int = 3) -> RunTables:
    """Trials of each variant that uses so many labels and puts so many of 10 windows of class 1 above all 10 of class 0."""
    trials, predictions = [], []
    for (technique, variant), used in labels.items():
        for person in range(people):
            key = f"{technique} {variant} {person}"
            trials.append(
                {**CELL, "trial": key, "technique": technique, "variant": variant, "participant": f"P{person}", "status": "ok"}
                | {"labels_used": used + person - 1 if technique == "adaptive" else used}
            )
            p = np.concatenate([np.full(10, 0.5), np.where(np.arange(10) < right[technique, variant], 0.9, 0.1)])
            frame = pd.DataFrame(
                {"trial": key, "participant": f"P{person}", "window": np.arange(20), "y_true": [0] * 10 + [1] * 10}
            )
            predictions.append(frame.assign(p_0=np.float32(1 - p), p_1=np.float32(p), purged=False))
    return RunTables(pd.DataFrame(trials), pd.DataFrame(trials), pd.concat(predictions, ignore_index=True), ())


def test_an_adaptive_budget_stands_beside_fixed_ones_at_its_mean_cost() -> None:
    """AUROC 0.5 without personalization, 0.6 with 10 labels, 0.8 with 20: 15 labels on the line gain 0.2; asked for, they gain 0.3."""
    labels = {("non_personalized", "-"): 0, FIVE: 10, TEN: 20, ASKED: 15, ("oracle (not attainable)", "-"): 99}
    right = {("non_personalized", "-"): 5, FIVE: 6, TEN: 8, ASKED: 8, ("oracle (not attainable)", "-"): 10}
    table = label_cost(_tables(labels, right)).set_index(["technique", "variant"])
    assert {FIVE, TEN, ASKED} == set(table.index)
    asked = table.loc[ASKED]
    assert (15.0, 1.0) == tuple(asked[["labels", "labels_sd"]])
    assert (0.3, 0.02, 0.2) == pytest.approx(tuple(asked[["gain", "gain_per_label", "fixed_gain"]]))
    assert np.isnan(table.loc[FIVE, "fixed_gain"])
    without = {name: used for name, used in labels.items() if name != ASKED}
    assert label_cost(_tables(without, right)).empty and COST_COLUMNS == label_cost(_tables(without, right)).columns.tolist()


def test_losers_avoided_and_gainers_forgone_are_counted() -> None:
    """Of four people fine-tuning harms two and helps two; the decision keeps one of each from it."""
    tuned, reference, kept = [0.4, 0.4, 0.9, 0.9], [0.6] * 4, [True, False, True, False]
    rows = []
    for person in range(4):
        score = reference[person] if kept[person] else tuned[person]
        for technique, variant, value in (
            ("non_personalized", "-", reference[person]),
            ("fine_tuning", "layers=last budget=0.2", tuned[person]),
            ("fine_tuning", "layers=all budget=0.2", 0.0),
            ("when_to_personalize", "budget=0.2", score),
        ):
            rows.append(
                {**CELL, "participant": f"P{person}", "technique": technique, "variant": variant, "against": "", "auroc": value}
            )
    trials = pd.DataFrame(rows).assign(status="ok", kept_general=np.nan)
    trials["kept_general"] = trials["technique"].eq("when_to_personalize") & trials["participant"].isin(["P0", "P2"])
    tables = RunTables(trials, trials, pd.DataFrame(), ())
    row = losers_avoided(tables, pd.DataFrame(rows)).iloc[0]
    assert (4, 0.5, 1, 2, 1, 1) == tuple(row[AVOIDED_COLUMNS[6:12]])
    assert (0.025, 0.05) == pytest.approx((row["difference"], row["difference_always"]))
    plain = tables.trials[tables.trials["technique"].ne("when_to_personalize")]
    assert losers_avoided(RunTables(plain, plain, pd.DataFrame(), ()), pd.DataFrame(rows)).empty
