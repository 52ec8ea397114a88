"""Numbers as tables print them, and tables as Markdown."""

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.plain_text import printable


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """Rounded; empty if it is missing."""
    return "" if pd.isna(value) else f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def p_value(value: float) -> str:
    """Four digits; empty if it is missing."""
    return "" if pd.isna(value) else "<0.0001" if value < 0.0001 else f"{value:.4f}"


def mean_sd(mean: float, sd: float) -> str:
    """``0.890 (0.254)``; the mean alone if one participant gives no SD."""
    return number(mean) + ("" if pd.isna(sd) else f" ({number(sd)})")


def interval(low: float, high: float, sign: bool = True) -> str:
    """``[-0.012, +0.104]``; empty if an end is missing."""
    return "" if pd.isna(low) or pd.isna(high) else f"[{number(low, sign=sign)}, {number(high, sign=sign)}]"


def metric_name(metric: str) -> str:
    """The name of a column of the scores in a caption."""
    names = {"auroc": "AUROC", "balanced_accuracy": "unweighted average recall (UAR)"}
    names |= {f"{name}_macro": f"macro {name}" for name in ("precision", "recall")} | {"f1_macro": "macro F1"}
    names |= {"mcc": "MCC", "brier": "Brier score", "ece": "ECE"}
    return names.get(metric, metric.replace("_", " "))


def n_with_missing(n: int, missing: int) -> str:
    """``14 (1 missing)``."""
    return f"{n} ({missing} missing)" if missing else str(n)


def int_range(values: Iterable[float]) -> str:
    """``15``, or ``14 to 15`` if the values differ."""
    integers = sorted({int(value) for value in values})
    return f"{integers[0]}" if len(integers) == 1 else f"{integers[0]} to {integers[-1]}"


def escape(text: object) -> str:
    """One line of Markdown that shows the text itself: no column, HTML, bold or link can come out of a name."""
    line = " ".join(printable(str(text)).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in ("\\", "|", "`", "*", "~", "$"):
        line = line.replace(mark, f"\\{mark}")
    line = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", line)  # inside a word it is no mark
    return line.replace("](", "]\\(").replace("![", "\\![")


def pipe_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of plain texts."""
    lines = ["| " + " | ".join(map(escape, head)) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(escape, row)) + " |" for row in rows]


def without_empty(head: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Head and rows without the columns that are empty in every row: a model without techniques has no differences to show."""
    body = [tuple(row) for row in rows]
    kept = [place for place in range(len(head)) if not body or any(row[place] for row in body)]
    return tuple(head[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in body)


def bullets(notes: Iterable[str]) -> list[str]:
    """A Markdown list of plain sentences."""
    return [f"- {escape(note)}" for note in notes]
