"""The labels of a user's own csv files: codes or names of classes that hold from a time on."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raylab.recordings.name_match import clean, likely_same
from raylab.recordings.recording import Decision, Label, LabelTrack, OwnMean
from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import NO_VALUE, NUMBER, UserTable, read_text_table

_FIRST_WORD_CODE = 1_000_000_000  # the codes of words, if numbers are codes too


@dataclass(frozen=True)
class CodedLabel:
    """A label, and how the cells of its column are read.

    Attributes:
        label: the label; its codes are the file's numbers, and one number for every word.
        numbers: the file's numbers that are codes; none if only words are.
        words: code by word: a code that is text, or the name of a class.
    """

    label: Label
    numbers: frozenset[int]
    words: Mapping[str, int]

    @property
    def is_rating(self) -> bool:
        """Whether the column holds numbers that are compared with their mean."""
        return self.label.decide == "above_own_mean"

    def value_of(self, cell: str) -> float | None:
        """The code of a cell, NaN if it carries no label; None if it is refused.

        A number is never rounded to a code. ``mode`` passes whole numbers that are no code: they count as time without a label.
        """
        if re.fullmatch(NUMBER, cell) and self.numbers:
            number = float(cell)
            if number in self.numbers or (
                self.label.decide == "mode" and math.isfinite(number) and number.is_integer() and cell not in self.words
            ):
                return number
        if cell in self.words:
            return float(self.words[cell])
        return math.nan if cell in NO_VALUE else None

    @property
    def expected(self) -> str:
        """The values that a cell may have, for a message."""
        return ", ".join(map(str, [*sorted(self.numbers), *self.words]))


def coded_label(
    name: str, decide: Decision, classes: Sequence[str], codes: Mapping[int | str, int], own_mean: OwnMean = "time"
) -> CodedLabel:
    """A label whose cells are codes (``codes``: class index by number or word) or names of classes; without codes, names of classes only.

    Raises:
        InvalidValueError: as ``Label``.
    """
    if decide == "above_own_mean":
        return CodedLabel(Label(name, name, decide, tuple(classes), {}, own_mean), frozenset(), {})
    numbers = {code: index for code, index in codes.items() if isinstance(code, int)}
    texts = {clean(code): index for code, index in codes.items() if isinstance(code, str)}
    if not codes:
        texts = {clean(text): index for index, text in enumerate(classes)}
    first = _FIRST_WORD_CODE if numbers else 0
    by_code = {**numbers, **{first + i: index for i, index in enumerate(texts.values())}}
    words = {text: first + i for i, text in enumerate(texts)}
    for index, text in enumerate(classes):
        code = next((code for code, class_index in by_code.items() if class_index == index), None)
        if code is not None:
            words.setdefault(clean(text), code)
    return CodedLabel(Label(name, name, decide, tuple(classes), by_code, own_mean), frozenset(numbers), words)


def read_tracks(path: Path, labels: Sequence[CodedLabel], seconds: float) -> dict[str, LabelTrack]:
    """The label tracks of a session of ``seconds`` s, from a table with ``time_s`` and one column per label.

    A value holds until the next row, the last one until the recording ends; an empty cell means that there is no label.

    Raises:
        TableError: if it is no plain table, a column is missing, the times do not rise, or a value is neither a code nor a class.
    """
    ratings = [coded.label.track for coded in labels if coded.is_rating]
    words = [coded.label.track for coded in labels if not coded.is_rating]
    table = read_text_table(path, ["time_s", *ratings], "all", skip_blank_rows=True)
    if missing := [name for name in words if name not in table.names]:
        likely = [f"{other} for {name}" for name in missing for other in likely_same(name, table.names)]
        raise TableError(
            f"lacks the column(s) {', '.join(missing)}; it has {', '.join(table.names)}"
            + (f"; perhaps {', '.join(likely)}" if likely else "")
        )
    times = table.frame["time_s"].to_numpy(dtype=np.float64)
    if np.isnan(times).any():
        raise TableError(f"time_s is empty in row {table.row(int(np.isnan(times).argmax()))}")
    if not (np.diff(times) > 0).all():
        index = int((np.diff(times) <= 0).argmax())
        raise TableError(f"time_s does not rise in row {table.row(index + 1)}: {times[index + 1]:g} after {times[index]:g}")
    ends = times[-1] < seconds
    values = {coded.label.track: _values(table, coded) for coded in labels}
    if ends:
        times = np.append(times, seconds)
        values = {name: np.append(column, column[-1]) for name, column in values.items()}
    return {name: LabelTrack(times, column) for name, column in values.items()}


def _values(table: UserTable, coded: CodedLabel) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The label's values by row, NaN if there is no label.

    Raises:
        TableError: naming the first value that is neither a code nor a class.
    """
    cells = table.frame[coded.label.track]
    if coded.is_rating:
        return cells.to_numpy(dtype=np.float64)
    values = {cell: coded.value_of(cell) for cell in cells.unique()}
    if refused := [cell for cell, value in values.items() if value is None]:
        row = table.row(int((cells == refused[0]).to_numpy().argmax()))
        likely = likely_same(refused[0], coded.words)
        raise TableError(
            f"label {coded.label.name} has the value {refused[0]} in row {row}, expected {coded.expected} or nothing"
            + (f"; {likely[0]!r} may be meant" if likely else ""),
            "repair the cell, or name its class under codes in dataset.yaml",
        )
    return cells.map(values).to_numpy(dtype=np.float64)
