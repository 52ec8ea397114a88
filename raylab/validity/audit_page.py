"""What an audit says: sentences, tables of texts, plain values, and a page."""

from dataclasses import asdict
from typing import Any

import numpy as np

from analysis.formatting import number, pipe_table
from analysis.report.html import Answer, Page, Section, TableBlock, render
from analysis.scores.channel_scores import ALL, CHANCE, NEAR, channel_sentences, score_cells
from raylab.validity.audit import CLOCK, LabelAudit
from raylab.windows.card import WindowsCard

HEAD = ("model", "AUROC, mean (SD)", "smallest", "later", "earlier", "balanced", "near a change")
CAPTION = (
    "AUROC per person, every person held out in turn, mean over people. Later, earlier: among the pairs of windows in which the class came "
    "later, or earlier; in brackets how many people have such pairs. Balanced: the mean of both. Near a change: windows within three minutes of a "
    "change of label."
)


def _order_sentences(audit: LabelAudit) -> list[str]:
    """Which class came first, for how many people."""
    if not audit.orders:
        return ["These are utterances: their files do not say when they were spoken, so nothing can be said of their order."]
    return [pair.sentence for pair in audit.orders]


def _runs_sentence(audit: LabelAudit) -> list[str]:
    if audit.runs is None or not len(audit.runs):
        return []
    if (audit.runs <= 1).all():
        return [
            "Every person has one run of each class: calibration and test windows share it, so a gain of calibration may be the identity of the "
            "run (run_identity reaches 1)."
        ]
    low, high = audit.runs.min(axis=0), audit.runs.max(axis=0)
    counts = ", ".join(
        f"{low[k]} of {name}" if low[k] == high[k] else f"{low[k]} to {high[k]} of {name}"
        for k, name in enumerate(audit.classes)
    )
    return [f"Runs per person: {counts}; calibrate by whole runs (unit: block)."]


def _at_chance(auroc: float) -> bool:
    return 1 - CHANCE <= auroc <= CHANCE


def _clock_sentence(audit: LabelAudit) -> list[str]:
    if not audit.orders:
        return []
    clock, signals = audit.mean(CLOCK), audit.mean(ALL)
    if _at_chance(clock) and _at_chance(signals):
        return [
            f"Neither the clock ({number(clock)}) nor a linear model of all channels ({number(signals)}) tells the classes apart."
        ]
    if clock < 1 - CHANCE:
        return [
            f"A clock learned from the other people is turned round ({number(clock)}): people have opposite orders. A linear model of all channels "
            f"has {number(signals)}."
        ]
    text = f"The clock alone reaches an AUROC of {number(clock)}, a linear model of all channels {number(signals)}"
    verdict = "the clock tells more than the signals" if clock > signals else "the signals tell more than the clock"
    return [f"{text}: {verdict if abs(clock - signals) > NEAR else 'the two cannot be told apart by this'}."]


def _halves_sentence(audit: LabelAudit) -> list[str]:
    later, earlier = audit.mean(ALL, "later"), audit.mean(ALL, "earlier")
    if not audit.orders or (_at_chance(audit.mean(ALL)) and not abs(later - earlier) > 2 * (CHANCE - 0.5)):
        return []  # in either order
    if np.isnan(later) or np.isnan(earlier):
        known = "later" if np.isnan(earlier) else "earlier"
        return [f"Nobody has the other order ({known} only), so no order-balanced score exists."]
    text = (
        f"Where the class came later the linear model has {number(later)}, where it came earlier {number(earlier)}: order-balanced "
        f"{number((later + earlier) / 2)}"
    )
    weaker = min(later, earlier)
    if weaker <= CHANCE:
        return [f"{text}; in one of the two orders it is at chance or turned round, so what it ranks by is drift."]
    if abs(later - earlier) <= 0.05:
        return [f"{text}; it holds in both orders, so drift does not explain it."]
    return [f"{text}; it holds in both orders, and drift adds to it in one."]


def channel_lines(audit: LabelAudit) -> list[str]:
    """Which channels come near the linear model of all of them without training, and which mislead."""
    return channel_sentences(audit.scores, audit.mean(ALL), "the linear model of all channels")


def sentences(audit: LabelAudit) -> list[str]:
    """What the label can and cannot show, the most important first."""
    trend = [
        f"Inside a run of one class the linear model's score {'rises' if audit.trend > 0 else 'falls'} with time (mean correlation "
        f"{audit.trend:+.2f})."
    ] * (not np.isnan(audit.trend) and abs(audit.trend) >= 0.2)
    tied = [
        "Every segment of a recording holds one class only: whatever differs between segments tells the class."
    ] * audit.sessions_tied
    return [
        *_order_sentences(audit),
        *_clock_sentence(audit),
        *_halves_sentence(audit),
        *_runs_sentence(audit),
        *tied,
        *channel_lines(audit),
        *trend,
        *audit.context,
    ]


def table_rows(audit: LabelAudit) -> list[tuple[str, ...]]:
    """The rows of the table: the clock, all channels, then each channel's mean, alone and left out."""
    return [
        (str(model), *score_cells(scores), number(scores["border"].mean()) if scores["border"].count() else "-")
        for model, scores in audit.scores.groupby("model", sort=False)
    ]


def as_dict(audit: LabelAudit) -> dict[str, Any]:
    """Plain values for JSON, missing ones as None."""
    by_model = {
        str(model): {
            name: _plain(value)
            for name, value in {
                "auroc": part["auroc"].mean(),
                "auroc_sd": part["auroc"].std(ddof=1),
                "auroc_min": part["auroc"].min(),
                "later": part["later"].mean(),
                "earlier": part["earlier"].mean(),
                "balanced": audit.balanced(str(model)),
                "border": part["border"].mean(),
            }.items()
        }
        for model, part in audit.scores.groupby("model", sort=False)
    }
    return {
        "label": audit.label,
        "classes": list(audit.classes),
        "people": list(audit.participants),
        "fixed_by_the_clock": audit.fixed,
        "orders": [asdict(pair) for pair in audit.orders],
        "models": by_model,
        "trend_within_runs": _plain(audit.trend),
        "sentences": sentences(audit),
    }


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def page(card: WindowsCard, audits: list[LabelAudit]) -> str:
    """The audit as one HTML page."""
    sections = [
        Section(
            f"{audit.label} ({', '.join(audit.classes)})",
            items=tuple(sentences(audit)),
            blocks=(TableBlock(CAPTION, HEAD, tuple(table_rows(audit))),),
        )
        for audit in audits
    ]
    return render(
        Page(
            title=f"{card.dataset}: emotion or the clock?",
            intro=f"{len(card.participants)} people, {card.preprocessing.description}.",
            answer=Answer("What the labels follow.", cautions=(("Caution.", card.caution),) if card.caution else ()),
            verdicts=tuple((section, section.items[:3]) for section in sections),
            method=(
                "No network: the clock is a boosted tree on the seconds since the recording and the segment began.",
                "All else is linear discriminant analysis on statistics of each window, or the mean of a channel without training.",
                f"Fingerprint of the windows: {card.fingerprint}.",
            ),
            sections=tuple(sections),
        )
    )


def markdown(card: WindowsCard, audits: list[LabelAudit]) -> str:
    """The audit as a page of a repository."""
    lines = [f"# {card.dataset}: emotion or the clock?", ""]
    for audit in audits:
        lines += [f"## {audit.label}", "", *(f"- {sentence}" for sentence in sentences(audit)), ""]
        lines += [*pipe_table(HEAD, table_rows(audit)), "", CAPTION, ""]
    return "\n".join(lines)
