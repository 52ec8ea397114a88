"""The room for weights in a run folder: ``resources: {stage_store: 200 GiB}`` (docs/decisions/0031-scale.md).

The driver keeps the account. It gives a unit of trials room for the stages that the unit will store before it is handed out; where there is too
little, stages go that no trial of the plan needs any more. Where that does not suffice either, a unit waits until others have ended; if none runs
that could end, the unit goes on and stores what fits: the other stages are held by its worker, and trials that share them train them again. So the
bytes stay below the quota whatever happens, and predictions are those of a run without one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raylab.runs.folder import FINAL
from raylab.runs.progress import Log
from raylab.training.stage_store import StageStore
from raylab.trials.resources import MIB, mib
from raylab.trials.stacks import Unit

UNKNOWN = (
    16 * MIB
)  # room for the first stage of a classical model, whose size shows when it is fitted; at most a quarter of all
QUOTA = "resources.stage_store"


@dataclass(frozen=True)
class Claim:
    """What the plan, and the part of it that this driver runs, want of the store.

    Attributes:
        units: this driver's trials that have not ended.
        shared: stages that trials of other drivers have too: they are not removed.
        leaves: stages that are never stored.
        last: stages that an export may ask for: the last ones to be removed.
        sizes: bytes of each stage's file, where they are known before it is trained (``raylab.runs.store_size``).
        removes: whether stages may be removed at all; not with ``keep: all``.
    """

    units: Sequence[Unit]
    shared: frozenset[str]
    leaves: frozenset[str]
    last: frozenset[str]
    sizes: Mapping[str, int | None]
    removes: bool


def _all_stages(unit: Unit) -> set[str]:
    """The stages that the training of a unit may need: those of its trials, and of all that are in a stack with them."""
    return {stage for trial in (*unit.trials, *unit.company) for stage in trial.stages}


class _Spent:
    """Stored stages that no trial needs any more, in the order in which they go."""

    def __init__(self, last: frozenset[str]) -> None:
        self._last, self._queues = last, (dict[str, int](), dict[str, int]())
        self.size = 0

    def add(self, stage: str, size: int) -> None:
        queue = self._queues[stage in self._last]
        self.size += size - queue.get(stage, 0)
        queue[stage] = size

    def take(self, count: int) -> dict[str, int]:
        """Take out the first stages that have so many bytes together, or all: bytes by stage."""
        taken: dict[str, int] = {}
        for queue in self._queues:
            while queue and count > 0:
                stage = next(iter(queue))
                taken[stage] = queue.pop(stage)
                count -= taken[stage]
        self.size -= sum(taken.values())
        return taken


class StageRoom:
    """The account of one driver.

    Args:
        store: of the run folder.
        quota: bytes that stages may take.
        stored: bytes of the stages that count at the start, those that shall go first before others.
        claim: what is wanted.
        log: called with each line to print.
    """

    def __init__(self, store: StageStore, quota: int, stored: Mapping[str, int], claim: Claim, log: Log) -> None:
        self.store, self.quota, self.claim, self.log = store, quota, claim, log
        # by unit: a stack is trained whole, so the stages of all its trials are needed until the last of them has ended
        self._left = {unit.key: {trial.key for trial in unit.trials} for unit in claim.units}
        self._stages = {unit.key: _all_stages(unit) for unit in claim.units}
        self._needed = Counter(stage for stages in self._stages.values() for stage in stages)
        self._stored, self._used, self._spent = dict(stored), sum(stored.values()), _Spent(claim.last)
        self._reserved: dict[str, tuple[str, int]] = {}  # unit and bytes by stage
        self._largest_unknown = self._removed = self._removed_bytes = self._unstored = 0
        for stage in stored:
            self._note_spent(stage)
        self._remove(self._used - quota)
        if self._used > quota:
            log(
                f"{QUOTA}: stages that trials need take {mib(self._used)} of {mib(quota)}; none are stored until some have gone"
            )

    def fits(self, count: int) -> bool:
        """Whether there is room for so many bytes, or can be made."""
        return self._used + count - self._spent.size <= self.quota

    def wanted(self, unit: Unit) -> int:
        """Bytes of the stages that the unit would store, and nobody stores yet."""
        return sum(self._size(stage) for stage in self._to_store(unit) if stage not in self._reserved)

    def admit(self, unit: Unit) -> dict[str, Any]:
        """Give room to the stages of a unit that is about to run; as many as fit, earlier ones first.

        Returns:
            ``unstored`` and ``limits`` for ``StageStore.hold``.
        """
        self._remove(self._used + self.wanted(unit) - self.quota)
        limits = dict[str, int]()
        unstored = [stage for stage in _all_stages(unit) - set(unit.stages) if stage not in self._stored]
        for stage in self._to_store(unit):
            owner, size = self._reserved.get(stage, ("", self._size(stage)))
            if not owner and self._used + size <= self.quota:
                self._reserved[stage], owner = (unit.key, size), unit.key
                self._used += size
            if owner == unit.key:
                limits[stage] = size
            else:  # there is no room, or another unit stores it meanwhile
                unstored.append(stage)
        return {"unstored": unstored, "limits": limits}

    def note(self, unit: str, event: Mapping[str, Any]) -> None:
        """Take in what the worker of a unit, given by its key, reports: what became of a stage, that a trial has ended."""
        if event.get("stage_done") and "stage_stored" in event:
            stage, size = event["stage_done"], event["stage_bytes"]
            if self.claim.sizes.get(stage) is None:
                self._largest_unknown = max(self._largest_unknown, size)
            self._settle(unit, stage, size if event["stage_stored"] else 0)
        if event.get("status") in FINAL:
            left = self._left.get(unit, set())
            left.discard(event["trial"])
            if not left:
                for stage in self._stages.pop(unit, ()):
                    self._needed[stage] -= 1
                    self._note_spent(stage)

    def ended(self, unit: str) -> None:
        """The unit, given by its key, ended: what it had room for and did not tell of is looked for."""
        for stage in [stage for stage, (owner, _) in self._reserved.items() if owner == unit]:
            self._settle(unit, stage, self.store.size(stage))

    def in_order(self, units: Sequence[Unit]) -> list[Unit]:
        """The units with those that share their first stage next to each other, so that few stages are needed at a time."""
        groups: dict[str, list[Unit]] = {}
        for unit in units:
            shared = (stage for stage in unit.stages if stage not in self.claim.leaves)
            groups.setdefault(next(shared, unit.key), []).append(unit)
        return [unit for group in groups.values() for unit in group]

    def lines(self) -> Iterator[str]:
        """Lines to print at the end of a run."""
        yield (
            f"{QUOTA}: {mib(self._used)} of {mib(self.quota)}; {self._removed} stages removed that no trial needed any more "
            f"({mib(self._removed_bytes)}), {self._unstored} trainings not stored for lack of room"
        )

    def _to_store(self, unit: Unit) -> Iterable[str]:
        return (stage for stage in unit.stages if stage not in self.claim.leaves and stage not in self._stored)

    def _size(self, stage: str) -> int:
        """Bytes that a stage may take."""
        known = self.claim.sizes.get(stage)
        return known if known is not None else max(min(UNKNOWN, self.quota // 4), 2 * self._largest_unknown)

    def _settle(self, unit: str, stage: str, stored: int) -> None:
        """Put the bytes of a stage's file, 0 if there is none, in the place of what the unit had reserved for it."""
        if self._reserved.get(stage, ("", 0))[0] == unit:
            self._used -= self._reserved.pop(stage)[1]
        if stored:
            self._used += stored - self._stored.get(stage, 0)
            self._stored[stage] = stored
            self._note_spent(stage)
        elif stage not in self.claim.leaves:
            self._note_unstored(stage)

    def _note_unstored(self, stage: str) -> None:
        if not self._unstored:
            self.log(
                f"{QUOTA}: stages that trials need take {mib(self._used)} of {mib(self.quota)}, so stage {stage} was not stored, and others may "
                "not be; trials that share one train it again, with equal weights. More room avoids that"
            )
        self._unstored += 1

    def _note_spent(self, stage: str) -> None:
        """Let a stored stage go when room is wanted, if no trial needs it any more."""
        if self.claim.removes and stage in self._stored and self._needed[stage] <= 0 and stage not in self.claim.shared:
            self._spent.add(stage, self._stored[stage])

    def _remove(self, count: int) -> None:
        """Remove spent stages until so many bytes are free, or none is left."""
        gone = self._spent.take(count)
        self.store.forget(gone)
        for stage in gone:
            del self._stored[stage]
        self._used -= sum(gone.values())
        self._removed += len(gone)
        self._removed_bytes += sum(gone.values())
