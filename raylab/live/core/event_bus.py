"""Who listens to a stream: everyone gets every event through a queue of their own, so that one who is slow loses events and holds up nobody."""

import json
import time
from collections import deque
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TextIO

from raylab.live.core.bounded_queue import BoundedQueue
from raylab.live.core.messages import Note

Event = dict[str, Any]
WAITING, KEPT = 256, 400


class EventBus:
    """Hands out events, and keeps the last ones for who joins late."""

    def __init__(self, waits: bool = False) -> None:
        self._waits = waits
        self._queues: list[BoundedQueue[Event]] = []
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._lock = Lock()

    def emit(self, event: Event, wait: bool = False) -> None:
        """An event for all.

        Args:
            wait: whether to wait for listeners that the stream waits for: who makes decisions does, nobody else is held up.
        """
        with self._lock:
            self._kept.append(event)
            queues = list(self._queues)
        for queue in queues:
            queue.put(event, wait)

    def note(self, note: Note) -> None:
        """What happened to the stream, with the time of day."""
        self.emit({"event": "note", "about": note.about, "text": note.text, "at": round(time.time(), 3)})

    def join(self, waits: bool = False, before: bool = False) -> BoundedQueue[Event]:
        """A new listener's queue.

        Args:
            waits: whether the stream waits for this listener, where it may wait at all.
            before: whether the last events are in it.
        """
        queue: BoundedQueue[Event] = BoundedQueue(max(WAITING, KEPT), waits and self._waits)
        with self._lock:
            for event in self._kept if before else ():
                queue.put(event)
            self._queues.append(queue)
        return queue

    def leave(self, queue: BoundedQueue[Event]) -> None:
        with self._lock:
            self._queues = [other for other in self._queues if other is not queue]

    def hurry(self) -> None:
        """Nobody waits for anybody any more."""
        with self._lock:
            for queue in self._queues:
                queue.waits = False

    def close(self) -> None:
        """Nothing more will be told."""
        with self._lock:
            queues = list(self._queues)
        for queue in queues:
            queue.close()


class EventWriter:
    """Writes events as lines of JSON, in a thread of its own: a full pipe or a slow disk stops nothing else."""

    def __init__(self, listeners: EventBus, to: TextIO | Path, name: str) -> None:
        self._to, self._listeners, self._name = to, listeners, name
        self._queue = listeners.join(waits=True)
        self._said = 0
        self._thread = Thread(target=self._run, name=f"write {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            if isinstance(self._to, Path):
                with self._to.open("a", encoding="utf-8") as file:
                    self._write(file)
            else:
                self._write(self._to)
        except Exception as error:  # a full disk, a closed pipe: nobody may wait for this queue any more
            self._listeners.note(Note(self._name, f"cannot be written to any more ({error}); the stream goes on"))
        finally:
            self._listeners.leave(self._queue)
            self._queue.give_up()

    def _write(self, file: TextIO) -> None:
        while not self._queue.done:
            event = self._queue.get(1.0)
            if event is None:
                continue
            if self._queue.dropped > self._said:
                lost, self._said = self._queue.dropped - self._said, self._queue.dropped
                file.write(
                    json.dumps({"event": "note", "about": self._name, "text": f"too slow: {lost} events were left out"}) + "\n"
                )
            file.write(json.dumps(event) + "\n")
            file.flush()

    def finish(self, wait_s: float = 5.0) -> None:
        """Until everything is written, but not longer than this."""
        self._thread.join(wait_s)
