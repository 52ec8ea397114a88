"""Stop signals: Ctrl-C (SIGINT) and SIGTERM end a command in the same way, and a sweep on Ray ends its workers first.

Both become a ``KeyboardInterrupt`` that carries the number of the signal. It is no ``Exception``, so that no trial and no reader takes it for an
error of its own and stores it. Only Python's main thread gets signals; in another one the functions of this module change nothing.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from raylab.errors import RaylabError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S = 10.0  # signals that follow the first one are not heard for so long: workers end, and the run folder is given back


_ENDING: list[contextlib.ExitStack] = []  # the blocks of a process that ends


class RunStoppedError(RaylabError):
    """The user stopped the run. It is raised only inside Tune, which cleans up after an Exception and not after a KeyboardInterrupt."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 and the number of the signal, as shells give it: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (stop.args[0] if stop.args and isinstance(stop.args[0], int) else signal.SIGINT)


def ignore_signals() -> None:
    """From here on stop signals are not heard: the process has said that it ends, and is ending."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


class _Raise:
    """Handler that raises at the first signal, ignores those that follow within ``PATIENCE_S``, and then ends the process at once."""

    def __init__(self) -> None:
        self.since: float | None = None

    def __call__(self, number: int, frame: Any) -> None:
        if self.since is None:
            self.since = time.monotonic()
            raise KeyboardInterrupt(int(number))
        if time.monotonic() - self.since > PATIENCE_S:
            os._exit(128 + number)


@contextlib.contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
    """Inside the block the handler gets the stop signals; those that were ignored (a job in the background of a shell) stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            if old is not None:  # None: not set by Python, and not to be restored by it
                signal.signal(number, old)


@contextlib.contextmanager
def kept_handlers() -> Iterator[None]:
    """A handler of SIGTERM that Python was given before the block is there again after it: Ray sets one of its own when it starts."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and callable(before):
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside the block a stop signal raises ``KeyboardInterrupt``. After a stop the handlers stay, while the process ends."""
    handler = _Raise()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_handled_by(handler))
        try:
            yield
        finally:
            if handler.since is not None:
                _ENDING.append(
                    stack.pop_all()
                )  # referred to, or its collection would end the block and bring the old handlers back


class StopRequest:
    """A stop signal that was noted, to be acted on at the next ``check``.

    Args:
        outer: the handler of the enclosing ``stoppable``, which is told of the signal: it ignores those that follow at once.
    """

    def __init__(self, outer: Any) -> None:
        self.number = 0
        self._raise = outer if isinstance(outer, _Raise) else _Raise()

    def __call__(self, number: int, frame: Any) -> None:
        self.number = self.number or int(number)
        with contextlib.suppress(KeyboardInterrupt):
            self._raise(number, frame)

    def check(self) -> None:
        """Raise ``RunStoppedError`` if there was a stop signal."""
        if self.number:
            raise RunStoppedError("stopped by the user")


@contextlib.contextmanager
def noted() -> Iterator[StopRequest]:
    """Inside the block stop signals are noted, and nothing is interrupted; ``KeyboardInterrupt`` is raised when the block is left.

    Other errors of the block give way to it: after a stop they are its consequences.
    """
    request = StopRequest(signal.getsignal(signal.SIGINT))
    with _handled_by(request):
        try:
            yield request
        except Exception:
            if not request.number:
                raise
    if request.number:
        raise KeyboardInterrupt(request.number)
