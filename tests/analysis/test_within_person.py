"""The interval of one participant's AUROC over its windows: statsmodels, Newcombe's equation, the ceiling, seeds and classes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from sklearn.metrics import roc_auc_score
from statsmodels.stats.nonparametric import rank_compare_2indep

from analysis.report.parts import participants
from analysis.report.report_data import ReportCell
from analysis.scores.run_folder import RunTables
from analysis.statistics.within_person import COLUMNS, auroc_interval, within_person

Z = 1.959963984540054


def _one(auroc: float, positive: int, negative: int) -> tuple[float, float]:
    low, high = auroc_interval(*(np.array([float(x)]) for x in (auroc, positive, negative)))
    return float(low[0]), float(high[0])


@pytest.mark.parametrize("seed", range(4))
def test_in_the_middle_it_is_about_that_of_statsmodels(seed: int) -> None:
    """Brunner and Munzel's interval, whose variance is DeLong's, of 60 and 80 normal values a SD of 0.8 apart: ends within 0.025."""
    rng = np.random.default_rng(seed)
    stressed, calm = rng.normal(0.8, 1, 60), rng.normal(0, 1, 80)
    fit = rank_compare_2indep(stressed, calm)
    auroc = roc_auc_score(np.repeat([1, 0], (60, 80)), np.concatenate([stressed, calm]))
    assert pytest.approx(fit.prob1) == auroc
    assert pytest.approx(fit.conf_int(), abs=0.025) == _one(auroc, 60, 80)


@pytest.mark.parametrize(("auroc", "positive", "negative"), [(0.5, 10, 10), (0.8, 12, 30), (0.97, 40, 8), (0.05, 5, 5)])
def test_the_ends_solve_newcombes_equation(auroc: float, positive: int, negative: int) -> None:
    """(A - x)^2 = z^2 x (1 - x) (1 + (N - 1) ((1 - x) / (2 - x) + x / (1 + x))) / (n1 n0) with N = (n1 + n0) / 2, by scipy's root."""

    def gap(x: float) -> float:
        n = (positive + negative) / 2 - 1
        variance = x * (1 - x) * (1 + n * ((1 - x) / (2 - x) + x / (1 + x))) / (positive * negative)
        return (auroc - x) ** 2 - Z**2 * variance

    ends = optimize.brentq(gap, 1e-12, auroc), optimize.brentq(gap, auroc, 1 - 1e-12)
    assert pytest.approx(ends, abs=1e-9) == _one(auroc, positive, negative)


def test_an_auroc_of_one_has_a_width() -> None:
    """Up to 1, from less the fewer windows there are; a mirror image at 0; nothing without both classes."""
    low, high = _one(1.0, 10, 10)
    assert high == 1.0 and 0.7 < low < 0.9 and low < _one(1.0, 100, 100)[0]
    assert pytest.approx((1 - high, 1 - low)) == _one(0.0, 10, 10)
    assert all(np.isnan(_one(0.5, 0, 5))) and all(np.isnan(_one(float("nan"), 5, 5)))


def test_it_holds_the_true_auroc() -> None:
    """Of 2,000 simulated participants with 15 windows a class and AUROCs around 0.9, in 93 to 97%."""
    rng = np.random.default_rng(0)
    stressed, calm = (
        rng.normal(1.8123878, 1, (2000, 15)),
        rng.normal(0, 1, (2000, 15)),
    )  # sqrt(2) times the normal quantile of 0.9
    aurocs = (stressed[:, :, None] > calm[:, None]).mean(axis=(1, 2))
    low, high = auroc_interval(aurocs, np.full(2000, 15.0), np.full(2000, 15.0))
    assert 0.93 < np.mean((low <= 0.9) & (high >= 0.9)) < 0.97


def _tables(classes: int = 2) -> RunTables:
    """Two people, two seeds; A is right but for one window in the second seed; fine_tuning leaves the last six of eight windows."""
    trials, predictions = [], []
    for technique, variant in (("non_personalized", "-"), ("fine_tuning", "budget=0.2")):
        for person in "AB":
            for seed in (0, 1):
                trial = f"{technique} {person} {seed}"
                names = {"trial": trial, "dataset": "d", "label": "l", "model": "m", "technique": technique, "variant": variant}
                trials.append(names | {"participant": person, "seed": seed, "status": "ok"})
                y, p = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
                p[3] = 0.65 if seed else 0.4
                part = pd.DataFrame({"trial": trial, "participant": person, "window": range(8), "y_true": y, "purged": False})
                part = part.assign(p_0=1 - p, p_1=p, **({"p_2": 0.0} if classes == 3 else {}))
                predictions.append(part if technique == "non_personalized" else part[part["window"].gt(1)])
    frame = pd.DataFrame(trials)
    return RunTables(frame, frame, pd.concat(predictions, ignore_index=True), ())


def test_a_row_is_a_participant_under_a_variant() -> None:
    """By hand: 4 and 4 windows, AUROC 1 and 15/16; after two windows went to fine-tuning 2 and 4, 1 and 7/8. Seeds add no windows."""
    table = within_person(_tables())
    assert COLUMNS == table.columns.tolist() and 4 == len(table)
    rows = table.set_index(["technique", "participant"])
    assert (2, 8, 4, 31 / 32) == tuple(
        rows.loc[("non_personalized", "A"), ["n_seeds", "windows", "windows_of_class_1", "auroc"]]
    )
    assert (2, 6, 4, 15 / 16) == tuple(rows.loc[("fine_tuning", "B"), ["n_seeds", "windows", "windows_of_class_1", "auroc"]])
    assert pytest.approx(_one(15 / 16, 4, 2)) == tuple(rows.loc[("fine_tuning", "B"), ["auroc_low", "auroc_high"]])


def test_more_classes_have_windows_alone() -> None:
    """The interval is of two classes; and a run of which nothing ended well has no rows."""
    table = within_person(_tables(classes=3))
    assert {8.0, 6.0} == set(table["windows"]) and table[["auroc", "auroc_low", "windows_of_class_1"]].isna().all(axis=None)
    tables = _tables()
    failed = RunTables(tables.plan, tables.trials.assign(status="failed"), tables.predictions.iloc[:0], ())
    assert within_person(failed).empty and COLUMNS == within_person(failed).columns.tolist()


def test_the_report_prints_windows_and_intervals() -> None:
    """A row for each participant: windows, then non_personalized and each technique with its interval, and windows where they are fewer."""
    frame = within_person(_tables())
    report: Any = SimpleNamespace(frames={"within_person": frame}, rows=lambda name, cell: frame)
    block = participants._windows_table(
        report, ReportCell(("d", "l", "m"), "slug"), {"fine_tuning": {"A": "budget=0.2", "B": "budget=0.2"}}
    )
    assert block and ("participant", "windows", "non_personalized", "fine_tuning") == block.head
    low, high = _one(31 / 32, 4, 4)
    tuned = _one(15 / 16, 4, 2)
    expected = ("A", "8", f"0.969 [{low:.3f}, {high:.3f}]", f"0.938 [{tuned[0]:.3f}, {tuned[1]:.3f}], 6 windows")
    assert expected == block.rows[0] and "overlap" in block.caption
