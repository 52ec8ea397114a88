"""Queues between the parts of a stream: bounded, so that nothing grows, and never blocking whoever captures."""

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """Holds at most ``size`` items; where one more comes, the oldest goes, and is counted.

    Args:
        waits: whether who puts waits for room instead: for a recording that is replayed as fast as it can be, of which nothing may be lost.
    """

    def __init__(self, size: int, waits: bool = False) -> None:
        self.size, self.waits = size, waits
        self.dropped = 0
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, item: T, wait: bool = True) -> bool:
        """Add an item; False where an older one had to go.

        Args:
            wait: False for who must not be held up: in a queue of the waiting kind the item then stands beyond its size.
        """
        with self._changed:
            if self.waits and wait:
                self._changed.wait_for(lambda: len(self._items) < self.size or self._closed)
            full = len(self._items) >= self.size and not self.waits
            if full:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return not full

    def get(self, timeout_s: float | None = None) -> T | None:
        """The oldest item; None after the time, or when the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Nothing more will come; what is there may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def give_up(self) -> None:
        """Nobody takes from it any more: who waits for room goes on."""
        with self._changed:
            self.waits, self._closed = False, True
            self._items.clear()
            self._changed.notify_all()

    @property
    def done(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._closed and not self._items

    def __len__(self) -> int:
        return len(self._items)
