"""The predictions of a run: one Parquet file a trial, thousands of them, into one frame."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pyarrow import fs

from analysis.arrays import NamedArrays
from analysis.constants import READERS
from analysis.errors import AnalysisError


def _read(system: fs.FileSystem, path: str) -> NamedArrays:
    """One trial's window, y_true and purged, (n,) each, and p (n, n_classes). The trial's table of names says whose they are.

    Raises:
        AnalysisError: if the file is missing or damaged.
    """
    try:
        with system.open_input_file(path) as file:
            table = pq.ParquetFile(file).read(columns=["window", "y_true", "purged", "p"], use_threads=False)
        p = table["p"].combine_chunks().flatten().to_numpy()
        arrays: NamedArrays = {name: table[name].to_numpy() for name in ("window", "y_true", "purged")}
        return arrays | {"p": p.reshape(table.num_rows, len(p) // max(table.num_rows, 1))}
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        key = Path(path).stem
        raise AnalysisError(
            f"{path} cannot be read ({error}); remove it, trials/{key}.json and trials.parquet from the run folder, and start "
            "the run again: it repeats this trial"
        ) from error


def read_predictions(system: fs.FileSystem, folder: str, trials: pd.DataFrame) -> pd.DataFrame:
    """Trial, participant, window, y_true, purged, and p_0, p_1, ... (float32, NaN beyond a label's classes) of these trials.

    Plain readers in threads take a third of the time that a pyarrow dataset takes for so many small files.

    Args:
        trials: trial and participant of each that ended well; the rows follow its order.
    """
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(lambda key: _read(system, f"{folder}/{key}.parquet"), trials["trial"]))
    sizes = np.array([len(part["window"]) for part in parts], dtype=np.int64)
    p = np.full((max([2, *(part["p"].shape[1] for part in parts)]), sizes.sum()), np.nan, dtype=np.float32)
    for part, size, end in zip(parts, sizes, np.cumsum(sizes), strict=True):
        trial_p = part.pop("p").T
        p[: len(trial_p), end - size : end] = trial_p
    names = {
        "trial": pd.Categorical(trials["trial"]).repeat(sizes),
        "participant": pd.Categorical(trials["participant"]).repeat(sizes),
    }
    dtypes = {"window": np.int64, "y_true": np.int8, "purged": np.bool_}
    arrays = {name: np.concatenate([np.empty(0, dtype), *(part.pop(name) for part in parts)]) for name, dtype in dtypes.items()}
    probabilities = pd.DataFrame(p.T, columns=[f"p_{k}" for k in range(len(p))])  # laid out as pandas does: not copied
    return pd.concat([pd.DataFrame({**names, **arrays}), probabilities], axis=1)
