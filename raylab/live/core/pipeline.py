"""A stream from its source to its decisions: each part in a thread of its own, bounded queues between them.

capture -> windows (signals) -> decision -> listeners
capture -> utterances -> features -> decision -> listeners, and capture -> faces -> features (speech)
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np

from raylab.features.sound import RATE_HZ
from raylab.live.calibrate import Calibrator
from raylab.live.core.bounded_queue import BoundedQueue
from raylab.live.core.event_bus import EventBus
from raylab.live.core.faces import Faces
from raylab.live.core.inference import Decision, WindowClassifier
from raylab.live.core.messages import PICTURE, Chunk, LabelMark, Note, SegmentStart, Window
from raylab.live.core.model_file import LiveModel
from raylab.live.core.utterance_features import WAIT_S, SpeechWindows
from raylab.live.core.voice_activity import SpeechSegment, VoiceActivityDetector
from raylab.live.core.windows import WindowAssembler
from raylab.live.sources.source import Source
from raylab.models.build import Model

CHUNKS, PICTURES, WINDOWS = 512, 16, 8  # that wait between two parts
SILENT_S = 5.0  # without anything from the source: it is said
TURN_S = 0.5
LATENCIES = 100_000  # the last ones are kept

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is to be followed.

    Attributes:
        calibrate: windows of each class that the wearer marks; 0: no calibration.
        layers: that a calibration trains.
        sentences: that may be heard.
    """

    calibrate: int = 0
    layers: str = "all"
    sentences: Sequence[str] = ()


@dataclass
class StreamStatistics:
    """What came of a stream.

    Attributes:
        dropped: queue to items that were lost in it, because the part behind it was too slow.
        latencies_ms, parts_ms: of the last decisions.
    """

    windows: int = 0
    errors: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    parts_ms: dict[str, deque[float]] = field(default_factory=dict)
    channels: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        self.windows += 1
        self.latencies_ms.append(decision.latency_ms)
        for name, value in decision.parts_ms.items():
            self.parts_ms.setdefault(name, deque(maxlen=LATENCIES)).append(value)

    def as_dict(self) -> dict[str, Any]:
        shown = {"latency": list(self.latencies_ms), **{name: list(values) for name, values in self.parts_ms.items()}}
        each = {
            name: {f"p{share}": round(float(np.percentile(values, share)), 2) for share in (50, 95, 99)}
            for name, values in shown.items()
            if values
        }
        lost = {name: count for name, count in self.dropped.items() if count}
        return {"windows": self.windows, "errors": self.errors, "dropped": lost, "ms": each, "channels": self.channels}


