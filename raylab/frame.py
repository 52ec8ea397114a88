"""Prepared windows as a table: a row per window, for a notebook, R or a spreadsheet."""

import numpy as np
import pandas as pd

from raylab.models.window_statistics import N_EXTENDED, column_names, extended_statistics
from raylab.training.batches import Signals
from raylab.windows.dataset import Windows
from raylab.windows.segmentation import NO_LABEL

BATCH = 1024  # windows whose statistics are computed at once, which bounds the memory


def to_frame(windows: Windows) -> pd.DataFrame:
    """The windows as a table, in the order of the index.

    Args:
        windows: prepared windows, as ``raylab.windows.dataset.read_windows`` gives them.

    Returns:
        one row per window: ``participant``, ``window`` (id, as in a run's predictions), ``segment``, ``start_s``; the participant's traits as
        ``trait_NAME``; each label by the name of its class, missing for a window without one; and of each channel of signals ten statistics
        per feature (``raylab.models.window_statistics``) as ``CHANNEL STATISTIC``, of the preprocessed signal, NaN if the window lacks the
        channel.

    Units:
        ``start_s`` in seconds since the start of the recording; statistics in those of the preprocessed signal, which is without a unit if the
        card says that it was normalized; traits as the dataset has them.

    Source:
        the statistics are those of raylab's linear models: docs/protocol.md, Models.
    """
    index = windows.index
    traits = {participant.name: participant.traits for participant in index.card.participants}
    people = [index.participants[number] for number in index.participant_index]
    columns: dict[str, object] = {
        "participant": people,
        "window": index.window,
        "segment": index.segment,
        "start_s": index.start_s,
    }
    for trait in sorted({name for own in traits.values() for name in own}):
        columns[f"trait_{trait}"] = [traits[name].get(trait) for name in people]
    for label, y in index.labels.items():
        names = index.classes(label)
        columns[label] = [None if number == NO_LABEL else names[number] for number in y]
    channels = list(index.card.signal_channels)
    signals = Signals(windows.signals, windows.lengths).channels(channels)
    batches = np.split(np.arange(len(people)), range(BATCH, len(people), BATCH))
    parts = [extended_statistics(signals.padded(rows), channels) for rows in batches]
    shapes = {channel.name: (channel.length, channel.n_features) for channel in index.card.channels if channel.name in channels}
    features = {channel.name: channel.feature_names for channel in index.card.channels}
    names_of_columns = [f"{channel} {statistic}" for channel, statistic in column_names(shapes, features, N_EXTENDED)]
    frames = [pd.DataFrame(part, columns=names_of_columns) for part in parts]
    return pd.concat([pd.DataFrame(columns), pd.concat(frames, ignore_index=True)], axis=1)
