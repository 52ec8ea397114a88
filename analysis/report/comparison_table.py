"""The comparison as text, in the long form: every variant is a row. Markdown, LaTeX, and rows of strings for a terminal."""

import numpy as np
import pandas as pd

from analysis.formatting import (
    bullets,
    escape,
    int_range,
    interval,
    mean_sd,
    metric_name,
    n_with_missing,
    number,
    p_value,
    pipe_table,
)
from analysis.report import latex as tex
from analysis.scores.chance_levels import CHANCE_LEVELS, TEXT_CEILING
from analysis.scores.scores import CELL

HEADINGS = ("technique", "variant", "mean (SD)", "n", "difference", "95% interval", "effect", "p", "p Holm")
LEVEL = 0.05
UNREACHABLE_MARK = "°"
SCORINGS = {
    "paired": "paired (both sides of a difference on the windows that the variant was tested on)",
    "published": "published (non_personalized on all windows, a variant on those that it did not train on)",
}


def title(names: object) -> str:
    """``wesad / stress / fcn``: how a table calls its (dataset, label, model)."""
    return " / ".join(map(str, names)) if isinstance(names, tuple) else str(names)


def rows(part: pd.DataFrame) -> list[tuple[str, ...]]:
    """The rows of one (dataset, label, model) as printed, in the order of ``HEADINGS``."""
    return [
        (
            str(row["technique"]),
            str(row["variant"]),
            mean_sd(row["mean"], row["sd"]),
            n_with_missing(row["n_participants"], row["n_missing"]),
            number(row["difference"], sign=True),
            interval(row["ci_low"], row["ci_high"]),
            number(row["effect_size"], 2, sign=True),
            p_value(row["p"]),
            p_value(row["p_adjusted"]) + (UNREACHABLE_MARK if row["least_p"] >= LEVEL else ""),
        )
        for row in part.to_dict("records")
    ]


def caption(part: pd.DataFrame) -> str:
    """What a reader must know of the numbers: metric, n, scoring, pairing, test, family, and its limits."""
    tested = part.dropna(subset=["p"])
    first = part.iloc[0]
    said = [
        f"{metric_name(first['metric'])}, mean (SD) over {int_range(part['n_participants'])} participants; "
        f"scoring: {SCORINGS.get(first['scoring'], first['scoring'])}."
    ]
    if part["technique"].eq(TEXT_CEILING).any():
        said.append(
            f"{TEXT_CEILING}: an oracle that knows how often each transcript has each class among these very windows; over all of them together no "
            "model of the transcript alone is more often right, or has a higher unweighted average recall."
        )
    if tested.empty:
        return f"{' '.join(said)} No variant to test against non_personalized."
    size = int(tested["family_size"].iloc[0])
    said += [
        f"Difference to non_personalized on the same windows, paired over participants; {' or '.join(tested['test'].unique())}, "
        f"two-sided, Holm over the family of {size} variants of this dataset, label and model; 95% BCa interval; effect: paired rank-biserial.",
        "Scores of different participants share training data, so tests are approximate.",
    ]
    if lost := int(part["n_missing"].sum()):
        said.append(f"Scores missing on one side were dropped pairwise: {lost}, counted under n.")
    return " ".join([*said, *unreachable_note(part)])


def unreachable_note(part: pd.DataFrame) -> list[str]:
    """A sentence where zeros, n and the family's size leave p no room."""
    floor = part["least_p"].dropna()
    if (hopeless := int(floor.ge(LEVEL).sum())) == 0:
        return []
    means = f"{UNREACHABLE_MARK}: with this row's nonzero differences and a family of this size, no adjusted p can come under {LEVEL}"
    if hopeless < len(floor):
        return [f"{means} ({hopeless} of {len(floor)} rows)."]
    return [f"{means}: that is every row here, and no adjusted p can fall under {floor.min():.3f}."]


def markdown(comparison: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """A table per (dataset, label, model), each with its caption, then the run's notes."""
    lines: list[str] = []
    for names, part in comparison.groupby(CELL, sort=True):
        lines += [f"### {escape(title(names))}", "", *pipe_table(HEADINGS, rows(part)), "", escape(caption(part)), ""]
    return "\n".join([*lines, *bullets(notes)]).rstrip() + "\n"


def latex(comparison: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """The same tables for \\input, the run's notes under each."""
    made = []
    for names, part in comparison.groupby(CELL, sort=True):
        text = f"{title(names)}: {caption(part)}"
        made.append(tex.table(HEADINGS, rows(part), left=2, caption=text, label=f"comparison-{title(names)}", notes=notes))
    return "\n".join(made)


def gains(scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Who gains: the difference of each variant to the baseline for each participant (mean over seeds), participants in columns."""
    base = scores[scores["against"].ne("")].groupby([*CELL, "against", "participant"], observed=True)[metric].mean()
    mine = scores[~scores["technique"].isin(["non_personalized", *CHANCE_LEVELS])].copy()
    mine["against"] = (mine["technique"] + " " + mine["variant"]).str.removesuffix(" -")
    own = mine.groupby([*CELL, "against", "participant"], observed=True)[metric].mean()
    both = (own - base).rename("difference").reset_index()
    if both.empty:
        return pd.DataFrame()
    return both.pivot_table(index=[*CELL, "against"], columns="participant", values="difference", aggfunc="first").replace(
        {np.nan: None}
    )
