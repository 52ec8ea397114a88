"""Scores: a plain implementation, one trial at a time, and answers known by hand."""

import zlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE
from analysis.scores.metrics import METRICS, evaluate
from analysis.scores.operating_point import LEVELS
from analysis.scores.scores import Scoring, columns, score, score_common

NAMES = [*CELL, "technique", "variant", "participant", "seed"]


def _random_frames(seed: int) -> analysis.RunTables:
    """Two labels, of two and of three classes; windows left out and purged at random; trials that failed, are missing, or have nothing to
    test; rows in no order; and predictions of trials that failed or that no one asks for."""
    rng = np.random.default_rng(seed)
    trials, rows = [], []
    techniques = [(REFERENCE_TECHNIQUE, "-"), ("fine_tuning", "budget=0.2"), ("fine_tuning", "budget=0.4"), ("multi_task", "-")]
    units = [(d, lab, m, person, s) for d in "d" for lab in ("two", "three") for m in "mn" for person in "ABC" for s in (0, 1)]
    truth = {(d, lab, person): rng.integers(0, 2 if lab == "two" else 3, 12) for d, lab, _, person, _ in units}
    for d, lab, m, person, s in units:
        for technique, variant in techniques:
            key = f"{len(trials):08x}"
            status = rng.choice(["ok", "failed", "missing"], p=[0.85, 0.1, 0.05])
            trials.append(
                dict(zip(NAMES, (d, lab, m, technique, variant, person, s), strict=True)) | {"trial": key, "status": status}
            )
            p = np.full((12, 3), np.nan, dtype=np.float32)
            k = 2 if lab == "two" else 3
            p[:, :k] = rng.multinomial(10, rng.dirichlet(np.ones(k), 12)) / 10  # ties, and sums of 1
            share = rng.choice([0.0, 0.2, 1.0], p=[0.5, 0.4, 0.1])
            about = {
                "trial": key,
                "participant": person,
                "window": 7_000_000 + 3 * np.arange(12),
                "y_true": truth[d, lab, person],
            }
            frame = pd.DataFrame(about | {"purged": rng.random(12) < share, "p_0": p[:, 0], "p_1": p[:, 1], "p_2": p[:, 2]})
            if status != "missing":
                rows.append(frame.iloc[rng.choice(12, rng.integers(1, 13), replace=False)])
    rows.append(frame.assign(trial="stale"))
    predictions = pd.concat(rows).sample(frac=1, random_state=seed).astype({"y_true": np.int8, "trial": "category"})
    return analysis.RunTables(pd.DataFrame(trials), pd.DataFrame(trials), predictions, ())


