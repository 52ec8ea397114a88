"""Events of a stream to its subscribers: each has a queue of its own, so that a slow one loses events and delays no other."""

import json
import math
import time
from collections import deque
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TextIO

from raylab.live.core.bounded_queue import BoundedQueue
from raylab.live.core.messages import LONGEST_ABOUT, LONGEST_NOTE, Note, shortened

BusEvent = dict[str, Any]
QUEUE_SIZE, HISTORY = 256, 400  # events
NOTES_AT_ONCE, NOTES_EVERY_S = 40, 2.0  # on one channel or part: so many at once, then one in so many seconds
MOST_SUBJECTS = 200  # channels and parts with a count of their own


def line_of(event: BusEvent) -> str:
    """An event as a line of JSON; a number that JSON does not have is null."""
    try:
        return json.dumps(event, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(event), allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class NoteLimit:
    """Decides which notes are sent: a source that goes wrong at every chunk must not push the decisions out of the queues."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}  # channel or part to the notes that it may send, and when that was
        self._withheld: dict[str, int] = {}

    def admit(self, about: str, now_s: float) -> int:
        """-1 if a note is withheld; otherwise the number of those that were withheld since the last one on the same."""
        key = about if about in self._left or len(self._left) < MOST_SUBJECTS else ""
        left, since_s = self._left.get(key, (float(NOTES_AT_ONCE), now_s))
        left = min(float(NOTES_AT_ONCE), left + (now_s - since_s) / NOTES_EVERY_S)
        self._left[key] = (left - 1 if left >= 1 else left), now_s
        if left < 1:
            self._withheld[key] = self._withheld.get(key, 0) + 1
            return -1
        return self._withheld.pop(key, 0)

    def rest(self) -> dict[str, int]:
        """Channel or part to its notes that were withheld and not yet counted in a note."""
        rest, self._withheld = self._withheld, {}
        return rest


class EventBus:
    """Passes events to subscribers, and keeps the last ones for those that come later.

    Args:
        waits: whether the stream waits for subscribers that ask for it (``subscribe``): in a replay of which no event may be lost.
    """

    def __init__(self, waits: bool = False) -> None:
        self._waits = waits
        self._queues: list[BoundedQueue[BusEvent]] = []
        self._history: deque[BusEvent] = deque(maxlen=HISTORY)
        self._lock = Lock()
        self._limit = NoteLimit()

    def emit(self, event: BusEvent, wait: bool = False) -> None:
        """Send an event to all subscribers.

        Args:
            wait: whether to wait for the subscribers that the stream waits for. Only the part that decides windows does; no other is delayed.
        """
        with self._lock:
            self._history.append(event)
            queues = list(self._queues)
        for queue in queues:
            queue.put(event, wait)

    def note(self, note: Note) -> None:
        """Send a note, with the time of day; of many on the same channel or part in a short time only the first, and how many were left out."""
        about = shortened(note.about, LONGEST_ABOUT)
        with self._lock:
            n_withheld = self._limit.admit(about, time.monotonic())
        if n_withheld > 0:
            self._emit_note(about, f"{n_withheld} more notes were left out")
        if n_withheld >= 0:
            self._emit_note(about, shortened(note.text, LONGEST_NOTE))

    def _emit_note(self, about: str, text: str) -> None:
        self.emit({"event": "note", "about": about, "text": text, "at": round(time.time(), 3)})

    def note_rest(self) -> None:
        """Send how many notes were left out, at the end of the stream."""
        with self._lock:
            rest = self._limit.rest()
        for about, count in rest.items():
            self._emit_note(about or "stream", f"{count} more notes were left out")

    def subscribe(self, waits: bool = False, history: bool = False) -> BoundedQueue[BusEvent]:
        """The queue of a new subscriber.

        Args:
            waits: whether the stream waits for this subscriber, if the bus waits at all.
            history: whether the queue begins with the last events.
        """
        queue: BoundedQueue[BusEvent] = BoundedQueue(max(QUEUE_SIZE, HISTORY), waits and self._waits)
        with self._lock:
            for event in self._history if history else ():
                queue.put(event)
            self._queues.append(queue)
        return queue

    def unsubscribe(self, queue: BoundedQueue[BusEvent]) -> None:
        """Send no more events to this queue."""
        with self._lock:
            self._queues = [other for other in self._queues if other is not queue]

    def stop_waiting(self) -> None:
        """From now on the stream waits for no subscriber."""
        with self._lock:
            for queue in self._queues:
                queue.waits = False

    def close(self) -> None:
        """No more events come."""
        with self._lock:
            queues = list(self._queues)
        for queue in queues:
            queue.close()


class EventWriter:
    """Writes events as lines of JSON in a thread of its own: a full pipe or a slow disk delays nothing else.

    Args:
        destination: an open text stream, or the path of a file that is appended to.
        name: of the destination, in notes.
    """

    def __init__(self, bus: EventBus, destination: TextIO | Path, name: str) -> None:
        self._destination, self._bus, self._name = destination, bus, name
        self._queue = bus.subscribe(waits=True)
        self._noted_drops = 0
        self._thread = Thread(target=self._run, name=f"write {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            if isinstance(self._destination, Path):
                with self._destination.open("a", encoding="utf-8") as file:
                    self._write(file)
            else:
                self._write(self._destination)
        except Exception as error:  # a full disk, a closed pipe: the stream must not wait for this queue any more
            self._bus.note(Note(self._name, f"cannot be written to any more ({error}); the stream goes on"))
        finally:
            self._bus.unsubscribe(self._queue)
            self._queue.abandon()

    def _write(self, file: TextIO) -> None:
        while not self._queue.done:
            event = self._queue.get(1.0)
            if event is None:
                continue
            if self._queue.dropped > self._noted_drops:
                lost, self._noted_drops = self._queue.dropped - self._noted_drops, self._queue.dropped
                file.write(
                    line_of({"event": "note", "about": self._name, "text": f"too slow: {lost} events were left out"}) + "\n"
                )
            file.write(line_of(event) + "\n")
            file.flush()

    def finish(self, wait_s: float = 5.0) -> None:
        """Wait until every event is written, at most this long."""
        self._thread.join(wait_s)
