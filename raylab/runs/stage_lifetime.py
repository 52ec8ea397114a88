"""How long the weights of a stage are kept in a run folder (docs/decisions/0031-scale.md).

Weights are stored so that trials can share them. A stage that one trial alone needs has served when that trial is predicted: its weights stay in
the memory of the process that trains it, and are trained again from the plan if an export asks for them. Predictions and records say all that
tables need.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

from raylab.errors import RaylabError
from raylab.runs.folder import FINAL, RunFolder
from raylab.runs.lease import Lease
from raylab.techniques.registry import REFERENCE_TECHNIQUE
from raylab.trials.resources import Resources, mib
from raylab.trials.study import Keep
from raylab.trials.trial import Trial


def bases(trials: Iterable[tuple[str, Iterable[str]]]) -> set[str]:
    """The stages that ``keep: bases`` keeps: those of the reference technique, from which others continue, and those that several trials need.

    Args:
        trials: technique and stages of each trial of a plan.
    """
    counts: Counter[str] = Counter()
    reference: set[str] = set()
    for technique, stages in trials:
        counts.update(set(stages))
        if technique == REFERENCE_TECHNIQUE:
            reference.update(stages)
    return reference | {stage for stage, count in counts.items() if count > 1}


@dataclass(frozen=True)
class StageLifetime:
    """Which stages are stored, and how long.

    Attributes:
        run: the run folder.
        leaves: by the key of a trial the stages that no other trial needs; they are not stored (``StageStore.hold``).
        spent: whether at the end all stages go whose trials have all ended.
    """

    run: RunFolder
    leaves: Mapping[str, tuple[str, ...]]
    spent: bool

    @classmethod
    def of(cls, run: RunFolder, plan: list[Trial], keep: Keep) -> "StageLifetime":
        """The lifetime of a plan's stages. Of several drivers each knows the whole plan."""
        if keep == "all":
            return cls(run, {}, spent=False)
        kept = bases((trial.technique, trial.stages) for trial in plan)
        leaves = {trial.key: tuple(stage for stage in trial.stages if stage not in kept) for trial in plan}
        return cls(run, {key: stages for key, stages in leaves.items() if stages}, keep == "none")

    def leaves_of(self, trials: Iterable[Trial]) -> list[str]:
        """The leaves of these trials."""
        return [stage for trial in trials for stage in self.leaves.get(trial.key, ())]

    def tidy(self, plan: list[Trial]) -> None:
        """Remove leaves that an earlier start has stored; with ``keep: none`` also bases that nobody needs any more."""
        stored, ended = self.run.store.hashes(), self.run.finished()
        gone = {stage for key, stages in self.leaves.items() if ended.get(key) == "ok" for stage in stages}
        if self.spent:
            needed = {stage for trial in plan if ended.get(trial.key) not in FINAL for stage in trial.stages}
            gone |= {stage for trial in plan for stage in trial.stages} - needed
        self.run.store.forget(gone & stored)


def clean(uri: str, keep: Keep | None = None, dry: bool = False) -> list[str]:
    """Remove from a run folder what tables do not need: stages that its trials have done with, stages of no trial of the plan, the state of Tune.

    If what is kept is more than the study's quota, bases go too that no trial needs any more, as in a run; not with ``keep: all``.

    Args:
        uri: a run folder, a path or a URI.
        keep: as in a study; the study's own unless given.
        dry: only say what would go.

    Returns:
        Lines to print: what went and what stays, in MiB.

    Raises:
        RaylabError: if there is no run.
        RunHeldError: if a driver is at work.
    """
    run = RunFolder(uri)
    plan = run.stored_plan()
    if plan is None:
        raise RaylabError(f"{uri} is no run folder (it has no plan.parquet)")
    study = yaml.safe_load(run.folder.read("study.yaml"))
    keep, quota = keep or study.get("keep", "bases"), Resources.model_validate(study.get("resources", {})).quota
    with Lease(run.folder):
        trials = [(row["technique"], row["trial"], row["stages"]) for row in plan.to_pylist()]
        status, sizes = run.finished(), run.store.sizes()
        kept = (
            set(sizes)
            if keep == "all"
            else bases((technique, stages) for technique, _, stages in trials)
            if keep == "bases"
            else set()
        )
        waiting = {stage for _, key, stages in trials if status.get(key) not in FINAL for stage in stages}
        planned = {stage for _, _, stages in trials for stage in stages}
        done, orphans = (planned - kept - waiting) & sizes.keys(), sizes.keys() - planned
        if quota is not None and keep != "all":
            left = {stage: size for stage, size in sizes.items() if stage not in done | orphans}
            done |= _beyond(left, quota, waiting)
        state = run.folder.size("tune")
        if not dry:
            run.store.forget(done | orphans)
            run.folder.remove("tune")
    went = "would go" if dry else "removed"
    return [
        f"{went}: {len(done)} stages that their trials have done with, {_mib(sizes, done)}; {len(orphans)} stages of no trial of the plan, "
        f"{_mib(sizes, orphans)}; the state of Tune, {mib(state)}",
        f"kept (keep: {keep}): {len(sizes) - len(done) - len(orphans)} stages, {_mib(sizes, sizes.keys() - done - orphans)}"
        + (f" of the quota's {mib(quota)}" if quota is not None else ""),
    ]


def _beyond(stored: Mapping[str, int], quota: int, waiting: set[str]) -> set[str]:
    """Stages that have to go so that the others take no more than the quota; none that a trial waits for."""
    gone, total = set[str](), sum(stored.values())
    for stage in sorted(stored.keys() - waiting):
        if total <= quota:
            break
        gone.add(stage)
        total -= stored[stage]
    return gone


def _mib(sizes: Mapping[str, int], stages: Iterable[str]) -> str:
    return mib(sum(sizes[stage] for stage in stages))
