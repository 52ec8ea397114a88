"""Progress lines count what earlier starts did, and status says when a run has finished."""

import pytest

from raylab.runs.progress import Progress
from raylab.runs.status import state_line


def _record(auroc: float | None, status: str = "ok") -> dict[str, object]:
    names = dict.fromkeys(("dataset", "model", "variant", "participant", "seed"), "x")
    return {**names, "technique": "hybrid", "status": status, "auroc": auroc, "error": ""}


def test_means_and_counts_have_the_earlier_starts_in_them() -> None:
    """Two trials of an earlier start and one of this: the mean is of three, and three of four are done; the rate is of this start."""
    lines: list[str] = []
    progress = Progress(2, lines.append, every_s=0.0, earlier=[_record(0.5), _record(0.7)])
    progress.add(_record(0.9))
    assert 1 == progress.done
    assert lines[-1].startswith("3/4 done, 0 running, ") and lines[-1].endswith("mean AUROC: hybrid 0.700 (3)")
    assert (3, 4) == (progress.line().done, progress.line().total)


@pytest.mark.parametrize(
    ("n_left", "n_failed", "line"),
    [
        (0, 0, "finished; next: raylab report runs/a"),
        (0, 1, "finished, but 1 trial(s) failed: the same command tries them again"),
        (2, 1, "no driver: the same command runs what is missing"),
    ],
)
def test_a_run_that_ended_says_so(n_left: int, n_failed: int, line: str) -> None:
    """Finished, finished with failures, and not finished are told apart; a driver at work is told as it is."""
    assert line == state_line(n_left, n_failed, "runs/a")
