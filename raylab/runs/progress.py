"""Progress of a run: counted from outcomes as they arrive, printed every few seconds."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

Log = Callable[[str], None]
FAILURES = ("failed", "blocked")  # statuses that the next start tries again


def is_failure(record: dict[str, Any]) -> bool:
    """Whether the trial failed or is blocked."""
    return record["status"] in FAILURES


def trial_label(row: dict[str, Any]) -> str:
    """The fields that identify a trial, as text for a line."""
    return " ".join(str(row[name]) for name in ("dataset", "model", "technique", "variant", "participant", "seed"))


def failure_line(record: dict[str, Any]) -> str:
    """Status, trial and error of a failed trial, as one line."""
    return f"{record['status']}: {trial_label(record)}: {record.get('error', '')}"


class ProgressLine(str):
    """A line on how far the run is. A terminal may draw it in the place of the one before; a log has them all.

    Attributes:
        done, total: trials, of earlier starts too.
    """

    __slots__ = ("done", "total")
    done: int
    total: int

    def __new__(cls, text: str, done: int, total: int) -> "ProgressLine":
        line = super().__new__(cls, text)
        line.done, line.total = done, total
        return line


class Progress:
    """Counts outcomes and prints a line every few seconds: done, running, failed, rate, time left, mean AUROC per technique.

    Args:
        total: trials to run in this start.
        earlier: records of the trials that ended well in earlier starts: part of the counts and means that are printed, not of the rate.
    """

    def __init__(self, total: int, log: Log, every_s: float = 5.0, earlier: Iterable[dict[str, Any]] = ()) -> None:
        self.total, self.log, self.every_s = total, log, every_s
        self.counts: dict[str, int] = defaultdict(int)
        self.aurocs: dict[str, list[float]] = defaultdict(list)
        self.n_earlier = 0
        for record in earlier:
            self.n_earlier += 1
            self._count_auroc(record)
        self.running = 0
        self.began = time.monotonic()
        self._last = self.began

    @property
    def done(self) -> int:
        """Number of trials that ended in this start."""
        return sum(self.counts.values())

    def add(self, record: dict[str, Any]) -> None:
        """Count a trial that ended; its failure, and the progress line if it is time, are printed."""
        self.counts[record["status"]] += 1
        self._count_auroc(record)
        if is_failure(record):
            self.log(failure_line(record))
        if time.monotonic() - self._last >= self.every_s or self.done == self.total:
            self._last = time.monotonic()
            self.log(self.line())

    def _count_auroc(self, record: dict[str, Any]) -> None:
        if record.get("auroc") is not None:
            self.aurocs[record["technique"]].append(record["auroc"])

    def line(self) -> ProgressLine:
        """The progress line."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        per_s = self.done / seconds
        left = (self.total - self.done) / per_s if per_s else float("nan")
        means = ", ".join(f"{name} {sum(v) / len(v):.3f} ({len(v)})" for name, v in self.aurocs.items())
        failures = "".join(f", {self.counts[name]} {name}" for name in ("failed", "blocked", "missing") if self.counts[name])
        done, total = self.n_earlier + self.done, self.n_earlier + self.total
        text = (
            f"{done}/{total} done, {self.running} running{failures}, {per_s * 60:.1f}/min, "
            f"{duration(left)} left | mean AUROC: {means or 'none yet'}"
        )
        return ProgressLine(text, done, total)


def duration(seconds: float) -> str:
    """Seconds as text: 1:02:03 or 2:03; ``?`` for NaN."""
    if math.isnan(seconds):
        return "?"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
