"""Prometheus metrics of a run, through Ray's own endpoint, so that a dashboard over a cluster shows whether the run goes on.

Only the driver emits them, from the reports that workers send in any case: no count is lost with a worker that dies.
"""

from typing import Any

from ray.util.metrics import Counter, Gauge

from raylab.runs.progress import Progress

STATES = ("waiting", "running", "ok", "failed", "blocked", "missing")


class Metrics:
    """Ray exports them as ``ray_<name>``, counters with ``_total`` at the end; each carries the run folder as ``run``.

    raylab_trials (gauge, ``state``): trials of this start by state.
    raylab_windows_trained (counter): windows that went through an optimizer, one count per window and epoch.
    raylab_stages (counter, ``how``: trained | reused): stages that ended; a reused one was in the store already.
    """

    def __init__(self, run: str) -> None:
        self._run = {"run": run}
        self._trials = Gauge("raylab_trials", "Trials of this start by state", tag_keys=("run", "state"))
        self._windows = Counter("raylab_windows_trained", "Windows trained, one per window and epoch", tag_keys=("run",))
        self._stages = Counter("raylab_stages", "Stages trained here or found in the store", tag_keys=("run", "how"))

    def set_trials(self, progress: Progress) -> None:
        """Set the number of trials that are in each state now."""
        counts = {state: progress.counts.get(state, 0) for state in STATES}
        counts["running"] = progress.running
        counts["waiting"] = progress.total - progress.done - progress.running
        for state, count in counts.items():
            self._trials.set(count, {**self._run, "state": state})

    def add_report(self, result: dict[str, Any]) -> None:
        """Add a trial's report: windows trained since its last report, and a stage if one is done."""
        if result.get("windows"):
            self._windows.inc(result["windows"], self._run)
        if result.get("stage_done"):
            self._stages.inc(1, {**self._run, "how": "reused" if result["reused"] else "trained"})
