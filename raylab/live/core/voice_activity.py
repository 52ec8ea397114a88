"""Utterances in a stream of sound: from the first voiced frame to a pause, or as long as a window is."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raylab.features.optional_packages import load
from raylab.features.sound import RATE_HZ
from raylab.live.core.messages import Chunk, Note, Notify
from raylab.live.core.timestamp_alignment import Timeline, TimestampAligner, finite_runs, is_measurement

FRAME = 480  # samples, 30 ms: the detector decides whether a frame is voiced
AGGRESSIVENESS = 2  # of WebRTC's detector, 0 to 3
PRE_ROLL_S, PAUSE_S, MIN_VOICED_S = 0.15, 0.5, 0.3
ONSET_VOICED, ONSET_FRAMES = 3, 5  # so many voiced frames among so many begin an utterance
BACK_S = 10.0  # stamps further back than this are a clock that was set
TRIM_MARGIN_S = 0.3  # beyond a window's length, because silence at the ends is cut off later

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpeechSegment:
    """An utterance as it was cut out of the stream.

    Attributes:
        samples: (n,) at 16 kHz.
        start_s: time of the first sample, on the source's clock.
        arrived: when its last sample was received, by ``time.perf_counter``.
        voiced: share of its frames that are voiced.
    """

    samples: Samples
    start_s: float
    arrived: float
    voiced: float

    @property
    def end_s(self) -> float:
        """Time after the last sample, on the source's clock."""
        return self.start_s + len(self.samples) / RATE_HZ

    @property
    def quality(self) -> dict[str, float]:
        """``voiced``: share of voiced frames; ``level_db``: root mean square; ``clipped``: share of samples at full scale."""
        level = 20 * np.log10(max(float(np.sqrt(np.mean(np.square(self.samples)))), 1e-5))
        clipped = float((np.abs(self.samples) >= 0.999).mean())
        return {"voiced": round(self.voiced, 3), "level_db": round(float(level), 1), "clipped": round(clipped, 4)}


class VoiceActivityDetector:
    """Finds utterances in chunks of sound at 16 kHz, by WebRTC's voice activity detector.

    An utterance that is longer than a window ends with the window, and its rest is the next utterance; prepared windows hold an utterance's
    beginning too.

    Args:
        longest_s: length of a window.
    """

    def __init__(self, longest_s: float, notify: Notify) -> None:
        self._longest = round((longest_s + TRIM_MARGIN_S) * RATE_HZ)
        self._notify = notify
        self._detector = load("webrtcvad", "live").Vad(AGGRESSIVENESS)
        self.aligner = TimestampAligner("sound", RATE_HZ, Timeline(BACK_S), notify)
        self._partial_frame: Samples = np.zeros(0)
        self._recent: deque[tuple[Samples, bool]] = deque(
            maxlen=max(ONSET_FRAMES, round(PRE_ROLL_S * RATE_HZ / FRAME) + ONSET_FRAMES)
        )
        self._utterance: list[tuple[Samples, bool]] = []  # frames, and whether each is voiced; empty between utterances
        self._index = 0  # of the sample after the last whole frame

    def feed(self, chunk: Chunk) -> list[SpeechSegment]:
        """Add sound; the utterances that end in it."""
        self.aligner.timeline.add_chunk(len(chunk.samples) / RATE_HZ)
        aligned = self.aligner.align(chunk)
        if aligned is None:
            return []
        samples = aligned.samples[:, 0]
        valid = is_measurement(aligned.samples)
        all_finite = valid.all()
        if not all_finite:
            self._notify(Note("sound", f"{int((~valid).sum())} samples are no numbers: the utterance is left out"))
        if aligned.after_gap or not all_finite:
            self._restart(aligned.index)
        if not all_finite:
            runs = list(finite_runs(aligned.samples))
            last = runs[-1] if runs and runs[-1].stop == len(samples) else slice(len(samples), len(samples))
            samples = samples[last]
            self._index = aligned.index + last.start
        joined = np.concatenate([self._partial_frame, samples])
        count = len(joined) // FRAME
        self._partial_frame = joined[count * FRAME :]
        segments = [self._add_frame(frame, chunk.arrived) for frame in joined[: count * FRAME].reshape(count, FRAME)]
        return [segment for segment in segments if segment]

    def _restart(self, index: int) -> None:
        if self._utterance:
            self._notify(Note("sound", "a piece is missing: the utterance is left out"))
        self._partial_frame, self._utterance, self._index = np.zeros(0), [], index
        self._recent.clear()

    def _add_frame(self, frame: Samples, arrived: float) -> SpeechSegment | None:
        """The utterance that this frame ends, if it does."""
        voiced = bool(self._detector.is_speech((np.clip(frame, -1, 1) * 32767).astype(np.int16).tobytes(), RATE_HZ))
        self._index += FRAME
        if not self._utterance:
            self._recent.append((frame, voiced))
            if sum(is_voiced for _, is_voiced in list(self._recent)[-ONSET_FRAMES:]) >= ONSET_VOICED:
                self._utterance = list(self._recent)
                self._recent.clear()
            return None
        self._utterance.append((frame, voiced))
        pause = round(PAUSE_S * RATE_HZ / FRAME)
        ended = not any(is_voiced for _, is_voiced in self._utterance[-pause:])
        if not ended and len(self._utterance) * FRAME < self._longest:
            return None
        return self._end_utterance(arrived, pause if ended else 0)

    def _end_utterance(self, arrived: float, pause: int) -> SpeechSegment | None:
        """The utterance without the ``pause`` frames that ended it; None if too few of its frames are voiced, as in a click."""
        frames, self._utterance = self._utterance[: len(self._utterance) - pause], []
        samples = np.concatenate([frame for frame, _ in frames])
        voiced = sum(is_voiced for _, is_voiced in frames) / len(frames)
        if sum(is_voiced for _, is_voiced in frames) * FRAME < MIN_VOICED_S * RATE_HZ:
            return None
        begin = self._index - (len(frames) + pause) * FRAME
        return SpeechSegment(samples, self.aligner.time_of(begin), arrived, voiced)

    def finish(self, arrived: float) -> list[SpeechSegment]:
        """The utterance that the end of the source ends, if there is one."""
        if not self._utterance:
            return []
        segment = self._end_utterance(arrived, 0)
        return [segment] if segment else []
