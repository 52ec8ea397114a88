"""Scores by group: who falls into which group, the gap and its change by hand, and that nothing personal leaves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders.scores import scores
from builders.windows import make_windows

import analysis
from analysis.report.write import write_report
from analysis.statistics import fairness
from analysis.statistics.participant_groups import groupings, thirds, trait_clusters
from raylab.runs.folder import RunFolder
from raylab.runs.participants import participants
from raylab.runs.run import start
from raylab.trials.plan import check_datasets
from raylab.trials.study import parse_study

CELL = {"dataset": "d", "label": "l"}
HOSTILE = "<script>Jane Doe, phobia of \\input{dogs}</script>"


def people(**columns: list[Any]) -> pd.DataFrame:
    """``RunTables.participants`` of P0, P1, ..."""
    count = len(next(iter(columns.values())))
    return pd.DataFrame({**CELL, "participant": [f"P{i}" for i in range(count)], **columns})


def row_of(table: pd.DataFrame, **where: str) -> "pd.Series[Any]":
    """The one row of a table of gaps with these values in these columns."""
    rows = table[(table[list(where)] == pd.Series(where)).all(axis=1)]
    assert 1 == len(rows)
    return rows.iloc[0]


FOUR = people(trait_gender=["female"] * 4 + ["male"] * 4)
TWO = people(trait_gender=["female"] * 3 + ["male"] * 4)


def test_the_gap_of_two_groups_and_its_change_by_hand() -> None:
    """Women score 0.5 with the baseline and gain 0.2, men score the same and lose 0.1: a gap of 0.3 instead of none."""
    table = fairness.group_gaps(scores({("x", "a=1"): [0.2] * 3 + [-0.1] * 4}), TWO, "auroc")
    mean = row_of(table, technique="x", grouping="gender", group="female", what="mean")
    assert (pytest.approx(0.7), 3) == (mean["value"], mean["n"])
    gap = row_of(table, technique="x", what="gap")
    assert (pytest.approx(0.3), "female - male", 7) == (gap["value"], gap["group"], gap["n"])
    assert pytest.approx(0.0) == row_of(table, technique="x", what="gap of non_personalized")["value"]
    change = row_of(table, technique="x", what="change of the gap")
    assert (pytest.approx(0.3), pytest.approx(0.3)) == (change["value"], change["ci_low"])
    assert "+0.300 [+0.300, +0.300] |" in fairness.markdown(table)


def test_personalization_that_helps_the_worse_group_narrows_the_gap() -> None:
    """The baseline is at 0.3 for women and 0.7 for men; women gain 0.3 and men 0: the gap shrinks from -0.4 to -0.1, a change of -0.3."""
    run_scores = scores({("x", "-"): [0.3] * 3 + [0.0] * 4})
    women = run_scores["participant"].isin(["P0", "P1", "P2"])
    run_scores["auroc"] += np.where(women, -0.2, 0.2)
    table = fairness.group_gaps(run_scores, TWO, "auroc")
    assert pytest.approx(-0.4) == row_of(table, technique="non_personalized", what="gap")["value"]
    assert pytest.approx(-0.1) == row_of(table, technique="x", what="gap")["value"]
    assert pytest.approx(-0.3) == row_of(table, technique="x", what="change of the gap")["value"]
    assert "-0.300 [-0.300, -0.300] |" in fairness.markdown(table)


def test_no_gap_is_called_narrower_or_wider() -> None:
    """Intervals of so small groups leave out the true change too often for words: rows print numbers, and the caption says why."""
    for gains in ([0.2] * 3 + [-0.1] * 4, [-0.2] * 3 + [0.1] * 4):
        text = fairness.markdown(fairness.group_gaps(scores({("x", "-"): gains}), TWO, "auroc"))
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) > 2 and not any(word in row for row in rows for word in ("narrower", "wider"))
        assert "no gap is called narrower or wider" in text


def test_the_gap_of_three_groups_is_largest_minus_smallest() -> None:
    """Thirds of age that gain 0, 0.3 and 0.1 differ by 0.3."""
    ages = people(trait_age=[20, 21, 22, 30, 31, 32, 40, 41, 42])
    table = fairness.group_gaps(scores({("x", "-"): [0.0] * 3 + [0.3] * 3 + [0.1] * 3}), ages, "auroc")
    gap = row_of(table, technique="x", grouping="age", what="gap")
    assert (pytest.approx(0.3), "largest - smallest") == (gap["value"], gap["group"])
    means = table[table["grouping"].eq("age") & table["what"].eq("mean")]
    assert {"lower: 20 to 22", "middle: 30 to 32", "upper: 40 to 42"} == set(means["group"])


def test_the_interval_holds_the_gap() -> None:
    """200 variants with a true gap of 0.1 over 2 x 12 people: the 95% interval holds it in 88% to 98% (percentile, small groups)."""
    rng = np.random.default_rng(5)
    participants_of_two_groups = people(trait_gender=["female"] * 12 + ["male"] * 12)
    variants = {("x", f"a={i}"): list(rng.normal([0.1] * 12 + [0.0] * 12, 0.1)) for i in range(200)}
    table = fairness.group_gaps(scores(variants), participants_of_two_groups, "auroc")
    gaps = table[table["technique"].eq("x") & table["what"].eq("gap")]
    inside = gaps["ci_low"].le(0.1) & gaps["ci_high"].ge(0.1)
    assert (200, True) == (len(inside), 0.88 <= inside.mean() <= 0.98)


def test_a_group_of_two_is_named_and_not_scored() -> None:
    """Five women and two men: no mean of the two, no gap, and the table says so; of an age group its range is not told either."""
    table = fairness.group_gaps(scores({("x", "-"): [0.1] * 7}), people(trait_gender=["female"] * 5 + ["male"] * 2), "auroc")
    gender = table[table["grouping"].eq("gender") & table["technique"].eq("x")]
    assert [("male", "not scored", 2), ("female", "mean", 5)] == list(
        gender[["group", "what", "n"]].itertuples(index=False, name=None)
    )
    assert "male not scored (n=2)" in fairness.markdown(table)
    old = fairness.group_gaps(scores({("x", "-"): [0.1] * 7}), people(trait_age=[20] * 5 + [77, 78]), "auroc")
    assert "upper not scored (n=2)" in fairness.markdown(old)
    assert "77" not in fairness.markdown(old) and "77" not in old.to_csv()


def test_people_without_a_score_are_not_in_their_group() -> None:
    """One of three women has no score with x: two are left, a group that is not scored for x, but is for the baseline."""
    table = fairness.group_gaps(scores({("x", "-"): [np.nan, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]}), TWO, "auroc")
    assert 2 == row_of(table, technique="x", what="not scored")["n"]
    assert 3 == row_of(table, technique="non_personalized", group="female", what="mean")["n"]
    run_scores = scores({("x", "-"): [0.1] * 7})
    run_scores.loc[run_scores["participant"].eq("P0") & run_scores["against"].ne(""), "auroc"] = np.nan
    assert 2 == row_of(fairness.group_gaps(run_scores, TWO, "auroc"), technique="x", what="not scored")["n"]


def test_people_of_each_group_are_drawn_on_their_own() -> None:
    """Two groups with the same four scores have no gap, but a gap that an interval leaves open."""
    gap = row_of(fairness.group_gaps(scores({("x", "-"): [0.0, 0.1, 0.2, 0.3] * 2}), FOUR, "auroc"), technique="x", what="gap")
    assert gap["ci_low"] < -0.05 < gap["value"] < 0.05 < gap["ci_high"]


def test_a_run_without_a_baseline_has_groups_but_no_change() -> None:
    """Techniques alone: their gaps are told, and nothing is compared."""
    run_scores = scores({("x", "-"): [0.2] * 3 + [0.1] * 4})
    table = fairness.group_gaps(run_scores[run_scores["technique"].ne("non_personalized")], TWO, "auroc")
    assert pytest.approx(0.1) == row_of(table, technique="x", what="gap")["value"]
    assert "change of the gap" not in set(table["what"])


def test_thirds_keep_equal_values_together() -> None:
    """Equal ages are in one third; a person without an age is not known."""
    groups = thirds(pd.Series([24.0, 24, 24, 24, 25, 30, np.nan], index=list("abcdefg")))
    assert ["lower: 24"] * 4 + ["upper: 25 to 30"] * 2 + ["not known"] == groups.tolist()
    assert ["all: 3"] * 3 == thirds(pd.Series([3.0, 3, 3])).tolist()


def test_trait_clusters_are_people_alike() -> None:
    """Two clouds of traits on very different scales are two clusters, the larger first; one without a value is in none."""
    traits = pd.DataFrame(
        {"age": [20, 21, 22, 60, 61, np.nan], "score": [1000, 1010, 1005, 2000, 1990, 1000], "gender": ["f"] * 5 + ["m"]}
    )
    assert ["cluster 1"] * 3 + ["cluster 2"] * 2 + ["not known"] == trait_clusters(traits).tolist()
    alike = dict.fromkeys("abcdef", [0] * 4 + [1] * 3)  # six small traits agree, one in thousands does not
    scales = pd.DataFrame({**alike, "big": [1000, 1300, 1600, 2000, 1150, 1450, 1750]})
    assert ["cluster 1"] * 4 + ["cluster 2"] * 3 == trait_clusters(scales).tolist()
    assert ["cluster 1"] * 3 == trait_clusters(pd.DataFrame({"age": [5.0, 5, 5]})).tolist()


def test_label_balance_is_the_share_of_the_most_frequent_class() -> None:
    """Of 10, 20 and 30 stress windows among 40 each, stress is the rarer class: calm's share groups them."""
    groups = groupings(people(count_calm=[30, 20, 25], count_stress=[10, 20, 15]).set_index("participant"))
    assert ["share of calm"] == list(groups)
    assert ["upper: 0.75", "lower: 0.5", "middle: 0.625"] == groups["share of calm"].tolist()


