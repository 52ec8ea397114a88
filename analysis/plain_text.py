"""Texts of a run folder (names, errors, notes) made harmless where they are read, and csv that a spreadsheet does not take for formulas.

A run folder may come from anybody, so its texts are data: they must not command a terminal, break a picture's XML or turn a page's writing.
"""

import re
from typing import Any

import pandas as pd

# as raylab.names.printable, which this package does not import; a test compares them
_NOT_SHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # a cell that starts like this is computed


def printable(text: str) -> str:
    """The text with ``\\x1b`` and the like in place of characters that do not print; lines stay lines."""
    return _NOT_SHOWN.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def printable_values(value: Any) -> Any:
    """A parsed JSON value with every text in it, keys included, made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(item) for key, item in value.items()}
    return [printable_values(item) for item in value] if isinstance(value, list) else value


def printable_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every text in it made printable; the same object if nothing is changed."""
    changed = {}
    for name in frame.columns:
        if frame[name].dtype != object and not isinstance(frame[name].dtype, pd.StringDtype):
            continue
        texts = {text: printable(text) for text in frame[name] if isinstance(text, str)}
        if any(text != shown for text, shown in texts.items()):
            changed[name] = [texts.get(cell, cell) if isinstance(cell, str) else cell for cell in frame[name]]
    return frame.assign(**changed) if changed else frame


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as csv without its index; texts that a spreadsheet would compute have an apostrophe in front, numbers stay as they are."""
    safe = frame.copy(deep=False)
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if not pd.api.types.is_numeric_dtype(column) and any(_is_formula(cell) for cell in column.unique()):
            safe.isetitem(place, [f"'{cell}" if _is_formula(cell) else cell for cell in column])
    safe.columns = pd.Index([f"'{name}" if _is_formula(name) else name for name in frame.columns])
    return safe.to_csv(index=False)


def _is_formula(cell: object) -> bool:
    """Whether a spreadsheet would compute this cell: a sign alone and a plain number are what they look like."""
    return isinstance(cell, str) and len(cell) > 1 and cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell)
