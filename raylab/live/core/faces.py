"""The faces of a stream of pictures, at the rate of prepared windows; looked at in a thread of their own, because they are slow."""

from collections import deque
from dataclasses import dataclass
from threading import Condition

import numpy as np
import numpy.typing as npt

from raylab.features.faces import Box, Grey, box_of, face_features
from raylab.features.film import FACE_HZ
from raylab.live.core.messages import Chunk

KEPT = 1200  # frames that were looked at: two minutes
PENDING = 20  # frames without a face that are kept whole, for the place of a face in the next ones

Features = npt.NDArray[np.float64]


@dataclass
class _Look:
    """One frame: where its face is, and its features once they are known."""

    time_s: float
    frame: Grey | None
    box: Box | None
    features: Features | None = None


class Faces:
    """What was seen in the last minutes. One thread looks, another one asks."""

    def __init__(self) -> None:
        self._seen: deque[_Look] = deque(maxlen=KEPT)
        self._pending: deque[_Look] = deque(maxlen=PENDING)
        self._begin_s: float | None = None  # of the grid of tenths of a second, as in prepared windows
        self._ticks = 0  # of them that were looked at
        self._last_s = -np.inf
        self._changed = Condition()
        self.newest_s = -np.inf  # of the frames that were looked at, or need not be

    def look(self, chunk: Chunk) -> None:
        """Look at a frame, if it is the first one of its tenth of a second."""
        at = chunk.time_s
        if self._begin_s is None or not -1 < at - self._last_s < 10:  # the first one, or the clock was set
            self._begin_s, self._ticks = at, 0
        self._last_s = at
        looked = None
        if at >= self._begin_s + self._ticks / FACE_HZ - 0.02:
            self._ticks = max(self._ticks, int((at - self._begin_s) * FACE_HZ)) + 1
            box = box_of(chunk.samples)
            looked = _Look(at, None if box else chunk.samples, box, face_features(chunk.samples, box) if box else None)
        with self._changed:
            if looked:
                self._keep(looked)
            self.newest_s = at
            self._changed.notify_all()

    def _keep(self, looked: _Look) -> None:
        self._seen.append(looked)
        if looked.box is None:
            if len(self._pending) == PENDING:
                self._pending[0].frame = None
            self._pending.append(looked)

    def end(self) -> None:
        """No more pictures come: nobody waits for them."""
        with self._changed:
            self.newest_s = np.inf
            self._changed.notify_all()

    def between(self, first_s: float, last_s: float, wait_s: float) -> tuple[Features | None, str]:
        """Features (n, 135) of the frames from one moment to another, one for each tenth of a second, or None and why.

        Waits until the frames up to the last moment were looked at, but not longer than ``wait_s``. Where no face was found in a frame, the place of
        the nearest one is looked at, as in prepared windows.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: self.newest_s >= last_s - 1 / FACE_HZ, wait_s)
            seen = [one for one in self._seen if first_s - 1 / FACE_HZ <= one.time_s <= last_s + 1 / FACE_HZ]
            begin = self._begin_s
        found = [one for one in seen if one.box]
        if not found or begin is None:
            return None, "no face" if seen else "no picture" if in_time else "pictures come too late"
        for one in seen:
            if one.features is None and one.frame is not None:
                near = min(found, key=lambda other, at=one.time_s: abs(other.time_s - at)).box  # type: ignore[misc]  # mypy infers no type for a default
                assert near is not None
                one.features, one.frame = face_features(one.frame, near), None
        known = [one for one in seen if one.features is not None]
        times = np.array([one.time_s for one in known])
        first, last = (round((moment - begin) * FACE_HZ) for moment in (first_s, last_s))
        nearest = [int(np.abs(times - begin - tick / FACE_HZ).argmin()) for tick in range(first, last + 1)]
        return np.stack([features for i in nearest if (features := known[i].features) is not None]), ""
