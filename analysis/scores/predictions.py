"""The predictions of a run: one Parquet file a trial, thousands of them, into one frame; each checked before it counts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from analysis.arrays import Integers, Ints, NamedArrays, Probabilities
from analysis.errors import AnalysisError
from analysis.scores.stored_files import (
    digest_of,
    file_digest,
    joined,
    parquet_table,
    read_all,
    read_buffer,
    unreadable,
    unusable,
)

DIGEST = "predictions_digest"  # the column of a trial's record
COLUMNS = ("window", "y_true", "purged", "p")
MAJORITY = 0.5  # of the trials that predict a window
SUM_TOLERANCE = 1e-3  # probabilities are stored in 32 bits
Classes = Mapping[str, Mapping[str, Sequence[str]]]  # dataset to label to the names of its classes


def probability_problem(y: Integers, p: Probabilities, window: Integers) -> str:
    """Why these cannot be a model's predictions, as a sentence with the window; empty if they can.

    Args:
        y: (n,) true classes.
        p: (n, n_classes) probabilities.
        window: (n,) ids.
    """
    if not len(y):
        return ""
    if not np.isfinite(p).all():
        return f"has NaN among its probabilities for window {window[~np.isfinite(p).all(axis=1)][0]}"
    if p.min() < 0 or p.max() > 1:
        row, column = np.argwhere((p < 0) | (p > 1))[0]
        return f"has the probability {p[row, column]:g} for window {window[row]}"
    sums = p.sum(axis=1, dtype=np.float64)
    if (error := np.abs(sums - 1)).max() > SUM_TOLERANCE:
        row = int(error.argmax())
        return f"has probabilities that sum to {sums[row]:g} for window {window[row]}"
    if y.min() < 0 or y.max() >= p.shape[1]:
        row = int(np.flatnonzero((y < 0) | (y >= p.shape[1]))[0])
        return f"has the class {y[row]} for window {window[row]}, and its classes are 0 to {p.shape[1] - 1}"
    return ""


def _table_problem(table: pa.Table) -> str:
    """Why a table's columns cannot be those of predictions; empty if they can."""
    for name, right in (("window", pa.types.is_integer), ("y_true", pa.types.is_integer), ("purged", pa.types.is_boolean)):
        if not right(table[name].type) or table[name].null_count:
            return f"has something else than predictions in its column {name} ({table[name].type}, {table[name].null_count} missing)"
    p = table["p"].type
    if not (pa.types.is_list(p) or pa.types.is_large_list(p) or pa.types.is_fixed_size_list(p)) or not pa.types.is_floating(
        p.value_type
    ):
        return f"has something else than predictions in its column p ({p})"
    lengths = pc.min_max(pc.list_value_length(table["p"])).as_py()
    if table.num_rows and (table["p"].null_count or lengths["min"] != lengths["max"] or not lengths["min"]):
        return f"has rows of {lengths['min']} to {lengths['max']} probabilities"
    return ""


def _count_problem(trial: Any, arrays: NamedArrays, classes: Classes) -> str:
    """How the predictions differ from what the record and the study say of their number; empty if they do not."""
    window, n_classes = arrays["window"], arrays["p"].shape[1]
    if len(window) > 1 and not (np.diff(window) > 0).all():
        values, counts = np.unique(window, return_counts=True)
        if (counts > 1).any():
            return f"has the window {values[counts > 1][0]} twice"
    names = classes.get(trial.dataset, {}).get(trial.label)
    if names and len(window) and len(names) != n_classes:
        return f"has probabilities of {n_classes} classes, and {trial.label} has {len(names)} ({', '.join(names)})"
    n_test, tested = getattr(trial, "n_test", None), int((~arrays["purged"]).sum())
    if isinstance(n_test, int | float) and np.isfinite(n_test) and int(n_test) != tested:
        return f"has {tested} windows to score, and the trial's record {int(n_test)}"
    return ""


