"""A run: the plan minus what the folder holds, executed; the same call resumes."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import yaml

import analysis
from raylab.errors import RaylabError, StudyError
from raylab.runs.cluster import Executor, connect
from raylab.runs.folder import SEARCH, RunFolder
from raylab.runs.in_process import run_in_process
from raylab.runs.lease import LEASE_TIMEOUT_S, Lease
from raylab.runs.participants import participants, transcripts_table
from raylab.runs.progress import Progress, duration, failure_line, is_failure
from raylab.runs.provenance import provenance
from raylab.runs.sweep import sweep
from raylab.trials.hyperparameter_search import choose, inner_trials
from raylab.trials.plan import check_datasets, plan
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.cross_corpus import index_source, read_source
from raylab.windows.dataset import WindowIndex

TROUBLES_SHOWN = 20  # of the trials that failed, in the summary; `raylab status` lists all

Log = Callable[[str], None]


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        statuses: status to number of trials, of the trials that the plan asks for.
        stages_needed: distinct stages of the plan.
        trainings_completed: counted by the training loop, over all starts of this folder, of the plan's stages.
        trainings_interrupted: started and never completed.
        repaired: completed ones that were needed again because a stage's file was damaged.
        stale: trials in the folder that the plan no longer asks for: one line for each variant, with its people.
        troubles: one line for every trial that failed or is blocked: who, which technique, why.
    """

    statuses: dict[str, int]
    stages_needed: int
    trainings_completed: int
    trainings_interrupted: int
    stale: tuple[str, ...]
    seconds: float
    troubles: tuple[str, ...] = ()
    repaired: int = 0

    @property
    def complete(self) -> bool:
        return not self.statuses.get("failed") and not self.statuses.get("blocked") and not self.statuses.get("left")

    def lines(self) -> list[str]:
        states = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        return [
            f"trials: {states}; {duration(self.seconds)} this start",
            *(f"  {line}" for line in self.troubles[:TROUBLES_SHOWN]),
            *([f"  and {len(self.troubles) - TROUBLES_SHOWN} more"] if len(self.troubles) > TROUBLES_SHOWN else []),
            f"trainings completed {self.trainings_completed}, interrupted {self.trainings_interrupted}; distinct stages needed {self.stages_needed}",
            *([f"stages trained again because their file was damaged: {self.repaired}"] if self.repaired else []),
            *(
                ["trials in the folder that this plan does not ask for are kept there and left out of the tables:"]
                if self.stale
                else []
            ),
            *(f"  {line}" for line in self.stale),
        ]


def indexes_of(study: Study, root: str) -> dict[str, WindowIndex]:
    """The study's windows by source, read from ``root``.

    Raises:
        StudyError: with every path that leaves the root or holds no windows.
    """
    found, problems = {}, []
    for entry in study.datasets:
        try:
            found[study.source(entry)] = index_source(root, study.source(entry))
        except RaylabError as error:
            problems.append(str(error))
    if problems:
        raise StudyError(problems)
    return found


