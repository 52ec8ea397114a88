"""What a comparison says, in sentences."""

import numpy as np
import pandas as pd

from analysis.scores import against_name
from analysis.text import interval, many, metric_name, p_value

ALPHA = 0.05


def _names(rows: pd.DataFrame) -> list[str]:
    return [against_name(str(row.technique), str(row.variant)) for row in rows.itertuples()]


def _listed(rows: pd.DataFrame) -> str:
    numbers = [f"{row.difference:+.3f}, p {p_value(float(row.p_adjusted))}" for row in rows.itertuples()]
    return "; ".join(f"{name} ({said})" for name, said in zip(_names(rows), numbers, strict=True))


def verdict(cell: pd.DataFrame) -> str:
    """Which variants of one (dataset, label, model) differ from non_personalized after Holm, or that none does, and what could not have.

    Args:
        cell: rows of the comparison.
    """
    tested = cell.dropna(subset=["p"])
    if tested.empty:
        return "Nothing was compared: no variant has scores to pair with those of non_personalized."
    metric, n = metric_name(str(tested["metric"].iloc[0])), many(tested["n_participants"])
    found = tested[tested["p_adjusted"] < ALPHA]
    parts = []
    for side, rows in (("Better", found[found["difference"] > 0]), ("Worse", found[found["difference"] < 0])):
        if len(rows):
            parts.append(f"{side} than non_personalized in {metric} (n = {n}, p adjusted by Holm): {_listed(rows)}.")
    if not parts:
        count = f"None of {len(tested)} variants differs" if len(tested) > 1 else "The one variant does not differ"
        least = p_value(float(tested["p_adjusted"].min()))
        parts.append(f"{count} significantly from non_personalized in {metric} (n = {n}; smallest adjusted p {least}).")
        parts.append(_extremes(tested))
    elif rest := len(tested) - len(found):
        parts.append(f"The other {rest} of {len(tested)} do not differ significantly.")
    return " ".join([*parts, *_powerless(tested)])


def _extremes(tested: pd.DataFrame) -> str:
    """The largest and the smallest mean difference with their intervals."""
    said = []
    for place in dict.fromkeys([tested["difference"].idxmax(), tested["difference"].idxmin()]):
        row = tested.loc[place]
        name = against_name(str(row["technique"]), str(row["variant"]))
        said.append(f"{row['difference']:+.3f} {interval(row['ci_low'], row['ci_high'])} with {name}")
    return f"Mean differences go from {said[1]} to {said[0]}." if len(said) == 2 else f"Its mean difference is {said[0]}."


def _powerless(tested: pd.DataFrame) -> list[str]:
    """Variants whose adjusted p could not have fallen under 0.05 whatever the signs of their differences."""
    count = int(tested["least_p"].ge(ALPHA).sum())
    if not count:
        return []
    why = f"so few participants differ from zero that no signs could bring p under {ALPHA} in a family of {len(tested)}"
    return [
        f"None of them could have been significant: {why}."
        if count == len(tested)
        else f"{count} of them could not have been significant: {why}."
    ]


def who_changes(pairs: pd.DataFrame, metric: str) -> str:
    """Who gains and who loses most, by name, and whether anybody never changes.

    Args:
        pairs: ``shown.pairs`` of one cell.
    """
    known = pairs.dropna(subset=["difference"])
    if known.empty:
        return "No participant has a score on both sides."
    parts = []
    for best, verb in ((False, "loses"), (True, "gains")):
        place = known["difference"].idxmax() if best else known["difference"].idxmin()
        row = known.loc[place]
        if (row["difference"] > 0) == best and row["difference"] != 0:
            name = against_name(str(row["technique"]), str(row["variant"]))
            parts.append(
                f"{row['participant']} {verb} most: {abs(row['difference']):.3f} {metric_name(metric)} with {name} "
                f"(from {row['baseline']:.3f} to {row['score']:.3f})."
            )
    still = known.groupby("participant")["difference"].agg(lambda x: bool(np.all(x == 0)))
    if count := int(still.sum()):
        parts.append(f"{count} of {len(still)} participants change with no variant.")
    return " ".join(parts)
