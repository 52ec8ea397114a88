"""Scores by group, the gap between groups, and whether personalization narrows it. Descriptive: intervals, no tests.

Only what ``participants.json`` keeps of people is used, and only groups are shown. Of a group of under ``MIN_GROUP_SIZE`` people the name and the
size are told, no range of ages: that would be somebody's age.
"""

from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.formatting import bullets, escape, interval, metric_name, number, pipe_table
from analysis.scores.paired_scores import paired_scores
from analysis.scores.scores import CELL, REFERENCE_TECHNIQUE
from analysis.statistics.participant_groups import UNKNOWN, groupings

MIN_GROUP_SIZE = 3  # people in a group that is scored: under it a mean says more of a person than of a group
RESAMPLES = 9999
MEAN, GAP, BASE_GAP, CHANGE, NOT_SCORED = "mean", "gap", "gap of non_personalized", "change of the gap", "not scored"
COLUMNS = [*CELL, "technique", "variant", "metric", "scoring", "grouping", "group", "what", "n", "value", "ci_low", "ci_high"]

Numbers = npt.NDArray[np.float64]


@lru_cache(maxsize=256)
def _weights(n: int, place: int) -> Numbers:
    """(RESAMPLES, n): how often each of n people is drawn, over n; the same for every variant, so that their changes are comparable."""
    drawn: Numbers = np.random.default_rng([n, place]).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    return drawn


def _gap(means: Numbers) -> Numbers:
    """Of group means along axis 0: the first minus the second of two, the largest minus the smallest of more."""
    gap: Numbers = means[0] - means[1] if len(means) == 2 else means.max(axis=0) - means.min(axis=0)
    return gap


def _values(groups: list[Numbers]) -> Iterator[tuple[str, int | None, Numbers]]:
    """What is told of the groups of one variant: name, position of the group, and the value followed by its resamples.

    Args:
        groups: of each group (n_people, 2): score, and score of non_personalized on the same windows (NaN for the baseline itself).

    People are resampled within their group, both columns together.
    """
    drawn = [np.vstack([values.mean(axis=0), _weights(len(values), place) @ values]) for place, values in enumerate(groups)]
    means = np.stack(drawn)  # (n_groups, 1 + RESAMPLES, 2)
    for place, mean in enumerate(means):
        yield MEAN, place, mean[:, 0]
    if len(groups) < 2:
        return
    gap = _gap(means)
    yield GAP, None, gap[:, 0]
    if not np.isnan(gap[0, 1]):
        yield BASE_GAP, None, gap[:, 1]
        yield CHANGE, None, np.abs(gap[:, 0]) - np.abs(gap[:, 1])


def _gap_words(one: pd.DataFrame, group: "pd.Series[str]") -> Iterator[dict[str, Any]]:
    """The rows of one variant and grouping; ``one`` has score and baseline by participant."""
    sizes = group.reindex(one.index).value_counts().sort_index()
    scored = [str(name) for name, n in sizes.items() if n >= MIN_GROUP_SIZE and name != UNKNOWN]
    for name in sizes.index.difference(scored):
        yield {"group": str(name).split(":")[0], "what": NOT_SCORED, "n": int(sizes[name])}
    members = [one.loc[group.reindex(one.index).eq(name), ["score", "baseline"]].to_numpy(dtype=np.float64) for name in scored]
    both = " - ".join(scored) if len(scored) == 2 else "largest - smallest"
    for what, place, values in _values(members) if members else ():
        low, high = np.quantile(values[1:], [0.025, 0.975])
        n = sum(map(len, members)) if place is None else len(members[place])
        name = both if place is None else scored[place]
        yield {"group": name, "what": what, "n": n, "value": values[0], "ci_low": low, "ci_high": high}


