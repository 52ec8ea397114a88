"""The verdict of a comparison, in sentences."""

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.constants import ALPHA
from analysis.formatting import int_range, interval, metric_name, number, p_value
from analysis.scores.keys import variant_label
from analysis.scores.paired_scores import gain_sign
from analysis.statistics.outcome import BETTER, EQUIVALENT, UNDECIDED, WORSE, outcome_text

Row = Mapping[Hashable, Any]
TIE = 0.005  # by which a chosen reference falls below a model that it was chosen from, before a reader is told why
TIED = (
    "Caution: the models are tied in this study, so the chosen reference is below {model} without personalization. "
    "A difference to it is no gain: go by the difference to {model}."
)
NO_PAIRS = "no technique has scores to pair with those of non_personalized."


def _name(row: Row) -> str:
    return variant_label(str(row["technique"]), str(row["variant"]))


def _technique_text(row: Row, variants: pd.DataFrame) -> str:
    """A technique with its difference, interval and p, and its significant variants if it has several."""
    text = f"{row['technique']} ({number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}, p {p_value(row['p_adjusted'])})"
    own = variants[variants["technique"].eq(row["technique"])]
    significant = own[own["p_adjusted"].lt(ALPHA)]
    if len(own) < 2:
        return text
    names = ", ".join(f"{r['variant']} {number(r['difference'], sign=True)}" for r in significant.to_dict("records"))
    return f"{text}, of its {len(own)} variants {names or 'none by itself'}"


def _undecided_text(row: Row) -> str:
    ends = f"{row['technique']} ({number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}"
    return ends + (f", detects {number(row['detectable'])})" if pd.notna(row["detectable"]) else ")")


def verdict(chosen: pd.DataFrame, variants: pd.DataFrame, smallest_effect: float, primary: str = "") -> str:
    """``verdict_sentences`` in one line."""
    return " ".join(verdict_sentences(chosen, variants, smallest_effect, primary))


def verdict_sentences(
    chosen: pd.DataFrame, variants: pd.DataFrame, smallest_effect: float, primary: str = ""
) -> tuple[str, ...]:
    """Which techniques of one (dataset, label, model) are better or worse than non_personalized, equivalent to it, or undecided.

    Each technique is one test, its variant chosen for each participant by the others, Holm over the techniques; a technique's variants are told
    one by one (Holm over all variants) only if its own test rejects.

    Args:
        chosen: rows of ``analysis.statistics.variant_selection.select_variants``.
        variants: rows of the comparison.
        smallest_effect: of interest.
        primary: the technique that the study's primary comparison is about; empty if it declares none.
    """
    tested = chosen.dropna(subset=["p"])
    if tested.empty:
        first, *others = _untested(chosen) or [NO_PAIRS]
        return f"Nothing was compared: {first}", *others
    tests_primary = tested["technique"].eq(primary)
    if tests_primary.any() and not tests_primary.all():
        is_primary = chosen["technique"].eq(primary)
        answer, *more = verdict_sentences(chosen[is_primary], variants, smallest_effect)
        other, *others = verdict_sentences(chosen[~is_primary], variants, smallest_effect)
        return f"Primary comparison: {answer}", *more, f"Secondary: {other}", *others
    metric, n = metric_name(str(tested["metric"].iloc[0])), int_range(tested["n_participants"])
    adjusted = f"p adjusted by Holm over {len(tested)} techniques" if len(tested) > 1 else "one technique, p not adjusted"
    parts = []
    for outcome, words in ((BETTER, "Better"), (WORSE, "Worse")):
        rows = tested[tested["outcome"].eq(outcome)].to_dict("records")
        if rows:
            texts = "; ".join(_technique_text(row, variants) for row in rows)
            parts.append(f"{words} than non_personalized in {metric} (n = {n}; {adjusted}): {texts}.")
    if not parts:
        parts.append(f"No technique is shown to differ from non_personalized in {metric} (n = {n}; {adjusted}).")
    if rows := tested[tested["outcome"].eq(EQUIVALENT)].to_dict("records"):
        texts = "; ".join(f"{row['technique']} ({_losers(row)})" for row in rows)
        parts.append(f"Equivalent, their mean difference is within {smallest_effect:g}: {texts}.")
    if rows := tested[tested["outcome"].eq(UNDECIDED)].to_dict("records"):
        parts.append(f"Undecided: {'; '.join(map(_undecided_text, rows))}.")
    return *parts, *_untested(chosen), *_lopsided(tested)