class Stream:
    """A model that follows a source.

    Args:
        listeners: who hears of it. In a replay as fast as possible, parts wait for each other and nothing is dropped.
    """

    def __init__(
        self, model: LiveModel, source: Source, listeners: EventBus, settings: StreamSettings, waits: bool = False
    ) -> None:
        self.model, self.source, self.listeners, self.settings, self._waits = model, source, listeners, settings, waits
        self.decider = WindowClassifier(model, calibrated=not settings.calibrate)
        self.decider.warm()
        self.calibrator = (
            Calibrator(model, settings.layers, settings.calibrate, self._swap, listeners.note) if settings.calibrate else None
        )
        self.account = StreamStatistics()
        self._stop = Event()
        self._last_chunk = time.monotonic()
        self._newest_s = 0.0  # the source's clock at the last sample that was captured
        self._chunks: BoundedQueue[Chunk | SegmentStart] = BoundedQueue(CHUNKS, waits)
        self._windows: BoundedQueue[tuple[Window, float]] = BoundedQueue(WINDOWS, waits)
        self._queues: dict[str, BoundedQueue[Any]] = {"chunks": self._chunks, "windows": self._windows}
        self._threads: list[Thread] = []
        self._counts: Callable[[], dict[str, dict[str, int]]] = dict
        self._end_of: Callable[[Chunk], float] = lambda chunk: chunk.time_s + len(chunk.samples) / RATE_HZ
        if model.card.kind == "utterances":
            self._lay_out_speech()
        else:
            self._lay_out_signals()
        self._part("decision", self._windows, self._decide)

    def _lay_out_signals(self) -> None:
        assembler = WindowAssembler(self.model.card, self.listeners.note)
        self._counts = assembler.counts
        rates = {channel.name: channel.recorded_hz for channel in self.model.card.channels}
        self._end_of = lambda chunk: chunk.time_s + len(chunk.samples) / rates.get(chunk.channel, np.inf)

        def cut(chunk: Chunk | SegmentStart) -> None:
            began = time.perf_counter()
            if isinstance(chunk, SegmentStart):
                assembler.border(chunk)
                return
            for window in assembler.feed(chunk):
                self._windows.put((window, began))

        self._part("windows", self._chunks, cut, self._windows)

    def _lay_out_speech(self) -> None:
        pictures = self.source.picture and any(channel.modality == "visual" for channel in self.model.card.channels)
        faces = Faces() if pictures else None
        features = SpeechWindows(self.model.card, self.settings.sentences, faces, 60.0 if self._waits else WAIT_S)
        features.warm()
        ear = VoiceActivityDetector(self.model.card.speech.window_s, self.listeners.note)
        self._counts = lambda: {"sound": ear.placer.counts}
        spoken: BoundedQueue[SpeechSegment] = BoundedQueue(WINDOWS, self._waits)
        self._queues["utterances"] = spoken

        def listen(chunk: Chunk | SegmentStart) -> None:
            for one in ear.feed(chunk) if isinstance(chunk, Chunk) else ():
                spoken.put(one)

        def end() -> None:
            for one in ear.finish(time.perf_counter()):
                spoken.put(one)

        def describe(one: SpeechSegment) -> None:
            began = time.perf_counter()
            window = features.window(one)
            if window:
                self._windows.put((window, began))
            else:
                self.listeners.note(Note("utterances", "one has none of the model's modalities, and is not decided"))

        self._part("utterances", self._chunks, listen, spoken, end)
        self._part("features", spoken, describe, self._windows)
        if faces:
            self._queues["pictures"] = BoundedQueue(PICTURES, self._waits)
            self._part("faces", self._queues["pictures"], faces.look, end=faces.end)

    def _part(
        self,
        name: str,
        inbox: BoundedQueue[A],
        work: Callable[[A], None],
        out: BoundedQueue[B] | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        """A thread that works on what comes, until nothing comes any more. What goes wrong with one item is told, and the next one is taken."""

        def run() -> None:
            while not inbox.done:
                item = inbox.get(TURN_S)
                if item is not None:
                    self._guarded(name, lambda item=item: work(item))  # type: ignore[misc]  # mypy infers no type for a default
            self._guarded(name, end)
            if out is not None:  # an empty queue is false
                out.close()

        self._threads.append(Thread(target=run, name=name, daemon=True))

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # one window is lost, the stream stays up
            self.account.errors += 1
            self.listeners.note(Note(name, f"failed on one item, which is left out ({type(error).__name__}: {error})"))

    def _decide(self, item: tuple[Window, float]) -> None:
        window, began = item
        decision = self.decider.decide(window, began)
        self.account.add(decision)
        said = decision.as_dict()
        if self.calibrator:
            self.calibrator.offer(window)
            said |= {"mark": self.calibrator.mark_now, "marked": self.calibrator.counts}
        self.listeners.emit(said, wait=True)

    def mark(self, mark: LabelMark) -> None:
        """The wearer's mark, from a source or a page."""
        self.listeners.emit({"event": "mark", "label": mark.label, "at": round(time.time(), 3)})
        if self.calibrator is None:
            self.listeners.note(Note("calibration", "a mark came and no calibration was asked for (--calibrate)"))
            return
        self.calibrator.mark(mark, self._newest_s)

    def _swap(self, network: Model) -> None:
        self.decider.swap(network, "calibrated")
        self.listeners.emit({"event": "model", "model": "calibrated", "at": round(time.time(), 3)})

    def _capture(self) -> None:
        """From the source to the queues, until its end. A source that fails ends the stream, and says so."""
        pictures = self._queues.get("pictures")
        try:
            for item in self.source.items(self._stop):
                if isinstance(item, Chunk):
                    self._last_chunk = time.monotonic()
                    queue = self._chunks if item.channel != PICTURE else pictures
                    if queue is not None:
                        queue.put(item if item.arrived else replace(item, arrived=time.perf_counter()))
                    if item.channel != PICTURE:
                        self._newest_s = self._end_of(item)
                elif isinstance(item, SegmentStart):
                    self._chunks.put(item)
                elif isinstance(item, LabelMark):
                    self.mark(item)
                else:
                    self.listeners.note(item)
        except Exception as error:  # whatever a device or a file does: it is named, and what came is decided
            self.account.errors += 1
            self.listeners.note(Note("source", f"failed ({type(error).__name__}: {error})"))
        finally:
            self._chunks.close()
            if pictures is not None:
                pictures.close()

    def run(self) -> StreamStatistics:
        """Follow the source to its end, or until ``stop``."""
        self.listeners.emit(
            {"event": "start", "source": self.source.description, "card": self.model.card.lines(), "model": self._model_name()}
        )
        capture = Thread(target=self._capture, name="capture", daemon=True)
        for thread in (*self._threads, capture):
            thread.start()
        silent = False
        while any(thread.is_alive() for thread in self._threads):
            self._threads[-1].join(0.2)
            silent = self._look_for_silence(silent, capture.is_alive())
            self._look_for_loss()
        if self.calibrator and not self._stop.is_set():
            self.calibrator.wait()
        self._look_for_loss()
        self.account.channels = self._counts()
        self.listeners.emit({"event": "end", **self.account.as_dict()})
        self.listeners.close()
        return self.account

    def _model_name(self) -> str:
        return "base" if self.settings.calibrate else "exported"

    def _look_for_silence(self, silent: bool, going: bool) -> bool:
        waited = time.monotonic() - self._last_chunk
        if going and waited > SILENT_S and not silent:
            self.listeners.note(Note("source", f"nothing has come for {SILENT_S:g} s; waiting"))
            return True
        if silent and waited < SILENT_S:
            self.listeners.note(Note("source", "data come again"))
            return False
        return silent

    def _look_for_loss(self) -> None:
        for name, queue in self._queues.items():
            before = self.account.dropped.get(name, 0)
            if queue.dropped > before:
                self.account.dropped[name] = queue.dropped
                self.listeners.note(Note(name, f"{queue.dropped - before} were dropped: what comes behind is too slow"))

    def stop(self) -> None:
        """End the stream; what is under way is decided, and a calibration is given up."""
        self._stop.set()
        self.listeners.hurry()
        self._chunks.close()
        if self.calibrator:
            self.calibrator.stop()