def _by_variant(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Score and baseline on the same windows, of every variant and, without a baseline, of the baseline itself; means over seeds."""
    base = scores[scores["technique"].eq(REFERENCE_TECHNIQUE) & scores["against"].eq("")]
    names = [*CELL, "technique", "variant", "participant"]
    own = base.groupby(names, observed=True)[metric].mean().reset_index(name="score").assign(baseline=np.nan)
    return pd.concat([own, paired_scores(scores, metric)[[*names, "score", "baseline"]]], ignore_index=True).dropna(
        subset=["score"]
    )


def gaps(scores: pd.DataFrame, participants: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means of groups, the gap between them, and its change against non_personalized, for every variant.

    Args:
        participants: as ``analysis.load`` gives them; no rows give no rows.

    Returns:
        one row per variant, grouping and ``what``: ``mean`` of a group; ``gap``: the first minus the second of two groups, the largest minus the
        smallest mean of more; ``gap of non_personalized`` for the same people and windows; ``change of the gap``: of its size, negative
        where personalization narrows it; ``not scored``: a group of under ``MIN_GROUP_SIZE`` people. ``n`` people; 95% percentile bootstrap
        interval over people, drawn within their groups.
    """
    rows = []
    every = _by_variant(scores, metric)
    for names, cell in every.groupby(CELL, sort=True, observed=True):
        people = participants[(participants[CELL[:2]] == list(names[:2])).all(axis=1)].set_index("participant")
        for grouping, group in groupings(people).items() if len(people) else ():
            for (technique, variant), part in cell.groupby(["technique", "variant"], sort=False, observed=True):
                one = part.set_index("participant")
                one = one.dropna(subset=["baseline"]) if one["baseline"].notna().any() else one
                shared = {"technique": technique, "variant": variant, "metric": metric, "scoring": scores["scoring"].iloc[0]}
                rows += [
                    dict(zip(CELL, names, strict=True)) | shared | {"grouping": grouping} | row
                    for row in _gap_words(one, group)
                ]
    return pd.DataFrame(rows, columns=COLUMNS)


def summarize_groups(part: pd.DataFrame) -> list[str]:
    """A sentence for each grouping of one (dataset, label, model): its groups, and what the baseline scores in them."""
    return [_groups(part, str(name)) for name in part["grouping"].unique()]


def columns(part: pd.DataFrame) -> list[str]:
    """The groupings that have a gap."""
    return [str(name) for name in part.loc[part["what"].eq(GAP), "grouping"].unique()]


def rows(part: pd.DataFrame) -> list[list[str]]:
    """The rows as printed: technique, variant, and ``columns``."""
    shown = columns(part)
    return [_line(one, shown) for _, one in part.groupby(["technique", "variant"], sort=False)]


def _groups(part: pd.DataFrame, grouping: str) -> str:
    own = part[part["technique"].eq(part["technique"].iloc[0]) & part["grouping"].eq(grouping)]
    first = own[own["variant"].eq(own["variant"].iloc[0])]
    records = first.to_dict("records")
    said = [f"{row['group']} {number(row['value'])} (n={row['n']})" for row in records if row["what"] == MEAN]
    said += [f"{row['group']} not scored (n={row['n']})" for row in records if row["what"] == NOT_SCORED]
    return f"{grouping}, mean of {own['technique'].iloc[0]}: {'; '.join(said)}."


def _line(one: pd.DataFrame, shown: list[str]) -> list[str]:
    """A variant: in each grouping the change of its gap; the baseline: its gap."""
    first = one.iloc[0]
    what = GAP if first["technique"] == REFERENCE_TECHNIQUE else CHANGE
    found = {row["grouping"]: row for row in one[one["what"].eq(what)].to_dict("records")}
    return [str(first["technique"]), str(first["variant"]), *(_gap_sentence(found.get(name), what) for name in shown)]


def _gap_sentence(row: dict[Hashable, Any] | None, what: str) -> str:
    """A gap or its change with its interval, and what the interval says of a change."""
    if row is None:
        return ""
    said = f"{number(row['value'], sign=True)} {interval(row['ci_low'], row['ci_high'])}"
    return said + ("" if what == GAP else " narrower" if row["ci_high"] < 0 else " wider" if row["ci_low"] > 0 else "")


CAPTION = (
    "First row: the gap of non_personalized between groups (of two: the first minus the second; of more: the largest minus the smallest "
    "mean, which is above zero by chance alone). Other rows: how the size of the gap changes against non_personalized on the same windows "
    "(negative: personalization narrows it). 95% percentile bootstrap intervals over people within their groups, too narrow for groups this "
    "small; narrower or wider stands where the interval leaves out zero. Descriptive: many intervals, none adjusted. Groups of under "
    f"{MIN_GROUP_SIZE} people are not scored. Trait clusters are of all people at once, not those that techniques used."
)


def markdown(table: pd.DataFrame) -> str:
    """The changes of the gaps, a row per variant and a column per grouping, and who the groups are."""
    if table.empty:
        return "This run does not say who its people are (no participants.json); `raylab run` on it again writes that and trains nothing.\n"
    lines: list[str] = []
    for names, part in table.groupby(CELL, sort=True):
        lines += [
            f"### {escape(' / '.join(map(str, names)))}",
            "",
            *bullets(summarize_groups(part)),
            "",
        ]
        if columns(part):
            lines += [
                *pipe_table(["technique", "variant", *columns(part)], rows(part)),
                "",
                f"{metric_name(part['metric'].iloc[0])}. {CAPTION}",
                "",
            ]
        else:
            lines += [f"No grouping has two groups of {MIN_GROUP_SIZE} people.", ""]
    return "\n".join(lines).rstrip() + "\n"
