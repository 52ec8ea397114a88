"""The rows of people in an index, found once: a fold asks for them again and again, and a scan of all rows each time makes planning quadratic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.windows.segmentation import NO_LABEL

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PersonRows:
    """The rows that carry a label, those of one person together.

    Attributes:
        rows: (n,) row numbers, rising within each person.
        ends: (n_people + 1,) where each person's rows begin in ``rows``, and where the last one's end.
        rising: whether ``rows`` rises as a whole, as it does if the index has its people in order.
    """

    rows: Rows
    ends: Rows
    rising: bool

    @classmethod
    def of(cls, person: npt.NDArray[np.int32], y: npt.NDArray[np.int8], n_people: int) -> "PersonRows":
        """The rows with a label.

        Args:
            person: (n,) position of each row's person; y: (n,) class index, ``NO_LABEL`` for none.
        """
        labelled = np.flatnonzero(y != NO_LABEL)
        order = np.argsort(person[labelled], kind="stable")
        rows = labelled[order]
        ends = np.searchsorted(person[rows], np.arange(n_people + 1))
        return cls(rows, ends.astype(np.int64), bool((np.diff(rows) > 0).all()))

    @property
    def people(self) -> Rows:
        """Positions of the people who have a row, rising."""
        return np.flatnonzero(np.diff(self.ends))

    def of_people(self, numbers: Sequence[int]) -> Rows:
        """Rows of the people at these positions, rising."""
        distinct = sorted(set(numbers))
        if not distinct:
            return self.rows[:0].copy()
        rows = np.concatenate([self.rows[self.ends[k] : self.ends[k + 1]] for k in distinct])
        return rows if self.rising else np.sort(rows)
