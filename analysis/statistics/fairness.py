"""Scores by group, the gap between groups, and whether personalization narrows it. Descriptive: intervals, no tests.

Only the fields of ``participants.json`` are used, and only groups are shown. Of a group of under ``MIN_GROUP_SIZE`` participants the name and
the size are told, no range of ages: that would be the age of a participant.
"""

from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from analysis.arrays import Floats
from analysis.constants import INTERVAL_QUANTILES, RESAMPLES
from analysis.formatting import bullets, escape, interval, metric_name, number, pipe_table
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE
from analysis.scores.paired_scores import paired_scores, refuse_unknown_metric
from analysis.statistics.participant_groups import UNKNOWN, groupings

MIN_GROUP_SIZE = 3  # participants in a group that is scored: under it a mean says more of a participant than of a group
MEAN, GAP, REFERENCE_GAP, CHANGE, NOT_SCORED = "mean", "gap", "gap of non_personalized", "change of the gap", "not scored"
COLUMNS = [*CELL, "technique", "variant", "metric", "scoring", "grouping", "group", "what", "n", "value", "ci_low", "ci_high"]


@lru_cache(maxsize=256)
def _weights(n: int, place: int) -> Floats:
    """(RESAMPLES, n): how often each of n participants is drawn, over n; the same for every variant, so that their changes are comparable."""
    weights: Floats = np.random.default_rng([n, place]).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    return weights


def _gap(means: Floats) -> Floats:
    """Of group means along axis 0: the first minus the second of two, the largest minus the smallest of more."""
    gap: Floats = means[0] - means[1] if len(means) == 2 else means.max(axis=0) - means.min(axis=0)
    return gap


def _resampled_values(groups: list[Floats]) -> Iterator[tuple[str, int | None, Floats]]:
    """Means and gaps of the groups of one variant: name, position of the group, and the value followed by its resamples.

    Args:
        groups: of each group (n_participants, 2): score, and score of non_personalized on the same windows (NaN for non_personalized itself).

    Participants are resampled within their group, both columns together.
    """
    resamples = [np.vstack([values.mean(axis=0), _weights(len(values), place) @ values]) for place, values in enumerate(groups)]
    means = np.stack(resamples)  # (n_groups, 1 + RESAMPLES, 2)
    for place, mean in enumerate(means):
        yield MEAN, place, mean[:, 0]
    if len(groups) < 2:
        return
    gap = _gap(means)
    yield GAP, None, gap[:, 0]
    if not np.isnan(gap[0, 1]):
        yield REFERENCE_GAP, None, gap[:, 1]
        yield CHANGE, None, np.abs(gap[:, 0]) - np.abs(gap[:, 1])


def _grouping_rows(pairs: pd.DataFrame, group: "pd.Series[str]") -> Iterator[dict[str, Any]]:
    """The rows of one variant and grouping; ``pairs`` has score and baseline by participant."""
    sizes = group.reindex(pairs.index).value_counts().sort_index()
    scored = [str(name) for name, n in sizes.items() if n >= MIN_GROUP_SIZE and name != UNKNOWN]
    for name in sizes.index.difference(scored):
        yield {"group": str(name).split(":")[0], "what": NOT_SCORED, "n": int(sizes[name])}
    members = [
        pairs.loc[group.reindex(pairs.index).eq(name), ["score", "baseline"]].to_numpy(dtype=np.float64) for name in scored
    ]
    both = " - ".join(scored) if len(scored) == 2 else "largest - smallest"
    for quantity, place, values in _resampled_values(members) if members else ():
        low, high = np.quantile(values[1:], INTERVAL_QUANTILES)
        n = sum(map(len, members)) if place is None else len(members[place])
        name = both if place is None else scored[place]
        yield {"group": name, "what": quantity, "n": n, "value": values[0], "ci_low": low, "ci_high": high}


