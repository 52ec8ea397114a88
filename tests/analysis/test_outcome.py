"""The four outcomes and their words, and the sentences of the verdict."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.scores import scores

import analysis
from analysis.report.verdict import verdict
from analysis.statistics.outcome import OUTCOMES, outcome_of, outcome_text
from analysis.statistics.variant_selection import select_variants


def _row(**changes: Any) -> dict[str, Any]:
    return {"p_adjusted": 0.2, "difference": 0.01, "inner_low": -0.03, "inner_high": 0.05, "detectable": 0.0871} | changes


@pytest.mark.parametrize(
    ("changes", "metric", "expected"),
    [
        ({"p_adjusted": 0.049}, "auroc", "better"),
        ({"p_adjusted": 0.049, "difference": -0.01}, "auroc", "worse"),
        ({"p_adjusted": 0.049}, "brier", "worse"),
        ({"p_adjusted": 0.049, "difference": -0.01}, "log_loss", "better"),
        ({"p_adjusted": 0.049, "inner_low": 0.001, "inner_high": 0.009}, "auroc", "better"),
        ({"inner_low": -0.0199, "inner_high": 0.0199}, "auroc", "equivalent"),
        ({"inner_low": -0.02, "inner_high": 0.0199}, "auroc", "undecided"),
        ({"inner_low": -0.0199, "inner_high": 0.02}, "ece", "undecided"),
        ({"p_adjusted": 0.05}, "auroc", "undecided"),
        ({"p_adjusted": np.nan}, "auroc", ""),
    ],
)
def test_an_outcome_follows_from_p_the_sign_and_the_90_percent_interval(
    changes: dict[str, Any], metric: str, expected: str
) -> None:
    """A significant difference is named even if it is small; equivalence needs both ends inside; nothing tested is no outcome."""
    assert expected == outcome_of(_row(**changes), metric, 0.02)


def test_the_smallest_effect_of_interest_is_the_studys() -> None:
    """What is undecided at 0.02 is equivalent within 0.06."""
    assert ("undecided", "equivalent") == tuple(outcome_of(_row(), "auroc", smallest) for smallest in (0.02, 0.06))


def test_the_words_of_an_outcome() -> None:
    """Undecided says what such a study detects; the others are one word; a missing one is empty."""
    texts = [outcome_text(_row(outcome=outcome)) for outcome in (*OUTCOMES, np.nan, "")]
    assert ["better", "worse", "equivalent", "undecided (detects 0.087)", "", ""] == texts
    assert "undecided" == outcome_text(_row(outcome="undecided", detectable=np.nan))


GAINS = {
    ("up", "a"): [0.10, 0.12, 0.11, 0.09, 0.13, 0.10, 0.12, 0.11, 0.10, 0.12],
    ("up", "b"): [0.01, -0.02, 0.0, 0.02, -0.01, 0.01, 0.02, -0.01, 0.0, 0.01],
    ("down", "-"): [-0.10, -0.12, -0.11, -0.09, -0.13, -0.10, -0.12, -0.11, -0.10, -0.12],
    ("same", "-"): [0.001, -0.001, 0.002, -0.002, 0.001, -0.001, 0.0, 0.001, -0.001, 0.0],
    ("open", "-"): [0.2, -0.2, 0.1, -0.1, 0.15, -0.12, 0.2, -0.15, 0.1, 0.0],
    ("fixed", "-"): [0.05] * 10,
}


def _verdict(primary: str = "", metric: str = "auroc", smallest_effect: float = 0.02) -> str:
    table = scores(GAINS).rename(columns={"auroc": metric})
    chosen = select_variants(table, metric, smallest_effect=smallest_effect, primary=primary)
    return verdict(chosen, analysis.compare(table, metric, smallest_effect=smallest_effect), smallest_effect, primary)


def test_a_verdict_has_a_sentence_for_each_outcome() -> None:
    """Techniques first, their significant variants behind; equivalent with who gains; undecided with what is detected; and what has no spread."""
    text = _verdict()
    assert "Better than non_personalized in AUROC (n = 10; p adjusted by Holm over 4 techniques): up (+0.110 [+0." in text
    assert "of its 2 variants a +0.110." in text
    assert "Worse than non_personalized in AUROC (n = 10; p adjusted by Holm over 4 techniques): down (-0.110" in text
    assert "Equivalent, their mean difference is within 0.02: same (+0.000, 4 of 10 gain)." in text
    assert "Undecided: open (" in text and ", detects 0." in text
    assert "fixed (+0.050) cannot be tested" in text
    assert "Equivalent" not in _verdict(smallest_effect=0.0005)


def test_of_an_error_less_is_better_and_gains() -> None:
    """By Brier score ``down`` is better, and those gain whose error falls: of ``same`` four of ten, and as many rise."""
    both = {("rises", "-"): GAINS[("up", "a")], **{name: GAINS[name] for name in (("down", "-"), ("same", "-"))}}
    table = scores(both).rename(columns={"auroc": "brier"})
    text = verdict(select_variants(table, "brier"), analysis.compare(table, "brier"), 0.02)
    assert "Better than non_personalized in Brier score" in text
    assert text.index("Better") < text.index("down (-0.110") < text.index("Worse") < text.index("rises (+0.110")
    assert "same (+0.000, 4 of 10 gain)" in text
    more = {("same", "-"): [0.001, -0.001, 0.002, -0.002, 0.001, -0.001, -0.001, -0.001, -0.001, -0.001]}
    table = scores(more).rename(columns={"auroc": "brier"})
    chosen = select_variants(table, "brier")
    assert "7 of 10 gain" in verdict(chosen, analysis.compare(table, "brier"), 0.02)


def test_the_primary_comparison_is_answered_first_and_alone() -> None:
    """Its p is not adjusted; the others follow as secondary, with Holm over them."""
    text = _verdict(primary="open")
    assert text.startswith(
        "Primary comparison: No technique is shown to differ from non_personalized in AUROC (n = 10; one technique, p not"
    )
    assert "Undecided: open" in text.split("Secondary:")[0] and "up (" in text.split("Secondary:")[1]
    assert "Holm over 3 techniques" in text


def test_nothing_shown_is_said() -> None:
    """No better or worse technique: the sentence says so, and never that there is no difference."""
    table = scores({("open", "-"): GAINS[("open", "-")]})
    text = verdict(select_variants(table), analysis.compare(table), 0.02)
    assert text.startswith(
        "No technique is shown to differ from non_personalized in AUROC (n = 10; one technique, p not adjusted)."
    )
    assert pd.notna(select_variants(table).loc[0, "detectable"])


def test_a_lopsided_technique_carries_a_caution() -> None:
    """Three of ten change: the verdict names the technique."""
    table = scores({("few", "-"): [0.1, 0.2, 0.3] + [0.0] * 7})
    assert "Caution: with few hardly any participant changes" in verdict(select_variants(table), analysis.compare(table), 0.02)
