"""The samples of one channel of a user's own csv files: every column is a feature, so a column that is none must not be there."""

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import is_value, read_text_table

# Columns that are of the row and not of the body; their values tell the time, and so the label.
_NO_FEATURE = re.compile(
    r"index|idx|row|row[ _]?(id|number|nr)|unnamed: ?\d+|date|date[ _]?time|epochs?|nseq"
    r"|((unix|utc|local|elapsed|system|device)[ _]?)?time([ _]?stamps?)?([ _]*[\[(]?(s|ms|us|ns|secs?|seconds|unix|utc|local)[\])]?)?"
    r"|labels?|participants?([ _]?id)?|subjects?([ _]?id)?|session([ _]?id)?",
    re.IGNORECASE,
)
_FEWEST = 10  # rows below which a rise says nothing
_STRAIGHT = 0.01  # largest distance from the straight line, as a share of the rise
_EVEN_SHARE, _EVEN = 0.9, 0.1  # this share of the steps is within a tenth of the median step

Values = npt.NDArray[np.float64]


def rises_steadily(values: Values) -> bool:
    """Whether a column (n,) counts or tells the time: it never turns, and lies on a straight line or has nearly even steps, but for gaps.

    A falling column counts down. No measured signal does either over a whole recording.
    """
    finite = values[np.isfinite(values)]
    steps = np.diff(finite)
    if len(finite) < _FEWEST or not ((steps >= 0).all() or (steps <= 0).all()) or finite[0] == finite[-1]:
        return False
    line = np.linspace(finite[0], finite[-1], len(finite))
    if np.abs(finite - line).max() <= _STRAIGHT * abs(finite[-1] - finite[0]):
        return True
    middle = float(np.median(steps))
    return bool(middle and (np.abs(steps - middle) <= _EVEN * abs(middle)).mean() >= _EVEN_SHARE)


def read_samples(path: Path, labels: Collection[str]) -> tuple[tuple[str, ...], Values]:
    """The names of the columns, and the samples (n_samples, n_features).

    Args:
        labels: names of the dataset's labels: no column may have one.

    Raises:
        TableError: if the file is no plain table of numbers, or a column is no feature.
    """
    table = read_text_table(path, "all")
    samples = table.frame.to_numpy(dtype=np.float64)
    for index, name in enumerate(table.names):
        problem = ""
        if not name:
            problem = f"column {index + 1} has no name"
        elif is_value(name):
            problem = f"column {index + 1} is named {name!r}, which is a value: is the header missing?"
        elif _NO_FEATURE.fullmatch(name) or name in labels:
            problem = f"column {name!r} is named like {'a label' if name in labels else 'an index, a time or an id'}"
        elif rises_steadily(samples[:, index]):
            column = samples[:, index]
            problem = f"column {name!r} goes steadily from {column[0]:g} to {column[-1]:g}, as an index or a time does"
        if problem:
            raise TableError(
                f"{problem}; every column of a channel is a feature",
                "keep the columns of the signal only (with pandas: to_csv(..., index=False)), each with a name of its own",
            )
    return table.names, samples
