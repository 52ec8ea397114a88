"""Damage to text tables: cells, rows, columns, separators, decimal signs, headers, encodings, line ends."""

import random
from collections.abc import Callable, Sequence

from benchmarks.fuzz.mutate_bytes import Mutator, cut_out, flip_bits, set_bytes, splice, truncate

# Cells that programs and people write where a number or a name is expected.
CELLS = (
    "", " ", "NaN", "nan", "NA", "N/A", "null", "None", "inf", "-inf", "1e308", "1e39", "-1e308", "1e999", "1e-320", "0", "-0", "-1", "1.9", "2.0",
    "1,5", "1.234,5", "1 000", "1'000", "1_000", "0x10", "1e5", "+3", ".5", "5.", "٣", "½", "true", "TRUE", "9" * 400, "9223372036854775808",
    "1:30", "2024-01-01", "12:00:00", "#1", "# note", "=1+1", "@x", '"', '""', '"a', 'a"b', '"1,2"', "a\tb", "a;b", "ü", "u\u0308",
    "\u00a01", "\ufeff1", "\x00", "\x1b[31m", "anna", "Anna", "01", "1 ", "..", "../x", "/etc", "x" * 20_000,
    "\u202e1", "\\N", "-", "--", "?", "1/2", "50%", "calm",
)  # fmt: skip
SEPARATORS = (b";", b"\t", b"|", b" ", b", ", b" ,", b",,", b"\x01")
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252", "utf-32", "mac-roman")
LINE_ENDS = (b"\r\n", b"\r", b"\n\n", b"\n\r", b"\x0b", b"\x85", b" \n", b",\n")

TableMutator = Callable[[list[bytes], random.Random], list[bytes]]


def _separator(line: bytes) -> bytes:
    return max((b",", b"\t", b";", b":"), key=line.count)


def _row(lines: Sequence[bytes], rng: random.Random) -> int:
    """A row: the header and the first ones more often than others."""
    return rng.randrange(min(4, len(lines))) if rng.random() < 0.5 else rng.randrange(len(lines))


def _set_cell(lines: list[bytes], rng: random.Random, cell: bytes | None = None) -> list[bytes]:
    row = _row(lines, rng)
    cells = lines[row].split(_separator(lines[row]))
    cells[rng.randrange(len(cells))] = rng.choice(CELLS).encode() if cell is None else cell
    return [*lines[:row], _separator(lines[row]).join(cells), *lines[row + 1 :]]


