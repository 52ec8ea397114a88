"""A report of every kind of run: whole, empty, small, without differences, with gaps, and still going."""

import re
from pathlib import Path

import pandas as pd
import pytest
from builders.run import VARIANTS, write_run

from analysis.report.write import write_report
from analysis.scores.scores import Scoring

BASELINE, HYBRID = ("non_personalized", "-"), ("hybrid", "budget=0.2")
TWO = (BASELINE, HYBRID)


def _html(run: Path) -> str:
    return (run / "report" / "report.html").read_text(encoding="utf-8")


def test_a_report_has_every_table_figure_and_the_numbers_behind_it(tmp_path: Path) -> None:
    """Each figure is there as svg, png and csv, and named in the page; tables as csv, Markdown and LaTeX."""
    run = write_run(tmp_path / "run")
    write_report(run)
    files = {path.name for path in (run / "report").iterdir()}
    tables = {f"{name}.{kind}" for name in ("comparison", "paper_table") for kind in ("csv", "md", "tex")}
    assert tables | {"scores.csv", "chosen.csv", "gains.csv", "fairness.csv", "curves.csv", "report.html", "figures"} <= files
    figures = {path.name for path in (run / "report" / "figures").iterdir()}
    kinds = ("forest", "gains", "slopes", "budget", "k", "training", "reliability", "ranks")
    cell = "simulated-stress-fcn-w0.1"
    names = ["answer-all", *(f"{kind}-{cell}" for kind in kinds)]
    assert {f"{name}.{suffix}" for name in names for suffix in ("svg", "png", "csv")} == figures
    html = _html(run)
    assert all(f"figures/{name}.svg" in html for name in names)
    assert "Incomplete run" not in html
    comparison = pd.read_csv(run / "report" / "comparison.csv").dropna(subset=["difference"])
    behind = pd.read_csv(run / "report" / "figures" / f"forest-{cell}.csv")
    for name in ("difference", "ci_low", "ci_high", "p_adjusted"):
        assert comparison[name].tolist() == behind[name].tolist()


@pytest.mark.parametrize(("scoring", "is_claimed"), [("paired", True), ("published", False)])
def test_only_paired_scoring_says_the_same_windows(tmp_path: Path, scoring: Scoring, is_claimed: bool) -> None:
    """Of the difference to non_personalized no caption, in the page or in a file, says more than the scoring does."""
    run = write_run(tmp_path / "run", variants=TWO)
    write_report(run, scoring=scoring)
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in (run / "report").iterdir()
        if path.suffix in (".md", ".tex", ".html")
    }
    assert {"comparison.md", "paper_table.tex", "report.html"} <= set(texts)
    claims = [name for name, text in texts.items() if "on the same windows" in text]
    assert ({"comparison.md", "paper_table.md", "report.html"} <= set(claims)) if is_claimed else not claims


def test_captions_say_what_is_tested(tmp_path: Path) -> None:
    """The Bayesian test is of Walsh averages and takes scores as independent; the page's verdict is of the mean, with its inflation; the bound is
    named, since this run stored no summaries; and so is the one seed."""
    run = write_run(tmp_path / "run")
    write_report(run)
    html = _html(run)
    for part in (
        "Walsh averages",
        "takes participants&#39; scores as independent",
        "The test is of the mean difference",
        "(bound)",
        "One seed:",
    ):
        assert part in html, part
    assert {"bound"} == set(pd.read_csv(run / "report" / "inflation.csv")["inflation_source"])
    for path in (run / "report").glob("*.md"):
        assert not re.search(r"BCa|Wilcoxon|fall under", path.read_text(encoding="utf-8")), path.name


def test_an_empty_run_is_a_sentence(tmp_path: Path) -> None:
    """A plan of which nothing has ended: what is missing is said, nothing is written."""
    run = write_run(tmp_path / "run", statuses={(t, p): "" for t, _ in VARIANTS for p in ("A", "B")}, people=("A", "B"))
    with pytest.raises(
        ValueError, match=r"no trial has predictions yet, so there is nothing to report. Of 14 trials: 14 not run yet"
    ):
        write_report(run)
    assert not (run / "report").exists()


def test_one_participant_is_reported_without_a_test_that_could_decide(tmp_path: Path) -> None:
    """n = 1: means, no SD, no interval and no p; the page says that nothing could be tested."""
    run = write_run(tmp_path / "run", people=("S1",), variants=TWO)
    report = write_report(run)
    assert {1} == set(report.comparison["n_participants"])
    assert report.comparison["sd"].isna().all()
    assert report.comparison[["ci_low", "p", "detectable"]].isna().all(axis=None)
    assert "Nothing was compared: hybrid (" in _html(run) and "there is no spread to test with" in _html(run)


def test_models_alone_are_said_once(tmp_path: Path) -> None:
    """A study of several models without a technique is no list of comparisons that could not be made."""
    run = write_run(tmp_path / "run", variants=[BASELINE], plain_models={"lda": 0.1})
    write_report(run)
    assert "No technique was compared." in _html(run) and "Nothing was compared" not in _html(run)
    assert "models without personalization alone" in _html(run) and '<dl class="verdicts">' not in _html(run)


def test_one_technique_alone_is_not_compared(tmp_path: Path) -> None:
    """Without non_personalized there is nothing to pair: means stand, and the verdict says so."""
    report = write_report(run := write_run(tmp_path / "run", variants=[HYBRID]))
    assert ["hybrid"] == report.comparison["technique"].tolist()
    assert "Nothing was compared: no technique has scores to pair with those of non_personalized." in _html(run)
    assert not list((run / "report" / "figures").glob("forest*"))