def _read(system: fs.FileSystem, folder: str, trial: Any, classes: Classes) -> NamedArrays | str:
    """One trial's window, y_true and purged, (n,) each, and p (n, n_classes); or the problem. The table of names says whose they are."""
    key, path = trial.trial, f"{folder}/{trial.trial}.parquet"
    digest = digest_of(trial, DIGEST)
    try:
        content = read_buffer(system, path)
        if digest and file_digest(content) != digest:
            return unusable(
                path, key, "is not the file that the trial's record describes (its digest differs)", trial.participant
            )
        table = parquet_table(content, COLUMNS if digest else (*COLUMNS, "trial"), compare=not digest)
        if problem := _table_problem(table):
            return unusable(path, key, problem, trial.participant)
        if not digest and table.num_rows and pc.unique(table["trial"]).to_pylist() != [key]:
            return unusable(path, key, f"is of another trial ({table['trial'][0]})", trial.participant)
        p = table["p"].combine_chunks().flatten().to_numpy()
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        return unreadable(path, key, error)
    arrays: NamedArrays = {name: table[name].to_numpy() for name in ("window", "y_true", "purged")}
    arrays["p"] = p.reshape(table.num_rows, len(p) // max(table.num_rows, 1))
    problem = probability_problem(arrays["y_true"], arrays["p"], arrays["window"]) or _count_problem(trial, arrays, classes)
    return unusable(path, key, problem, trial.participant) if problem else arrays


def read_predictions(system: fs.FileSystem, folder: str, trials: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """Trial, participant, window, y_true, purged, and p_0, p_1, ... (float32, NaN beyond a label's classes) of these trials.

    Plain readers in threads take a third of the time that a pyarrow dataset takes for so many small files.

    Args:
        trials: the record of each that ended well; the rows follow its order.
        classes: names of the classes of each dataset and label; empty for a run that stored none.

    Raises:
        AnalysisError: naming every file that is missing, damaged, changed or impossible, and the remedy.
    """
    parts = read_all(
        lambda trial: _read(system, folder, trial, classes), trials.itertuples(index=False), "files of predictions"
    )
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
    _refuse_other_classes(folder, trials, sizes, arrays)
    probabilities = pd.DataFrame(p.T, columns=[f"p_{k}" for k in range(len(p))])  # laid out as pandas does: not copied
    return pd.concat([pd.DataFrame({**names, **arrays}), probabilities], axis=1)


def _refuse_other_classes(folder: str, trials: pd.DataFrame, sizes: Ints, arrays: NamedArrays) -> None:
    """Refuse trials in which a window has another true class than in most trials of its dataset, label and participant.

    Files with digests are what was written; if all have one, there is nothing to look for.
    """
    if not len(trials) or all(digest_of(trial, DIGEST) for trial in trials.itertuples(index=False)):
        return
    position = np.repeat(np.arange(len(trials)), sizes)
    cell = trials.groupby(["dataset", "label", "participant"], sort=False).ngroup().to_numpy()[position]
    rows = pd.DataFrame({"cell": cell, "window": arrays["window"], "y": arrays["y_true"]})
    distinct = rows.drop_duplicates()
    conflicts = distinct[distinct.duplicated(["cell", "window"], keep=False)]
    if conflicts.empty:
        return
    rows = rows.assign(position=position).merge(conflicts[["cell", "window"]].drop_duplicates(), on=["cell", "window"])
    share = rows.groupby(["cell", "window", "y"])["position"].transform("size") / rows.groupby(["cell", "window"])[
        "position"
    ].transform("size")
    fewest = rows[share <= MAJORITY].drop_duplicates("position")
    named = fewest.assign(**{name: trials[name].to_numpy()[fewest["position"].to_numpy()] for name in ("trial", "participant")})
    problems = [
        unusable(
            f"{folder}/{row['trial']}.parquet",
            str(row["trial"]),
            f"says that window {row['window']} is of class {row['y']}, and other trials say that it is not",
            str(row["participant"]),
        )
        for row in named.to_dict("records")
    ]
    raise AnalysisError(joined(problems, "files of predictions"))
