"""What a run can do without: metrics on a dashboard, curves. Where it fails, the run says so once and goes on; no trial is worth less for it."""

import contextlib
from collections.abc import Iterator

from raylab.runs.progress import Log


class WithoutHarm:
    """Ends a block that fails, and tells the first failure.

    Args:
        what: fails, in the plural, as ``metrics``.
        log: called with the line to print.
    """

    def __init__(self, what: str, log: Log) -> None:
        self._what, self._log, self._told = what, log, False

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """The block."""
        try:
            yield
        except Exception as error:  # whatever a library or the system raises
            if not self._told:
                self._told = True
                self._log(f"{self._what} of this run are incomplete, the run goes on: {type(error).__name__}: {error}")
