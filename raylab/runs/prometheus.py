"""Prometheus metrics of a run, through Ray's own endpoint, so that a dashboard over a cluster shows whether the run goes on.

Only the driver emits them, from the reports that workers send in any case: no count is lost with a worker that dies. They are a convenience:
whatever Ray makes of a tag or a number, the run goes on.
"""

from collections import Counter as Counts
from typing import Any

from ray.util.metrics import Counter, Gauge

from raylab.names import ascii_text
from raylab.runs.progress import Log, Progress
from raylab.runs.without_harm import WithoutHarm

STATES = ("waiting", "running", "ok", "failed", "blocked", "missing")


class Metrics:
    """Ray exports them as ``ray_<name>``, counters with ``_total`` at the end; each carries the run folder as ``run``, percent-encoded if it is
    not ASCII, which is all that a tag of Ray takes.

    raylab_trials (gauge, ``state``): trials of this start by state.
    raylab_windows_trained (counter): windows that went through an optimizer, one count per window and epoch.
    raylab_stages (counter, ``how``: trained | reused): stages that ended; a reused one was in the store already.
    """

    def __init__(self, run: str, log: Log = print) -> None:
        self._run, self._without_harm = {"run": ascii_text(run)}, WithoutHarm("metrics", log)
        self._new_windows, self._new_stages = 0, Counts[str]()
        with self._without_harm():
            self._trials = Gauge("raylab_trials", "Trials of this start by state", tag_keys=("run", "state"))
            self._windows = Counter("raylab_windows_trained", "Windows trained, one per window and epoch", tag_keys=("run",))
            self._stages = Counter("raylab_stages", "Stages trained here or found in the store", tag_keys=("run", "how"))

    def add_report(self, result: dict[str, Any]) -> None:
        """Count a trial's report: windows trained since its last report, and a stage if one is done. They are emitted with the next ``emit``: a call
        of Ray's takes as long as all else that the driver does with a report."""
        self._new_windows += result.get("windows") or 0
        if result.get("stage_done"):
            self._new_stages["reused" if result["reused"] else "trained"] += 1

    def emit(self, progress: Progress) -> None:
        """Give Ray the number of trials that are in each state now, and what was counted since the last time."""
        counts = {state: progress.counts.get(state, 0) for state in STATES}
        counts["running"] = progress.running
        counts["waiting"] = progress.total - progress.done - progress.running
        windows, stages = self._new_windows, self._new_stages
        self._new_windows, self._new_stages = 0, Counts[str]()
        with self._without_harm():
            for state, count in counts.items():
                self._trials.set(count, {**self._run, "state": state})
            if windows:
                self._windows.inc(windows, self._run)
            for how, count in stages.items():
                self._stages.inc(count, {**self._run, "how": how})
