"""Tables as LaTeX, ready for \\input: booktabs rules, shrunk only if wider than the line, every text escaped."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest

NEEDS = "% \\usepackage{booktabs} and \\usepackage{graphicx} in the preamble"
MEANS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "[": "{[}",  # after a line's end it would be taken for an option
    "]": "{]}",
    "*": "{*}",  # likewise
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\char34{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "°": r"$^\circ$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "−": "$-$",
    "–": "--",
}


def _character(mark: str) -> str:
    """The LaTeX that prints this character; one that pdfLaTeX may not know is printed as its number, never an error."""
    if mark in MEANS:
        return MEANS[mark]
    if mark.isascii() and mark.isprintable():
        return mark
    if unicodedata.category(mark) in ("Ll", "Lu") and len(unicodedata.normalize("NFD", mark)) == 2 and ord(mark) < 0x180:
        return mark  # a Latin letter with an accent
    return f"U+{ord(mark):04X}"


def escape(text: object) -> str:
    """One line of LaTeX that prints the text itself."""
    return "".join(map(_character, " ".join(unicodedata.normalize("NFC", str(text)).split())))


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], left: int, caption: str, label: str, notes: Iterable[str] = ()
) -> str:
    """A floating table of plain texts, which are escaped here.

    Args:
        head: a name of several lines has one line of the head each.
        left: how many of the first columns are names and stand at the left; the others are centred.
        label: for \\ref; letters, digits and hyphens are kept.
        notes: sentences printed under the table.
    """
    anchor = "".join(mark if mark.isascii() and mark.isalnum() else "-" for mark in label)
    lines = [
        NEEDS,
        r"\begin{table*}[htbp]",
        r"\centering\footnotesize",
        rf"\caption{{{escape(caption)}}}\smallskip",
        rf"\label{{tab:{anchor}}}",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{@{{}}{'l' * left}{'c' * (len(head) - left)}@{{}}}}",
        r"\toprule",
        *(" & ".join(map(escape, line)) + r" \\" for line in zip_longest(*(name.split("\n") for name in head), fillvalue="")),
        r"\midrule",
        *(" & ".join(map(escape, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}",
    ]
    under = [rf"\par\smallskip\parbox{{\linewidth}}{{\raggedright {' '.join(map(escape, notes))}}}"] if notes else []
    return "\n".join([*lines, *under, r"\end{table*}"]) + "\n"
