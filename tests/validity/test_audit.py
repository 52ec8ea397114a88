"""The audit of prepared windows: known truths are found, and what the command writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders.command_line import run_command
from builders.drift import drifting
from builders.windows import make_windows, store

from analysis.scores.channel_scores import ALL
from raylab.validity.audit import BORDER_S, CLOCK, LabelAudit, audit
from raylab.validity.audit_page import sentences
from raylab.windows.order import PairOrder, near_border

# emotion, drift, counterbalanced -> a sentence that the audit must have
TRUTHS: dict[tuple[float, float, bool], str] = {
    (0.0, 4.0, False): "nothing measured here can be told from drift",
    (2.0, 0.0, False): "nothing measured here can be told from drift",
    (2.0, 4.0, False): "nothing measured here can be told from drift",
    (0.0, 4.0, True): "what it ranks by is drift",
    (2.0, 0.0, True): "it holds in both orders",
    (2.0, 2.0, True): "it holds in both orders",
}


def found(truth: tuple[float, float, bool], seed: int) -> tuple[LabelAudit, bool]:
    """The audit of a cohort, and whether it says what is true of it."""
    emotion, drift, counterbalanced = truth
    audited = audit(drifting(emotion, drift, counterbalanced, seed), "stress")
    return audited, any(TRUTHS[truth] in sentence for sentence in sentences(audited))


@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_short_form_the_audit_says_what_is_true(truth: tuple[float, float, bool]) -> None:
    """Of three cohorts at least two; the scores of drift alone are high where it has the classes' order, and balanced at most at chance."""
    audits, right = zip(*(found(truth, seed) for seed in range(3)), strict=True)

    assert sum(right) >= 2
    emotion, _, counterbalanced = truth
    if not counterbalanced:
        assert min(audited.mean(ALL) for audited in audits) > 0.75
        assert all(audited.fixed and np.isnan(audited.balanced(ALL)) for audited in audits)
        assert {1.0} == {audited.mean(CLOCK) for audited in audits}
    elif not emotion:
        # below chance: whoever is held out, one more of the others has the opposite order, and the model follows these
        assert np.mean([audited.balanced(ALL) for audited in audits]) < 0.55


@pytest.mark.slow
@pytest.mark.parametrize("truth", TRUTHS, ids=str)
def test_the_audit_says_what_is_true_of_nine_in_ten(truth: tuple[float, float, bool]) -> None:
    """Of 40 cohorts."""
    assert sum(found(truth, seed)[1] for seed in range(100, 140)) >= 36


def test_orders_and_runs_are_counted_by_person() -> None:
    """One person with class 1 second, one with it first, one with both orders, and one with a single class, who counts nowhere."""
    windows = make_windows({"A": [0, 0, 1, 1], "B": [1, 1, 0, 0], "C": [0, 1, 1, 0], "D": [0, 0, 0, 0]})

    audited = audit(windows, "stress")

    assert (PairOrder("class0", "class1", 1, 1, 1),) == audited.orders
    assert ("A", "B", "C") == audited.participants
    assert audited.runs is not None
    assert [[1, 1], [1, 1], [2, 1]] == audited.runs.tolist()
    assert not audited.fixed and not audited.sessions_tied
    assert "class0 and class1: class0 first for 1, class1 first for 1, both orders for 1 of 3 people." == sentences(audited)[0]


def test_windows_near_a_border_are_those_within_three_minutes() -> None:
    """On both sides of a change of run; runs that lie further apart have no border."""
    time = np.array([0.0, 100, 200, 300, 400, 1000, 1100])
    run, y = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 0, 0])

    assert [False, True, True, True, True, False, False] == near_border(time, run, y, BORDER_S).tolist()
    assert not near_border(time, run, np.zeros(7, int), BORDER_S).any()  # runs of one class, as songs, have no change of label


def test_channels_in_opposite_directions_are_named() -> None:
    """A channel whose mean rises with the class for some and falls for others misleads; one without training that tells all is named too."""
    windows = drifting(0.0, 20.0, True, 0)
    said = " ".join(sentences(audit(windows, "stress")))
    assert "mean of a (6 and 6)" in said
    said = " ".join(sentences(audit(drifting(6.0, 0.0, True, 0), "stress")))
    assert "The mean of a, without any training, reaches" in said


@pytest.mark.parametrize(("counterbalanced", "code"), [(False, 1), (True, 0)])
def test_the_command_prints_writes_and_ends_with_a_code(
    counterbalanced: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--strict fails where the clock decides a label."""
    windows = store(drifting(2.0, 0.0, counterbalanced, 1, people=6), tmp_path / "made")

    ended = run_command(monkeypatch, "audit", str(windows), "--out", str(tmp_path / "audit"), "--strict")

    assert code == ended
    assert "Balanced: the mean of both" in " ".join(capsys.readouterr().out.split())
    stored = json.loads((tmp_path / "audit" / "audit.json").read_text())
    (label,) = stored["labels"]
    assert (not counterbalanced) == label["fixed_by_the_clock"]
    assert set(label["models"]["clock"]) == {"auroc", "auroc_sd", "auroc_min", "later", "earlier", "balanced", "border"}
    assert "emotion or the clock?" in (tmp_path / "audit" / "audit.html").read_text()
    assert (tmp_path / "audit" / "audit.md").read_text().startswith("# made")


def test_an_unknown_label_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With those that there are."""
    windows = store(drifting(2.0, 0.0, True, 1, people=4), tmp_path / "made")
    assert run_command(monkeypatch, "audit", str(windows), "--label", "joy") == 1
    assert "has no label joy; it has stress" in capsys.readouterr().err
