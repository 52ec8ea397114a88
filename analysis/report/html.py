"""report.html: sections of sentences, tables and figures to one file that needs no network."""

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.figures.plots import short_difference
from analysis.figures.svg import inline
from analysis.formatting import number, p_value

MOST_PRINTED = 12  # datasets, labels and models that are printed with all their sections


@dataclass(frozen=True)
class TableBlock:
    """A table of plain texts.

    Attributes:
        name_columns: how many of the first columns say what a row is about; the others hold numbers.
        shades: for each number its share of the largest loss (-1) to the largest gain (1), if cells are to be shaded.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    name_columns: int = 1
    shades: tuple[tuple[float, ...], ...] = ()
    kind: str = "table"


@dataclass(frozen=True)
class FigureBlock:
    """A figure: the name of its files (under figures/), what it shows, and the numbers behind it.

    Attributes:
        instead: a table that says in a page what the figure says in a file; the page shows it and not the drawing.
    """

    name: str
    title: str
    description: str
    svg: bytes
    png: bytes
    numbers: pd.DataFrame
    instead: TableBlock | None = None
    kind: str = "figure"

    @property
    def drawing(self) -> Markup:
        return Markup(inline(self.svg, f"{self.title}. {self.description}"))  # our own svg, its texts escaped by ElementTree

    @property
    def table(self) -> TableBlock:
        return table_block(self.numbers, f"{self.title}: the numbers behind the figure")


@dataclass(frozen=True)
class ExplorerBlock:
    """Both scores of every participant, variant by variant, in a figure in which the reader chooses the variant."""

    title: str
    data: dict[str, Any]
    kind: str = "explorer"


@dataclass(frozen=True)
class CodeBlock:
    """Text to read or to type as it stands; ``folded`` if it is long."""

    title: str
    text: str
    folded: bool = False
    kind: str = "code"


Block = TableBlock | FigureBlock | ExplorerBlock | CodeBlock


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it. ``descriptive`` marks what is no part of the verdict; ``items`` are a list of sentences.

    ``keys`` are the dataset, label and model that it is about, by name: what a filter of the page goes by.
    """

    title: str
    text: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    sections: "tuple[Section, ...]" = ()
    descriptive: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The first lines of a page: a few words, sentences, ``cautions`` (headline, sentence) that change their reading, and one figure beside."""

    headline: str
    sentences: tuple[str, ...] = ()
    cautions: tuple[tuple[str, str], ...] = ()
    figure: FigureBlock | None = None


@dataclass(frozen=True)
class Page:
    """The whole page; ``verdicts`` are sections with the sentences of their verdicts, ``method`` how they came.

    Attributes:
        filters: column heading to the values that a reader may keep to; empty if all is of one cell.
    """

    title: str
    intro: str
    answer: Answer
    verdicts: tuple[tuple[Section, tuple[str, ...]], ...]
    method: tuple[str, ...]
    sections: tuple[Section, ...]
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def brief_print(self) -> bool:
        """Whether print leaves out the descriptive sections of each dataset, label and model, because there are many of these."""
        return sum(bool(section.keys) for section in self.sections) > MOST_PRINTED

    @property
    def figures(self) -> "list[FigureBlock]":
        """Every figure of the page, in its order."""
        own = [self.answer.figure] if self.answer.figure else []
        return own + [block for block in every_block(self.sections) if isinstance(block, FigureBlock)]


def table_block(frame: pd.DataFrame, caption: str, name_columns: int = 0) -> TableBlock:
    """A frame as a table: p values, differences with their sign, other numbers; ``name_columns`` name the row, or the leading ones of text."""
    text = [not pd.api.types.is_numeric_dtype(frame[name]) for name in frame.columns]
    name_columns = name_columns or max(1, text.index(False) if False in text else len(text))
    columns = [[_cell(str(name), value) for value in frame[name]] for name in frame.columns]
    head = tuple(str(name).replace("_", " ") for name in frame.columns)
    return TableBlock(caption, head, tuple(zip(*columns, strict=True)), name_columns)


SIGNED = ("difference", "ci_low", "ci_high", "effect_size", "gap", "z")


def _cell(column: str, value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if pd.isna(value):
        return ""
    if not isinstance(value, (float, np.floating)):
        return str(value)
    if column == "p" or column.startswith("p_"):
        return p_value(float(value))
    return number(float(value), sign=column.startswith(SIGNED))


def heatmap_block(frame: pd.DataFrame, caption: str, sign: int) -> TableBlock:
    """Differences, variants by participants, each shaded by its size; ``sign`` is that of a gain."""
    values = frame.to_numpy(dtype=np.float64)
    shares = sign * values / (np.nanmax(np.abs(values), initial=0.0) or 1.0)
    rows = tuple((str(name), *map(short_difference, row)) for name, row in zip(frame.index, values, strict=True))
    shades = tuple(tuple(0.0 if np.isnan(v) else round(float(v), 2) for v in row) for row in shares)
    return TableBlock(caption, ("variant", *map(str, frame.columns)), rows, shades=shades)


@cache
def _plotly() -> str:
    """plotly.js, packed: a fifth of what it is, and read only when a figure is to be interactive."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _breakable(name: str) -> Markup:
    """A heading that may go on in another line behind an underscore."""
    return Markup("_<wbr>").join(name.split("_"))


def _anchors(sections: Sequence[Section]) -> dict[int, str]:
    """An id for each section (by its identity), the same every time whatever its title holds."""
    anchors: dict[int, str] = {}

    def walk(inner: Sequence[Section], prefix: str) -> None:
        for place, section in enumerate(inner, 1):
            anchors[id(section)] = f"{prefix}-{place}"
            walk(section.sections, f"{prefix}-{place}")

    walk(sections, "s")
    return anchors


def render(page: Page) -> str:
    """The page as HTML; every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "templates"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    ids = _anchors(page.sections)
    explorers = [block for block in every_block(page.sections) if isinstance(block, ExplorerBlock)]
    template = environment.get_template("report.html.j2")
    return template.render(
        page=page, anchor=lambda section: ids[id(section)], breakable=_breakable, plotly=_plotly() if explorers else ""
    )


def every_block(sections: Sequence[Section]) -> list[Block]:
    """Tables, figures and the rest, in the order of the page."""
    return [block for section in sections for block in (*section.blocks, *every_block(section.sections))]
