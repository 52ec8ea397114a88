"""A running sound to utterances: from the first voiced moment to a pause, or as long as a window is."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.features.optional_packages import load
from raylab.features.sound import RATE_HZ
from raylab.live.core.messages import Chunk, Note, Notify
from raylab.live.core.timestamp_alignment import Timeline, TimestampAligner, finite_runs

FRAME = 480  # 30 ms, of which the detector says whether somebody speaks
STRICTNESS = 2  # of WebRTC's detector, 0 to 3
BEFORE_S, PAUSE_S, SHORTEST_S = 0.15, 0.5, 0.3
ONSET, OF = 3, 5  # so many voiced frames among so many begin an utterance
BACK_S = 10.0  # stamps further back than this are a clock that was set
TRIMMED_S = 0.3  # more than a window may hold, because silence at its ends is then cut off

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpeechSegment:
    """An utterance as it was cut out of the stream.

    Attributes:
        samples: (n,) at 16 kHz.
        start_s: of the first sample, on the source's clock.
        arrived: when its last sample came in, by ``time.perf_counter``.
        voiced: share of its frames with a voice. ``clipped``: share of samples at full scale.
    """

    samples: Samples
    start_s: float
    arrived: float
    voiced: float

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.samples) / RATE_HZ

    @property
    def quality(self) -> dict[str, float]:
        level = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(self.samples)))), 1e-5))
        clipped = float((np.abs(self.samples) >= 0.999).mean())
        return {"voiced": round(self.voiced, 3), "level_db": round(float(level), 1), "clipped": round(clipped, 4)}


class VoiceActivityDetector:
    """Finds utterances in chunks of sound at 16 kHz.

    The voice activity detector is WebRTC's. An utterance that is longer than a window is decided at the window's end, and what follows is the next
    one, as in prepared windows, which hold an utterance's beginning.
    """

    def __init__(self, longest_s: float, tell: Notify) -> None:
        self._longest = round((longest_s + TRIMMED_S) * RATE_HZ)
        self._tell = tell
        self._detector = load("webrtcvad", "live").Vad(STRICTNESS)
        self.placer = TimestampAligner("sound", RATE_HZ, Timeline(BACK_S), tell)
        self._rest: Samples = np.zeros(0)
        self._recent: deque[tuple[Samples, bool]] = deque(maxlen=max(OF, round(BEFORE_S * RATE_HZ / FRAME) + OF))
        self._open: list[tuple[Samples, bool]] = []
        self._at = 0  # place of the sample behind the last whole frame

    def feed(self, chunk: Chunk) -> list[SpeechSegment]:
        """Take sound in; the utterances that end in it."""
        self.placer.timeline.came(len(chunk.samples) / RATE_HZ)
        placed = self.placer.place(chunk)
        if placed is None:
            return []
        samples = placed.samples[:, 0]
        whole = np.isfinite(samples).all()
        if not whole:
            self._tell(Note("sound", f"{int((~np.isfinite(samples)).sum())} samples are no numbers: the utterance is left out"))
        if placed.fresh or not whole:
            self._start_anew(placed.index)
        if not whole:
            good = list(finite_runs(placed.samples))
            last = good[-1] if good and good[-1].stop == len(samples) else slice(len(samples), len(samples))
            samples = samples[last]
            self._at = placed.index + last.start
        joined = np.concatenate([self._rest, samples])
        count = len(joined) // FRAME
        self._rest = joined[count * FRAME :]
        found = [self._frame(frame, chunk.arrived) for frame in joined[: count * FRAME].reshape(count, FRAME)]
        return [one for one in found if one]

    def _start_anew(self, index: int) -> None:
        if self._open:
            self._tell(Note("sound", "a piece is missing: the utterance is left out"))
        self._rest, self._open, self._at = np.zeros(0), [], index
        self._recent.clear()

    def _frame(self, frame: Samples, arrived: float) -> SpeechSegment | None:
        voiced = bool(self._detector.is_speech((np.clip(frame, -1, 1) * 32767).astype(np.int16).tobytes(), RATE_HZ))
        self._at += FRAME
        if not self._open:
            self._recent.append((frame, voiced))
            if sum(said for _, said in list(self._recent)[-OF:]) >= ONSET:
                self._open = list(self._recent)
                self._recent.clear()
            return None
        self._open.append((frame, voiced))
        pause = round(PAUSE_S * RATE_HZ / FRAME)
        ended = not any(said for _, said in self._open[-pause:])
        if not ended and len(self._open) * FRAME < self._longest:
            return None
        return self._close(arrived, pause if ended else 0)

    def _close(self, arrived: float, pause: int) -> SpeechSegment | None:
        """The utterance, without the pause that ended it; None where it is a click."""
        kept, self._open = self._open[: len(self._open) - pause], []
        samples = np.concatenate([frame for frame, _ in kept])
        voiced = sum(said for _, said in kept) / len(kept)
        if sum(said for _, said in kept) * FRAME < SHORTEST_S * RATE_HZ:
            return None
        begin = self._at - (len(kept) + pause) * FRAME
        return SpeechSegment(samples, self.placer.time_of(begin), arrived, voiced)

    def finish(self, arrived: float) -> list[SpeechSegment]:
        """The utterance that the end of the source ended."""
        if not self._open:
            return []
        found = self._close(arrived, 0)
        return [found] if found else []
