"""Read a published pickle without running code from it: numpy arrays and plain containers are admitted, nothing else.

No unpickler is used: ``raylab.recordings.pickle_steps`` does the steps by hand, so nothing that a file names is ever called, and nothing
is allocated that the file does not fill.
"""

from pathlib import Path
from typing import Any

import numpy as np

from raylab.errors import RecordingError
from raylab.recordings.pickle_steps import load_pickle_file
from raylab.recordings.pickled_arrays import RefusedPickleError
from raylab.recordings.safe_path import safe_path


def read_pickle(root: Path, relative: str, participant: str) -> Any:
    """The object in ``root/relative``, a pickle of protocol 0-5; strings of Python 2 are read as latin1, which WESAD's files need.

    Raises:
        RecordingError: if the file is missing, truncated, or asks for anything but arrays and containers.
    """
    path = safe_path(root, relative, participant)
    try:
        with path.open("rb") as file:
            return load_pickle_file(file, path.stat().st_size)
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise RecordingError(
            f"cannot be unpickled ({type(error).__name__}: {error})",
            file=path,
            participant=participant,
            channel=error.key if isinstance(error, RefusedPickleError) else None,
            remedy="download the file again from the publisher; never open it with plain pickle",
        ) from error


def as_array(value: Any, file: object, participant: str, channel: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A numeric array as float64 (n, n_features).

    Raises:
        RecordingError: if the value is no array, is empty, has more than two dimensions or is not numeric (object arrays included).
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.ndim not in (1, 2) or not value.size:
        found_type = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise RecordingError(
            f"expected a numeric array (n,) or (n, n_features), found {found_type}",
            file=file,
            participant=participant,
            channel=channel,
            remedy="compare the file with the published layout",
        )
    return np.asarray(value, dtype=np.float64).reshape(len(value), -1)
