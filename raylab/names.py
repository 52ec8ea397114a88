"""Names that users choose (participants, channels, labels, classes, folders), made fit for the layers that take less than Unicode text.

A name is kept as it is, in NFC. A folder gets it percent-encoded, as Hive and Arrow do; a layer that takes ASCII only gets it encoded too; a
terminal and a picture get escape sequences in place of control characters. Names with control characters are refused before work is done.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from raylab.errors import RaylabError

LONGEST_PART = 150  # of the 255 bytes that file systems allow, less the suffixes of temporary files
KEPT_OF_LONG = 110
# Control characters but tab and line feed, marks that turn the direction of writing, line separators, halves of pairs, and what XML forbids:
# none of them prints, and some make a terminal or a page show something other than the text.
_UNPRINTABLE = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff"
_INVISIBLE = "\t\n\u00ad\u200b\u2060\ufeff"  # in text they do no harm; in a name they hide that it is another one
_NOT_SHOWN = re.compile(f"[{_UNPRINTABLE}]")
_NOT_NAMED = re.compile(f"[{_UNPRINTABLE}{_INVISIBLE}]")


def nfc(name: str) -> str:
    """The name in Unicode's composed form: file systems and editors differ in how they write an umlaut."""
    return unicodedata.normalize("NFC", name)


def printable(text: str) -> str:
    """The text with ``\\x1b`` and the like in place of characters that would command a terminal, a page or a picture; lines stay lines."""
    return _NOT_SHOWN.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def ascii_text(text: str) -> str:
    """The text if it is printable ASCII; else percent-encoded, for layers that take no more (the tags of Ray's metrics)."""
    return text if text.isascii() and text.isprintable() else quote(text, safe="/:", errors="backslashreplace")


def folder_part(name: str) -> str:
    """A name as a part of a path, percent-encoded: the same one for the same name, another for another, and never too long for a file system."""
    encoded = quote(nfc(name), safe="")
    if len(encoded) <= LONGEST_PART:
        return encoded
    start = re.sub("%.?$", "", encoded[:KEPT_OF_LONG])
    return f"{start}~{hashlib.sha256(nfc(name).encode()).hexdigest()[:16]}"


def name_problem(name: str) -> str:
    """Why text cannot be a name, as the end of a sentence; empty if it can."""
    if not name.strip():
        return "is empty"
    if match := _NOT_NAMED.search(name):
        return f"holds the character U+{ord(match.group()):04X} at position {match.start() + 1}, which does not print"
    return ""


def checked_name(name: str) -> str:
    """The same name.

    Raises:
        ValueError: if it cannot be a name.
    """
    if problem := name_problem(name):
        raise ValueError(f"the name {printable(name)!r} {problem}")
    return name


def check_names(origin: str, names: Mapping[str, Iterable[str]]) -> None:
    """Refuse names that do not print, those of participants that are no name of a folder, and two that are the same in NFC.

    Args:
        origin: the file or folder that they come from, for the message.
        names: by what they name, e.g. ``participant``.

    Raises:
        RaylabError: with every problem.
    """
    problems = []
    for kind, of_kind in names.items():
        given = list(of_kind)
        problems += [f"{kind} {escaped(name)} {problem}" for name in dict.fromkeys(given) if (problem := name_problem(name))]
        if kind == "participant":
            problems += [f"{kind} {escaped(name)} holds a /, which parts folders" for name in given if "/" in name]
        twice = [name for name, count in Counter(map(nfc, given)).items() if count > 1]
        problems += [f"{kind} {escaped(name)} is there twice (perhaps once composed and once decomposed)" for name in twice]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise RaylabError(f"{origin}: names that cannot be used; rename them:{lines}")


def escaped(name: str) -> str:
    """The name in quotation marks, for a message that is about its characters."""
    return f"'{printable(name).replace(chr(10), chr(92) + 'n').replace(chr(9), chr(92) + 't')}'"
