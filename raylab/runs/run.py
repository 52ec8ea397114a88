"""A run: the trials of the plan that the run folder lacks are run; the same call resumes."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import yaml

import analysis
from raylab.errors import RaylabError, StudyError
from raylab.runs.channel_scores import channel_scores
from raylab.runs.cluster import Executor, connect
from raylab.runs.folder import SEARCH, RunFolder
from raylab.runs.in_process import run_in_process
from raylab.runs.lease import LEASE_TIMEOUT_S, Lease
from raylab.runs.participants import participants, transcripts_table
from raylab.runs.progress import Log, Progress, duration, failure_line, is_failure
from raylab.runs.provenance import plugin_changes, provenance
from raylab.runs.shard import WHOLE, Shard
from raylab.runs.shared_windows import shared_windows
from raylab.runs.stage_lifetime import StageLifetime
from raylab.runs.stage_quota import Quota
from raylab.runs.stage_room import StageRoom
from raylab.runs.stored_plan import plan_identity, planned_trials
from raylab.runs.sweep import sweep
from raylab.runs.trackers import Tracker, track
from raylab.runs.window_orders import window_orders
from raylab.runs.window_summaries import window_summaries
from raylab.trials.hyperparameter_search import choose, inner_trials
from raylab.trials.plan import CheckedDataset, check_datasets
from raylab.trials.split_config import Search
from raylab.trials.stacks import Unit, units_of
from raylab.trials.study import Study
from raylab.trials.trial import Trial
from raylab.windows.cross_corpus import index_source, open_windows
from raylab.windows.dataset import NoWindowsError, WindowIndex

FAILURES_SHOWN = 20  # in the summary, at most; `raylab status` lists all
# What the analysis needs to know of the datasets beside the trials, by the file of the run folder that holds it.
DESCRIPTIONS: dict[str, Callable[[list[CheckedDataset]], pa.Table | None]] = {
    "transcripts.parquet": transcripts_table,
    "window_summaries.parquet": window_summaries,
    "window_order.parquet": window_orders,
    "channel_scores.parquet": channel_scores,
}


@dataclass(frozen=True)
class Summary:
    """Result of a run.

    Attributes:
        statuses: number of the plan's trials by status; ``left`` counts those that have not ended.
        stages_needed: number of distinct stages of the plan.
        trainings_completed: of the plan's stages, over all starts of this folder, counted by the training loop.
        trainings_interrupted: of the plan's stages, started and never completed.
        stale: one line per variant for the trials in the folder that the plan no longer contains, with their participants.
        seconds: of this start.
        failures: one line per trial that failed or is blocked: its participant, technique and cause.
        repaired: trainings that were completed again because a stage's file was damaged.
        skipped: a sentence on each record in the folder that cannot be read.
        trainings_cpu_s: processor seconds of the completed trainings, as far as their records say it.
    """

    statuses: dict[str, int]
    stages_needed: int
    trainings_completed: int
    trainings_interrupted: int
    stale: tuple[str, ...]
    seconds: float
    failures: tuple[str, ...] = ()
    repaired: int = 0
    skipped: tuple[str, ...] = ()
    trainings_cpu_s: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether no trial of the plan failed, is blocked, or has not ended."""
        return not self.statuses.get("failed") and not self.statuses.get("blocked") and not self.statuses.get("left")

    def lines(self) -> list[str]:
        """Lines of text to print."""
        states = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        return [
            f"trials: {states}; {duration(self.seconds)} this start",
            *(f"  {line}" for line in self.failures[:FAILURES_SHOWN]),
            *([f"  and {len(self.failures) - FAILURES_SHOWN} more"] if len(self.failures) > FAILURES_SHOWN else []),
            f"trainings completed {self.trainings_completed}, interrupted {self.trainings_interrupted}; distinct stages needed {self.stages_needed}",
            f"processor time of these trainings: {duration(self.trainings_cpu_s)}",
            *([f"stages trained again because their file was damaged: {self.repaired}"] if self.repaired else []),
            *(
                ["trials in the folder that this plan does not ask for are kept there and left out of the tables:"]
                if self.stale
                else []
            ),
            *(f"  {line}" for line in self.stale),
            *self.skipped[:FAILURES_SHOWN],
        ]


def indexes_of(study: Study, root: str) -> dict[str, WindowIndex]:
    """The index of the study's windows by source, read from ``root``.

    Raises:
        StudyError: with every path that leaves the root or holds no windows.
    """
    indexes, problems = {}, []
    for entry in study.datasets:
        try:
            indexes[study.source(entry)] = index_source(root, study.source(entry))
        except NoWindowsError as error:
            problems.append(f"{error}; if the windows are in another folder than {root}, give it with --windows")
        except RaylabError as error:
            problems.append(str(error))
    if problems:
        raise StudyError(problems)
    return indexes


