"""A run beside the paper's table and beside another run: what is matched, the numbers by hand, and the sentence if nothing matches."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.run import write_run
from builders.scores import scores
from scipy import stats

import analysis
from analysis.report.external_tables import compare_with_source, markdown, open_source, runs_markdown
from analysis.report.write import write_report
from analysis.statistics import external_comparison
from analysis.statistics.paired_tests import holm, mean_test
from analysis.statistics.variant_selection import select_variants

WESAD = {"dataset": "wesad", "label": "stress", "model": "fcn"}
GAINS = [0.01 * (i + 1) for i in range(10)]


def published(run_scores: pd.DataFrame) -> "pd.DataFrame":
    return external_comparison.compare_with_published(
        analysis.compare(run_scores), select_variants(run_scores), "han2024"
    ).set_index("technique")


def test_the_papers_table_is_the_one_of_the_paper() -> None:
    """135 cells: 9 (dataset, label) pairs, 3 models, 5 techniques; a cell and its marker as printed."""
    paper = pd.read_csv(external_comparison.PUBLISHED_TABLES["han2024"], keep_default_na=False)
    assert (135, 9, 3, 5) == (
        len(paper),
        len(paper.groupby(["dataset", "label"])),
        paper["model"].nunique(),
        paper["technique"].nunique(),
    )
    cell = paper.set_index(["dataset", "label", "model", "technique"]).loc[("amigos", "valence", "mlp_lstm", "fine_tuning")]
    assert (0.528, 0.132, "dagger") == tuple(cell)


def test_our_means_stand_beside_the_papers() -> None:
    """non_personalized at 0.915 (covered: the paper's mean), a hybrid 0.061 too low in every participant is not; user_dependent is not there."""
    jitter = np.tile([-0.01, 0.01], 5)
    run_scores = scores({("hybrid", "-"): list(jitter), ("user_dependent", "budget=0.2"): GAINS}, base=0.915, **WESAD)
    table = published(run_scores)
    assert {"non_personalized", "hybrid"} == set(table.index)
    base, hybrid = table.loc["non_personalized"], table.loc["hybrid"]
    assert (0.915, 0.203, True) == (base["paper_mean"], base["paper_sd"], base["covered"])
    assert pytest.approx(0.915 - 0.976) == hybrid["difference"]
    expected = stats.t.interval(0.95, 9, loc=0.915, scale=stats.sem(0.915 + jitter))
    assert pytest.approx(expected) == (hybrid["ci_low"], hybrid["ci_high"])
    assert not hybrid["covered"]


def test_several_variants_stand_as_the_chosen_column() -> None:
    """Of two variants of fine-tuning, ours beside the paper's one column is the choice, never the best on test."""
    run_scores = scores({("fine_tuning", "budget=0.2"): GAINS, ("fine_tuning", "budget=0.3"): GAINS[::-1]}, **WESAD)
    row, expected = published(run_scores).loc["fine_tuning"], select_variants(run_scores).iloc[0]
    assert (expected["mean"], expected["n_participants"]) == (row["mean"], row["n_participants"])
    assert row["column"] == "variant chosen by the other participants"


def test_what_departs_from_the_papers_model_and_data_is_noted() -> None:
    """A narrow model with another fusion, trained on fewer people, past normalization: matched, and said."""
    run_scores = scores({("hybrid", "-"): GAINS}, dataset="wesad (past, 8 people)", label="stress", model="fcn early w0.125")
    note = published(run_scores)["note"].iloc[0]
    assert "data: past, 8 people; early fusion, the paper's is late; width 0.125 of the paper's" == note


def test_markers_of_the_paper_are_printed_and_not_explained() -> None:
    """A dagger is printed if the paper has one, with the sentence that its meaning is not known."""
    run_scores = scores({("fine_tuning", "-"): GAINS}, dataset="amigos", label="valence", model="mlp_lstm")
    text = _beside_the_paper(run_scores, ("a note",))
    assert "0.528 (0.132) dagger" in text
    assert "what it means is not known" in text
    assert "doi 10.1145/3699724" in text and "- a note" in text
    assert "not known" not in beside_wesad()


def _beside_the_paper(run_scores: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """The Markdown of a run beside the published table."""
    source = open_source("han2024", "paired")
    chosen = select_variants(run_scores)
    return markdown(source, compare_with_source(source, run_scores, analysis.compare(run_scores), chosen, "auroc"), notes)


def beside_wesad() -> str:
    return _beside_the_paper(scores({("hybrid", "-"): GAINS}, **WESAD))


def test_wesad_is_said_to_be_14_channels_in_the_paper() -> None:
    """Whoever has the wrist alone reads it."""
    assert "14 channels from chest and wrist" in beside_wesad()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dataset": "mine"},
            r"nothing in this run \(mine / stress / fcn\) stands in the table han2024, which holds amigos arousal",
        ),
        ({"label": "valence"}, "wesad / valence / fcn"),
        ({"model": "transformer"}, "with fcn, mlp_lstm, resnet"),
    ],
)
def test_nothing_in_the_papers_table_is_a_sentence(change: dict[str, str], message: str) -> None:
    """The error names the content of the run and of the table."""
    with pytest.raises(ValueError, match=message):
        published(scores({("hybrid", "-"): GAINS}, **{**WESAD, **change}))


def test_the_papers_table_is_auroc_only() -> None:
    """Accuracy is not set beside AUROC."""
    run_scores = scores({("hybrid", "-"): GAINS}, **WESAD).rename(columns={"auroc": "accuracy"})
    with pytest.raises(ValueError, match="holds AUROC and the comparison accuracy; use --metric auroc"):
        external_comparison.compare_with_published(
            analysis.compare(run_scores, "accuracy"), select_variants(run_scores, "accuracy"), "han2024"
        )


