"""Exports of the Empatica E4 wristband: one csv per signal; row 1 holds the start (unix time, UTC), row 2 the rate (Hz), then the samples."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.recording import Channel
from raylab.recordings.safe_path import safe_path
from raylab.recordings.table_lines import TableError
from raylab.recordings.text_table import read_text_table

UNIX_S = (1e8, 1e10)  # a clock in ms or us, or a counter, is outside
RATES_HZ = {"ACC": 32.0, "BVP": 64.0, "EDA": 4.0, "TEMP": 4.0}

# The paper's wrist rates (docs/protocol.md, Windows): channel, E4 file, column, modality, target rate (Hz), unit.
_CHANNELS = (
    ("wrist_acc_x", "ACC", 0, "acc", 8.0, "1/64 g"),
    ("wrist_acc_y", "ACC", 1, "acc", 8.0, "1/64 g"),
    ("wrist_acc_z", "ACC", 2, "acc", 8.0, "1/64 g"),
    ("wrist_bvp", "BVP", 0, "bvp", 64.0, "a.u."),
    ("wrist_eda", "EDA", 0, "eda", 4.0, "uS"),
    ("wrist_temp", "TEMP", 0, "temp", 4.0, "degC"),
)
_COLUMNS = {"ACC": 3, "BVP": 1, "EDA": 1, "TEMP": 1}


def check_columns(
    arrays: Mapping[str, npt.NDArray[np.float64]], columns: Mapping[str, int], file: str, participant: str
) -> None:
    """Refuse an array (n, n_columns) with another number of columns than published.

    Raises:
        RecordingError: naming the channel, the number found and the number expected.
    """
    for name, expected in columns.items():
        if arrays[name].shape[1] != expected:
            raise RecordingError(
                f"expected {expected} column(s), found {arrays[name].shape[1]}",
                file=file,
                participant=participant,
                channel=name,
                remedy="compare the file with the published layout",
            )


def wrist_channels(
    arrays: dict[str, npt.NDArray[np.float64]], file: str, participant: str
) -> tuple[tuple[Channel, ...], dict[str, npt.NDArray[np.float64]]]:
    """The six wrist channels of the paper from the device's four arrays (n, 3) or (n, 1); every axis is a channel.

    Returns:
        the channels, and channel name to samples (n, 1).

    Raises:
        RecordingError: if an array has another number of columns.
    """
    check_columns(arrays, _COLUMNS, file, participant)
    channels = tuple(Channel(name, mod, RATES_HZ[src], target, unit, file) for name, src, _, mod, target, unit in _CHANNELS)
    signals = {name: arrays[src][:, column : column + 1] for name, src, column, *_ in _CHANNELS}
    return channels, signals


def read_csv(root: Path, relative: str, participant: str) -> tuple[float, npt.NDArray[np.float64]]:
    """Start (unix s) and samples (n, n_features) of one E4 csv.

    Raises:
        RecordingError: on a missing or unreadable file, a start that is no unix time in s, or a rate that is not the device's.
    """
    path = safe_path(root, relative, participant)
    try:
        table = read_text_table(path, "all", header=False, exact=True)
    except TableError as error:
        raise RecordingError(
            f"is not an E4 csv: {error.problem}",
            file=path,
            participant=participant,
            channel=path.stem,
            remedy="export the file again" + (f" ({error.remedy})" if error.remedy else ""),
        ) from error
    rows = np.ascontiguousarray(table.frame.to_numpy(dtype=np.float64))
    published_hz = RATES_HZ[path.stem]
    problem, remedy = "", "export the file again"
    if len(rows) < 3:
        problem = f"has {len(rows)} rows, expected start, rate and samples"
    elif (empty := np.isnan(rows).any(axis=1)).any():
        problem = f"has an empty cell in row {empty.argmax() + 1}"
    elif not (rows[1] == published_hz).all():
        problem = f"says {rows[1, 0]:g} Hz in row 2, an E4 records {path.stem} at {published_hz:g} Hz"
        remedy = "export the file again, or add the device as a dataset of its own"
    elif not (UNIX_S[0] < rows[0, 0] < UNIX_S[1] and (rows[0] == rows[0, 0]).all()):
        problem = (
            f"says that it starts at {', '.join(f'{start:.6f}' for start in rows[0])}, expected one unix time in s in row 1"
        )
    if problem:
        raise RecordingError(problem, file=path, participant=participant, channel=path.stem, remedy=remedy)
    return float(rows[0, 0]), rows[2:]
