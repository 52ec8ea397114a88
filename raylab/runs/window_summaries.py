"""A few numbers of each labelled window, kept in the run folder (window_summaries.parquet), so that the analysis can repeat the study's
plan with a linear classifier and measure how far scores depend on each other (``analysis.statistics.dependence``)."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raylab.trials.plan import CheckedDataset
from raylab.windows.segmentation import NO_LABEL

MOST_FEATURES = 32
MOST_PARTICIPANTS = (
    300  # the analysis repeats each trial 200 times; beyond this it takes the bound, which is then hardly larger
)

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("label", pa.string()),
        ("participant", pa.string()),
        ("position", pa.int32()),
        ("window", pa.int64()),
        ("y", pa.int8()),
        ("features", pa.list_(pa.float32())),
    ]
)


def window_summaries(datasets: list[CheckedDataset]) -> pa.Table:
    """dataset, label, participant (its name), position (in ``WindowIndex.participants``, which bitmaps of records count), window, y and
    features (a list) of every labelled window; datasets of more than ``MOST_PARTICIPANTS`` are left out.

    Features are the first principal components, at most ``MOST_FEATURES``, of mean, standard deviation and mean step of the channels that the
    study uses, each standardized over the dataset: no signal can be rebuilt from them.
    """
    parts = []
    for dataset in datasets:
        index = dataset.index
        if len(index.participants) > MOST_PARTICIPANTS:
            continue
        y = index.labels[dataset.entry.label]
        rows = np.flatnonzero(y != NO_LABEL)
        features = _components(index.described(dataset.channels)[rows])
        position = index.participant_index[rows]
        names = [index.participants[k] for k in position]
        columns = {
            "dataset": [dataset.name] * len(rows),
            "label": [dataset.entry.label] * len(rows),
            "participant": names,
            "position": position,
            "window": index.window[rows],
            "y": y[rows],
            "features": list(features),
        }
        parts.append(pa.table(columns, SCHEMA))
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()


def _components(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Principal components (n, at most ``MOST_FEATURES``) of standardized columns; columns that never move are left out."""
    x64 = x.astype(np.float64)
    spread = x64.std(axis=0)
    moving = spread > 1e-9
    standardized = (x64[:, moving] - x64[:, moving].mean(axis=0)) / spread[moving]
    values, vectors = np.linalg.eigh(standardized.T @ standardized)
    largest = np.argsort(values)[::-1][:MOST_FEATURES]
    return np.asarray(standardized @ vectors[:, largest], dtype=np.float32)
