"""Techniques against the best model without personalization: who is set against which model, the windows, the test and the words."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.report.parts import models
from analysis.report.verdict import beside_best_reference
from analysis.scores.run_folder import RunTables
from analysis.scores.scores import score, score_against_models
from analysis.statistics.best_reference import COLUMNS, best_models, compare_with_best_reference
from analysis.statistics.dependence import retrained_bound
from analysis.statistics.paired_tests import mean_test

Y = np.array([0, 0, 1, 1])
# Of two windows a class: the AUROC that an order of the probabilities has.
P = {
    1.0: (0.1, 0.2, 0.8, 0.9),
    0.75: (0.1, 0.6, 0.5, 0.9),
    0.5: (0.1, 0.9, 0.2, 0.8),
    0.25: (0.5, 0.9, 0.1, 0.6),
    0.0: (0.9, 0.8, 0.1, 0.2),
}
Scores = dict[tuple[str, str, str], list[float]]
PLAIN = ("non_personalized", "-")


def _tables(aurocs: Scores, seeds: tuple[int, ...] = (0,), dataset: str = "d") -> RunTables:
    """(model, technique, variant) to the AUROC of people A, B, ... on four windows; the same in every seed."""
    trials, predictions = [], []
    for (model, technique, variant), values in aurocs.items():
        for person, value in zip("ABCDEFGH", values, strict=False):
            for seed in seeds:
                trial = f"{model} {technique} {variant} {person} {seed}"
                row = {"trial": trial, "dataset": dataset, "label": "l", "model": model, "technique": technique}
                trials.append(row | {"variant": variant, "participant": person, "seed": seed, "status": "ok"})
                p = np.array(P[value])
                part = pd.DataFrame({"trial": trial, "participant": person, "window": range(4), "y_true": Y, "purged": False})
                predictions.append(part.assign(p_0=1 - p, p_1=p))
    frame = pd.DataFrame(trials)
    return RunTables(frame, frame, pd.concat(predictions, ignore_index=True), ())


def _compare(tables: RunTables, metric: str = "auroc") -> pd.DataFrame:
    return compare_with_best_reference(tables, score(tables), metric)


# Over all people fcn has 3.25 and lda 3.0; without A lda has 2.5 and fcn 2.25, and without E both have 2.75.
FCN, LDA = [1.0, 0.75, 0.75, 0.25, 0.5], [0.5, 1.0, 0.75, 0.5, 0.25]


def test_the_best_model_is_chosen_by_the_others() -> None:
    """By hand: fcn is best on average (3.25 to 3.0), but without A it has 2.25 and lda 2.5, so A alone is set against lda."""
    tables = _tables({("fcn", *PLAIN): FCN, ("lda", *PLAIN): LDA})
    assert {("d", "l"): {"A": "lda", "B": "fcn", "C": "fcn", "D": "fcn", "E": "fcn"}} == best_models(tables, "auroc")


def test_equal_models_are_decided_by_the_studys_order() -> None:
    """The first of the plan, whichever name sorts first; no choice without another participant."""
    for order in (("fcn", "lda"), ("lda", "fcn")):
        chosen = best_models(_tables({(model, *PLAIN): [0.75, 0.5] for model in order}), "auroc")["d", "l"]
        assert {"A": order[0], "B": order[0]} == chosen
    assert {} == best_models(_tables({("fcn", *PLAIN): [1.0], ("lda", *PLAIN): [0.5]}), "auroc")["d", "l"]


def test_less_error_is_the_better_model() -> None:
    """By Brier score, the model of the most certain right probabilities."""
    tables = _tables({("fcn", *PLAIN): [0.5] * 3, ("lda", *PLAIN): [1.0] * 3})
    assert {"lda"} == set(best_models(tables, "brier")["d", "l"].values())


TUNED = ("fcn", "fine_tuning", "budget=0.2")


def test_a_row_is_the_paired_difference_by_hand() -> None:
    """Fine-tuned fcn has 1.0, 1.0, 0.75, 0.5, 0.75; the reference is lda for A and fcn for the others: 0.5, 0.75, 0.75, 0.25, 0.5. So differences are
    0.5, 0.25, 0, 0.25, 0.25; those to its own model 0, 0.25, 0, 0.25, 0.25."""
    table = _compare(_tables({("fcn", *PLAIN): FCN, ("lda", *PLAIN): LDA, TUNED: [1.0, 1.0, 0.75, 0.5, 0.75]}, seeds=(0, 1)))
    assert COLUMNS == table.columns.tolist() and 1 == len(table)
    row = table.iloc[0]
    assert ("fcn", "fine_tuning", 5, 0, 2, "fcn x4, lda x1", "d / l", 1, "bound") == tuple(
        row[
            [
                "model",
                "technique",
                "n_participants",
                "n_missing",
                "n_seeds",
                "references",
                "family",
                "family_size",
                "inflation_source",
            ]
        ]
    )
    assert pytest.approx((0.8, 0.55, 0.25, 0.15, 0.0)) == tuple(
        row[["mean", "reference_mean", "difference", "own_difference", "seed_sd"]]
    )
    assert row["choice_inflation"] >= 1
    assert pytest.approx(retrained_bound(5) * row["choice_inflation"]) == row["inflation"]
    test = mean_test(np.array([0.5, 0.25, 0.0, 0.25, 0.25]), row["inflation"])
    assert pytest.approx((test.p, test.low, test.high)) == tuple(row[["p", "ci_low", "ci_high"]])
    assert row["p"] == row["p_adjusted"] and row["outcome"] in ("better", "undecided")


def test_techniques_of_all_models_are_one_family() -> None:
    """Two models with a technique each: Holm over two; another dataset has a family of its own."""
    hybrid = ("lda", "hybrid", "-")
    aurocs: Scores = {
        ("fcn", *PLAIN): FCN,
        ("lda", *PLAIN): LDA,
        TUNED: [1.0, 1.0, 0.75, 0.5, 0.75],
        hybrid: [0.5, 0.75, 1.0, 0.5, 0.0],
    }
    table = _compare(_tables(aurocs))
    assert [("fcn", 2), ("lda", 2)] == list(zip(table["model"], table["family_size"], strict=True))
    assert pytest.approx(min(1.0, 2 * table["p"].min())) == table["p_adjusted"].min()


def test_one_choice_of_model_that_is_sure_inflates_nothing() -> None:
    """If one model is best for all by far, and there is one variant, the inflation is the bound."""
    row = _compare(
        _tables({("fcn", *PLAIN): [0.5, 0.25, 0.5, 0.25], ("lda", *PLAIN): [1.0] * 4, TUNED: [0.75, 0.5, 0.5, 0.5]})
    ).iloc[0]
    assert ("lda x4", 1.0) == (row["references"], row["choice_inflation"])
    assert pytest.approx((-0.4375, 0.1875)) == (row["difference"], row["own_difference"])


def test_a_study_of_one_model_compares_nothing() -> None:
    """No rows, but the columns; and so for a run without any trial that ended well."""
    tables = _tables({("fcn", *PLAIN): FCN, TUNED: FCN})
    assert _compare(tables).empty and COLUMNS == _compare(tables).columns.tolist()
    failed = RunTables(tables.plan, tables.trials.assign(status="failed"), tables.predictions.iloc[:0], ())
    assert score_against_models(failed, "auroc").empty and _compare(failed).empty


def test_both_sides_are_scored_on_the_windows_that_all_have() -> None:
    """The technique leaves windows 0, 2 and 3, lda lacks window 3: all are scored on 0 and 2."""
    tables = _tables({("fcn", *PLAIN): [0.75], ("lda", *PLAIN): [0.25], TUNED: [0.5]})
    frame, window = tables.predictions, tables.predictions["window"]
    lacks = (frame["trial"].str.contains("fine_tuning") & window.eq(1)) | (frame["trial"].str.contains("lda") & window.eq(3))
    rows = score_against_models(RunTables(tables.plan, tables.trials, frame[~lacks], ()), "auroc").set_index("reference")
    assert ["fcn", "lda"] == rows.index.tolist()
    assert {1.0} == set(rows["score"])  # 0.1 before 0.2
    assert (1.0, 0.0) == tuple(rows["reference_score"])  # 0.1 before 0.5; 0.5 after 0.1


def test_a_seed_and_a_person_that_the_model_lacks_are_left_out() -> None:
    """lda has no trial of B, and for A one seed: fine-tuning is compared on A's one seed, with the model that the others choose."""
    tables = _tables({("fcn", *PLAIN): [0.5] * 4, ("lda", *PLAIN): [1.0] * 4, TUNED: [0.75] * 4}, seeds=(0, 1))
    gone = tables.trials["trial"].isin(
        ["lda non_personalized - B 0", "lda non_personalized - B 1", "lda non_personalized - A 1"]
    )
    row = _compare(tables.with_trials(tables.trials[~gone])).iloc[0]
    assert (4, 0, "lda x3, fcn x1") == tuple(row[["n_participants", "n_missing", "references"]])
    assert pytest.approx((-0.25 * 3 + 0.25) / 4) == row["difference"]


