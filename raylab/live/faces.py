"""The faces of a stream of pictures, at the rate of prepared windows; looked at in a thread of their own, because they are slow."""

from dataclasses import dataclass
from threading import Condition

import numpy as np
import numpy.typing as npt

from raylab.features.faces import Box, Grey, box_of, face_features
from raylab.features.film import FACE_HZ
from raylab.live.chunk import Chunk

KEPT_S = 15.0


@dataclass
class _Look:
    """One frame: where its face is, and its features once they are known."""

    time_s: float
    frame: Grey | None
    box: Box | None
    features: npt.NDArray[np.float64] | None = None


class Faces:
    """What was seen in the last seconds. One thread looks, another one asks."""

    def __init__(self) -> None:
        self._seen: list[_Look] = []
        self._next_s = -np.inf
        self._changed = Condition()
        self.newest_s = -np.inf  # of the frames that were looked at, or need not be

    def wants(self, time_s: float) -> bool:
        """Whether a frame of this time is looked at: ten a second are."""
        if time_s < self.newest_s - KEPT_S:  # the clock went back
            self._next_s = -np.inf
        return time_s >= self._next_s - 0.5 / FACE_HZ / 5

    def look(self, chunk: Chunk) -> None:
        """Look at a frame."""
        at = chunk.time_s
        if self.wants(at):
            box = box_of(chunk.samples)
            features = face_features(chunk.samples, box) if box else None
            looked = _Look(at, None if box else chunk.samples, box, features)
            self._next_s = max(self._next_s + 1 / FACE_HZ, at) if np.isfinite(self._next_s) else at + 1 / FACE_HZ
            with self._changed:
                self._seen = [one for one in self._seen if abs(at - one.time_s) <= KEPT_S] + [looked]
        with self._changed:
            self.newest_s = at
            self._changed.notify_all()

    def between(self, first_s: float, last_s: float, wait_s: float) -> tuple[npt.NDArray[np.float64] | None, str]:
        """Features (n, 135) of the frames from one moment to another, one for each tenth of a second, and what is to be said of them.

        Waits until the frames up to the last moment were looked at, but not longer than ``wait_s``. Where no face was found in a frame, the place of
        the nearest one is looked at, as in prepared windows.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.newest_s >= last_s - 1 / FACE_HZ, wait_s)
            seen = [one for one in self._seen if first_s - 0.5 / FACE_HZ <= one.time_s <= last_s + 0.5 / FACE_HZ]
            late = self.newest_s < last_s - 1 / FACE_HZ
        boxes = [(one.time_s, one.box) for one in seen if one.box]
        if not boxes:
            return None, "pictures came too late" if late and not seen else ("no picture" if not seen else "no face")
        for one in seen:
            if one.features is None and one.frame is not None:
                near = min(boxes, key=lambda pair: abs(pair[0] - one.time_s))[1]
                one.features = face_features(one.frame, near)
        times = np.array([one.time_s for one in seen])
        ticks = first_s + np.arange(1 + int((last_s - first_s) * FACE_HZ)) / FACE_HZ
        rows = [seen[int(np.abs(times - tick).argmin())].features for tick in ticks]
        return np.stack([row for row in rows if row is not None]), ""
