"""Read a published .mat file: numeric arrays and cells of them, nothing else.

scipy reads it in a process of its own (``raylab.recordings.contained``): one flipped bit can end the process that reads, or make it ask for
gigabytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.contained import LIBRARIES, ContainedReadError, OtherValue, decoded
from raylab.recordings.safe_path import safe_path

Array = npt.NDArray[np.float64]

AGAIN = "download the file again from the publisher, or leave the participant out with --exclude"
LAYOUT = "compare the file with the published layout, or leave the participant out with --exclude"


def read_mat(
    root: Path, relative: str, participant: str | None, needed: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, Any]:
    """The named variables of ``root/relative`` as scipy reads them; optional ones that are absent are left out.

    Raises:
        RecordingError: if the file is missing, truncated, of MATLAB 7.3 (HDF5), too large for its size, or lacks a needed variable.
    """
    path = safe_path(root, relative, participant)
    try:
        header, arrays = LIBRARIES.read("mat", path, needed=list(needed), optional=list(optional))
    except ContainedReadError as error:
        if error.kind == "NotImplementedError":
            raise RecordingError(
                "is a MATLAB 7.3 (HDF5) file, which was never published",
                file=path,
                participant=participant,
                remedy="save it in MATLAB with save(..., '-v7'), or download the published file",
            ) from error
        raise RecordingError(
            f"cannot be read as a .mat file, truncated or damaged ({error})",
            file=path,
            participant=participant,
            remedy=AGAIN,
        ) from error
    content = decoded(header["values"], arrays)
    if missing := [name for name in needed if name not in content]:
        raise RecordingError(
            f"lacks the variable, it holds {', '.join(header['names']) or 'nothing'}",
            file=path,
            participant=participant,
            channel=", ".join(missing),
            remedy=LAYOUT,
        )
    return content


def describe_type(value: Any) -> str:
    """Type and shape of a value, for a message."""
    if isinstance(value, OtherValue):
        return value.description
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def numeric(value: Any, shape: tuple[int | None, ...], file: object, participant: str | None, name: str) -> Array:
    """A numeric array of this shape as float64; ``None`` in the shape admits any length.

    Raises:
        RecordingError: naming the variable, the type found and the shape expected.
    """
    fits = (
        isinstance(value, np.ndarray)
        and value.dtype.kind in "fiu"
        and value.ndim == len(shape)
        and all(expected is None or actual == expected for actual, expected in zip(value.shape, shape, strict=True))
    )
    if not fits:
        expected_shape = " x ".join("n" if length is None else str(length) for length in shape)
        raise RecordingError(
            f"expected a numeric array {expected_shape}, found {describe_type(value)}",
            file=file,
            participant=participant,
            channel=name,
            remedy=LAYOUT,
        )
    return np.asarray(value, dtype=np.float64)


def cells(value: Any, count: int, file: object, participant: str | None, name: str) -> list[Any]:
    """The entries of a cell array 1 x count (or count x 1).

    Raises:
        RecordingError: if it is no cell array, or of another size.
    """
    if not isinstance(value, np.ndarray) or value.dtype != object or sorted(value.shape) != sorted((1, count)):
        raise RecordingError(
            f"expected a cell 1 x {count}, found {describe_type(value)}",
            file=file,
            participant=participant,
            channel=name,
            remedy=LAYOUT,
        )
    return list(value.ravel())


def text(value: Any) -> str:
    """The text or whole number of a cell, without the quotes that some tables keep: "10" of '10', "'10'", 10 and 10.0; "" of None."""
    while isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size == 1 else "".join(map(str, value.ravel()))
    if isinstance(value, int | float | np.number) and np.isfinite(value) and value == int(value):
        value = int(value)
    return "" if value is None else str(value).strip().strip("'\"").strip()


def rate_by_time(time_ms: Array) -> float:
    """The rate in Hz that a column of times in milliseconds (n,) gives; NaN if the times do not rise."""
    span_ms = float(time_ms[-1] - time_ms[0]) if len(time_ms) > 1 else 0.0
    return (len(time_ms) - 1) * 1000.0 / span_ms if np.isfinite(span_ms) and span_ms > 0 else float("nan")
