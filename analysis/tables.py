"""The comparison as text: Markdown for people, rows of strings for a terminal."""

import numpy as np
import pandas as pd

from analysis.references import REFERENCES

HEAD = ("technique", "variant", "mean (SD)", "n", "difference", "95% interval", "effect", "p", "p Holm")


def _number(value: float, digits: int = 3, sign: bool = False) -> str:
    return "" if pd.isna(value) else f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _p(value: float) -> str:
    return "" if pd.isna(value) else "<0.0001" if value < 0.0001 else f"{value:.4f}"


def cells(row: "pd.Series[float]") -> tuple[str, ...]:
    """One row of the comparison as printed, in the order of ``HEAD``."""
    missing = f" ({row['n_missing']} missing)" if row["n_missing"] else ""
    interval = "" if pd.isna(row["ci_low"]) else f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
    return (
        str(row["technique"]),
        str(row["variant"]),
        f"{_number(row['mean'])} ({_number(row['sd'])})",
        f"{row['n_participants']}{missing}",
        _number(row["difference"], sign=True),
        interval,
        _number(row["effect_size"], 2, sign=True),
        _p(row["p"]),
        _p(row["p_adjusted"]),
    )


def caption(part: pd.DataFrame) -> str:
    """What a reader must know of the numbers above it: metric, pairing, test, family, and its limits."""
    tested = part.dropna(subset=["p"])
    first = part.iloc[0]
    text = f"{first['metric'].upper() if first['metric'] == 'auroc' else first['metric']}, mean (SD) over participants; scoring: {first['scoring']}."
    if tested.empty:
        return text + " No variant to test against non_personalized."
    size = int(tested["family_size"].iloc[0])
    least = 2.0 ** (1 - int(tested["n_participants"].max())) * size
    text += (
        f" Difference to non_personalized on the same windows, paired over participants; {tested['test'].iloc[0]}, two-sided, "
        f"Holm over the {size} variants of this dataset, label and model; BCa interval; effect: rank-biserial. "
        "Leave-one-participant-out scores share training data, so tests are approximate."
    )
    if least > 0.05:
        text += f" With this many participants and variants no adjusted p can fall under {min(1.0, least):.3f}."
    return text


def markdown(comparison: pd.DataFrame, notes: tuple[str, ...] = ()) -> str:
    """A table per (dataset, label, model), each with its caption, then the run's notes."""
    lines: list[str] = []
    for names, part in comparison.groupby(["dataset", "label", "model"], sort=True):
        lines += [
            f"### {' / '.join(str(name) for name in names)}",
            "",
            "| " + " | ".join(HEAD) + " |",
            "|" + " --- |" * len(HEAD),
        ]
        lines += ["| " + " | ".join(cells(row)) + " |" for _, row in part.iterrows()]
        lines += ["", caption(part), ""]
    lines += [f"- {note}" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


def gains(scores: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Who gains: the difference of each variant to the baseline for each participant (mean over seeds), participants in columns."""
    keys = ["dataset", "label", "model"]
    base = scores[scores["against"].ne("")].groupby([*keys, "against", "participant"], observed=True)[metric].mean()
    mine = scores[~scores["technique"].isin(["non_personalized", *REFERENCES])].copy()
    mine["against"] = (mine["technique"] + " " + mine["variant"]).str.removesuffix(" -")
    own = mine.groupby([*keys, "against", "participant"], observed=True)[metric].mean()
    both = (own - base).rename("difference").reset_index()
    if both.empty:
        return pd.DataFrame()
    return both.pivot_table(index=[*keys, "against"], columns="participant", values="difference", aggfunc="first").replace(
        {np.nan: None}
    )
