"""Names that two files must share: compared in one form, and names that differ by little are named, never taken for each other."""

import re
import unicodedata
from collections.abc import Iterable


def clean(name: str) -> str:
    """A name without blanks at its ends, in the composed form of Unicode (NFC): an accented letter is one character however it was typed."""
    return unicodedata.normalize("NFC", name.strip())


def _loose(name: str) -> str:
    """What is left of a name if case, zeros in front, a spreadsheet's ``.0``, blanks, ``_``, ``-`` and invisible characters are taken away."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if unicodedata.category(c) not in ("Cf", "Cc"))
    plain = re.sub(r"(?<=\d)\.0+$", "", plain.strip())
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]+", "", plain))


def likely_same(name: str, names: Iterable[str]) -> list[str]:
    """The names that are probably meant by ``name``: other ones that differ by case, zeros in front, ``.0``, blanks or form only."""
    return [other for other in names if other != name and _loose(other) == _loose(name)]