def start(
    study: Study,
    root: str,
    out: str,
    executor: Executor = "ray",
    address: str | None = None,
    log: Log = print,
    reorder: Callable[[list[Trial]], list[Trial]] = list,
    lease_timeout_s: float = LEASE_TIMEOUT_S,
    shard: Shard = WHOLE,
    trackers: Sequence[Tracker] = (),
) -> Summary:
    """Run the trials of the study that the run folder lacks.

    A study with a search runs the inner trials first, in ``search/`` of the run folder, and plans the outer trials with their result.

    Args:
        root: folder that the study's ``windows`` paths are in.
        out: run folder, a path or a URI.
        executor: on a Ray cluster, or in this process.
        address: of a Ray cluster; None for a local one.
        log: called with each line to print.
        reorder: changes the order of the trials, on which results do not depend.
        lease_timeout_s: time without a sign of life after which another driver loses the run folder to this one.
        shard: the part of the trials that this driver runs; other drivers run the others in the same folder.
        trackers: that get each variant's mean at the end (``raylab.runs.trackers``), beside TensorBoard.

    Raises:
        StudyError: with every problem of the study, before anything starts.
        RaylabError: if the run folder cannot be written, before any work.
        RunHeldError: if another driver holds the run folder.
        LeaseLostError: if another driver took it over meanwhile.
    """
    began = time.monotonic()
    _refuse(study, executor, shard)
    run = RunFolder(out)
    run.require_writable()
    indexes = indexes_of(study, root)
    datasets = check_datasets(study, indexes)
    origin, records = provenance(study, datasets, {"windows": root}), participants(datasets)
    with Lease(run.folder, lease_timeout_s, name=shard.lease) as lease:
        if lease.replaced:
            log(f"the run folder is taken over from {lease.replaced}")
        for line in plugin_changes(run.provenance(), origin):
            log(line)
        context = _RunContext(study, root, executor, address, log, reorder, lease, origin, records, datasets, shard)
        best_params = None
        if study.search:
            inner, inner_run = context.search(study.search, indexes, run)
            summary = summarize(inner_run, inner, time.monotonic() - began)
            if not summary.complete:
                return summary
            best_params = choose(study, study.search, indexes, analysis.score(analysis.load(inner_run.uri), "published"))
        trials = planned_trials(study, indexes, run, best_params, identity := plan_identity(study, indexes, best_params), log)
        with run.at_rest(shard.of == 1):
            changed = context.run(trials, run, indexes, identity)
            summary = summarize(run, shard.trials(trials), time.monotonic() - began, trials)
        track(study.name, run, trackers, changed, log)
        return summary


def _refuse(study: Study, executor: Executor, shard: Shard) -> None:
    """Refuse what a study asks for and these options cannot give."""
    if study.search and shard.of > 1:
        raise StudyError(["`search` chooses from all inner trials, so it has no shards; leave out --shard"])
    if executor == "local" and study.resources.workers > 1:
        raise StudyError([f"resources.workers: {study.resources.workers} needs Ray; leave out --local, or ask for one worker"])


