"""When each labelled window was recorded, kept in the run folder (window_order.parquet), so that the analysis can tell emotion from the clock
(``analysis.scores.order``, ``analysis.scores.clock``)."""

import numpy as np
import pyarrow as pa

from raylab.trials.plan import CheckedDataset
from raylab.windows.order import window_order

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("label", pa.string()),
        ("participant", pa.string()),
        ("window", pa.int64()),
        ("y", pa.int8()),
        ("start_s", pa.float64()),
        ("segment_s", pa.float64()),
        ("run", pa.int32()),
    ]
)


def window_orders(datasets: list[CheckedDataset]) -> pa.Table:
    """dataset, label, participant, window, y, start_s, segment_s and run (``raylab.windows.order``) of every labelled window; no rows for
    datasets of utterances."""
    parts = []
    for dataset in datasets:
        index, label = dataset.index, dataset.entry.label
        order = window_order(index, label)
        if order is None:
            continue
        columns = {
            "dataset": [dataset.name] * len(order.rows),
            "label": [label] * len(order.rows),
            "participant": np.array(index.participants, dtype=object)[order.person],
            "window": index.window[order.rows],
            "y": order.y,
            "start_s": order.start_s,
            "segment_s": order.segment_s,
            "run": order.run,
        }
        parts.append(pa.table(columns).cast(SCHEMA))
    return pa.concat_tables(parts) if parts else SCHEMA.empty_table()
