"""Trials in this process, one after the other: the same worker without Ray. Results are equal to the bit."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from raylab.runs.folder import RunFolder
from raylab.runs.lease import Lease
from raylab.runs.progress import Progress
from raylab.runs.stage_lifetime import StageLifetime
from raylab.runs.stage_room import StageRoom
from raylab.trials.run_stack import run_stack
from raylab.trials.run_trial import Outcome
from raylab.trials.stacks import Unit
from raylab.windows.dataset import Windows

Note = Callable[[Mapping[str, Any]], None]


def _nobody(event: Mapping[str, Any]) -> None:
    """Without a quota nobody wants to know."""


def run_in_process(
    units: list[Unit],
    windows: dict[str, Windows],
    run: RunFolder,
    progress: Progress,
    lease: Lease,
    lifetime: StageLifetime,
    alone: bool = True,
    room: StageRoom | None = None,
) -> None:
    """Run the units in the given order; records and predictions of their trials are written to the run folder.

    Args:
        alone: see ``RunFolder.compaction``.
        room: the room for weights, if there is a quota: units that share a base then follow one another.
    """
    absent = {stage for unit in units for stage in unit.stages} - run.store.hashes() if alone else set()
    with run.compaction(alone) as add:

        def ended(note: Note, outcome: Outcome) -> None:
            lease.check()
            add(run.write_outcome(outcome, "here"), run.store.take_completed())
            progress.add(outcome.record)
            note(outcome.record)

        for unit in room.in_order(units) if room else units:
            note = partial(room.note, unit.key) if room else _nobody
            progress.running, lease.running = len(unit.trials), tuple(trial.key for trial in unit.trials)
            run.store.hold(lifetime.leaves_of(unit.trials), absent, **(room.admit(unit) if room else {}))
            absent -= set(unit.stages)
            run_stack(unit, windows[unit.trials[0].windows], run.store, partial(ended, note), report=note)
            if room:
                room.ended(unit.key)
    progress.running, lease.running = 0, ()