class _Plain:
    """The scores as their definition says them, trial by trial."""

    def __init__(self, frames: analysis.RunTables) -> None:
        self.trials = frames.trials.to_dict("records")
        scored = frames.predictions[~frames.predictions["purged"]]
        self.windows = {
            t["trial"]: scored[scored["trial"] == t["trial"]].sort_values("window") for t in self.trials if t["status"] == "ok"
        }

    def row(self, trial: dict[str, Any], rows: pd.DataFrame | None, threshold: float = np.nan, **names: Any) -> dict[str, Any]:
        """Scores of a trial on these rows, sensitivity and specificity at the threshold."""
        row = {name: trial[name] for name in NAMES} | {"against": "", "n_test": 0 if rows is None else len(rows)} | names
        if rows is None or rows.empty:
            return row | dict.fromkeys(METRICS, np.nan)
        return row | evaluate(rows["y_true"].to_numpy(), self.p(rows)) | self.at_threshold(rows, threshold)

    def threshold(self, trial: dict[str, Any]) -> float:
        """The one with the largest Youden index over the other participants' windows, in thousandths; NaN unless there are two classes."""
        rows = self.windows.get(trial["trial"])
        if rows is None or rows.empty or self.p(rows).shape[1] != 2:
            return float("nan")
        others = [self.windows[t["trial"]] for t in self.same(trial, *CELL, "technique", "variant", "seed") if t is not trial]
        both = pd.concat([rows.iloc[:0], *others])[["y_true", "p_1"]].astype(float)
        positive, negative = (both.loc[both["y_true"].eq(k), "p_1"].to_numpy() for k in (1, 0))
        if not len(positive) or not len(negative):
            return float("nan")
        cuts = np.arange(LEVELS + 1) / LEVELS
        youden = (positive[:, None] >= cuts).mean(axis=0) + (negative[:, None] < cuts).mean(axis=0)
        return float(cuts[(youden > youden.max() - 1e-9).argmax()])

    def at_threshold(self, rows: pd.DataFrame, threshold: float) -> dict[str, float]:
        """Sensitivity and specificity; NaN without a threshold or a class."""
        if np.isnan(threshold):
            return {"sensitivity": np.nan, "specificity": np.nan}
        above = rows["p_1"].astype(float).ge(threshold)
        positive, negative = above[rows["y_true"].eq(1)], ~above[rows["y_true"].eq(0)]
        return {
            "sensitivity": positive.mean() if len(positive) else np.nan,
            "specificity": negative.mean() if len(negative) else np.nan,
        }

    @staticmethod
    def p(rows: pd.DataFrame) -> np.ndarray:
        return rows[["p_0", "p_1", "p_2"]].dropna(axis=1, how="all").to_numpy()

    def same(self, trial: dict[str, Any], *names: str) -> list[dict[str, Any]]:
        """The trials that ended well and share these names with this one."""
        return [t for t in self.trials if t["trial"] in self.windows and all(t[name] == trial[name] for name in names)]

    def score(self, scoring: Scoring) -> list[dict[str, Any]]:
        rows = [self.row(trial, self.windows.get(trial["trial"]), self.threshold(trial)) for trial in self.trials]
        for trial in self.trials:
            if trial["trial"] not in self.windows:
                continue
            if trial["technique"] == REFERENCE_TECHNIQUE:
                rows += self.references(trial)
            elif scoring == "paired":
                against = f"{trial['technique']} {trial['variant']}".removesuffix(" -")
                variant_windows = self.windows[trial["trial"]]["window"]
                for base in self.same(trial, *CELL, "participant", "seed"):
                    if base["technique"] == REFERENCE_TECHNIQUE:
                        theirs = self.windows[base["trial"]]
                        shared = theirs[theirs["window"].isin(variant_windows)]
                        rows.append(self.row(base, shared, self.threshold(base), against=against))
        return rows

    def references(self, base: dict[str, Any]) -> list[dict[str, Any]]:
        """Always the most frequent class of the other people, and the mean over 20 random draws."""
        rows = self.windows[base["trial"]]
        names = {"variant": "-", "n_test": len(rows)}
        if rows.empty:
            return [self.row(base, None, technique=name, **names) for name in ("majority_class", "random_guess")]
        y, k = rows["y_true"].to_numpy(), self.p(rows).shape[1]
        others = [t for t in self.same(base, *CELL, "technique", "seed") if t["participant"] != base["participant"]]
        counts = sum((np.bincount(self.windows[t["trial"]]["y_true"], minlength=k) for t in others), np.zeros(k))
        rng = np.random.default_rng(zlib.crc32(f"{base['participant']} {base['seed']}".encode()))
        guessed = [evaluate(y, p) for p in rng.dirichlet(np.ones(k), (20, len(y))).astype(np.float32)]
        means = pd.DataFrame(guessed).mean(skipna=False).to_dict()
        always = np.tile(np.eye(k)[counts.argmax()], (len(y), 1))
        majority = self.row(base, rows, technique="majority_class", **names) | evaluate(y, always)
        return [majority, self.row(base, rows, technique="random_guess", **names) | means]

    def common(self) -> list[dict[str, Any]]:
        rows = []
        for trial in self.trials:
            windows = self.windows.get(trial["trial"])
            for other in self.same(trial, *CELL, "participant", "seed") if windows is not None else []:
                if len(theirs := self.windows[other["trial"]]):
                    windows = windows[windows["window"].isin(theirs["window"])]
            rows.append(self.row(trial, windows))
        return rows


