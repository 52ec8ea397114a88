"""What single channels tell without any network, kept in the run folder (channel_scores.parquet), so that a report can set its models beside it.

The windows' stored statistics suffice (mean, standard deviation and mean absolute step of each feature), so no signal is read: a run's start
takes seconds longer. ``raylab probe channels`` has the ten statistics of classical models instead.
"""

import numpy as np
import pyarrow as pa

from raylab.runs.window_summaries import MOST_PARTICIPANTS
from raylab.trials.channel_scores import channel_predictions, scores_of_people
from raylab.trials.plan import CheckedDataset
from raylab.windows.order import window_order
from raylab.windows.segmentation import NO_LABEL

MOST_STATISTICS = 128  # of all channels together: with more, linear models of every person would take minutes
SCORES = ("auroc", "later", "earlier")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("dataset", "label", "model", "participant")] + [(name, pa.float64()) for name in SCORES]
)


def channel_scores(datasets: list[CheckedDataset]) -> pa.Table:
    """dataset, label, model (``raylab.trials.channel_scores``), participant, auroc, later and earlier; of datasets with more than 300 participants
    nothing, of those with many statistics the channels' means only."""
    parts = []
    for dataset in datasets:
        index, label = dataset.index, dataset.entry.label
        cards = {card.name: card for card in index.card.channels if card.name in dataset.channels and not card.features}
        if len(index.participants) > MOST_PARTICIPANTS or not cards:
            continue
        order = window_order(index, label)
        rows = np.flatnonzero(index.labels[label] != NO_LABEL) if order is None else order.rows
        y, person = index.labels[label][rows].astype(np.int64), index.participant_index[rows].astype(np.int64)
        statistics = {name: index.statistics[name][rows].astype(np.float64) for name in cards}
        means = {name: x[:, :1] for name, x in statistics.items() if cards[name].n_features == 1 and cards[name].length > 1}
        few = sum(x.shape[1] for x in statistics.values()) <= MOST_STATISTICS
        predictions = channel_predictions(statistics if few else {}, means, y, person, len(index.classes(label)))
        names = {k: index.participants[k] for k in np.unique(person) if len(np.unique(y[person == k])) > 1}
        scores = scores_of_people(predictions, y, person, names, None if order is None else order.start_s)
        parts.append(
            pa.Table.from_pandas(scores.assign(dataset=dataset.name, label=label), preserve_index=False)
            .select(SCHEMA.names)
            .cast(SCHEMA)
        )
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()
