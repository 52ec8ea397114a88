"""The order in which an epoch goes through its windows: a permutation of all, or windows drawn from a buffer that is filled person by person.

A permutation asks for windows of everybody in each batch, so all signals have to be at hand. With a buffer a training reads one person after the
other, in a new order of people in each epoch, and needs no more windows at once than the buffer holds and the person that is being read: windows
that fit on no disk of a node can then be streamed (``raylab.windows.streamed``). Batches have fewer people in them, which changes the weights: the
buffer is a hyperparameter, part of a stage's hash.
"""

import numpy as np

from raylab.folds.fold import RowIds
from raylab.models.estimators import People


def order_of_epoch(rows: RowIds, people: People, buffer: int | None, draws: np.random.Generator) -> RowIds:
    """A new order of these rows.

    Args:
        rows: (n,) rising.
        people: (n,) who each row is of.
        buffer: windows that the buffer holds; None: a permutation of all rows.
        draws: of the shuffle.

    Returns:
        (n,) each row once. With a buffer the place of a person's window is at least that of the window's arrival less ``buffer``: the reader is
        never asked for somebody who comes later.
    """
    if buffer is None:
        return draws.permutation(rows)
    arriving = _person_by_person(rows, people, draws)
    held = arriving[:buffer].tolist()
    places = draws.integers(0, len(held), size=max(0, len(arriving) - buffer)).tolist() if held else []
    order = []
    for row, place in zip(arriving[buffer:].tolist(), places, strict=True):
        order.append(held[place])
        held[place] = row  # the next window takes the place of the drawn one
    return np.concatenate([np.array(order, dtype=rows.dtype), draws.permutation(np.array(held, dtype=rows.dtype))])


def _person_by_person(rows: RowIds, people: People, draws: np.random.Generator) -> RowIds:
    """The rows of one person after the other, people in a new order."""
    by_person = np.argsort(people, kind="stable")
    parts = np.split(rows[by_person], np.flatnonzero(np.diff(people[by_person])) + 1)
    return np.concatenate([parts[k] for k in draws.permutation(len(parts))])