@dataclass(frozen=True)
class _RunContext:
    """Settings that the inner and the outer trials of a run share; see ``start``."""

    study: Study
    root: str
    executor: Executor
    address: str | None
    log: Log
    reorder: Callable[[list[Trial]], list[Trial]]
    lease: Lease
    origin: dict[str, Any]
    participants: list[dict[str, Any]]
    datasets: list[CheckedDataset]
    shard: Shard = WHOLE

    def search(self, search: Search, indexes: dict[str, WindowIndex], run: RunFolder) -> tuple[list[Trial], RunFolder]:
        """Run the inner trials of a search; these, and the run folder that they have of their own."""
        self.log("hyperparameters are searched first, for each fold on its training people alone (see the folder search)")
        inner, inner_run = list(inner_trials(self.study, search, indexes)), RunFolder(run.folder.sub(SEARCH).uri)
        self.run(inner, inner_run, indexes)
        if self.study.resources.quota and self.study.keep != "all":
            inner_run.store.forget(inner_run.store.hashes())  # the room is for the outer trials now
        return inner, inner_run

    def run(self, trials: list[Trial], run: RunFolder, indexes: dict[str, WindowIndex], identity: str = "") -> bool:
        """Run the trials that this folder lacks; whether there were any."""
        quota, lifetime = Quota(self.study, indexes, self.shard, run), StageLifetime.of(run, trials, self.study.keep)
        sizes = quota.check(trials)
        pending, earlier = self._left(trials, run)
        run.write_start(yaml.safe_dump(self.study.as_dict(), sort_keys=False), self.origin, trials, self.participants, identity)
        # one after the other, and none is kept: each has a row for every window, and nobody asks for them again
        for name, describe in DESCRIPTIONS.items():
            run.keep_table(name, describe(self.datasets))
        lifetime.tidy(trials)
        if pending:
            units = units_of(trials, pending)
            room = quota.room(trials, units, lifetime, sizes, self.log)
            with run.at_rest(False):
                self._carry_out(units, run, Progress(len(pending), self.log, earlier=earlier), lifetime, room)
            for line in room.lines() if room else ():
                self.log(line)
        self.lease.check()
        run.finalize({trial.key for trial in trials})
        if pending:
            lifetime.tidy(trials)
        return bool(pending)

    def _left(self, trials: list[Trial], run: RunFolder) -> tuple[list[Trial], list[dict[str, Any]]]:
        """The trials of this driver that have to be run, and the records of those that need not. Records that have to go are removed, and told."""
        own = self.shard.trials(trials)
        own_keys = {trial.key for trial in own}
        if lost := [trial for trial in own if trial.key in self.lease.interrupted]:
            ended = run.finished()
            run.note_interrupted(trial for trial in lost if trial.key not in ended)
        run.delete_failed(own_keys)
        for line in run.delete_damaged(own_keys):
            self.log(line)
        finished = {record["trial"]: record for record in run.records() if record["trial"] in own_keys}
        pending = self.reorder([trial for trial in own if trial.key not in finished])
        stages = len({stage for trial in trials for stage in trial.stages})
        self.log(
            f"{self.study.name}: {len(trials)} trials, {stages} distinct stages; {len(own) - len(pending)} done already"
            + (f"; {self.shard} of them: {len(own)} trials" if self.shard.of > 1 else "")
        )
        return pending, list(finished.values())

    def _carry_out(
        self, units: list[Unit], run: RunFolder, progress: Progress, lifetime: StageLifetime, room: StageRoom | None
    ) -> None:
        """Run these units, on Ray or in this process."""
        sources = {trial.windows for unit in units for trial in unit.trials}
        run.store.forget_failures({stage for unit in units for stage in unit.stages})
        if self.executor == "ray":
            connect(self.address)
            windows = shared_windows(self.root, sources, self.study.resources.windows)
            sweep(units, windows, run, self.study.resources, progress, self.lease, lifetime, self.shard.of == 1, room)
        else:
            read = {source: open_windows(self.root, source, self.study.resources.windows) for source in sources}
            run_in_process(units, read, run, progress, self.lease, lifetime, self.shard.of == 1, room)


def _lines_by_variant(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """``dataset / label / model / technique / variant: participants``, a line per variant of these records."""
    participants_by_variant: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        variant = " / ".join(str(row[name]) for name in ("dataset", "label", "model", "technique", "variant"))
        participants_by_variant[variant].add(f"{row['participant']} seed {row['seed']}" if row["seed"] else row["participant"])
    return tuple(f"{variant}: {', '.join(sorted(names))}" for variant, names in sorted(participants_by_variant.items()))


def summarize(run: RunFolder, trials: list[Trial], seconds: float, plan: list[Trial] | None = None) -> Summary:
    """Compare the records in the folder with the plan.

    Args:
        trials: of which the statuses are counted.
        plan: all trials of the study, if these are some of them.
    """
    records = {row["trial"]: row for row in run.records()}
    needed = {stage for trial in trials for stage in trial.stages}
    planned = {trial.key for trial in plan or trials}
    ended = [records[trial.key] for trial in trials if trial.key in records]
    statuses: dict[str, int] = {"left": len(trials) - len(ended)} if len(ended) < len(trials) else {}
    for record in ended:
        statuses[record["status"]] = statuses.get(record["status"], 0) + 1
    trainings = [record for record in run.trainings(records.values()) if record["stage"] in needed]
    completed = [record for record in trainings if record["status"] == "completed"]
    return Summary(
        statuses=statuses,
        stages_needed=len(needed),
        trainings_completed=len(completed),
        trainings_interrupted=len(trainings) - len(completed),
        repaired=sum(bool(record.get("repairs")) for record in completed),
        stale=_lines_by_variant([row for key, row in records.items() if key not in planned]),
        seconds=seconds,
        failures=tuple(failure_line(record) for record in ended if is_failure(record)),
        skipped=tuple(run.skipped),
        trainings_cpu_s=sum(record.get("cpu_s") or 0.0 for record in completed),
    )