def test_thirds_of_signal_quality_are_groups() -> None:
    """A measure that all have alike is none; the report's groups then say whether the badly recognized were badly measured."""
    people = pd.DataFrame(
        {"quality_bvp beat_share": [0.1, 0.2, 0.5, 0.6, 0.8, 0.9], "quality_bvp flat_share": 0.0}, index=list("ABCDEF")
    )
    (name, group), *others = groupings(people).items()
    assert (name, others) == ("quality: bvp beat_share", [])
    assert ["lower: 0.1 to 0.2"] * 2 + ["middle: 0.5 to 0.6"] * 2 + ["upper: 0.8 to 0.9"] * 2 == list(group)


def test_no_people_no_groups() -> None:
    """A run that does not say who its people are: no rows, and a sentence on how to get them."""
    table = fairness.group_gaps(
        scores({("x", "-"): [0.1] * 4}), analysis.RunTables(*[pd.DataFrame()] * 3, ()).participants, "auroc"
    )
    assert table.empty
    assert "`raylab run` on it again" in fairness.markdown(table)


TRAITS: dict[str, dict[str, Any]] = {
    f"P{i}": {
        "age": 20.0 + i,
        "gender": ("f", " Male ", HOSTILE, "Diverse", 1.0)[i],
        "name": HOSTILE,
        "partner": "m",
        "pss": 10.0 * i,
        "shoe": 44.0,
    }
    for i in range(5)
}


