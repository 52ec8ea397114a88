"""Faces in a stream of pictures, at the rate of prepared windows; found in a thread of their own, because this is slow."""

from collections import deque
from dataclasses import dataclass
from threading import Condition

import numpy as np
import numpy.typing as npt

from raylab.features.faces import Box, Grey, box_of, face_features
from raylab.features.film import FACE_HZ
from raylab.live.core.messages import Chunk

MAX_FRAMES = 1200  # analysed frames that are kept: two minutes
MAX_PENDING = 20  # frames without a face whose pictures are kept, in case a later frame shows where the face is

Features = npt.NDArray[np.float64]


@dataclass
class _Frame:
    """One analysed frame.

    Attributes:
        picture: kept as long as its features are missing.
        box: place of the face; None if none was found.
    """

    time_s: float
    picture: Grey | None
    box: Box | None
    features: Features | None = None


class Faces:
    """Face features of the last two minutes. One thread adds frames, another one asks for features."""

    def __init__(self) -> None:
        self._frames: deque[_Frame] = deque(maxlen=MAX_FRAMES)
        self._pending: deque[_Frame] = deque(maxlen=MAX_PENDING)
        self._begin_s: float | None = None  # of the grid of tenths of a second, as in prepared windows
        self._ticks = 0  # of the grid, so far
        self._last_s = -np.inf
        self._changed = Condition()
        self.newest_s = -np.inf  # time of the last frame that was analysed or skipped

    def add(self, chunk: Chunk) -> None:
        """Analyse a picture, if it is the first one of its tenth of a second."""
        time_s = chunk.time_s
        if self._begin_s is None or not -1 < time_s - self._last_s < 10:  # the first one, or the clock was set
            self._begin_s, self._ticks = time_s, 0
        self._last_s = time_s
        frame = None
        if time_s >= self._begin_s + self._ticks / FACE_HZ - 0.02:
            self._ticks = max(self._ticks, int((time_s - self._begin_s) * FACE_HZ)) + 1
            box = box_of(chunk.samples)
            frame = _Frame(time_s, None if box else chunk.samples, box, face_features(chunk.samples, box) if box else None)
        with self._changed:
            if frame:
                self._store(frame)
            self.newest_s = time_s
            self._changed.notify_all()

    def _store(self, frame: _Frame) -> None:
        self._frames.append(frame)
        if frame.box is None:
            if len(self._pending) == MAX_PENDING:
                self._pending[0].picture = None
            self._pending.append(frame)

    def close(self) -> None:
        """No more pictures come: callers that wait for them go on."""
        with self._changed:
            self.newest_s = np.inf
            self._changed.notify_all()

    def features_between(self, first_s: float, last_s: float, wait_s: float) -> tuple[Features | None, str]:
        """Features (n, 135) of the frames between two times, one for each tenth of a second; or None and the reason.

        Waits until the frames up to ``last_s`` are analysed, at most ``wait_s``. If no face was found in a frame, the place of the face in the
        nearest frame that has one is used, as in prepared windows.
        """
        with self._changed:
            in_time = self._changed.wait_for(lambda: self.newest_s >= last_s - 1 / FACE_HZ, wait_s)
            frames = [frame for frame in self._frames if first_s - 1 / FACE_HZ <= frame.time_s <= last_s + 1 / FACE_HZ]
            begin_s = self._begin_s
        with_face = [frame for frame in frames if frame.box]
        if not with_face or begin_s is None:
            return None, "no face" if frames else "no picture" if in_time else "pictures come too late"
        for frame in frames:
            if frame.features is None and frame.picture is not None:
                nearest_box = min(with_face, key=lambda other, time_s=frame.time_s: abs(other.time_s - time_s)).box  # type: ignore[misc]  # mypy infers no type for a default
                assert nearest_box is not None
                frame.features, frame.picture = face_features(frame.picture, nearest_box), None
        described = [frame for frame in frames if frame.features is not None]
        times = np.array([frame.time_s for frame in described])
        first, last = (round((time_s - begin_s) * FACE_HZ) for time_s in (first_s, last_s))
        nearest = [int(np.abs(times - begin_s - tick / FACE_HZ).argmin()) for tick in range(first, last + 1)]
        return np.stack([features for i in nearest if (features := described[i].features) is not None]), ""
