"""Trials in this process, one after the other: the same worker without Ray. Results are equal to the bit."""

from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease
from raylab.runs.progress import Progress
from raylab.runs.stage_lifetime import StageLifetime
from raylab.trials.run_trial import run_trial
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows


def run_in_process(
    trials: list[Trial],
    windows: dict[str, Windows],
    run: RunFolder,
    progress: Progress,
    lease: Lease,
    lifetime: StageLifetime,
    alone: bool = True,
) -> None:
    """Run the trials in the given order; their records and predictions are written to the run folder.

    Args:
        alone: see ``RunFolder.compaction``.
    """
    progress.running = 1
    with run.compaction(alone) as add:
        for trial in trials:
            run.store.hold(lifetime.leaves.get(trial.key, ()))
            outcome = run_trial(trial, windows[trial.windows], run.store)
            lease.check()
            add(run.write_outcome(outcome, "here"), run.store.completed)
            progress.add(outcome.record)
    progress.running = 0
