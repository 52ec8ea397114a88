"""Consent, start and end of a stream, as the people before its pages decide them."""

import asyncio
from collections.abc import Callable
from threading import Event

REFUSED, WITHDRAWN = "refused", "withdrawn"


class PageSession:
    """Nothing is measured before ``start``, and nothing after ``end``, which is for good.

    Pages call it from the server's loop, the command waits in its own thread.

    Args:
        on_withdrawal: called if consent ends after the start: ends the stream.

    Attributes:
        started: whether the stream may run.
        outcome: why the session is over: ``refused``, ``withdrawn``, or empty while it is not.
    """

    def __init__(self, on_withdrawal: Callable[[], None]) -> None:
        self.started, self.outcome = False, ""
        self._on_withdrawal = on_withdrawal
        self._settled = Event()
        self._started_on_loop, self._over_on_loop = asyncio.Event(), asyncio.Event()

    def start(self) -> None:
        """Let the stream begin, unless the session is over."""
        if not self.outcome:
            self.started = True
            self._started_on_loop.set()
            self._settled.set()

    def end(self) -> None:
        """Take consent back: refused before the start, withdrawn after it."""
        if self.outcome:
            return
        self.outcome = WITHDRAWN if self.started else REFUSED
        self._over_on_loop.set()
        self._settled.set()
        if self.started:
            self._on_withdrawal()

    def wait(self) -> bool:
        """Wait until somebody has pressed start, or refused; whether the stream may run."""
        self._settled.wait()
        return self.started and not self.outcome

    async def until_started(self) -> None:
        """Wait for the start, in the server's loop."""
        if not self.started:  # it may have been started by the command itself, before there was a loop
            await self._started_on_loop.wait()

    async def until_over(self) -> None:
        """Wait for the end, in the server's loop."""
        await self._over_on_loop.wait()