def _pairs_with_reference(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Score and reference score on the same windows, of every variant and, without a reference score, of the reference technique itself;
    means over seeds."""
    reference = scores[scores["technique"].eq(REFERENCE_TECHNIQUE) & scores["against"].eq("")]
    names = [*CELL, "technique", "variant", "participant"]
    means = reference.groupby(names, observed=True)[metric].mean().reset_index(name="score").assign(baseline=np.nan)
    return pd.concat([means, paired_scores(scores, metric)[[*names, "score", "baseline"]]], ignore_index=True).dropna(
        subset=["score"]
    )


def group_gaps(scores: pd.DataFrame, participants: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means of groups, the gap between them, and its change against non_personalized, for every variant.

    Args:
        scores: as ``analysis.score`` makes them.
        metric: a column of ``scores``.
        participants: as ``analysis.load`` gives them; no rows give no rows.

    Returns:
        one row per variant, grouping and ``what``: ``mean`` of a group; ``gap``: the first minus the second of two groups, the largest minus the
        smallest mean of more; ``gap of non_personalized`` for the same participants and windows; ``change of the gap``: of its size, negative
        if personalization narrows it; ``not scored``: a group of under ``MIN_GROUP_SIZE`` participants. ``n`` participants; 95% percentile
        bootstrap interval over participants, drawn within their groups.

    Raises:
        AnalysisError: if the scores have no such metric.

    Units:
        those of the metric.

    Source:
        ours, descriptive; the bootstrap: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    refuse_unknown_metric(scores, metric)
    rows = []
    people = (
        {names: part.set_index("participant") for names, part in participants.groupby(CELL[:2], observed=True)}
        if len(participants)
        else {}
    )
    groups = {names: groupings(members) for names, members in people.items()}  # of all models
    for names, cell in _pairs_with_reference(scores, metric).groupby(CELL, sort=True, observed=True):
        for grouping, group in groups.get(names[:2], {}).items():
            for (technique, variant), part in cell.groupby(["technique", "variant"], sort=False, observed=True):
                pairs = part.set_index("participant")
                pairs = pairs.dropna(subset=["baseline"]) if pairs["baseline"].notna().any() else pairs
                shared = {"technique": technique, "variant": variant, "metric": metric, "scoring": scores["scoring"].iloc[0]}
                rows += [
                    dict(zip(CELL, names, strict=True)) | shared | {"grouping": grouping} | row
                    for row in _grouping_rows(pairs, group)
                ]
    return pd.DataFrame(rows, columns=COLUMNS)


def summarize_groups(part: pd.DataFrame) -> list[str]:
    """A sentence for each grouping of one (dataset, label, model): its groups, and what non_personalized scores in them."""
    return [_group_sentence(part, str(name)) for name in part["grouping"].unique()]


def groupings_with_gap(part: pd.DataFrame) -> list[str]:
    """The groupings that have a gap: columns of the printed table."""
    return [str(name) for name in part.loc[part["what"].eq(GAP), "grouping"].unique()]


def rows(part: pd.DataFrame) -> list[list[str]]:
    """The rows as printed: technique, variant, and ``groupings_with_gap``."""
    shown_groupings = groupings_with_gap(part)
    return [_printed_row(variant, shown_groupings) for _, variant in part.groupby(["technique", "variant"], sort=False)]


def _group_sentence(part: pd.DataFrame, grouping: str) -> str:
    first_technique = part[part["technique"].eq(part["technique"].iloc[0]) & part["grouping"].eq(grouping)]
    first_variant = first_technique[first_technique["variant"].eq(first_technique["variant"].iloc[0])]
    records = first_variant.to_dict("records")
    groups = [f"{row['group']} {number(row['value'])} (n={row['n']})" for row in records if row["what"] == MEAN]
    groups += [f"{row['group']} not scored (n={row['n']})" for row in records if row["what"] == NOT_SCORED]
    return f"{grouping}, mean of {first_technique['technique'].iloc[0]}: {'; '.join(groups)}."


def _printed_row(variant: pd.DataFrame, shown_groupings: list[str]) -> list[str]:
    """A variant: in each grouping the change of its gap; the reference technique: its gap."""
    first = variant.iloc[0]
    quantity = GAP if first["technique"] == REFERENCE_TECHNIQUE else CHANGE
    by_grouping = {row["grouping"]: row for row in variant[variant["what"].eq(quantity)].to_dict("records")}
    cells = [_gap_text(by_grouping.get(name)) for name in shown_groupings]
    return [str(first["technique"]), str(first["variant"]), *cells]


def _gap_text(row: dict[Hashable, Any] | None) -> str:
    """A gap or its change with its interval."""
    if row is None:
        return ""
    return f"{number(row['value'], sign=True)} {interval(row['ci_low'], row['ci_high'])}"


CAPTION = (
    "First row: the gap of non_personalized between groups (of two: the first minus the second; of more: the largest minus the smallest "
    "mean, which is above zero by chance alone). Other rows: how the size of the gap changes against non_personalized (negative: "
    "personalization narrows it). 95% percentile bootstrap intervals over people within their groups, which are too narrow for groups "
    "this small: with groups of 3 and 12 people about 15% leave out the true change, so that no gap is called narrower or wider. "
    "Descriptive: many intervals, none adjusted. Groups of under "
    f"{MIN_GROUP_SIZE} people are not scored. Trait clusters are of all people at once, not those that techniques used."
)


def markdown(table: pd.DataFrame) -> str:
    """The changes of the gaps, a row per variant and a column per grouping, and who the groups are."""
    if table.empty:
        return "This run does not say who its people are (no participants.json); `raylab run` on it again writes that and trains nothing.\n"
    lines: list[str] = []
    for names, part in table.groupby(CELL, sort=True):
        lines += [f"### {escape(' / '.join(map(str, names)))}", "", *bullets(summarize_groups(part)), ""]
        if shown_groupings := groupings_with_gap(part):
            lines += [
                *pipe_table(["technique", "variant", *shown_groupings], rows(part)),
                "",
                f"{metric_name(part['metric'].iloc[0])}. {CAPTION}",
                "",
            ]
        else:
            lines += [f"No grouping has two groups of {MIN_GROUP_SIZE} people.", ""]
    return "\n".join(lines).rstrip() + "\n"