def _set_cells(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """The same odd cell in several places."""
    cell = rng.choice(CELLS).encode()
    for _ in range(rng.randrange(2, 6)):
        lines = _set_cell(lines, rng, cell)
    return lines


def _drop_rows(lines: list[bytes], rng: random.Random) -> list[bytes]:
    row = _row(lines, rng)
    return [*lines[:row], *lines[row + rng.choice((1, 1, 2, 10, len(lines) // 2)) :]]


def _repeat_row(lines: list[bytes], rng: random.Random) -> list[bytes]:
    row = _row(lines, rng)
    return [*lines[:row], *[lines[row]] * rng.choice((2, 2, 3, 100)), *lines[row + 1 :]]


def _swap_rows(lines: list[bytes], rng: random.Random) -> list[bytes]:
    first, second = _row(lines, rng), _row(lines, rng)
    swapped = list(lines)
    swapped[first], swapped[second] = lines[second], lines[first]
    return swapped


def _insert_row(lines: list[bytes], rng: random.Random) -> list[bytes]:
    row = _row(lines, rng)
    line = rng.choice((b"", b"   ", b"# a comment", b"sep=;", b",,,,", b"," * 50_000, b'"', b"total,1", b"\x00\x00", b"NA"))
    return [*lines[:row], line, *lines[row:]]


def _of_columns(change: Callable[[list[bytes], random.Random], list[bytes]]) -> TableMutator:
    """A change of the cells that is the same in every row; in a tenth of the cases from some row on only."""

    def mutate(lines: list[bytes], rng: random.Random) -> list[bytes]:
        seed, first = rng.random(), rng.randrange(len(lines)) if rng.random() < 0.1 else 0
        changed = [
            _separator(line).join(change(line.split(_separator(line)), random.Random(seed))) if line else line
            for line in lines[first:]
        ]
        return [*lines[:first], *changed]

    return mutate


def _drop_column(cells: list[bytes], rng: random.Random) -> list[bytes]:
    place = rng.randrange(len(cells))
    return [*cells[:place], *cells[place + 1 :]]


def _add_column(cells: list[bytes], rng: random.Random) -> list[bytes]:
    place, cell = rng.randrange(len(cells) + 1), rng.choice((b"", b"0", b"x", cells[0], b"1.5"))
    return [*cells[:place], cell, *cells[place:]]


def _reorder_columns(cells: list[bytes], rng: random.Random) -> list[bytes]:
    return rng.sample(cells, len(cells))


def _count_rows(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """An index in front, with or without a heading, as some programs write it."""
    heading = rng.choice((b"", b"Unnamed: 0", b"index", b"0", b"time"))
    return [b",".join((heading if i == 0 else b"%d" % (i - 1), line)) for i, line in enumerate(lines)]


def _edit_header(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Without the header, with two of them, or with it written in another way."""
    head = lines[0]
    names = head.split(_separator(head))
    written = [head.upper(), head.title(), b'"' + head + b'"', b" " + head, head.replace(b"_", b" "), b"\xef\xbb\xbf" + head]
    written += [_separator(head).join([names[0]] * len(names)), head + b",", b"," + head, head + head, b"\x00" + head]
    return rng.choice((lines[1:], [head, *lines], [b"", *lines], [rng.choice(written), *lines[1:]]))


def _decimal_comma(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Decimal commas, with the separator that goes with them or without."""
    separator = rng.choice((b",", b";", b"\t"))
    return [line.replace(b",", separator).replace(b".", b",") for line in lines]


def _join_columns(lines: list[bytes], rng: random.Random) -> list[bytes]:
    separator = rng.choice(SEPARATORS)
    first = rng.choice((0, 0, 0, 1, len(lines) // 2))
    return [*lines[:first], *(line.replace(_separator(line), separator) for line in lines[first:])]


def _quote(lines: list[bytes], rng: random.Random) -> list[bytes]:
    quote = rng.choice((b'"', b"'"))
    return [b",".join(quote + cell + quote for cell in line.split(b",")) for line in lines]


def _scale_numbers(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """An exponent at the end of every line: values far outside of what was measured."""
    exponent = rng.choice((b"e30", b"e300", b"e-30", b"000", b"%", b" uS"))
    return [lines[0], *(line + exponent for line in lines[1:])]


TABLE_CHANGES: Sequence[TableMutator] = (
    _set_cell, _set_cell, _set_cell, _set_cells, _drop_rows, _repeat_row, _swap_rows, _insert_row, _of_columns(_drop_column),
    _of_columns(_add_column), _of_columns(_reorder_columns), _count_rows, _edit_header, _decimal_comma, _join_columns, _quote, _scale_numbers,
)  # fmt: skip


def change_table(data: bytes, rng: random.Random) -> bytes:
    """One change of the table; row ends stay as they are."""
    lines = data.split(b"\n")
    return b"\n".join(rng.choice(TABLE_CHANGES)(lines, rng)) if lines else data


def change_encoding(data: bytes, rng: random.Random) -> bytes:
    """Another encoding, with a letter that differs in it."""
    text = data.decode("utf-8", "replace")
    if rng.random() < 0.5:
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice("üéßя漢") + text[place:]
    return text.encode(rng.choice(ENCODINGS), "replace")


def change_line_ends(data: bytes, rng: random.Random) -> bytes:
    """Other line ends, in all lines or from some place on."""
    place = 0 if rng.random() < 0.7 else rng.randrange(len(data) + 1)
    return data[:place] + data[place:].replace(b"\n", rng.choice(LINE_ENDS))


TABLE: Sequence[Mutator] = (
    *[change_table] * 12, change_encoding, change_line_ends, truncate, flip_bits, set_bytes, cut_out, splice,
)  # fmt: skip
