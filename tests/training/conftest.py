"""Training runs as in a worker of Ray: on one thread, with deterministic algorithms."""

from collections.abc import Iterator

import pytest

from raylab.trials.run_trial import one_thread


@pytest.fixture(autouse=True)
def _as_a_worker_does() -> Iterator[None]:
    """One thread and deterministic algorithms, as in a trial."""
    with one_thread():
        yield
