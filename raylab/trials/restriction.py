"""Which windows of a dataset a study uses (``restrict:`` and ``match:``), and why that cannot be for some data."""

import numpy as np

from raylab.trials.study import DatasetEntry
from raylab.windows.dataset import WindowIndex
from raylab.windows.order import pair_orders, restricted, window_order
from raylab.windows.segmentation import NO_LABEL


def suffix(entry: DatasetEntry) -> str:
    """The mark behind the dataset's name in every table; empty if all windows are used."""
    used = [f"within {entry.border_minutes:g} min of a change of label"] if entry.restrict else []
    return ", ".join([*used, *(["matched in time"] if entry.match else [])])


def restriction_problems(entry: DatasetEntry, index: WindowIndex) -> list[str]:
    """Why the entry's windows cannot be restricted or matched as it says; empty if they can.

    Args:
        index: of all its windows.
    """
    if not (entry.restrict or entry.match):
        return []
    asked = "restrict" if entry.restrict else "match"
    order = window_order(index, entry.label)
    if order is None:
        return [f"{entry.windows}: `{asked}` needs to know when windows were recorded, and these are utterances; leave it out"]
    problems = []
    if entry.restrict and not (restricted(index, entry.label, entry.border_minutes).labels[entry.label] != NO_LABEL).any():
        problems.append(
            f"{entry.windows}: restrict: border_minutes {entry.border_minutes:g} leaves no window: nobody has two runs of different classes of "
            f"{entry.label} that lie so near to each other"
        )
    fixed = [pair for pair in pair_orders(order, index.classes(entry.label)) if pair.fixed]
    if entry.match and (fixed or len(np.unique(order.y)) < 2):
        why = fixed[0].sentence if fixed else "there is one class alone."
        problems.append(
            f"{entry.windows}: match: clock has nothing to match: {why} A match would need people of either order; leave it out"
        )
    return problems
