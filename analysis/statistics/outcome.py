"""The four outcomes of a comparison with the reference, each with its words.

- ``better``, ``worse``: the mean difference is not 0, after adjustment for the family.
- ``equivalent``: it is within the smallest effect of interest on both sides: the 90% interval lies inside, which is two one-sided tests at
  5% (Schuirmann 1987; Lakens 2017), unadjusted. Single participants may still gain or lose.
- ``undecided``: neither; with the smallest difference that such a study detects in four of five repetitions.

A significant difference is named as such even if it is smaller than the smallest effect of interest: its size stands beside it.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from analysis.constants import ALPHA
from analysis.formatting import number
from analysis.scores.paired_scores import gain_sign

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"
OUTCOMES = (BETTER, WORSE, EQUIVALENT, UNDECIDED)


def outcome_of(row: Mapping[str, Any], metric: str, smallest_effect: float) -> str:
    """The outcome of a row with p_adjusted, difference, inner_low and inner_high; empty if nothing was tested."""
    if pd.isna(row.get("p_adjusted")):
        return ""
    if row["p_adjusted"] < ALPHA:
        return BETTER if gain_sign(metric) * row["difference"] > 0 else WORSE
    within = row["inner_low"] > -smallest_effect and row["inner_high"] < smallest_effect
    return EQUIVALENT if within else UNDECIDED


def outcome_text(row: Mapping[Hashable, Any]) -> str:
    """``undecided (detects 0.087)``; another outcome as it is."""
    name = "" if pd.isna(row["outcome"]) else str(row["outcome"])
    return f"{name} (detects {number(row['detectable'])})" if name == UNDECIDED and pd.notna(row["detectable"]) else name