def test_a_run_keeps_numbers_and_gender_of_people_and_nothing_else() -> None:
    """Age, gender out of a short list, numbers that similarity is computed from, and windows of each class; no text, no other number."""
    index = make_windows({name: [0, 0, 0, 1, 1, -1] for name in TRAITS}, traits=TRAITS).index
    similarity = tuple(name for name in index.card.similarity_traits if name != "shoe")
    index = replace(index, card=index.card.changed(similarity_traits=similarity))
    study = {
        "name": "s",
        "datasets": [{"windows": "made", "label": "stress"}],
        "models": [{"encoder": "fcn"}],
        "techniques": ["non_personalized"],
    }
    stored = participants(check_datasets(parse_study(study, "test"), {"made": index}))
    assert {"age": 20.0, "gender": "female", "pss": 0.0} == stored[0]["traits"]
    assert ["female", "male", None, "another gender", 1.0] == [row["traits"].get("gender") for row in stored]
    assert ({"class0": 3, "class1": 2}, "made", "stress", "P0") == tuple(
        stored[0][name] for name in ("windows", "dataset", "label", "participant")
    )
    assert "Jane" not in json.dumps(stored)


def test_load_gives_what_was_kept(tmp_path: Path) -> None:
    """Traits and counts as columns; a run of before, without the file, has no rows."""
    rows = [
        {
            "dataset": "d",
            "label": "l",
            "participant": "A",
            "traits": {"age": 3.0, "gender": "female"},
            "windows": {"calm": 4},
            "quality": {"bvp_quality beat_share_10s": 0.4},
        },
        {"dataset": "e", "label": "l", "participant": "B", "traits": {}, "windows": {"low": 1}},
    ]
    run = RunFolder(str(tmp_path))
    run.write_start("", {"notes": []}, [], rows)
    (tmp_path / "plan.parquet").unlink()
    names = ("trial", "dataset", "label", "model", "technique", "variant", "participant", "seed")
    pd.DataFrame({name: pd.Series(dtype=str) for name in names}).to_parquet(tmp_path / "plan.parquet")
    frames = analysis.load(tmp_path).participants
    columns = [
        "dataset",
        "label",
        "participant",
        "trait_age",
        "trait_gender",
        "count_calm",
        "quality_bvp_quality beat_share_10s",
        "count_low",
    ]
    assert columns == list(frames)
    assert (3.0, "female", 4) == tuple(frames.loc[0, ["trait_age", "trait_gender", "count_calm"]])
    assert pd.isna(frames.loc[1, "trait_age"])
    (tmp_path / "participants.json").unlink()
    assert analysis.load(tmp_path).participants.empty


