"""Order-balanced scores, and the rows of a table that know no signal."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from analysis.report.parts.order import order_rows
from analysis.scores.clock import clock_probabilities
from analysis.scores.metrics import METRICS, PredictionBatch
from analysis.scores.order import auroc_halves
from analysis.scores.run_folder import ORDER_COLUMNS, RunTables
from analysis.scores.scores import score


def test_halves_are_of_the_pairs_of_either_order() -> None:
    """Counted by hand: class 1 at times 2 and 0, class 0 at times 1 and 3."""
    y, time = np.array([1, 0, 0, 1]), np.array([2.0, 1.0, 3.0, 0.0])
    p = np.array([0.9, 0.4, 0.6, 0.4])

    later, earlier = auroc_halves(y, p, time)

    assert 1.0 == later  # one pair: time 2 above time 1, 0.9 above 0.4
    assert (1 + 0.5 + 0) / 3 == pytest.approx(earlier)  # 0.9 over 0.6; 0.4 ties 0.4; 0.4 below 0.6


def test_the_halves_weighted_by_their_pairs_are_the_auroc() -> None:
    """Without equal times every pair is in one of them."""
    rng = np.random.default_rng(0)
    y, p, time = rng.integers(0, 2, 60), np.round(rng.random(60), 1), rng.permutation(60).astype(float)
    after = time[y == 1][:, None] > time[y == 0]

    later, earlier = auroc_halves(y, p, time)

    assert roc_auc_score(y, p) == pytest.approx(later * after.mean() + earlier * (1 - after.mean()))


def test_what_only_rises_with_time_is_at_chance_when_orders_are_balanced() -> None:
    """1 where the class came later, 0 where it came earlier, whatever the share of each."""
    y = np.array([0, 1, 1, 1, 0, 1, 1])
    time = np.arange(7.0)
    batch = PredictionBatch(y, np.stack([1 - time / 10, time / 10], axis=1), np.zeros(7, np.int64), 1, time=time)

    assert METRICS["auroc"](batch)[0] > 0.6
    assert (1.0, 0.0, 0.5) == tuple(METRICS[name](batch)[0] for name in ("auroc_later", "auroc_earlier", "auroc_balanced"))


def test_one_order_alone_has_no_balanced_score() -> None:
    """It is missing, and so is every half of a trial without times."""
    y, p, time = np.array([0, 0, 1, 1, 0, 1]), np.random.default_rng(0).random((6, 2)), np.array([0.0, 1, 2, 3, np.nan, np.nan])
    batch = PredictionBatch(y, p, np.array([0, 0, 0, 0, 1, 1]), 2, time=time)

    found = {name: METRICS[name](batch) for name in ("auroc_later", "auroc_earlier", "auroc_balanced")}

    assert np.isfinite(found["auroc_later"][0]) and np.isnan(found["auroc_later"][1])
    assert np.isnan(found["auroc_earlier"]).all() and np.isnan(found["auroc_balanced"]).all()


def test_three_classes_are_averaged_one_against_the_rest() -> None:
    """As the AUROC is."""
    rng = np.random.default_rng(1)
    y, time = np.arange(30) % 3, rng.permutation(30).astype(float)
    p = rng.dirichlet(np.ones(3), 30)
    batch = PredictionBatch(y, p, np.zeros(30, np.int64), 1, time=time)

    expected = np.mean([auroc_halves(y == k, p[:, k], time) for k in range(3)], axis=0)

    np.testing.assert_allclose(expected, batch.halves[0])


def made_order(people: int = 6, shuffled: bool = False) -> pd.DataFrame:
    """Twenty windows a person, class 1 in the second ten, or in random places."""
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "dataset": "d",
                "label": "stress",
                "participant": f"P{k}",
                "window": k * 1000 + np.arange(20),
                "y": rng.permutation(np.arange(20) // 10) if shuffled else np.arange(20) // 10,
                "start_s": np.arange(20) * 10.0,
                "segment_s": np.arange(20) * 10.0,
                "run": np.arange(20) // 10,
            }
        )
        for k in range(people)
    ]
    return pd.concat(parts, ignore_index=True)[ORDER_COLUMNS]


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 1.0, 1.0), (True, 0.2, 0.8)])
def test_the_clock_knows_a_fixed_order_and_no_other(shuffled: bool, low: float, high: float) -> None:
    """Fitted on the other people's times."""
    order = made_order(10, shuffled)

    p = clock_probabilities(order, 2)

    reached = order.assign(p=p[:, 1]).groupby("participant")[["y", "p"]].apply(lambda part: roc_auc_score(part["y"], part["p"]))
    assert low <= reached.mean() <= high
    np.testing.assert_allclose(1.0, p.sum(axis=1))


def made_run(learns: str) -> RunTables:
    """Six people of whom half have class 1 first; the technique adds what ``learns`` says to a weak model of the class: the time, or the class."""
    rng = np.random.default_rng(3)
    order = made_order()
    turned = order["participant"].isin(["P0"])  # most people have one order: drift gains on average
    order.loc[turned, "y"] = 1 - order.loc[turned, "y"]
    trials, predictions = [], []
    for technique, variant in (("non_personalized", "-"), ("hybrid", "budget=0.4")):
        for name, part in order.groupby("participant"):
            key = f"{technique}-{name}"
            trials.append(
                {"trial": key, "dataset": "d", "label": "stress", "model": "lda", "technique": technique, "variant": variant}
                | {"participant": name, "seed": 0, "status": "ok", "error": None}
            )
            known = {"time": part["start_s"] / 100, "class": part["y"]}[learns]
            score_of = rng.normal(0, 1, 20) + 0.5 * part["y"] + (2 * known if technique == "hybrid" else 0)
            p = 1 / (1 + np.exp(-score_of.to_numpy()))
            predictions.append(
                pd.DataFrame({"trial": key, "participant": name, "window": part["window"], "y_true": part["y"], "purged": False})
                .assign(p_0=(1 - p).astype(np.float32), p_1=p.astype(np.float32))
            )  # fmt: skip
    frame = pd.DataFrame(trials)
    return RunTables(frame, frame, pd.concat(predictions, ignore_index=True), (), window_order=order)


@pytest.mark.parametrize("learns", ["time", "class"])
def test_a_gain_that_is_drift_is_none_in_the_balanced_score(learns: str) -> None:
    """Five of six people have class 1 later: a technique that only follows the time gains in AUROC, and not between the orders."""
    rows = order_rows(score(made_run(learns))).set_index("technique")

    assert rows.loc["hybrid", "difference"] > 0.1
    assert (rows.loc["hybrid", "difference_balanced"] > 0.1) == (learns == "class")


def test_a_table_has_rows_that_know_no_signal() -> None:
    """The clock, the person's shares and the run's identity, of every participant whose order is known; none without an order."""
    tables = made_run("class")

    scores = score(tables).set_index("technique")

    assert {1.0} == set(scores.loc["run_identity", "auroc"])
    assert {0.5} == set(scores.loc["person_prior", "auroc"])
    clock = scores.loc["clock"].set_index("participant")["auroc"]
    assert 0.0 == clock["P0"] and clock.drop("P0").min() == 1.0
    without = RunTables(tables.plan, tables.trials, tables.predictions, ())
    assert not {"clock", "person_prior", "run_identity"} & set(score(without)["technique"])
