"""A study's quota of the stage store: whether it can do, and the account of a driver (``raylab.runs.stage_room``)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raylab.errors import StudyError
from raylab.runs.folder import SEARCH, RunFolder
from raylab.runs.progress import Log
from raylab.runs.shard import Shard
from raylab.runs.stage_lifetime import StageLifetime, bases
from raylab.runs.stage_room import QUOTA, Claim, StageRoom
from raylab.runs.store_size import stage_sizes
from raylab.techniques.registry import REFERENCE_TECHNIQUE
from raylab.trials.resources import mib
from raylab.trials.stacks import Unit
from raylab.trials.study import Keep, Study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex


def quota_problem(quota: int, keep: Keep, trials: Sequence[Trial], sizes: Mapping[str, int | None], drivers: int = 1) -> str:
    """Why a run should not start with this quota, as a sentence with the remedy; empty if it can.

    ``keep: all`` has to fit, since nothing may be removed. Else the largest stage that is stored has to: without it every trial would train its own.

    Args:
        quota: bytes for each driver.
        sizes: bytes of each stage's file; None if that is not known before it is trained.
        drivers: that share the run folder.
    """
    part = f" for each of {drivers} drivers" if drivers > 1 else ""
    if keep == "all":
        total = sum(sizes.get(stage) or 0 for stage in {stage for trial in trials for stage in trial.stages})
        return (
            f"{QUOTA}: keep: all stores every stage, {mib(total)} of them{part}, and the quota is {mib(quota)}; give it as much, or keep: bases"
            if total > quota
            else ""
        )
    kept = bases((trial.technique, trial.stages) for trial in trials)
    largest = max((sizes.get(stage) or 0 for stage in kept), default=0)
    total = sum(sizes.get(stage) or 0 for stage in kept)
    return (
        f"{QUOTA}: the largest base takes {mib(largest)} and the quota is {mib(quota)}{part}; give it at least one base for each trial that runs "
        f"at a time (all {len(kept)} bases take {mib(total)})"
        if largest > quota
        else ""
    )


@dataclass(frozen=True)
class Quota:
    """The quota of a run, as its study says; there may be none.

    Attributes:
        study: of the run.
        indexes: the key of each dataset's windows to their index.
        shard: of this driver; the others have as much room each.
        run: the run folder.
    """

    study: Study
    indexes: Mapping[str, WindowIndex]
    shard: Shard
    run: RunFolder

    def _bytes(self, beside: int = 0) -> int | None:
        """Bytes that this driver's stages may take, if others in the folder take so many; None without a quota."""
        quota = self.study.resources.quota
        if quota is None:
            return None
        searched = sum(RunFolder(self.run.folder.sub(SEARCH).uri).store.sizes().values()) if self.study.search else 0
        return (quota - searched - beside) // self.shard.of

    def check(self, trials: Sequence[Trial]) -> dict[str, int | None]:
        """Bytes of the plan's stages by hash; nothing without a quota.

        Args:
            trials: all of the study.

        Raises:
            StudyError: if the quota is too small to begin with.
        """
        quota = self._bytes()
        if quota is None:
            return {}
        sizes = stage_sizes(trials, self.indexes)
        own = self.shard.trials(list(trials))
        if problem := quota_problem(quota, self.study.keep, own, sizes, self.shard.of):
            raise StudyError([problem])
        return sizes

    def room(
        self, trials: Sequence[Trial], units: Sequence[Unit], lifetime: StageLifetime, sizes: Mapping[str, int | None], log: Log
    ) -> StageRoom | None:
        """The account of this driver; None without a quota.

        Args:
            trials: all of the study.
            units: of this driver, with trials that have not ended.
            sizes: of ``check``.
        """
        if self.study.resources.quota is None:
            return None
        planned = {stage for trial in trials for stage in trial.stages}
        stored = self.run.store.sizes()
        orphans = {stage: size for stage, size in stored.items() if stage not in planned}
        shared, beside = set[str](), 0
        if self.shard.of > 1:
            own = self.shard.trials(list(trials))
            mine, keys = {stage for trial in own for stage in trial.stages}, {trial.key for trial in own}
            shared = {stage for trial in trials if trial.key not in keys for stage in trial.stages}
            # what is no trial's lies in everybody's way, and no driver alone knows that it can go
            stored, orphans, beside = {stage: stored[stage] for stage in mine & stored.keys()}, {}, sum(orphans.values())
        last = frozenset(stage for trial in trials if trial.technique == REFERENCE_TECHNIQUE for stage in trial.stages)
        leaves = frozenset(stage for stages in lifetime.leaves.values() for stage in stages)
        claim = Claim(units, frozenset(shared), leaves, last, sizes, removes=self.study.keep != "all")
        return StageRoom(self.run.store, self._bytes(beside) or 0, orphans | stored, claim, log)
