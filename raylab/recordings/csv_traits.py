"""Traits of a user's own participants: rows of ``traits.csv``, joined to folders by name, and told if either side has no match."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from raylab.recordings.name_match import likely_same
from raylab.recordings.recording import Trait
from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import LARGEST, NO_VALUE, NUMBER, UserTable, read_text_table

FILE = "traits.csv"
_TRUTH = {"true": 1.0, "false": 0.0}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class TraitTable:
    """The table.

    Attributes:
        rows: rows of the file by participant; names are text, without blanks at their ends, in NFC.
        values: trait to participant to value; empty cells are left out. Of a participant with several rows, it is the last one's.
    """

    rows: dict[str, list[int]]
    values: dict[str, dict[str, Trait]]

    def without_folder(self, participants: Collection[str]) -> list[str]:
        """Names of rows that no participant has."""
        return [name for name in self.rows if name not in participants]


def read_trait_table(path: Path, traits: Sequence[str]) -> TraitTable:
    """The columns ``participant`` and those of the traits.

    Raises:
        TableError: if it is no plain table, a column is missing, a row has traits and no participant, or a cell is no value of its trait.
    """
    table = read_text_table(path, (), "all", skip_blank_rows=True)
    if missing := [name for name in ("participant", *traits) if name not in table.names]:
        likely = [f"{other} for {name}" for name in missing for other in likely_same(name, table.names)]
        hint = f"; perhaps {', '.join(likely)}" if likely else ""
        raise TableError(f"lacks the column(s) {', '.join(missing)}; it has {', '.join(table.names)}{hint}")
    names = table.frame["participant"].tolist()
    filled = (table.frame != "").any(axis=1).tolist()
    if unnamed := [i for i, name in enumerate(names) if not name and filled[i]]:
        raise TableError(f"row {table.row(unnamed[0])} names no participant", "name the participant, or remove the row")
    rows: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if name:
            rows.setdefault(name, []).append(table.row(index))
    return TraitTable(rows, {trait: _values(table, trait, names) for trait in traits})


def _values(table: UserTable, trait: str, names: Sequence[str]) -> dict[str, Trait]:
    """Participant to value: numbers if the column is of numbers, else text.

    Raises:
        TableError: if most cells are numbers and one is not, or a number is beyond float32.
    """
    cells = table.frame[trait].tolist()
    given = {i: cell for i, cell in enumerate(cells) if cell not in NO_VALUE and names[i]}
    numeric = [i for i, cell in given.items() if re.fullmatch(NUMBER, cell)]
    if given and all(cell.casefold() in _TRUTH for cell in given.values()):
        return {names[i]: _TRUTH[cell.casefold()] for i, cell in given.items()}
    text = [i for i in given if i not in set(numeric)]
    refused = text if 2 * len(numeric) > len(given) else [i for i in text if _DECIMAL_COMMA.fullmatch(given[i])]
    if not text or refused:
        refused = refused or [i for i in numeric if not abs(float(given[i])) <= LARGEST]
        if refused:
            raise TableError(
                f"column {trait} has {given[refused[0]]!r} in row {table.row(refused[0])} (participant {names[refused[0]]}), "
                "expected a number, as in the other rows, with '.' as the decimal sign",
                "repair the cell, or leave it empty",
            )
        return {names[i]: float(cell) for i, cell in given.items()}
    return {names[i]: cell for i, cell in given.items()}


def traits_of(table: TraitTable, participant: str, participants: Sequence[str]) -> tuple[dict[str, Trait], list[str]]:
    """The participant's traits, and a note on those that the table does not give.

    Raises:
        TableError: if the participant has several rows, or none and a row of another spelling is probably meant, or no participant has one.
    """
    rows = table.rows.get(participant, [])
    if len(rows) > 1:
        raise TableError(f"names the participant in {len(rows)} rows ({', '.join(map(str, rows))})", "keep one")
    others = table.without_folder(participants)
    same_names = "write the same name in the column participant and as the folder's name"
    if not rows and (likely := likely_same(participant, others)):
        spelled = ", ".join(f"{name!r} in row {table.rows[name][0]}" for name in likely)
        raise TableError(f"has no row of the participant {participant!r}, but {spelled}, which has no folder", same_names)
    if not rows and len(others) == len(table.rows):
        raise TableError(
            f"has a row of none of the {len(participants)} participants ({_listed(participants)}); its rows are {_listed(others)}",
            same_names,
        )
    traits = {trait: values[participant] for trait, values in table.values.items() if participant in values}
    absent = [trait for trait in table.values if trait not in traits]
    if not rows:
        return traits, [f"has no row in {FILE}, so no {', '.join(absent)}"]
    return traits, [f"no {', '.join(absent)} in {FILE}"] if absent else []


def notes_on(table: TraitTable, participants: Collection[str]) -> list[str]:
    """Sentences on the whole table: rows without a folder, and texts of one trait that differ by little."""
    notes = []
    if others := table.without_folder(participants):
        notes.append(f"{FILE} has rows of {_listed(others)}: no folder of this name holds recordings")
    for trait, values in table.values.items():
        texts = sorted({value for value in values.values() if isinstance(value, str)})
        if similar := [text for text in texts if likely_same(text, texts)]:
            notes.append(f"{FILE}: the trait {trait} has {', '.join(map(repr, similar))}, which count as different")
    return notes


def _listed(names: Collection[str], most: int = 20) -> str:
    """The names, or the first ones of many."""
    listed = ", ".join(list(names)[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed or "none"