def test_the_baseline_alone_is_reported(tmp_path: Path) -> None:
    """A run of non_personalized only, named by a URI, has its table, its reliability and its training curves."""
    run = write_run(tmp_path / "run", variants=[BASELINE])
    write_report(run.as_uri())
    kinds = {path.name.split("-")[0] for path in (run / "report" / "figures").iterdir()}
    assert {"reliability", "training"} == kinds


def test_all_ties_are_no_difference(tmp_path: Path) -> None:
    """Techniques that predict the same as the baseline: differences of zero, p 1, no participant gains or loses."""
    report = write_report(run := write_run(tmp_path / "run", variants=TWO, equal=True))
    tested = report.comparison.dropna(subset=["p"])
    assert (1, {0.0}, {1.0}) == (len(tested), set(tested["difference"]), set(tested["p_adjusted"]))
    html = _html(run)
    assert "6 of 6 participants change with no variant." in html
    assert "loses most:" not in html and "gains most:" not in html


def test_missing_scores_are_counted(tmp_path: Path) -> None:
    """A fold that could not be built and one that failed are counted under n, left out pairwise, and named as incomplete."""
    run = write_run(tmp_path / "run", statuses={("hybrid", "S2"): "missing", ("hybrid", "S3"): "failed"}, variants=TWO)
    report = write_report(run)
    hybrid = report.comparison[report.comparison["technique"].eq("hybrid")]
    assert ({4}, {2}) == (set(hybrid["n_participants"]), set(hybrid["n_missing"]))
    assert "Of 12 trials: 1 failed, 1 missing" in report.incomplete
    assert "4 (2 missing)" in _html(run)


def test_a_run_that_is_still_going_is_marked(tmp_path: Path) -> None:
    """Trials of which nothing is known yet: the page opens with how many, and shows how far each technique is."""
    run = write_run(tmp_path / "run", statuses={("hybrid", p): "" for p in ("S2", "S3", "S10", "S11", "S12")}, variants=TWO)
    report = write_report(run)
    html = _html(run)
    assert "<strong>Incomplete run.</strong> Of 12 trials: 5 not run yet" in html
    assert html.index("Incomplete run") < html.index('id="s-1"')
    row = report.frames["status"].set_index("technique").loc["hybrid"]
    assert (1, 5) == (row["ok"], row["not run yet"])


def test_every_variant_of_a_technique_may_be_missing(tmp_path: Path) -> None:
    """A technique that failed everywhere has no mean and no figure, and the rest of the report stands."""
    people = ("S2", "S3", "S10", "S11", "S12", "S13")
    variants = [*TWO, ("cluster_specific", "k=2")]
    run = write_run(tmp_path / "run", people, variants, statuses={("hybrid", p): "failed" for p in people})
    report = write_report(run)
    hybrid = report.comparison[report.comparison["technique"].eq("hybrid")]
    assert hybrid["mean"].isna().all() and {0} == set(hybrid["n_participants"])
    assert (run / "report" / "figures" / "forest-simulated-stress-fcn-w0.1.svg").exists()


def test_a_run_stands_beside_another(tmp_path: Path) -> None:
    """Each run that ``against`` names has its own files and its section, and the command that makes the report again names it."""
    run, other = write_run(tmp_path / "run", variants=TWO), write_run(tmp_path / "other one", variants=TWO, equal=True)
    report = write_report(run, against=(str(other),))
    assert {"against_other_one.csv", "against_other_one.md"} <= {path.name for path in (run / "report").iterdir()}
    assert "Beside other_one</h2>" in _html(run)
    assert f"--against '{other}'" == report.command[-len(f"--against '{other}'") :]


def test_a_metric_of_which_less_is_better_has_its_gains_the_right_way_round(tmp_path: Path) -> None:
    """By calibration error, who gains most is who falls most."""
    run = write_run(tmp_path / "run", variants=TWO)
    report = write_report(run, metric="ece")
    assert "<strong>Not the study&#39;s verdict.</strong> Its primary metric is AUROC" in _html(run)
    best = report.frames["gains"].sort_values("difference").iloc[0]
    assert f"{best['participant']} gains most: {-best['difference']:.3f}" in _html(run)


def test_a_study_of_several_models_sets_techniques_against_the_best(tmp_path: Path) -> None:
    """The table stands behind the technique table, in the page and as csv and Markdown, and the verdict says who has the gain without
    personalization; a study of one model prints nothing new. Every participant has its windows and intervals."""
    run = write_run(tmp_path / "run", variants=TWO, plain_models={"lda": 2.0, "rule": -0.5})
    report = write_report(run)
    html = _html(run)
    titles = [
        "One column per technique",
        "Against the best model without personalization",
        "Models compared",
        "Windows of each participant",
    ]
    places = [html.index(f">{title}") for title in titles]
    assert sorted(places) == places
    assert "hybrid of fcn w0.1 gains +0." in html and "lda without personalization is 0." in html
    assert ["lda x6"] == report.frames["best_reference"]["references"].tolist()
    assert {"best_reference.csv", "best_reference.md", "within_person.csv"} <= {
        path.name for path in (run / "report").iterdir()
    }
    assert 24 == len(pd.read_csv(run / "report" / "within_person.csv"))
    one = write_run(tmp_path / "one", variants=TWO)
    assert write_report(one).frames["best_reference"].empty
    assert "Against the best model" not in _html(one)
