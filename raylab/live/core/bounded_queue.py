"""Queues between the parts of a stream: bounded, so that memory does not grow, and never blocking the part that captures."""

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """Holds at most ``size`` items. If one more comes, the oldest is dropped and counted.

    Args:
        waits: whether the caller of ``put`` waits for room instead: for a recording that is replayed as fast as possible, of which nothing may
            be lost.
    """

    def __init__(self, size: int, waits: bool = False) -> None:
        self.size, self.waits = size, waits
        self.dropped = 0
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, item: T, wait: bool = True) -> bool:
        """Add an item; False if an older one was dropped for it.

        Args:
            wait: False for a caller that must not be blocked: a queue of the waiting kind then grows beyond its size.
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
        """The oldest item; None after the timeout, or if the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            item = self._items.popleft() if self._items else None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No item is added any more; the items in the queue can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """No item is taken any more: the items are dropped, and callers of ``put`` no longer wait."""
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