def test_what_somebody_wrote_about_a_person_is_in_no_file_of_a_run(cohort: Path, tmp_path: Path) -> None:
    """A free-text trait, and a gender that is one: the run keeps predictions and numbers, its report groups, and neither the text nor a signal."""
    shutil.copytree(cohort / "simulated", tmp_path / "windows" / "simulated")
    path = tmp_path / "windows" / "simulated" / "card.json"
    card = json.loads(path.read_text())
    for number, entry in enumerate(card["participants"]):
        entry["traits"] |= {"remark": HOSTILE} | ({"gender": HOSTILE} if number == 0 else {})
    del card["digest"]  # of the card as it was prepared
    path.write_text(json.dumps(card))
    study = {
        "name": "s",
        "datasets": [{"windows": "simulated", "label": "stress"}],
        "models": [{"encoder": "mlp_lstm", "width": 1 / 64}],
        "techniques": ["non_personalized", {"name": "fine_tuning", "layers": "last", "budget": 3}],
        "protocol": {"epochs": 1},
    }
    run = tmp_path / "run"
    start(parse_study(study, "test"), str(tmp_path / "windows"), str(run), "local", log=lambda line: None)
    write_report(run)
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {"report.html", "fairness.csv", "participants.json", "paper_table.tex"} <= {path.name for path in files}
    assert [] == [path.name for path in files if any(word in path.read_bytes() for word in (b"Jane", b"phobia", b"remark"))]
    assert 4 == analysis.load(run).participants["trait_gender"].notna().sum()
    stored = pq.read_schema(next((run / "predictions").iterdir())).names
    assert {"trial", "participant", "window", "y_true", "p", "purged"} == set(stored)