def _untested(chosen: pd.DataFrame) -> list[str]:
    """A sentence on techniques that have differences but no p."""
    rows = chosen[chosen["p"].isna() & chosen["difference"].notna()].to_dict("records")
    names = ", ".join(f"{row['technique']} ({number(row['difference'], sign=True)})" for row in rows)
    return (
        [f"{names} cannot be tested, with one participant or the same difference for all there is no spread to test with."]
        if rows
        else []
    )


def _losers(row: Row) -> str:
    """How many participants gain: an equivalent mean can hide both gains and losses."""
    return f"{number(row['difference'], sign=True)}, {round(row['gainers'] * row['n_participants'])} of {int(row['n_participants'])} gain"


def _lopsided(tested: pd.DataFrame) -> list[str]:
    """A sentence on techniques whose differences are of a kind for which the test is not known to hold its level."""
    names = tested.loc[tested["lopsided"].eq(True), "technique"].astype(str)
    if names.empty:
        return []
    return [
        f"Caution: with {', '.join(names)} hardly any participant changes, or a few participants make the mean, at times against the direction of "
        "most, and p is then not to be relied on."
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


def _reference_name(references: str) -> str:
    """``lda without personalization``, or the best model with how often each was chosen, if it is not one for all."""
    if re.search(r" x\d+, ", references):  # a model's own name may have a comma
        return f"the best model without personalization ({references})"
    return f"{references.rsplit(' x', 1)[0]} without personalization"


def _gain_text(row: Row) -> str:
    """What a technique adds to its own model, and where that stands to the best model without personalization."""
    sign = gain_sign(str(row["metric"]))
    own_difference = float(
        row["own_difference"]
    )  # missing if the technique's model has no trials without personalization: no gain
    gains, own = sign * own_difference > 0, number(own_difference, sign=True)
    text = f"{row['technique']} of {row['model']} " + (
        f"gains {own} over {row['model']} without personalization"
        if gains
        else f"gains nothing over {row['model']} without personalization ({own})"
    )
    difference = f"difference {number(row['difference'], sign=True)} {interval(row['ci_low'], row['ci_high'])}"
    ends = f"{difference}, p {p_value(row['p_adjusted'])}, {outcome_text(row)}"
    size, name = number(abs(row["difference"])), _reference_name(str(row["references"]))
    if gains and sign * row["difference"] < 0:
        return f"{text}; {name} is {size} {'above' if row['difference'] < 0 else 'below'} it ({ends})"
    return f"{text} and is {size} {'above' if row['difference'] > 0 else 'below'} {name} ({ends})"


def beside_best_reference(rows: pd.DataFrame) -> str:
    """``best_reference_sentences`` in one line."""
    return " ".join(best_reference_sentences(rows))


def best_reference_sentences(rows: pd.DataFrame) -> tuple[str, ...]:
    """How the techniques of one (dataset, label, model) stand to the best model without personalization of the study: the one that does best against
    it in full, of the others how many are better or worse. Their numbers are in the report's table.

    Args:
        rows: of ``analysis.statistics.best_reference.compare_with_best_reference``; empty in a study of one model: then there is nothing to say.
    """
    tested = rows.dropna(subset=["p"]).to_dict("records")
    if not tested:
        return ()
    model = tested[0]["model"]
    if all(str(row["references"]).rsplit(" x", 1)[0] == model for row in tested):
        return (f"{model} is itself the best model without personalization of this study.",)
    sign = gain_sign(str(tested[0]["metric"]))
    first, *others = sorted(tested, key=lambda row: -sign * float(row["difference"]))
    texts = [f"Against the best model without personalization: {_gain_text(first)}."]
    if others:
        counts = ", ".join(f"{n} {outcome}" for outcome, n in Counter(str(row["outcome"]) for row in others).items())
        texts.append(f"The other {len(others)} do less well against it ({counts}): see the table of that name.")
    return (*texts, TIED.format(model=model)) if any(map(_below_own_model, tested)) else tuple(texts)


def _below_own_model(row: Row) -> bool:
    """Whether the chosen models do worse, on average, than the technique's own model does without personalization."""
    return bool(gain_sign(str(row["metric"])) * (row["difference"] - row["own_difference"]) > TIE)
