"""Emotion or the clock: what order alone reaches, and every variant among pairs of windows of either order."""

import pandas as pd

from analysis.formatting import number, without_empty
from analysis.report.html import TableBlock
from analysis.report.report_data import ReportCell, ReportData
from analysis.report.report_part import ReportPart, SectionContent
from analysis.scores.chance_levels import CLOCK
from analysis.scores.keys import CELL, REFERENCE_TECHNIQUE, variant_label
from analysis.scores.paired_scores import paired_scores

HALVES = {"auroc_later": "class later", "auroc_earlier": "class earlier"}
CAPTION = (
    "AUROC per participant, mean; class later, earlier: among the pairs of windows in which the class came later, or earlier (in brackets how many "
    "participants have such pairs); order-balanced: the mean of both. Signals drift: what only drift makes has 0.5. Differences are to "
    "non_personalized on the same windows."
)
HEAD = (
    "technique", "variant", "AUROC", "class later", "class earlier", "order-balanced", "difference in AUROC", "difference, order-balanced",
)  # fmt: skip


def order_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """One row for each technique and variant of a (dataset, label, model), of the scores on its own windows: means over participants of AUROC
    and of both halves, how many participants have each, and the differences to the reference technique in AUROC and in the order-balanced one.

    A row without times has no halves; nothing is tested here.
    """
    if scores.empty or (scores["auroc_later"].isna().all() and scores["auroc_earlier"].isna().all()):
        return pd.DataFrame()
    rows = []
    differences = {
        name: paired_scores(scores, name).groupby([*CELL, "technique", "variant"], observed=True)["difference"].mean()
        for name in ("auroc", *HALVES)
    }
    own = scores[scores["against"].eq("")]
    for names, part in own.groupby([*CELL, "technique", "variant"], observed=True, sort=False):
        of_people = part.groupby("participant", observed=True)[["auroc", *HALVES]].mean()
        later, earlier = of_people["auroc_later"], of_people["auroc_earlier"]
        halves = [differences[name].get(names, float("nan")) for name in HALVES]
        rows.append(
            dict(zip([*CELL, "technique", "variant"], names, strict=True))
            | {"auroc": of_people["auroc"].mean(), "later": later.mean(), "earlier": earlier.mean()}
            | {"n_later": later.count(), "n_earlier": earlier.count(), "balanced": (later.mean() + earlier.mean()) / 2}
            | {"difference": differences["auroc"].get(names, float("nan")), "difference_balanced": sum(halves) / 2}
        )
    frame = pd.DataFrame(rows)
    place = {REFERENCE_TECHNIQUE: 0, CLOCK: 1}
    return frame.sort_values("technique", key=lambda names: names.map(place).fillna(2), kind="stable", ignore_index=True)


def _cells(row: dict[str, object]) -> tuple[str, ...]:
    counted = [
        f"{number(float(str(row[half])))} ({row[f'n_{half}']})" if row[f"n_{half}"] else "-" for half in ("later", "earlier")
    ]
    numbers = [
        number(float(str(row["balanced"]))),
        *(number(float(str(row[name])), sign=True) for name in ("difference", "difference_balanced")),
    ]
    return str(row["technique"]), str(row["variant"]), number(float(str(row["auroc"]))), *counted, *numbers


def _sentences(part: pd.DataFrame) -> list[str]:
    """What the clock reaches, and which gains do not stand in the order-balanced score."""
    found = []
    by_name = part.set_index("technique")
    clock = by_name["auroc"].get(CLOCK)
    reference = by_name["auroc"].get(REFERENCE_TECHNIQUE)
    if clock is not None and reference is not None:
        more = "more than" if clock > reference else "less than"
        found.append(
            f"The time since the start, without any signal, reaches an AUROC of {number(float(clock))}: {more} the model without "
            f"personalization ({number(float(reference))})."
        )
    gone = part[(part["difference"] > 0) & (part["difference_balanced"] <= 0)]
    if len(gone):
        names = ", ".join(variant_label(str(row.technique), str(row.variant)) for row in gone.itertuples())
        found.append(f"Gains in AUROC that the order-balanced score does not show: {names}.")
    if part["balanced"].isna().all():
        found.append("Every participant has the classes in one order only, so nothing here can be told from drift.")
    return found


def _section(report: ReportData, cell: ReportCell) -> SectionContent | None:
    part = report.rows("order", cell)
    if part.empty:
        return None
    rows = (_cells({str(k): v for k, v in row.items()}) for row in part.to_dict("records"))
    table = TableBlock(CAPTION, *without_empty(HEAD, rows), name_columns=2)
    return SectionContent(items=tuple(_sentences(part)), blocks=(table,))


ORDER = ReportPart(
    "order",
    compute=lambda tables, report: order_rows(report.scores),
    title="Emotion or the clock",
    cell=_section,
    descriptive=True,
)
