"""The verdict of a comparison, in sentences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.constants import ALPHA
from analysis.formatting import int_range, interval, metric_name, number, p_value
from analysis.scores.keys import variant_label
from analysis.scores.paired_scores import gain_sign


def _name(row: Mapping[Any, Any]) -> str:
    return variant_label(str(row["technique"]), str(row["variant"]))


def _list_variants(rows: pd.DataFrame) -> str:
    variants = [
        (_name(row), number(row["difference"], sign=True), p_value(row["p_adjusted"])) for row in rows.to_dict("records")
    ]
    return "; ".join(f"{name} ({difference}, p {p})" for name, difference, p in variants)


def verdict(cell: pd.DataFrame) -> str:
    """Which variants of one (dataset, label, model) differ from non_personalized after Holm, or that none does, and what could not have.

    Args:
        cell: rows of the comparison.
    """
    tested = cell.dropna(subset=["p"])
    if tested.empty:
        return "Nothing was compared: no variant has scores to pair with those of non_personalized."
    metric, n = metric_name(str(tested["metric"].iloc[0])), int_range(tested["n_participants"])
    significant = tested[tested["p_adjusted"] < ALPHA]
    parts = []
    gain = gain_sign(str(tested["metric"].iloc[0])) * significant["difference"]
    for side, rows in (("Better", significant[gain > 0]), ("Worse", significant[gain < 0])):
        if len(rows):
            parts.append(f"{side} than non_personalized in {metric} (n = {n}, p adjusted by Holm): {_list_variants(rows)}.")
    if not parts:
        count = f"None of {len(tested)} variants differs" if len(tested) > 1 else "The one variant does not differ"
        smallest_p = p_value(tested["p_adjusted"].min())
        parts.append(f"{count} significantly from non_personalized in {metric} (n = {n}; smallest adjusted p {smallest_p}).")
        parts += _extremes(tested)
    elif rest := len(tested) - len(significant):
        parts.append(f"The other {rest} of {len(tested)} do not differ significantly.")
    return " ".join([*parts, *_powerless(tested)])


def _extremes(tested: pd.DataFrame) -> list[str]:
    """The largest and the smallest mean difference with their intervals."""
    ends = []
    rows = tested.dropna(subset=["difference"]).sort_values("difference").to_dict("records")
    for row in [rows[-1], rows[0]] if len(rows) > 1 else rows:
        ends.append(f"{number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])} with {_name(row)}")
    if len(ends) < 2:
        return [f"Its mean difference is {text}." for text in ends]
    return [f"Mean differences go from {ends[1]} to {ends[0]}."]


def _powerless(tested: pd.DataFrame) -> list[str]:
    """A sentence on variants with an adjusted p that could not have fallen under 0.05 whatever the signs of their differences."""
    count = int(tested["least_p"].ge(ALPHA).sum())
    if not count:
        return []
    family = int(tested["family_size"].max())
    subject = "It" if len(tested) == 1 else "None of them" if count == len(tested) else f"{count} of them"
    could = "could" if subject.startswith("None") else "could not"
    return [
        f"{subject} {could} have been significant: so few participants change that no signs could bring p under {ALPHA} in a family of {family}."
    ]


def largest_changes(pairs: pd.DataFrame, metric: str) -> str:
    """The participants who gain and lose most, by name, and how many never change.

    Args:
        pairs: ``analysis.scores.paired_scores.paired_scores`` of one cell.
    """
    scored = pairs.dropna(subset=["difference"])
    if scored.empty:
        return "No participant has a score on both sides."
    parts = []
    rows = scored.sort_values("difference", kind="stable").to_dict("records")
    ends = ((rows[0], -1), (rows[-1], 1))
    for row, sign in ends if gain_sign(metric) > 0 else ends[::-1]:
        if sign * row["difference"] > 0:
            verb = "gains" if sign == gain_sign(metric) else "loses"
            parts.append(
                f"{row['participant']} {verb} most: {number(abs(row['difference']))} {metric_name(metric)} with {_name(row)} "
                f"(from {number(row['baseline'])} to {number(row['score'])})."
            )
    unchanged = scored.groupby("participant")["difference"].agg(lambda x: bool(np.all(x == 0)))
    if count := int(unchanged.sum()):
        parts.append(f"{count} of {len(unchanged)} participants change with no variant.")
    return " ".join(parts)
