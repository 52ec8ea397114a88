"""The weights of attention fusion: of every channel in every predicted window, to one row per trial and channel."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow import fs

from analysis.arrays import Floats, Ints
from analysis.scores.keys import FOLD, VARIANT
from analysis.scores.predictions import SUM_TOLERANCE
from analysis.scores.run_folder import open_run
from analysis.scores.stored_files import digest_of, file_digest, parquet_table, read_all, read_buffer, unreadable, unusable

DIGEST = "attention_digest"  # the column of a trial's record

COLUMNS = [*VARIANT, *FOLD, "channel", "windows", "mean", "sd"]


def attention_weights(run: str | os.PathLike[str], trials: pd.DataFrame) -> pd.DataFrame:
    """Mean weight of each channel over the windows that a trial predicted, and its SD between them.

    Args:
        trials: as ``analysis.load`` gives them.

    Returns:
        dataset, label, model, technique, variant, participant, seed, channel, windows, mean, sd; no rows for a run without attention fusion.

    Raises:
        AnalysisError: naming every file that is missing, damaged, changed or impossible, and the remedy.
    """
    system, path = open_run(run)
    infos = system.get_file_info(fs.FileSelector(f"{path}/attention", allow_not_found=True))
    stored = {Path(info.path).stem for info in infos if info.base_name.endswith(".parquet")}
    ended_well = trials[trials["status"].eq("ok")] if len(trials) else trials
    attended = [trial for trial in ended_well.itertuples(index=False) if trial.trial in stored or digest_of(trial, DIGEST)]
    if not attended:
        return pd.DataFrame(columns=COLUMNS)
    parts = read_all(lambda trial: _channel_weights(system, f"{path}/attention", trial), attended, "files of attention weights")
    names = ended_well.set_index("trial")[[*VARIANT, *FOLD]]
    return pd.concat(parts, ignore_index=True).join(names, on="trial")[COLUMNS]


def _channel_weights(system: fs.FileSystem, folder: str, trial: Any) -> pd.DataFrame | str:
    """A row per channel; or the problem."""
    key, path, digest = trial.trial, f"{folder}/{trial.trial}.parquet", digest_of(trial, DIGEST)
    try:
        content = read_buffer(system, path)
        if digest and file_digest(content) != digest:
            return unusable(
                path, key, "is not the file that the trial's record describes (its digest differs)", trial.participant
            )
        table = parquet_table(content, ("trial", "window", "channel", "weight")).to_pandas()
        weight = table["weight"].to_numpy(dtype=np.float64)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        return unreadable(path, key, error)
    if not table["trial"].eq(key).all():
        return unusable(path, key, "is of another trial", trial.participant)
    if problem := _weight_problem(table["window"].to_numpy(), table["channel"].to_numpy(), weight):
        return unusable(path, key, problem, trial.participant)
    weights = table.groupby(["trial", "channel"], sort=False)["weight"]
    summary: pd.DataFrame = weights.agg(windows="size", mean="mean", sd="std").reset_index()
    return summary


def _weight_problem(window: Ints, channel: NDArray[Any], weight: Floats) -> str:
    """Why these cannot be weights of channels, (n,) each; empty if they can."""
    if not np.isfinite(weight).all() or (len(weight) and (weight.min() < 0 or weight.max() > 1)):
        return "has a weight that is not between 0 and 1"
    windows = pd.Series(weight).groupby(window)
    if (np.abs(windows.sum() - 1) > SUM_TOLERANCE).any():
        return "has weights that do not sum to 1 in each window"
    if pd.MultiIndex.from_arrays([window, channel]).has_duplicates:
        return "has two weights of a channel in one window"
    return ""


def weights_by_variant(weights: pd.DataFrame) -> pd.DataFrame:
    """A row per variant and channel: mean over participants (each averaged over seeds), SD between them, their mean SD between windows, and
    the weight of equal shares.

    Args:
        weights: as ``attention_weights`` gives them.

    Returns:
        dataset, label, model, technique, variant, channel, n_participants, mean, sd_people, sd_windows, equal.
    """
    per_participant = weights.groupby([*VARIANT, "channel", "participant"], sort=False)[["mean", "sd"]].mean().reset_index()
    channels = per_participant.groupby([*VARIANT, "channel"], sort=False)
    table = channels.agg(
        n_participants=("participant", "size"), mean=("mean", "mean"), sd_people=("mean", "std"), sd_windows=("sd", "mean")
    ).reset_index()
    return table.assign(equal=1 / table.groupby(VARIANT)["channel"].transform("size"))