def _arranged(rows: list[dict[str, Any]], scoring: str) -> pd.DataFrame:
    return pd.DataFrame(rows).assign(scoring=scoring)[columns()].sort_values(columns()[:9], ignore_index=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scoring", ["paired", "published"])
def test_scores_equal_the_plain_implementation(seed: int, scoring: Scoring) -> None:
    """All trials at once give what their definition gives one by one, references included."""
    frames = _random_frames(seed)
    pd.testing.assert_frame_equal(_arranged(_Plain(frames).score(scoring), scoring), score(frames, scoring))


@pytest.mark.parametrize("seed", range(3))
def test_common_scores_equal_the_plain_implementation(seed: int) -> None:
    """Every variant on the windows that all variants of its unit were tested on."""
    frames = _random_frames(seed)
    pd.testing.assert_frame_equal(_arranged(_Plain(frames).common(), "common"), score_common(frames))


@pytest.mark.parametrize("block", [1, 50])
def test_scores_do_not_depend_on_the_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows are evaluated at once changes nothing."""
    frames = _random_frames(0)
    expected = score(frames)
    monkeypatch.setattr("analysis.scores.scored_windows.BLOCK", block)
    pd.testing.assert_frame_equal(expected, score(frames))


def _frames(y: dict[str, list[int]], p: dict[tuple[str, str], list[float]], hold: dict[str, int]) -> analysis.RunTables:
    """A run of non_personalized and fine_tuning: people's classes, (technique, person) to p(1); fine_tuning was trained on the first ``hold``."""
    trials, rows = [], []
    for (technique, person), values in p.items():
        key = f"{technique}-{person}"
        names = dict(zip(NAMES, ("d", "l", "m", technique, "-", person, 0), strict=True))
        trials.append({**names, "trial": key, "status": "ok"})
        first = hold[person] if technique == "fine_tuning" else 0
        for i, value in list(enumerate(values))[first:]:
            purged = technique == "fine_tuning" and i == first
            about = {"trial": key, "participant": person, "window": i, "y_true": y[person][i], "purged": purged}
            rows.append({**about, "p_0": 1 - value, "p_1": value})
    return analysis.RunTables(pd.DataFrame(trials).drop(columns="status"), pd.DataFrame(trials), pd.DataFrame(rows), ())


def test_paired_scoring_scores_both_sides_on_the_same_windows() -> None:
    """The baseline is right on windows 0-2 and wrong after; fine-tuning trains on 0 and 1, 2 is purged: paired against it the
    baseline's accuracy is 0, published it is 0.6."""
    p = {("non_personalized", "A"): [0.1, 0.1, 0.1, 0.1, 0.9], ("fine_tuning", "A"): [0.0, 0.0, 0.1, 0.9, 0.1]}
    frames = _frames({"A": [0, 0, 0, 1, 0]}, p, {"A": 2})
    paired, published, common = score(frames), score(frames, "published"), score_common(frames)
    by_technique = paired.set_index(["technique", "against"])
    assert (0.0, 2) == tuple(by_technique.loc[("non_personalized", "fine_tuning"), ["accuracy", "n_test"]])
    assert (1.0, 2) == tuple(by_technique.loc[("fine_tuning", ""), ["accuracy", "n_test"]])
    assert by_technique.loc[("non_personalized", ""), "accuracy"] == 0.6
    assert {""} == set(published["against"])
    assert [1.0, 0.0] == common["accuracy"].tolist() and {"common"} == set(common["scoring"])


def test_references_are_known_by_hand() -> None:
    """The majority class is that of the other people, and its AUROC is 0.5."""
    y = {"A": [0, 0, 0, 1], "B": [0, 0, 1, 1], "C": [1, 1, 1, 0]}
    scores = score(_frames(y, {("non_personalized", person): [0.2, 0.4, 0.6, 0.8] for person in y}, {}))
    majority = scores[scores["technique"] == "majority_class"].set_index("participant")
    assert [0.25, 0.5, 0.25] == majority["accuracy"].tolist()
    assert [0.5, 0.5, 0.5] == majority["auroc"].tolist()


def test_a_study_without_a_baseline_has_no_references() -> None:
    """Techniques alone are scored alone."""
    frames = _frames({"A": [0, 0, 0, 1, 1]}, {("fine_tuning", "A"): [0.2, 0.4, 0.5, 0.6, 0.8]}, {"A": 1})
    assert ["fine_tuning"] == score(frames)["technique"].tolist()


def test_a_run_in_which_nothing_ended_well_has_no_scores() -> None:
    """An empty frame with all columns, in every way of scoring."""
    frames = _frames({"A": [0, 1]}, {("non_personalized", "A"): [0.2, 0.4]}, {})
    frames.trials["status"] = "failed"
    for scores in (
        score(frames),
        score_common(frames),
        score(analysis.RunTables(frames.plan, pd.DataFrame(), pd.DataFrame(), ())),
    ):
        assert (columns(), 0) == (scores.columns.tolist(), len(scores))


def test_nan_among_the_probabilities_is_refused() -> None:
    """A prediction that is not a number is no score of 0: the trial, the window and what to do are named."""
    frames = _frames({"A": [0, 1, 1]}, {("non_personalized", "A"): [0.2, 0.4, 0.6]}, {})
    frames.predictions.loc[1, "p_1"] = np.nan
    with pytest.raises(
        ValueError, match=r"trial non_personalized-A has NaN .* window 1; remove .*predictions/non_personalized-A"
    ):
        score(frames)