def runs(run_scores: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return external_comparison.compare_runs(run_scores, other, "auroc").set_index(["technique", "variant"])


def test_two_runs_are_paired_over_the_participants_of_both() -> None:
    """The other run is better by GAINS in hybrid and equal elsewhere; only variants of both, Holm over these three."""
    run_scores = scores({("hybrid", "-"): [0.0] * 10, ("x", "-"): GAINS, ("mine", "-"): GAINS})
    other = scores({("hybrid", "-"): GAINS, ("x", "-"): GAINS, ("theirs", "-"): GAINS})
    run_scores.loc[run_scores["against"].ne(""), "auroc"] = 0.1  # the baseline on a variant's windows is not what is paired
    table = runs(run_scores, other)
    assert 0.5 == table.loc[("non_personalized", "-"), "mean"]
    assert {"non_personalized", "hybrid", "x"} == {technique for technique, _ in table.index}
    row = table.loc[("hybrid", "-")]
    assert pytest.approx((-np.mean(GAINS), 0.5, 0.5 + np.mean(GAINS))) == tuple(row[["difference", "mean", "other_mean"]])
    p = mean_test(-np.array(GAINS), 1 + 10 / 9).p
    assert pytest.approx((p, holm(np.array([p, 1, 1]))[0])) == tuple(row[["p", "p_adjusted"]])
    assert (10, 0, 0, 3, "worse") == tuple(row[["n_participants", "n_missing", "n_other_windows", "family_size", "outcome"]])
    assert row["ci_low"] < row["difference"] < row["ci_high"] < 0
    assert (0.0, 1.0) == tuple(table.loc[("x", "-"), ["difference", "p"]])


def test_a_table_of_two_runs_says_which_is_which() -> None:
    """This run's mean, then the other's, then the first minus the second; the test, its inflation and its family."""
    table = external_comparison.compare_runs(scores({("x", "-"): [0.0] * 10}), scores({("x", "-"): GAINS}), "auroc")
    text = runs_markdown(table, "folder/other", ("ours",), ("theirs",))
    assert "| x | - | 10 | 0.500 (0.000) | 0.555 | -0.055 | [" in text
    assert "+0.000 | [+0.000, +0.000] | +0.00 | 1.0000 | 1.0000 | equivalent |" in text
    for sentence in (
        "this run minus folder/other",
        "t of the mean difference, variance inflated for shared training",
        "s^2 / n times 2.11 (bound)",
        "family of the 2 variants",
        "share training data",
    ):
        assert sentence in text
    assert text.index("- ours") < text.index("The other run:") < text.index("- theirs")


def test_participants_of_one_run_only_are_counted() -> None:
    """Ten people here, seven there, one of them without a score: six pairs, four missing."""
    table = runs(scores({("x", "-"): GAINS}), scores({("x", "-"): [np.nan, *GAINS[1:7]]}))
    assert (6, 4) == tuple(table.loc[("x", "-"), ["n_participants", "n_missing"]])


def test_other_windows_are_counted() -> None:
    """Three participants were tested on another number of windows there: the table's caption says so."""
    other = scores({("x", "-"): GAINS})
    other.loc[other["participant"].isin(["P0", "P1", "P2"]), "n_test"] = 11
    assert 3 == runs(scores({("x", "-"): GAINS}), other).loc[("x", "-"), "n_other_windows"]


def test_seeds_are_averaged_before_runs_are_paired() -> None:
    """Two seeds here with the mean of the one seed there: no difference."""
    run_scores = pd.concat([scores({("x", "-"): [0.1] * 4}), scores({("x", "-"): [0.3] * 4}).assign(seed=1)])
    assert pytest.approx(0) == runs(run_scores, scores({("x", "-"): [0.2] * 4})).loc[("x", "-"), "difference"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"model": "resnet"}, "share no variant: this one has d / l / fcn; the other has d / l / resnet"),
        ({}, "share no variant: this one has x a=1; the other has x a=2"),
    ],
)
def test_runs_without_a_common_variant_are_a_sentence(other: dict[str, str], message: str) -> None:
    """The error names the content of each: cells if these differ, variants if the cells are the same."""
    only = [scores({("x", variant): GAINS}, **names) for variant, names in (("a=1", {}), ("a=1" if other else "a=2", other))]
    with pytest.raises(ValueError, match=message):
        runs(*(part[part["technique"].eq("x")] for part in only))


def test_runs_without_a_common_participant_are_a_sentence() -> None:
    """Other people there: nothing to pair."""
    other = scores({("x", "-"): GAINS})
    with pytest.raises(ValueError, match="no participant with a score in both"):
        runs(scores({("x", "-"): GAINS}), other.assign(participant="Q" + other["participant"]))


def test_beside_says_what_is_neither_a_table_nor_a_run(tmp_path: Path) -> None:
    """A name that is no published table and a folder that is no run."""
    with pytest.raises(FileNotFoundError, match=r"neither a published table \(han2024\) nor a run folder"):
        open_source(str(tmp_path), "paired")


def test_runs_in_folders_of_one_name_write_files_of_their_own(tmp_path: Path) -> None:
    """Two folders called run: the second is numbered, and each is compared with its own numbers."""
    equal, better = write_run(tmp_path / "a" / "run", equal=True), write_run(tmp_path / "b" / "run")
    report = write_report(write_run(tmp_path / "mine"), against=(str(equal), str(better)))
    assert ["run", "run_2"] == [source.name for source in report.against]
    differences = [pd.read_csv(tmp_path / "mine" / "report" / f"against_{name}.csv")["difference"] for name in ("run", "run_2")]
    assert differences[0].ne(0).any() and differences[1].eq(0).all()
