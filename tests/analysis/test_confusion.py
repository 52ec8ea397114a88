"""Class by class: scikit-learn's numbers on pooled predictions, names, and the interval over participants."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.run import write_run
from sklearn import metrics as sk

import analysis
from analysis.report.write import report_data
from analysis.scores.scores import score
from analysis.statistics import confusion
from analysis.statistics.paired_tests import bca_interval

NAMES = ["neutral", "happy", "sad", "angry"]


def _frames(y: np.ndarray, p: np.ndarray, people: int = 3) -> analysis.RunTables:
    """One variant, the windows dealt to people in turn; a purged window of each is added, which must not count."""
    rows = [
        {"trial": f"t{i}", "dataset": "d", "label": "emotion", "model": "m", "technique": "non_personalized", "variant": "-"}
        | {"participant": f"P{i}", "seed": 0, "status": "ok"}
        for i in range(people)
    ]
    person = np.arange(len(y)) % people
    predictions = pd.DataFrame({"trial": [f"t{i}" for i in person], "window": np.arange(len(y)), "y_true": y, "purged": False})
    predictions = pd.concat([predictions, pd.DataFrame(p, columns=[f"p_{k}" for k in range(p.shape[1])])], axis=1)
    purged = predictions.iloc[:people].assign(window=len(y) + np.arange(people), y_true=0, purged=True)
    trials = pd.DataFrame(rows)
    with_purged = pd.concat([predictions, purged], ignore_index=True).sort_values(["trial", "window"], ignore_index=True)
    return analysis.RunTables(trials, trials, with_purged, (), classes={"d": {"emotion": NAMES}})


@pytest.mark.parametrize("seed", range(4))
def test_per_class_metrics_and_confusion_equal_scikit_learns(seed: int) -> None:
    """Pooled over people, purged windows left out; also if a class is never guessed (seed 1), or not there (seed 2)."""
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, 4, 90), rng.dirichlet(np.ones(4), 90).astype(np.float32)
    if seed == 1:
        p[:, 2] = 0
        p /= p.sum(axis=1, keepdims=True)
    if seed == 2:
        y[y == 1] = 0
    guess = p.argmax(axis=1)
    confused = confusion.confusion_counts(_frames(y, p))
    names, counts = confusion.confusion_matrix(confused)
    assert list(names) == NAMES
    np.testing.assert_array_equal(sk.confusion_matrix(y, guess, labels=range(4)), counts)
    classes = confusion.per_class(confused)
    expected = sk.precision_recall_fscore_support(y, guess, labels=range(4), zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "windows"), expected, strict=True):
        np.testing.assert_allclose(classes[name], values, err_msg=name)


def test_variants_are_pooled_where_they_are_not_named() -> None:
    """Two variants of a technique, one all right and one all wrong: half of each class is found."""
    rows = [
        {**dict.fromkeys(["dataset", "label", "model", "technique"], "x"), "variant": v, "true": a, "guessed": b, "windows": n}
        for v, hits in (("one", 4), ("two", 0))
        for a in "AB"
        for b in "AB"
        for n in [hits if a == b else 4 - hits]
    ]
    classes = confusion.per_class(pd.DataFrame(rows), ["technique"])
    assert classes[["class", "windows", "recall"]].to_numpy().tolist() == [["A", 8, 0.5], ["B", 8, 0.5]]
    assert confusion.per_class(pd.DataFrame(rows))["recall"].tolist() == [1, 1, 0, 0]


def test_uar_has_its_interval_over_participants() -> None:
    """One UAR per speaker: the mean is theirs, and so is the interval; the references have theirs too."""
    rng = np.random.default_rng(5)
    scores = score(_frames(rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200).astype(np.float32), people=5))
    uar = scores[scores["technique"].eq("non_personalized")]["balanced_accuracy"].to_numpy()
    means = confusion.class_means(scores).set_index(["technique", "metric"])
    row = means.loc[("non_personalized", "balanced_accuracy")]
    assert (5, pytest.approx(uar.mean()), bca_interval(uar)) == (
        row["n_participants"],
        row["mean"],
        (row["ci_low"], row["ci_high"]),
    )
    assert ("majority_class", "balanced_accuracy") in means.index


def test_models_stand_side_by_side() -> None:
    """One table for each dataset and label, a row for each model; what leaks has a table of its own, under its name."""
    rng = np.random.default_rng(5)
    scores = score(_frames(rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200).astype(np.float32), people=5))
    both = pd.concat([scores, scores.assign(model="svm"), scores.assign(dataset="d (LEAKING: random)")])
    text = confusion.markdown(confusion.class_means(both), ["A note."])
    first, second = text.split("### ")[1:]
    assert ("d / emotion", "d (LEAKING: random) / emotion") == (first.splitlines()[0], second.splitlines()[0])
    assert "| m | non_personalized | - | 5 | " in first and "| svm | non_personalized | - | 5 | " in first
    assert "svm" not in second and text.endswith("- A note.\n")


def test_a_report_names_the_classes_in_their_order(tmp_path: Path) -> None:
    """The names stand in provenance.json, because JSON objects that are sorted lose the order; a run without them has numbers."""
    run = write_run(tmp_path / "run")
    assert set(report_data(run).frames["confusion"]["true"]) == {"class 0", "class 1"}
    origin = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    named = origin | {"classes": {"simulated": {"stress": ["zero", "one"]}}}
    (run / "provenance.json").write_text(json.dumps(named), encoding="utf-8")
    report = analysis.report.write.write_report(run)
    assert list(dict.fromkeys(report.frames["confusion"]["true"])) == ["zero", "one"]
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "fine_tuning: true class (row) by guessed class (column)" in page
    assert len(pd.read_csv(run / "report" / "classes.csv")) == 7 * 2


def test_uar_may_be_asked_for_by_its_name(tmp_path: Path) -> None:
    """``--metric uar`` is the balanced accuracy."""
    assert report_data(write_run(tmp_path / "run"), metric="uar").metric == "balanced_accuracy"
