"""Damage behind a container's own checks: parts of an Excel book, columns of a Parquet table.

Flipped bytes of such files end at a checksum or a compression. Here the content is changed and the container written anew.
"""

import io
import random
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz.mutate_bytes import BINARY, Mutator
from benchmarks.fuzz.mutate_text import CELLS

_CELL_TEXTS = (
    "<v>1e308</v>", "<v>NaN</v>", "<v></v>", "<v>-1</v>", "<v>999999999</v>", "<v>#REF!</v>", "<v>1,5</v>", "<v>2958466</v>", "<is><t>x</t></is>",
    "<f>1+1</f>", "<v>9e999</v>", "<v>TRUE</v>", "<v>&#0;</v>", "<v>a</v>",
)  # fmt: skip
_XML = (
    ('r="B', 'r="XFD'), ("<row ", '<row r="1048576" '), ('t="n"', 't="s"'), ('t="s"', 't="n"'), ('t="n"', 't="d"'), ('t="n"', 't="b"'),
    ('t="n"', 't="e"'), ("<dimension ", '<dimension ref="A1:XFD1048576" '), ("</row>", ""), ("<sheetData>", "<sheetData><row/>"),
    ("Before", "before"), ("<sheet ", "<sheet state='hidden' "), ('s="', 's="9'), ("<c ", "<c><c/></c><c "), ("</worksheet>", ""),
    ("encoding=", "encodin="), ("UTF-8", "UTF-7"), ("count=", "count='-1' x="), ("<?xml", '<!DOCTYPE a [<!ENTITY b "ccc">]><?xml'),
    ('name="', 'name="x'), ('count="', 'count="9'), ("<si>", "<si><si>"), ("rId1", "rId9"),
)  # fmt: skip


def change_book(data: bytes, rng: random.Random) -> bytes:
    """An Excel book with a change in one of its parts, or without it, or with one that unfolds."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            parts = {name: book.read(name) for name in book.namelist()}
    except Exception:  # an earlier change has damaged the container
        return rng.choice(BINARY)(data, rng)
    name = rng.choice([*parts, *[part for part in parts if "sheet" in part.lower()] * 3])
    way = rng.random()
    if way < 0.08:
        del parts[name]
    elif way < 0.12:
        parts[name] = parts[name] + b" " * 40_000_000
    elif way < 0.25:
        parts[name] = rng.choice(BINARY)(parts[name], rng)
    else:
        parts[name] = _changed_xml(parts[name].decode("utf-8", "replace"), rng).encode()
    return _zipped(parts)


def _changed_xml(text: str, rng: random.Random) -> str:
    """One value or one tag, in one of the places that it has."""
    old, new = rng.choice((rng.choice(_XML), ("<v>", "")))
    places = [place for place in range(len(text)) if text.startswith(old, place)]
    if not places:
        return text[: rng.randrange(len(text) + 1)]
    place = rng.choice(places)
    if old != "<v>":
        return text[:place] + new + text[place + len(old) :]
    end = text.find("</v>", place) + len("</v>")
    cell = rng.choice((*_CELL_TEXTS, f"<v>{rng.choice(CELLS)[:100]}</v>"))
    return text[:place] + cell + text[end:]


def _zipped(parts: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as book:
        for name, content in parts.items():
            book.writestr(name, content)
    return written.getvalue()


_VALUES: Sequence[Any] = (
    None, 0, -1, 1, 2, 127, -128, 300, 2**31, 0.0, -0.1, 1.5, float("nan"), float("inf"), 1e39, "", "x", "ü", "p=1", True, [], [0.5, 0.5],
)  # fmt: skip
_TYPES = (
    pa.string(),
    pa.int8(),
    pa.int64(),
    pa.float64(),
    pa.float16(),
    pa.bool_(),
    pa.list_(pa.float32()),
    pa.binary(),
    pa.null(),
)


def _other_cells(table: pa.Table, rng: random.Random) -> pa.Table:
    name = rng.choice(table.column_names)
    cells, column = table[name].to_pylist(), table.column_names.index(name)
    for row in rng.sample(range(len(cells)), min(len(cells), rng.choice((1, 1, 3, 1000)))):
        cells[row] = _other_cell(cells[row], rng)
    return table.set_column(column, name, pa.array(cells, table[name].type))


def _other_cell(cell: Any, rng: random.Random) -> Any:
    """Another value; of a list sometimes only one of its items."""
    if isinstance(cell, list) and cell and rng.random() < 0.7:
        place = rng.randrange(len(cell))
        return [*cell[:place], rng.choice(_VALUES), *cell[place + 1 :]]
    if isinstance(cell, str) and cell and rng.random() < 0.5:
        return rng.choice((cell[::-1], cell[:-1], cell.upper(), cell + "x", f"../{cell}"))
    return rng.choice(_VALUES)


def _other_type(table: pa.Table, rng: random.Random) -> pa.Table:
    name = rng.choice(table.column_names)
    kind = rng.choice(_TYPES)
    column = table.column_names.index(name)
    try:
        return table.set_column(column, name, table[name].cast(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return table.set_column(column, name, pa.nulls(table.num_rows, kind))


def _other_columns(table: pa.Table, rng: random.Random) -> pa.Table:
    name = rng.choice(table.column_names)
    renamed = [f"{column}_2" if column == name else column for column in table.column_names]
    return rng.choice(
        (
            lambda: table.drop_columns([name]),
            lambda: table.rename_columns(renamed),
            lambda: table.append_column(name, table[name]),
            lambda: table.select(table.column_names[::-1]),
        )
    )()


def _other_rows(table: pa.Table, rng: random.Random) -> pa.Table:
    half = table.num_rows // 2
    return rng.choice(
        (
            lambda: table.slice(0, 0),
            lambda: table.slice(1),
            lambda: table.slice(0, half),
            lambda: pa.concat_tables([table, table.slice(half, 1)]),
            lambda: pa.concat_tables([table, table]),
            lambda: pa.concat_tables([table.slice(half), table.slice(0, half)]),
        )
    )()


TABLE_CHANGES: Sequence[Callable[[pa.Table, random.Random], pa.Table]] = (
    _other_cells,
    _other_cells,
    _other_type,
    _other_columns,
    _other_rows,
)


def change_parquet(data: bytes, rng: random.Random) -> bytes:
    """A Parquet file whose table has other cells, types, columns or rows."""
    for _ in range(20):  # not every change fits every table
        try:
            table = rng.choice(TABLE_CHANGES)(pq.read_table(pa.BufferReader(data)), rng)
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            return bytes(sink.getvalue())
        except Exception:
            continue
    return rng.choice(BINARY)(data, rng)


BOOK: Sequence[Mutator] = (*[change_book] * 8, *BINARY)
PARQUET: Sequence[Mutator] = (*[change_parquet] * 10, *BINARY)
