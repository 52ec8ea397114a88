"""A stream from its source to its decisions: each part in a thread of its own, with bounded queues between them.

capture -> windows (signals) -> decision -> subscribers
capture -> utterances -> features -> decision -> subscribers, and capture -> faces -> features (speech)
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np

from raylab.features.sound import RATE_HZ
from raylab.live.core.bounded_queue import BoundedQueue
from raylab.live.core.calibration import CalibratorFactory, StreamCalibrator
from raylab.live.core.event_bus import EventBus
from raylab.live.core.faces import Faces
from raylab.live.core.inference import Decision, WindowClassifier
from raylab.live.core.losses import losses
from raylab.live.core.messages import (
    LONGEST_LABEL,
    PICTURE,
    SOUND,
    Chunk,
    LabelMark,
    Note,
    SegmentStart,
    Source,
    Window,
    is_time,
    shortened,
)
from raylab.live.core.model_file import LiveModel
from raylab.live.core.utterance_features import WAIT_S, SpeechWindows
from raylab.live.core.voice_activity import SpeechSegment, VoiceActivityDetector
from raylab.live.core.windows import WindowAssembler
from raylab.models.build import Model

CHUNK_QUEUE, PICTURE_QUEUE, WINDOW_QUEUE = 512, 16, 8  # items that can wait between two parts
CHUNK_BYTES = 64_000_000  # of the chunks that can wait
SILENT_S = 5.0  # a source that sends nothing for so long is noted
POLL_S = 0.5
LOSSES_EVERY_S = 5.0  # what was lost is told at most so often
MAX_LATENCIES = 100_000  # of the last decisions

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class StreamSettings:
    """Options for following a stream.

    Attributes:
        calibrate: windows of each class that the wearer marks for a calibration; 0: no calibration.
        layers: that a calibration trains; if empty, those that the model has (all of them, if it has that choice).
        sentences: that can be recognized; if empty, those of the model file.
        stop: rule that ends the marking earlier (``raylab.training.label_budget``); empty: none.
    """

    calibrate: int = 0
    layers: str = ""
    sentences: Sequence[str] = ()
    stop: str = ""


@dataclass
class StreamStatistics:
    """Counts and latencies of a stream.

    Attributes:
        errors: items on which a part failed.
        dropped: queue to the items that were dropped from it, because the next part was too slow.
        latencies_ms, parts_ms: of the last decisions.
        channels: see ``WindowAssembler.counts``.
    """

    windows: int = 0
    errors: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_LATENCIES))
    parts_ms: dict[str, deque[float]] = field(default_factory=dict)
    channels: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        """Count a decision."""
        self.windows += 1
        self.latencies_ms.append(decision.latency_ms)
        for name, value in decision.parts_ms.items():
            self.parts_ms.setdefault(name, deque(maxlen=MAX_LATENCIES)).append(value)

    def as_dict(self) -> dict[str, Any]:
        """Plain values; of latencies the 50, 95 and 99% quantile."""
        durations = {"latency": list(self.latencies_ms), **{name: list(values) for name, values in self.parts_ms.items()}}
        quantiles = {
            name: {f"p{share}": round(float(np.percentile(values, share)), 2) for share in (50, 95, 99)}
            for name, values in durations.items()
            if values
        }
        dropped = {name: count for name, count in self.dropped.items() if count}
        return {
            "windows": self.windows,
            "errors": self.errors,
            "dropped": dropped,
            "ms": quantiles,
            "channels": self.channels,
        }


class Stream:
    """A model that follows a source.

    Args:
        bus: receives the events.
        waits: whether parts wait for each other and nothing is dropped: for a replay as fast as possible.
        calibrator: makes the calibrator; not needed unless the settings ask for a calibration.

    Raises:
        RaylabError: if the model cannot do what the settings ask for.
    """

    def __init__(
        self,
        model: LiveModel,
        source: Source,
        bus: EventBus,
        settings: StreamSettings,
        waits: bool = False,
        calibrator: CalibratorFactory | None = None,
    ) -> None:
        self.model, self.source, self.bus, self.settings, self._waits = model, source, bus, settings, waits
        self.classifier = WindowClassifier(model, calibrated=not settings.calibrate)
        self.classifier.warm_up()
        self.calibrator = self._make_calibrator(calibrator) if settings.calibrate else None
        self.statistics = StreamStatistics()
        self._stop, self._withdrawn = Event(), Event()
        self._last_chunk = time.monotonic()
        self._newest_s = 0.0  # the source's clock after the last captured sample
        self._chunks: BoundedQueue[Chunk | SegmentStart] = BoundedQueue(
            CHUNK_QUEUE, waits, CHUNK_BYTES, _n_bytes, lambda item: isinstance(item, SegmentStart)
        )
        self._windows: BoundedQueue[tuple[Window, float]] = BoundedQueue(WINDOW_QUEUE, waits)
        self._queues: dict[str, BoundedQueue[Any]] = {"chunks": self._chunks, "windows": self._windows}
        self._threads: list[Thread] = []
        self._channel_counts: Callable[[], dict[str, dict[str, int]]] = dict
        self._undecided: dict[str, int] = {}
        self._losses: tuple[float, dict[str, Any]] = (0.0, losses({}, {}, {}, {}))  # when they were told, and what
        self._rates_hz: dict[str, float] = {SOUND: RATE_HZ}
        self._n_captured: dict[str, int] = {}  # channel to its samples so far
        if model.card.kind == "utterances":
            self._add_speech_parts()
        else:
            self._add_signal_parts()
        self._add_part("decision", self._windows, self._decide)

    def _make_calibrator(self, factory: CalibratorFactory | None) -> StreamCalibrator:
        if factory is None:
            raise ValueError("a stream with a calibration needs a calibrator")
        return factory(
            self.model, self.settings.layers, self.settings.calibrate, self._use_calibrated, self.bus.note, self.settings.stop
        )

    def _add_signal_parts(self) -> None:
        assembler = WindowAssembler(self.model.card, self.bus.note)
        self._channel_counts, self._undecided = assembler.counts, assembler.undecided
        self._rates_hz = {channel.name: channel.recorded_hz for channel in self.model.card.channels}

        def assemble(chunk: Chunk | SegmentStart) -> None:
            began = time.perf_counter()
            if isinstance(chunk, SegmentStart):
                assembler.start_segment(chunk)
                return
            for window in assembler.feed(chunk):
                self._windows.put((window, began))

        self._add_part("windows", self._chunks, assemble, self._windows)

    def _add_speech_parts(self) -> None:
        pictures = self.source.picture and any(channel.modality == "visual" for channel in self.model.card.channels)
        faces = Faces() if pictures else None
        features = SpeechWindows(self.model.card, self.settings.sentences, faces, 60.0 if self._waits else WAIT_S)
        features.warm_up()
        detector = VoiceActivityDetector(self.model.card.speech.window_s, self.bus.note)
        self._channel_counts = lambda: {"sound": detector.aligner.counts}
        segments: BoundedQueue[SpeechSegment] = BoundedQueue(WINDOW_QUEUE, self._waits)
        self._queues["utterances"] = segments

        def detect(chunk: Chunk | SegmentStart) -> None:
            for segment in detector.feed(chunk) if isinstance(chunk, Chunk) else ():
                segments.put(segment)

        def finish() -> None:
            for segment in detector.finish(time.perf_counter()):
                segments.put(segment)

        def describe(segment: SpeechSegment) -> None:
            began = time.perf_counter()
            window = features.window(segment)
            if window:
                self._windows.put((window, began))
            else:
                self.bus.note(Note("utterances", "one has none of the model's modalities, and is not decided"))

        self._add_part("utterances", self._chunks, detect, segments, finish)
        self._add_part("features", segments, describe, self._windows)
        if faces:
            self._queues["pictures"] = BoundedQueue(PICTURE_QUEUE, self._waits)
            self._add_part("faces", self._queues["pictures"], faces.add, finish=faces.close)

    def _add_part(
        self,
        name: str,
        inbox: BoundedQueue[A],
        work: Callable[[A], None],
        outbox: BoundedQueue[B] | None = None,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """Add a thread that works on the items of a queue until it is closed. A failure on one item is noted, and the next item is taken.

        Once consent is withdrawn, items are thrown away.
        """

        def run() -> None:
            while not inbox.done:
                item = inbox.get(POLL_S)
                if item is not None and not self._withdrawn.is_set():
                    self._run_guarded(name, lambda item=item: work(item))  # type: ignore[misc]  # mypy infers no type for a default
            self._run_guarded(name, finish)
            if outbox is not None:  # an empty queue is false
                outbox.close()

        self._threads.append(Thread(target=run, name=name, daemon=True))

    def _run_guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # one window is lost, the stream stays up
            self.statistics.errors += 1
            self.bus.note(Note(name, f"failed on one item, which is left out ({type(error).__name__}: {error})"))

    def _decide(self, item: tuple[Window, float]) -> None:
        window, began = item
        decision = self.classifier.decide(window, began)
        self.statistics.add(decision)
        event = decision.as_dict()
        if self.calibrator:
            self.calibrator.offer(window)
            event |= {"mark": self.calibrator.current_mark, "marked": self.calibrator.counts}
        if not self._withdrawn.is_set():
            self.bus.emit(event, wait=True)

    def mark(self, mark: LabelMark) -> None:
        """Take the wearer's mark, from a source or the page."""
        self.bus.emit({"event": "mark", "label": shortened(mark.label, LONGEST_LABEL), "at": round(time.time(), 3)})
        if self.calibrator is None:
            self.bus.note(Note("calibration", "a mark came and no calibration was asked for (--calibrate)"))
            return
        self.calibrator.mark(mark, self._newest_s)

    def _use_calibrated(self, network: Model) -> None:
        self.classifier.swap(network, "calibrated")
        self.bus.emit({"event": "model", "model": "calibrated", "at": round(time.time(), 3)})

    def _capture(self) -> None:
        """Move items from the source to the queues until it ends. A source that fails ends the stream, with a note."""
        pictures = self._queues.get("pictures")
        try:
            for item in self.source.items(self._stop):
                if isinstance(item, Chunk):
                    self._last_chunk = time.monotonic()
                    queue = self._chunks if item.channel != PICTURE else pictures
                    if queue is not None:
                        queue.put(self._counted(item))
                elif isinstance(item, SegmentStart):
                    self._chunks.put(item)
                elif isinstance(item, LabelMark):
                    self.mark(item)
                else:
                    self.bus.note(item)
        except Exception as error:  # any error of a device or a file: it is noted, and what was captured is decided
            self.statistics.errors += 1
            self.bus.note(Note("source", f"failed ({type(error).__name__}: {error})"))
        finally:
            self._chunks.close()
            if pictures is not None:
                pictures.close()

    def _counted(self, chunk: Chunk) -> Chunk:
        """A chunk with its time of receipt, and the number of samples before it; if it is dropped, the next one of its channel shows that."""
        if not chunk.arrived:
            chunk = replace(chunk, arrived=time.perf_counter())
        rate_hz = self._rates_hz.get(chunk.channel)
        if rate_hz is None or not chunk.samples.ndim:
            return chunk
        if chunk.n_before < 0:
            chunk = replace(chunk, n_before=self._n_captured.get(chunk.channel, 0))
        self._n_captured[chunk.channel] = chunk.n_before + len(chunk.samples)
        if is_time(chunk.time_s):
            self._newest_s = chunk.time_s + len(chunk.samples) / rate_hz
        return chunk

    def run(self) -> StreamStatistics:
        """Follow the source to its end, or until ``stop``."""
        self.bus.emit(
            {"event": "start", "source": self.source.description, "card": self.model.card.lines(), "model": self._first_model()}
        )
        capture = Thread(target=self._capture, name="capture", daemon=True)
        for thread in (*self._threads, capture):
            thread.start()
        silent = False
        while any(thread.is_alive() for thread in self._threads):
            self._threads[-1].join(0.2)
            silent = self._note_silence(silent, capture.is_alive())
            self._note_drops()
            if time.monotonic() - self._losses[0] >= LOSSES_EVERY_S:
                self._tell_losses()
        if self.calibrator and not self._stop.is_set():
            self.calibrator.wait()
        self._note_drops()
        self._tell_losses()
        self.bus.note_rest()
        self.statistics.channels = self._channel_counts()
        self.bus.emit({"event": "end", **self.statistics.as_dict()})
        self.bus.close()
        return self.statistics

    def _first_model(self) -> str:
        return "base" if self.settings.calibrate else "exported"

    def _note_silence(self, silent: bool, capturing: bool) -> bool:
        """Send a note when the source falls silent, and when it sends again; whether it is silent."""
        waited_s = time.monotonic() - self._last_chunk
        if capturing and waited_s > SILENT_S and not silent:
            self.bus.note(Note("source", f"nothing has come for {SILENT_S:g} s; waiting"))
            return True
        if silent and waited_s < SILENT_S:
            self.bus.note(Note("source", "data come again"))
            return False
        return silent

    def _note_drops(self) -> None:
        for name, queue in self._queues.items():
            before = self.statistics.dropped.get(name, 0)
            if queue.dropped > before:
                self.statistics.dropped[name] = queue.dropped
                self.bus.note(Note(name, f"raylab dropped {queue.dropped - before}: what comes behind is too slow"))

    def _tell_losses(self) -> None:
        """Send what was lost since the stream began and by whom, if it has changed."""
        before, now = self._losses[1], losses(self._channel_counts(), self._rates_hz, self.statistics.dropped, self._undecided)
        self._losses = time.monotonic(), now
        if now != before:
            self.bus.emit(now)

    def withdraw(self) -> None:
        """End the stream because consent is withdrawn: what was captured and is not decided yet is thrown away, no decision is sent any more."""
        self._withdrawn.set()
        self.stop()
        for queue in self._queues.values():
            queue.abandon()
        self.bus.emit({"event": "withdrawn", "at": round(time.time(), 3)})

    def stop(self) -> None:
        """End the stream: captured samples are still decided, a running calibration is ended."""
        self._stop.set()
        self.bus.stop_waiting()
        self._chunks.close()
        if self.calibrator:
            self.calibrator.stop()


def _n_bytes(item: Chunk | SegmentStart) -> int:
    return item.samples.nbytes if isinstance(item, Chunk) else 0
