"""Page of all cohorts: how often each variant was declared better, worse or no different, next to the truth."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from analysis.constants import ALPHA
from analysis.validation.rate_tables import BAD_RATE, SURE, most_false_verdicts
from raylab.validity.cases import CASES, ValidityCase, Verdict

FOUND_SHARE = 0.8  # least share of cohorts in which the expected verdict must be given
MOST_BETTER = 0.1  # largest share of cohorts in which what is not better may be declared so
COLUMNS = [
    "case", "technique", "cohorts", "better", "worse", "no difference", "mean AUROC", "mean difference", "expected", "found",
]  # fmt: skip

Cohort = Mapping[str, Any]


def verdict(difference: float, p: float) -> Verdict:
    """Verdict on a difference whose adjusted p is ``p``."""
    if p <= ALPHA and difference:
        return "better" if difference > 0 else "worse"
    return "no difference"


def name_of(row: Mapping[str, Any]) -> str:
    """``technique variant`` of a row, or the technique alone if it has no variants."""
    return f"{row['technique']} {row['variant']}".removesuffix(" -")


def tested(cohort: Cohort) -> list[Mapping[str, Any]]:
    """Rows of the variants that were tested against the reference technique, so neither that technique itself nor the chance levels."""
    return [row for row in cohort["rows"] if row["p_adjusted"] is not None]


def _found_text(expected: str | None, shares: Mapping[str, float]) -> str:
    """``yes`` or ``no``: whether enough cohorts gave the expected verdict; empty without one. For no effect see ``any_verdict``."""
    if expected in (None, "no difference"):
        return ""
    return "yes" if (shares["better"] >= FOUND_SHARE if expected == "better" else shares["better"] <= MOST_BETTER) else "no"


def _row(case: ValidityCase, technique: str, rows: list[tuple[float, float, float]]) -> dict[str, Any]:
    """A row of the table from (mean, difference, adjusted p) of each cohort."""
    verdicts = [verdict(difference, p) for _, difference, p in rows]
    shares = {v: verdicts.count(v) / len(verdicts) for v in ("better", "worse", "no difference")}
    expected = case.expectation(technique)
    frame = pd.DataFrame(rows, columns=["mean", "difference", "p"])
    return {
        "case": case.name,
        "technique": technique,
        "cohorts": len(rows),
        **shares,
        "mean AUROC": frame["mean"].mean(),
        "mean difference": frame["difference"].mean(),
        "expected": expected or "",
        "found": _found_text(expected, shares),
    }


def table(cohorts: Iterable[Cohort]) -> pd.DataFrame:
    """One row per case and variant, and one per contrast; columns ``COLUMNS``."""
    by_case: dict[str, list[Cohort]] = {}
    for cohort in cohorts:
        by_case.setdefault(cohort["settings"]["case"], []).append(cohort)
    table_rows = []
    for case in (CASES[name] for name in CASES if name in by_case):
        rows: dict[str, list[tuple[float, float, float]]] = {}
        for cohort in by_case[case.name]:
            for row in tested(cohort):
                rows.setdefault(name_of(row), []).append((row["mean"], row["difference"], row["p_adjusted"]))
        table_rows += [_row(case, technique, values) for technique, values in rows.items()]
        table_rows += _contrast(case, by_case[case.name])
    return pd.DataFrame(table_rows, columns=COLUMNS)


def _contrast(case: ValidityCase, cohorts: list[Cohort]) -> list[dict[str, Any]]:
    """The direct comparison of two variants, as a row: one test per cohort, no family."""
    if not case.contrast:
        return []
    rows = [(float("nan"), cohort["contrast"]["difference"], cohort["contrast"]["p"]) for cohort in cohorts]
    row = _row(case, f"{case.contrast[0]} against {case.contrast[1].split(' ', 1)[1]}", rows)
    share = row["better"]
    return [{**row, "expected": "better", "found": "yes" if share >= FOUND_SHARE else "no"}]


def any_verdict(cohorts: Iterable[Cohort]) -> pd.DataFrame:
    """For the cases without an effect: the studies with any verdict at all, the exact 95% interval of their share, and whether they
    are few enough (``most_false_verdicts``)."""
    counts: dict[str, list[bool]] = {}
    for cohort in cohorts:
        name = cohort["settings"]["case"]
        if CASES[name].null:
            false_verdicts = [verdict(row["difference"], row["p_adjusted"]) != "no difference" for row in tested(cohort)]
            counts.setdefault(name, []).append(any(false_verdicts))
    rows = []
    for name, flags in counts.items():
        interval = binomtest(sum(flags), len(flags)).proportion_ci(0.95, "exact")
        most = most_false_verdicts(len(flags))
        passes = "too few studies" if most < 0 else "yes" if sum(flags) <= most else "no"
        rows.append([name, len(flags), sum(flags), sum(flags) / len(flags), interval.low, interval.high, passes])
    return pd.DataFrame(rows, columns=["case", "studies", "with a verdict", "share", "low", "high", "passes"])


def _markdown_table(frame: pd.DataFrame) -> list[str]:
    def cell(value: Any) -> str:
        return "" if pd.isna(value) else f"{value:.3f}" if isinstance(value, float) else str(value)

    head = [f"| {' | '.join(frame.columns)} |", "|" + " --- |" * len(frame.columns)]
    return head + ["| " + " | ".join(cell(value) for value in row) + " |" for row in frame.itertuples(index=False)]


def markdown(cohorts: list[Cohort]) -> str:
    """Both tables as Markdown, with the explanations that a reader needs."""
    people = sorted({cohort["settings"]["options"]["participants"] for cohort in cohorts})
    parts = [
        "## Each truth",
        "",
        *_markdown_table(table(cohorts)),
        "",
        f"Simulated cohorts of {' or '.join(map(str, people))} people. Verdict: AUROC against non_personalized, t of "
        f"the mean difference with its variance inflated for shared training, Holm over the variants of the cohort, {ALPHA:g}; a row with "
        f"`against` compares two variants "
        f"directly, without a family. Shares are of cohorts. Found: the expected verdict in at least {FOUND_SHARE:.0%} of the "
        f"cohorts (not better: at most {MOST_BETTER:.0%} declared better).",
    ]
    null = any_verdict(cohorts)
    if len(null):
        parts += ["", "## Where there is nothing to find", "", *_markdown_table(null), ""]
        counts = sorted({(int(n), most_false_verdicts(int(n))) for n in null["studies"]})
        limits = ", ".join(f"{most} of {n}" for n, most in counts if most >= 0) or "none of so few"
        parts += [
            "Share of studies with any verdict, and its exact 95% binomial interval. Passes: so few that a true rate of "
            f"{BAD_RATE:.0%} would have given more with a probability of {SURE:.0%}: at most {limits}."
        ]
    return "\n".join(parts) + "\n"