ROW = {
    "model": "fcn", "technique": "fine_tuning", "metric": "auroc", "own_difference": 0.04, "difference": -0.03, "ci_low": -0.05, "ci_high": -0.01,
    "p_adjusted": 0.01, "outcome": "worse", "references": "lda x15", "n_participants": 15, "p": 0.01, "detectable": 0.02,
}  # fmt: skip


def _sentence(**changed: Any) -> str:
    return beside_best_reference(pd.DataFrame([ROW | changed]))


def test_a_gain_that_the_best_model_has_without_personalization_is_said() -> None:
    """By name if one model is chosen for all, with how many people else."""
    text = _sentence()
    assert (
        "fine_tuning of fcn gains +0.040 over fcn without personalization; lda without personalization is 0.030 above it"
        in text
    )
    assert "[-0.050, -0.010], p 0.0100, worse" in text
    assert "the best model without personalization (lda x9, fcn x6) is 0.030 above it" in _sentence(references="lda x9, fcn x6")
    assert "; lda (eda, acc) without personalization is" in _sentence(references="lda (eda, acc) x15")


def test_a_gain_beyond_the_best_model_is_said() -> None:
    """With its outcome: above it on average need not be shown."""
    text = _sentence(difference=0.01, ci_low=-0.01, ci_high=0.03, p_adjusted=0.2, outcome="undecided")
    assert (
        "and is 0.010 above lda without personalization (difference +0.010 [-0.010, +0.030], p 0.2000, undecided (detects 0.020))"
        in text
    )


