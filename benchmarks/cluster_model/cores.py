"""Processor cores that more processes share than there are cores: each gets an equal part."""

import heapq
from itertools import count

import simpy


class SharedCores:
    """Jobs of one processor each. Up to ``cores`` of them run at full speed, more of them each at ``cores`` / number of jobs.

    Instead of the remaining work of every job, one clock is kept: the work that each job has got since the start.
    """

    def __init__(self, env: simpy.Environment, cores: float) -> None:
        self.env, self.cores = env, cores
        self._ends: list[tuple[float, int, simpy.Event]] = []  # by the clock's value at which a job has got its work
        self._running: set[simpy.Event] = set()
        self._clock, self._at, self._alarm, self._number = 0.0, 0.0, 0, count()

    def job(self, seconds: float) -> simpy.Event:
        """An event that comes when a new job has got so many processor seconds."""
        self._advance()
        job = self.env.event()
        heapq.heappush(self._ends, (self._clock + seconds, next(self._number), job))
        self._running.add(job)
        self._set_alarm()
        return job

    def cancel(self, job: simpy.Event) -> None:
        """The job has no use any more."""
        self._advance()
        self._running.discard(job)
        self._set_alarm()

    @property
    def _rate(self) -> float:
        return min(1.0, self.cores / max(1, len(self._running)))

    def _advance(self) -> None:
        self._clock += (self.env.now - self._at) * self._rate
        self._at = self.env.now

    def _set_alarm(self) -> None:
        """Come back when the next job ends; an older alarm is void."""
        while self._ends and self._ends[0][2] not in self._running:
            heapq.heappop(self._ends)
        self._alarm += 1
        if self._ends:
            number, wait = self._alarm, max(0.0, (self._ends[0][0] - self._clock) / self._rate)
            self.env.timeout(wait).callbacks.append(lambda event: self._ring(number))

    def _ring(self, number: int) -> None:
        if number != self._alarm:
            return
        self._advance()
        end, _, job = heapq.heappop(self._ends)
        self._clock = max(self._clock, end)  # what rounding left
        self._running.discard(job)
        job.succeed()
        self._set_alarm()
