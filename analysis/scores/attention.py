"""The weights of attention fusion: of every channel in every predicted window, to one row per trial and channel."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import fs

from analysis.constants import READERS
from analysis.scores.keys import FOLD, VARIANT
from analysis.scores.run_folder import open_run

COLUMNS = [*VARIANT, *FOLD, "channel", "windows", "mean", "sd"]


def attention_weights(run: str | os.PathLike[str], trials: pd.DataFrame) -> pd.DataFrame:
    """Mean weight of each channel over the windows that a trial predicted, and its SD between them.

    Args:
        trials: as ``analysis.load`` gives them.

    Returns:
        dataset, label, model, technique, variant, participant, seed, channel, windows, mean, sd; no rows for a run without attention fusion.
    """
    system, path = open_run(run)
    infos = system.get_file_info(fs.FileSelector(f"{path}/attention", allow_not_found=True))
    files = {Path(info.path).stem: info.path for info in infos if info.base_name.endswith(".parquet")}
    attended = trials[trials["status"].eq("ok") & trials["trial"].isin(list(files))] if len(trials) else trials
    if attended.empty:
        return pd.DataFrame(columns=COLUMNS)
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(lambda key: _channel_weights(system, files[key]), attended["trial"]))
    names = attended.set_index("trial")[[*VARIANT, *FOLD]]
    return pd.concat(parts, ignore_index=True).join(names, on="trial")[COLUMNS]


def _channel_weights(system: fs.FileSystem, path: str) -> pd.DataFrame:
    with system.open_input_file(path) as file:
        table = pq.ParquetFile(file).read(use_threads=False).to_pandas()
    weights = table.groupby(["trial", "channel"], sort=False)["weight"]
    summary: pd.DataFrame = weights.agg(windows="size", mean="mean", sd="std").reset_index()
    return summary


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
