"""Queues between the parts of a stream: bounded, so that memory does not grow, and never blocking the part that captures."""

from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")
GROWTH = 10  # times the size that a queue of the waiting kind may have, if callers that must not be blocked fill it


class BoundedQueue(Generic[T]):
    """Holds at most ``size`` items. If one more comes, the oldest is dropped and counted.

    Args:
        waits: whether the caller of ``put`` waits for room instead: for a recording that is replayed as fast as possible, of which nothing may
            be lost.
        most_bytes: that all items together may have, by ``bytes_of``; a single item may have more.
        is_kept: whether an item is never dropped.
    """

    def __init__(
        self,
        size: int,
        waits: bool = False,
        most_bytes: float = float("inf"),
        bytes_of: Callable[[T], int] = lambda item: 0,
        is_kept: Callable[[T], bool] = lambda item: False,
    ) -> None:
        self.size, self.waits = size, waits
        self.dropped = 0
        self._most_bytes, self._bytes_of, self._is_kept = most_bytes, bytes_of, is_kept
        self._items: deque[T] = deque()
        self._n_bytes = 0
        self._changed = Condition()
        self._closed = False

    def put(self, item: T, wait: bool = True) -> bool:
        """Add an item; False if an older one was dropped for it.

        Args:
            wait: False for a caller that must not be blocked: a queue of the waiting kind then grows beyond its size, at most ``GROWTH`` times.
        """
        n_bytes = self._bytes_of(item)
        with self._changed:
            if self.waits and wait:
                self._changed.wait_for(lambda: self._has_room(n_bytes) or self._closed)
            dropped_before, growth = self.dropped, GROWTH if self.waits else 1
            while not self._has_room(n_bytes, growth) and self._drop_oldest():
                pass
            self._items.append(item)
            self._n_bytes += n_bytes
            self._changed.notify_all()
            return self.dropped == dropped_before

    def _has_room(self, n_bytes: int, growth: int = 1) -> bool:
        """Whether one more item of so many bytes may be added."""
        within_bytes = not self._items or self._n_bytes + n_bytes <= growth * self._most_bytes
        return len(self._items) < growth * self.size and within_bytes

    def _drop_oldest(self) -> bool:
        """Drop the oldest item that may be dropped; whether there was one."""
        place = next((i for i, item in enumerate(self._items) if not self._is_kept(item)), None)
        if place is None:
            return False
        self._n_bytes -= self._bytes_of(self._items[place])
        del self._items[place]
        self.dropped += 1
        return True

    def get(self, timeout_s: float | None = None) -> T | None:
        """The oldest item; None after the timeout, or if the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            item = self._items.popleft() if self._items else None
            if item is not None:
                self._n_bytes -= self._bytes_of(item)
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
            self._n_bytes = 0
            self._changed.notify_all()

    @property
    def done(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._closed and not self._items

    def __len__(self) -> int:
        return len(self._items)
