"""Trainings that rank a person backwards in one seed alone are told."""

from pathlib import Path

import pandas as pd
import pytest
from builders.run import write_run

from analysis.report.answer import cautions
from analysis.report.write import report_data
from analysis.scores.keys import CELL
from analysis.statistics.failed_trainings import COLUMNS, failed_trainings

NAMES = dict(zip(CELL, ("wesad", "stress", "fcn"), strict=True))


def _scores(**people: list[float]) -> pd.DataFrame:
    """AUROC of each person in the seeds 0, 1, ..."""
    rows = [
        {
            **NAMES,
            "technique": "non_personalized",
            "variant": "-",
            "participant": name,
            "seed": seed,
            "against": "",
            "auroc": value,
        }
        for name, values in people.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("aurocs", "seeds"),
    [
        ([0.85, 0.026, 0.86], [1]),
        ([0.9, 0.3, 0.7], [1]),
        ([0.9, 0.31, 0.9], []),
        ([0.69, 0.1, 0.69], []),
        ([0.9, 0.1], []),  # of two nobody knows which one failed
        ([0.1, 0.1, 0.1], []),  # a person who is the other way round
        ([0.9, 0.1, 0.1], []),
        ([0.9, 0.1, 0.9, 0.2, 0.9], [1, 3]),
        ([0.9, float("nan"), 0.9], []),
    ],
)
def test_backwards_in_one_seed_and_rightly_in_the_others(aurocs: list[float], seeds: list[int]) -> None:
    """Far from 0.5 on both sides, and with two other seeds at least."""
    found = failed_trainings(_scores(S14=aurocs, S2=[0.8, 0.8, 0.8]))
    assert COLUMNS == found.columns.tolist()
    assert seeds == sorted(found["seed"])
    assert {"S14"} >= set(found["participant"])


def test_rows_of_techniques_and_pairs_do_not_count() -> None:
    """A technique may do what it does; the reference beside it is the same training again."""
    scores = _scores(S14=[0.9, 0.1, 0.9])
    assert failed_trainings(scores.assign(technique="hybrid")).empty
    assert failed_trainings(scores.assign(against="hybrid budget=0.2")).empty


def test_a_report_says_it_first(tmp_path: Path) -> None:
    """Among the cautions of the answer, with person, seed and both scores."""
    report = report_data(write_run(tmp_path / "run"))
    assert not [text for head, text in cautions(report, None) if "by chance" in head]
    alone = report.scores["technique"].eq("non_personalized") & report.scores["against"].eq("")
    first = report.scores[alone].iloc[[0]]
    more = [first.assign(seed=seed, auroc=value) for seed, value in ((7, 0.95), (8, 0.04), (9, 0.93))]
    report.frames["scores"] = pd.concat([report.scores[~report.scores.index.isin(first.index)], *more], ignore_index=True)
    ((head, text),) = [pair for pair in cautions(report, None) if "by chance" in pair[0]]
    assert "A training failed by chance." == head
    assert f"{first['participant'].item()}, seed 8: 0.040, 0.940 in the others" in text