def test_the_own_model_as_the_best_and_no_gain_are_said() -> None:
    """If its own model is the best for all, there is nothing new but that; without a gain there is none to explain."""
    assert "fcn is itself the best model without personalization" in _sentence(references="fcn x15")
    assert "fine_tuning of fcn gains nothing over fcn without personalization (-0.010) and is 0.030 below lda" in _sentence(
        own_difference=-0.01
    )
    assert "gains -0.040 over fcn" in _sentence(metric="brier", own_difference=-0.04, difference=0.03)
    assert "" == beside_best_reference(pd.DataFrame([ROW]).iloc[:0])


def test_of_many_techniques_the_best_is_told_and_the_others_are_counted() -> None:
    """In the metric's direction; the table has their numbers."""
    rows = [ROW | {"technique": name, "difference": d} for name, d in (("hybrid", -0.02), ("own", 0.01), ("lora", -0.04))]
    text = beside_best_reference(pd.DataFrame([ROW, *rows]))
    assert 1 == text.count("Against the best model") and "own of fcn gains" in text and "hybrid" not in text
    assert "The other 3 do less well against it (3 worse): see the table" in text
    assert "lora of fcn" in beside_best_reference(pd.DataFrame([ROW, *rows]).assign(metric="brier"))


def test_a_tie_of_models_is_told() -> None:
    """A difference above that to the own model means that the chosen reference is below it: an artefact of the choice between tied models."""
    assert "the models are tied" in _sentence(own_difference=-0.01, difference=0.03)
    assert "the models are tied" not in _sentence(own_difference=0.03, difference=0.03)
    assert "the models are tied" in _sentence(metric="brier", own_difference=0.01, difference=-0.03)


def test_the_report_has_a_table_for_each_family() -> None:
    """With the reference and how often it was chosen; nothing in a study of one model."""
    table = _compare(_tables({("fcn", *PLAIN): FCN, ("lda", *PLAIN): LDA, TUNED: [1.0, 1.0, 0.75, 0.5, 0.75]}))
    report: Any = SimpleNamespace(frames={"best_reference": table}, metric="auroc")
    section = models._against_best(report)
    assert section and 1 == len(section.blocks)
    block: Any = section.blocks[0]
    assert ("fcn", "fine_tuning", "fcn x4, lda x1") == block.rows[0][:3] and "Holm over all 1 techniques" in block.caption
    assert "fcn x4, lda x1" in models._best_markdown(report)
    empty: Any = SimpleNamespace(frames={"best_reference": table.iloc[:0]}, metric="auroc")
    assert models._against_best(empty) is None and "One model" in models._best_markdown(empty)