def start(
    study: Study,
    root: str,
    out: str,
    where: Executor = "ray",
    address: str | None = None,
    say: Log = print,
    order: Callable[[list[Trial]], list[Trial]] = list,
    silence_s: float = LEASE_TIMEOUT_S,
) -> Summary:
    """Run what is missing.

    Args:
        root: folder that the study's ``windows`` paths are in.
        order: rearranges the trials; results do not depend on it.
        silence_s: after how long without a sign of life another driver loses the run folder to this one.

    Raises:
        StudyError: before anything starts.
        RunHeldError: where another driver holds the run folder; LeaseLostError: where one took it over.
    """
    began = time.monotonic()
    if where == "local" and study.resources.workers > 1:
        raise StudyError([f"resources.workers: {study.resources.workers} needs Ray; leave out --local, or ask for one worker"])
    indexes = indexes_of(study, root)
    ready = check_datasets(study, indexes)
    origin, people = provenance(study, ready, {"windows": root}), participants(ready)
    run = RunFolder(out)
    with Lease(run.folder, silence_s) as lease:
        if lease.before:
            say(f"the run folder is taken over from {lease.before}")
        drive = _RunContext(study, root, where, address, say, order, lease, origin, people, transcripts_table(ready))
        chosen = None
        if study.search:
            say("hyperparameters are searched first, for each fold on its training people alone (see the folder search)")
            inner = list(inner_trials(study, study.search, indexes))
            searched = RunFolder(run.folder.sub(SEARCH).uri)
            drive.run(inner, searched)
            summary = summarize(searched, inner, time.monotonic() - began)
            if not summary.complete:
                return summary
            chosen = choose(study, study.search, indexes, analysis.score(analysis.load(searched.uri), "published"))
        trials = list(plan(study, indexes, chosen))
        drive.run(trials, run)
    return summarize(run, trials, time.monotonic() - began)


@dataclass(frozen=True)
class _RunContext:
    """What the parts of a run share."""

    study: Study
    root: str
    where: Executor
    address: str | None
    say: Log
    order: Callable[[list[Trial]], list[Trial]]
    lease: Lease
    origin: dict[str, Any]
    people: list[dict[str, Any]]
    transcripts: pa.Table | None

    def run(self, trials: list[Trial], run: RunFolder) -> None:
        """Run those of the trials that the folder lacks."""
        keys = {trial.key for trial in trials}
        run.delete_failed(keys)
        finished = run.finished()
        pending = self.order([trial for trial in trials if trial.key not in finished])
        stages = len({stage for trial in trials for stage in trial.stages})
        self.say(
            f"{self.study.name}: {len(trials)} trials, {stages} distinct stages; {len(trials) - len(pending)} done already"
        )
        run.write_start(
            yaml.safe_dump(self.study.as_dict(), sort_keys=False), self.origin, trials, self.people, self.transcripts
        )
        if pending:
            windows = {which: read_source(self.root, which) for which in {trial.windows for trial in pending}}
            progress = Progress(len(pending), self.say)
            if self.where == "ray":
                connect(self.address)
                sweep(pending, windows, run, self.study.resources, progress, self.lease)
            else:
                run_in_process(pending, windows, run, progress, self.lease)
        self.lease.check()
        run.finalize(keys)


def _by_variant(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """``dataset / label / model / technique / variant: people`` for these records."""
    people: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        variant = " / ".join(str(row[name]) for name in ("dataset", "label", "model", "technique", "variant"))
        people[variant].add(f"{row['participant']} seed {row['seed']}" if row["seed"] else row["participant"])
    return tuple(f"{variant}: {', '.join(sorted(names))}" for variant, names in sorted(people.items()))


def summarize(run: RunFolder, trials: list[Trial], seconds: float) -> Summary:
    """Count what the folder holds of the plan."""
    records = {row["trial"]: row for row in run.records()}
    needed = {stage for trial in trials for stage in trial.stages}
    asked = {trial.key for trial in trials}
    ended = [records[trial.key] for trial in trials if trial.key in records]
    statuses: dict[str, int] = {"left": len(trials) - len(ended)} if len(ended) < len(trials) else {}
    for record in ended:
        statuses[record["status"]] = statuses.get(record["status"], 0) + 1
    trainings = [record for record in run.store.trainings() if record["stage"] in needed]
    completed = [record for record in trainings if record["status"] == "completed"]
    return Summary(
        statuses=statuses,
        stages_needed=len(needed),
        trainings_completed=len(completed),
        trainings_interrupted=len(trainings) - len(completed),
        repaired=sum(bool(record.get("repairs")) for record in completed),
        stale=_by_variant([row for key, row in records.items() if key not in asked]),
        seconds=seconds,
        troubles=tuple(failure_line(record) for record in ended if is_failure(record)),
    )
