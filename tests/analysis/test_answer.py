"""The first lines of a report: the answer, its strength, and what changes the reading of it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from builders.run import write_run

from analysis.report.answer import answer, answered_rows, headline, merged
from analysis.report.write import report_data

TWO = (("non_personalized", "-"), ("hybrid", "budget=0.2"), ("cluster_specific", "k=2"))


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (["better"], "Yes."),
        (["better", "better"], "Yes, in all 2 comparisons."),
        (["better", "worse", "undecided"], "In part: shown in 1 of 3 comparisons."),
        (["equivalent", "equivalent"], "No: equivalent to none."),
        (["worse"], "No: it is worse."),
        (["worse", "worse"], "No: worse in all 2 comparisons."),
        (["equivalent", "worse"], "Not shown; worse in 1 of 2 comparisons."),
        (["equivalent", "undecided"], "Not shown."),
    ],
)
def test_the_headline_follows_the_outcomes(outcomes: list[str], words: str) -> None:
    """Shown, shown in part, equivalent, worse, or not shown: never that there is no difference because none was found."""
    assert words == headline(pd.DataFrame({"outcome": outcomes}))


def _warned(run: Path, *notes: str) -> Path:
    origin = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    (run / "provenance.json").write_text(json.dumps(origin | {"notes": [*origin["notes"], *notes]}), encoding="utf-8")
    return run


def test_the_answer_has_the_numbers_of_the_verdict(tmp_path: Path) -> None:
    """The largest gain with its interval, p, people, reference and detectable difference, as chosen.csv has them; warnings of the run beside."""
    run = _warned(
        write_run(tmp_path / "run", variants=TWO),
        "a: warning: simulated",
        "b: warning: simulated",
        "c: no warning of that kind",
    )
    report = report_data(run)
    best, told = answered_rows(report).iloc[0], answer(report)
    assert "hybrid" == best["technique"] and best["difference"] == report.frames["chosen"]["difference"].max()
    numbers = f"{best['difference']:+.3f} [{best['ci_low']:+.3f}, {best['ci_high']:+.3f}] AUROC, p {best['p_adjusted']:.4f}."
    assert f"Best: hybrid budget=0.2: {numbers}" == told.sentences[0]
    assert f"6 people, 1 seed; without personalization {best['baseline_mean']:.3f} on the same windows." == told.sentences[1]
    assert f"could have detected a difference of {best['detectable']:.3f}" in told.sentences[2]
    assert (("Caution.", "a, b: simulated"),) == told.cautions
    assert told.figure is not None and ["hybrid", "cluster_specific"] == told.figure.numbers["technique"].tolist()


def test_the_best_by_an_error_is_the_lowest(tmp_path: Path) -> None:
    """By Brier score the largest gain is the most negative difference, and the answer says that this is not the study's metric."""
    report = report_data(write_run(tmp_path / "run", variants=TWO), metric="brier")
    assert report.frames["chosen"]["difference"].min() == answered_rows(report)["difference"].iloc[0]
    assert "Not the study's verdict." == answer(report).cautions[0][0]


@pytest.mark.parametrize("factor", [1.0, 1.25])
def test_an_interval_that_allows_for_a_choice_says_so(tmp_path: Path, factor: float) -> None:
    """Fault of before: the answer had another interval and p than its variant's row in the table below, and no word on why."""
    report = report_data(write_run(tmp_path / "run", variants=TWO))
    report.frames["chosen"] = report.frames["chosen"].assign(choice_inflation=factor)
    told = "Interval and p allow for the choice of the variant, made for each participant by the others."
    assert (told in answer(report).sentences) == (factor > 1)


def test_several_models_are_told_apart(tmp_path: Path) -> None:
    """Only what the rows differ in is named, and that p is not adjusted across them."""
    report = report_data(write_run(tmp_path / "run", variants=TWO))
    chosen = report.frames["chosen"]
    report.frames["chosen"] = pd.concat([chosen, chosen.assign(model="lda", difference=chosen["difference"] - 1)])
    told = answer(report)
    assert "(fcn w0.1): " in told.sentences[0]
    assert "Of 4 comparisons with non_personalized: " in " ".join(told.sentences)
    assert "p is adjusted within each of 2 sets (dataset, label, model), not across them." == told.sentences[-1]


def test_a_warning_of_several_datasets_stands_once() -> None:
    """With their names; one of no dataset begins as a sentence."""
    assert ["a, b: x", "Y."] == merged(["a: warning: x", "b: warning: x", "a: warning: x", "warning: y."])
