"""What folds have in common, kept with the index: plans ask for the same fold once per variant and model.

Folds that hold out the same people train on the same windows, whoever of them is the target. So what depends on the other people alone is computed
once for all of them, and its digest with it; a fold that is asked for again is the same object, with all that it has computed. Both are kept for the
last few folds only: a plan goes through its folds one after the other.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from raylab.hashing import HEX_DIGITS, begun_hash, hash_array
from raylab.windows.dataset import WindowIndex

Value = TypeVar("Value")
KEPT_ROWS = (
    2**22
)  # of folds: each keeps about twice as many row numbers as the index has, so 64 MiB however large the cohort is
KEPT_FEWEST, KEPT_MOST = 4, 32  # folds
BLOCK_ROWS = 2**13  # of a hash that can be taken up again after each block


class Latest(OrderedDict[Hashable, Any]):
    """The values that were asked for last, at most ``size`` of them."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def get_or(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of the key; computed if it is not kept. An error is not kept."""
        if key not in self:
            self.put(key, compute())
        self.move_to_end(key)
        value: Value = self[key]
        return value

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a value; the one that was asked for the longest ago goes."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.size:
            self.popitem(last=False)


def latest(index: WindowIndex, kind: str) -> Latest:
    """The latest of one kind of value that belongs to an index: so many that their windows stay within ``KEPT_ROWS``."""
    if kind not in index.derived:
        index.derived[kind] = Latest(int(np.clip(KEPT_ROWS // max(1, len(index.window)), KEPT_FEWEST, KEPT_MOST)))
    kept: Latest = index.derived[kind]
    return kept


class Shared:
    """Values by any key, computed once, and the digests of windows."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        self._digests: dict[int, tuple[npt.NDArray[np.int64], str]] = {}

    def get_or(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of the key; computed the first time. An error is not kept."""
        if key not in self._values:
            self._values[key] = compute()
        value: Value = self._values[key]
        return value

    def keep(self, *parts: npt.NDArray[np.int64]) -> None:
        """Keep the digests of these arrays of rows here, once they are asked for."""
        for rows in parts:
            self._digests[id(rows)] = rows, ""

    def holds(self, rows: npt.NDArray[np.int64]) -> bool:
        """Whether the digest of this very array is kept here."""
        return id(rows) in self._digests and self._digests[id(rows)][0] is rows

    def digest(self, rows: npt.NDArray[np.int64], index: WindowIndex) -> str:
        """Hash of the ids of these windows; an array that was asked for before is known by being the same object."""
        digest = self._digests[id(rows)][1] if self.holds(rows) else ""
        if not digest:
            digest = hash_windows(rows, index)
            self._digests[id(rows)] = rows, digest
        return digest


class Blocks:
    """Rows whose windows are hashed, and the state of the hash before each block of them."""

    def __init__(self, rows: npt.NDArray[np.int64], states: list[Any]) -> None:
        self.rows, self.states = rows, states

    def states_for(self, rows: npt.NDArray[np.int64]) -> list[Any]:
        """The states that are those of other rows as well, of as many: up to the first block in which the two differ."""
        for number in range(1, len(self.states)):
            block = slice((number - 1) * BLOCK_ROWS, number * BLOCK_ROWS)
            if not np.array_equal(self.rows[block], rows[block]):
                return self.states[:number]
        return self.states[:]


def hash_windows(rows: npt.NDArray[np.int64], index: WindowIndex) -> str:
    """``hash_array`` of the ids of these windows.

    Targets that are held out together have the windows of all others in common, and each one's own stand somewhere among them. So the hash of
    many rows goes on from where the last one of as many begins to differ.
    """
    ids = index.window
    if len(rows) <= BLOCK_ROWS:
        return hash_array(ids[rows])
    hashed = latest(index, "hashed windows")
    states = hashed[len(rows)].states_for(rows) if len(rows) in hashed else [begun_hash(ids.dtype, rows.shape)]
    digest = states[-1].copy()
    for start in range((len(states) - 1) * BLOCK_ROWS, len(rows), BLOCK_ROWS):
        digest.update(ids[rows[start : start + BLOCK_ROWS]].data)
        states.append(digest.copy())
    hashed.put(len(rows), Blocks(rows, states[:-1]))
    return str(digest.hexdigest()[:HEX_DIGITS])
