"""A run folder: the only module that names the paths of a run (docs/architecture.md, Run folder)."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.scores.attention import DIGEST as ATTENTION_DIGEST
from analysis.scores.predictions import DIGEST as PREDICTIONS_DIGEST
from analysis.scores.stored_files import file_digest
from analysis.scores.trial_records import STATUSES
from raylab.errors import InvalidValueError, RaylabError
from raylab.files import Folder
from raylab.record_store import Compaction, RecordStore
from raylab.training.stage_store import StageStore
from raylab.trials.run_trial import Outcome
from raylab.trials.trial import Trial

SEARCH = "search"  # the inner trials of a hyperparameter search: a run folder inside the run folder
PLAN_IDENTITY = b"raylab.plan"  # in the metadata of plan.parquet
PROBE = ".writable"  # written and removed again on an object store, before any work
AddRecords = Callable[[dict[str, Any], Iterable[dict[str, Any]]], None]  # the record of a trial, and of its trainings
ACCOUNTS = "trainings"  # in a trial's record on an object store: the accounts of its trainings that no other trial needs
FINAL = ("ok", "missing")  # later starts do not try these again
REQUIRED = dict.fromkeys(("dataset", "label", "model", "technique", "variant", "participant", "seed", "error"), ()) | {
    "status": STATUSES
}
RESULTS = {"predictions": PREDICTIONS_DIGEST, "attention": ATTENTION_DIGEST}  # folders of results, and their digests' column
# The columns of trials.parquet, in this order, with types that do not depend on which trials there are.
TRIAL_COLUMNS = pa.schema(
    [
        ("trial", pa.string()), ("dataset", pa.string()), ("label", pa.string()), ("model", pa.string()),
        ("technique", pa.string()), ("variant", pa.string()), ("participant", pa.string()), ("seed", pa.int64()),
        ("status", pa.string()), ("error", pa.string()), ("seconds", pa.float64()), ("epochs", pa.int64()),
        ("windows_trained", pa.int64()), ("stages", pa.list_(pa.string())), ("stages_reused", pa.int64()), ("trained_on", pa.list_(pa.string())),
        ("device", pa.string()), ("node", pa.string()), ("ended", pa.float64()), ("n_test", pa.int64()),
        ("people", pa.int64()), ("auroc", pa.float64()), ("searched", pa.string()),
        ("channels_selected", pa.list_(pa.string())), ("labels_used", pa.int64()), ("asked", pa.list_(pa.int64())),
        ("kept_general", pa.bool_()), ("expected_gain", pa.float64()),
        (PREDICTIONS_DIGEST, pa.string()), (ATTENTION_DIGEST, pa.string()),
        *((f"{part}_bytes", pa.int64()) for part in RESULTS),
    ]
)  # fmt: skip


def _require_writable_path(path: Path) -> None:
    """Raise OSError unless a folder can be made at this path, or files be written into it if it exists."""
    existing = missing = path
    while not os.path.lexists(existing) and existing != existing.parent:
        existing, missing = existing.parent, existing
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"no permission to write in {existing}")
    if missing != existing:  # root may write anywhere, but not into every file system
        missing.mkdir()
        missing.rmdir()


def plan_table(trials: list[Trial], identity: str) -> pa.Table:
    """The plan as ``plan.parquet`` holds it; its metadata say what it was made from (``raylab.runs.stored_plan``)."""
    rows = [{"trial": trial.key, **trial.labels, "stages": list(trial.stages), "problem": trial.problem} for trial in trials]
    if any(trial.best_params for trial in trials):
        rows = [{**row, "searched": trial.best_params_text} for row, trial in zip(rows, trials, strict=True)]
    return pa.Table.from_pylist(rows).replace_schema_metadata({PLAN_IDENTITY: identity.encode()})


def identity_of(plan: pa.Table) -> str:
    """What a stored plan was made from; empty if it does not say."""
    return bytes((plan.schema.metadata or {}).get(PLAN_IDENTITY, b"")).decode()


def _equals(stored: pa.Table | None, table: pa.Table) -> bool:
    return stored is not None and bool(stored.equals(table))


class RunFolder:
    """Reads and writes the files of one run, on a local path or a URI."""

    def __init__(self, uri: str) -> None:
        self.folder = Folder(uri)
        self.store = StageStore(self.folder)
        self._trials = RecordStore(self.folder, "trials", TRIAL_COLUMNS, REQUIRED)
        self._resting = False

    @property
    def uri(self) -> str:
        """The run folder as a path or a URI, as other processes need it."""
        return self.folder.uri

    def require_writable(self) -> None:
        """Find out before any work whether results can be stored; nothing of it stays.

        Raises:
            RaylabError: naming the folder, the reason and the remedy.
        """
        try:
            if self.folder.is_local:
                _require_writable_path(Path(self.folder.path))
            else:
                self.folder.write(PROBE, b"")
                self.folder.remove(PROBE)
        except OSError as error:
            raise RaylabError(
                f"the run folder {self.uri} cannot be written ({error.strerror or error}); give another one with --out, or make it writable"
            ) from error

    def write_start(
        self,
        study_yaml: str,
        provenance: dict[str, Any],
        trials: list[Trial],
        participants: list[dict[str, Any]],
        identity: str = "",
    ) -> None:
        """Write the resolved study, its provenance, the plan and the participants.

        Files that would not change stay untouched. A start by another version, on another machine or of another study keeps the
        provenance of earlier starts under ``earlier``.

        Args:
            participants: records of ``raylab.runs.participants.participants``.
            identity: what the plan was made from; empty if nobody will ask.
        """
        stored, table = self.stored_plan(), plan_table(trials, identity)
        if stored is None or identity_of(stored) != identity or not stored.equals(table):
            self.folder.write_table("plan.parquet", table)
        if not self.folder.exists("study.yaml") or self.folder.read("study.yaml") != study_yaml.encode():
            self.folder.write("study.yaml", study_yaml.encode())
        if not self.folder.exists("participants.json") or self._stored_participants() != participants:
            self.folder.write_json("participants.json", participants)
        last = self.provenance()
        earlier = last.pop("earlier", [])
        if last != provenance:
            self.folder.write_json("provenance.json", {**provenance, "earlier": [*earlier, *([last] if last else [])]})

    def provenance(self) -> dict[str, Any]:
        """The provenance of the last start; empty before the first.

        Raises:
            RaylabError: if it is damaged.
        """
        last = self.folder.read_json("provenance.json") if self.folder.exists("provenance.json") else {}
        if not isinstance(last, dict) or not isinstance(last.get("earlier", []), list):
            raise RaylabError(f"{self.uri}/provenance.json is damaged; move it away, and start the run again")
        return last

    def keep_table(self, name: str, table: pa.Table | None) -> None:
        """Make the stored table this one, or remove it; one that would not change stays untouched."""
        if table is None:
            self.folder.remove(name)
        elif not _equals(self._stored_table(name), table):
            self.folder.write_table(name, table)

    def _stored_table(self, name: str) -> pa.Table | None:
        """A table that a start writes; None if there is none or it is damaged, and so has to be written."""
        try:
            return self.folder.read_table(name) if self.folder.exists(name) else None
        except InvalidValueError:
            return None

    def stored_plan(self) -> pa.Table | None:
        """The plan of the last start; None if there is none, or it is damaged."""
        return self._stored_table("plan.parquet")

    def _stored_participants(self) -> Any:
        try:
            return self.folder.read_json("participants.json")
        except InvalidValueError:
            return None

    def records(self) -> list[dict[str, Any]]:
        """The record of every trial that ended in this folder, whichever start ran it: the compacted records and the later ones."""
        return list(self._trials.records().values())

    def trainings(self, records: Iterable[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        """One record for each training that was ever started in this folder, in any order. What cannot be read is left out (``skipped``).

        Args:
            records: of the trials, if they are read already.
        """
        rows = self.store.trainings()
        completed = {row["stage"] for row in rows if row["status"] == "completed"}
        trials = self._trials.records(("stages",)).values() if records is None else records
        return [*rows, *self._accounts_in_trials(completed, trials)]

    def _accounts_in_trials(self, completed: set[str], records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Accounts of trainings of other than these stages that are in records of trials; nothing is read where none can be."""
        keys = [row["trial"] for row in records if not completed.issuperset(row.get("stages") or ())]
        return [account for account in self._accounts_of(keys) if account["stage"] not in completed]

    def _accounts_of(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        """Accounts of trainings in the records of these trials."""
        return [account for record in self._trials.objects(keys) for account in self.store.accounts_in(record.get(ACCOUNTS))]

    @contextlib.contextmanager
    def at_rest(self, resting: bool = True) -> Iterator[None]:
        """Inside the block no trial runs, and no other driver works in this folder: records of trials and trainings are read once.

        Args:
            resting: False for a part of such a block in which trials run.
        """
        before, self._resting = self._resting, resting
        self._set_resting(resting)
        try:
            yield
        finally:
            self._resting = before
            self._set_resting(before)

    def _set_resting(self, resting: bool) -> None:
        self._trials.rest(resting)
        self.store.rest(resting)

    def note_interrupted(self, trials: Iterable[Trial]) -> None:
        """Record the trainings of trials that were at work when their driver or worker was lost. On a path the workers have done so."""
        if not self.folder.is_local:
            lost = [trial for trial in trials if trial.workers == 1]  # workers of a group record their starts
            self.store.note_interrupted(({"trial": trial.key, **trial.labels}, trial.stages) for trial in lost)

    def _delete(self, keys: Iterable[str]) -> None:
        """Remove records of trials; accounts that are in them stay, as files of their own."""
        gone = set(keys)
        for account in self._accounts_of(gone):
            self.store.write_account(account)
        self._trials.delete(gone)

    def finished(self) -> dict[str, str]:
        """Status of every trial that ended in this folder, by its key."""
        return {key: row["status"] for key, row in self._trials.records(("status",)).items()}

    def write_outcome(self, outcome: Outcome, node: str) -> dict[str, Any]:
        """Write the predictions first, then the record that says that they exist; the record."""
        key, results = outcome.record["trial"], dict[str, Any]()
        if outcome.predictions is not None:
            results |= self._write_result("predictions", key, outcome.predictions)
        if outcome.attention is not None:
            results |= self._write_result("attention", key, outcome.attention)
        accounts = self.store.account(key)
        record = {**outcome.record, **results, "node": node, **({ACCOUNTS: accounts} if accounts else {})}
        self._trials.write(key, record)
        return record

    def _write_result(self, part: str, key: str, table: pa.Table) -> dict[str, Any]:
        """Write a table of a trial's results; digest and size of its file, for the trial's record."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, write_page_checksum=True)
        content = sink.getvalue()
        self.folder.write(f"{part}/{key}.parquet", content.to_pybytes())
        return {RESULTS[part]: file_digest(content), f"{part}_bytes": content.size}

    def delete_damaged(self, keys: set[str]) -> list[str]:
        """Remove the records of trials of the plan with results that are missing or are not those that were written, so that this start repeats
        them; a sentence on each. Results without a digest, of an older raylab, are only looked for.

        Files on a path are read. An object store checks its objects itself, and each reading is a request: there the listed size decides, and a
        report, which reads everything, refuses what has it and is damaged all the same.
        """
        damaged: dict[str, str] = {}
        every = self._trials.records(("status", *RESULTS.values(), *(f"{part}_bytes" for part in RESULTS))).values()
        records = [row for row in every if row["trial"] in keys and row["status"] == "ok"]
        for part, column in RESULTS.items():
            digests = {f"{part}/{row['trial']}.parquet": row.get(column) for row in records}
            sizes = {
                f"{part}/{row['trial']}.parquet": None if self.folder.is_local else row.get(f"{part}_bytes") for row in records
            }
            stored = {f"{part}/{name}": size for name, size in self.folder.sizes(part, ".parquet").items()}
            expected = [name for name, digest in digests.items() if digest or part == "predictions"]
            there = [name for name in expected if name in stored]
            changed = {name for name in there if sizes[name] not in (None, stored[name])}
            to_read = (name for name in there if digests[name] and sizes[name] is None)
            changed |= {
                name for name, content in self.folder.read_all(to_read).items() if file_digest(content) != digests[name]
            }
            problems = dict.fromkeys(set(expected) - stored.keys(), "is missing")
            problems |= dict.fromkeys(changed, "is not the file that was written")
            for name, problem in problems.items():
                damaged[name.removeprefix(f"{part}/").removesuffix(".parquet")] = f"{name} {problem}; the trial is run again"
        self._delete(damaged)
        return [damaged[key] for key in sorted(damaged)]

    def planned(self) -> tuple[set[str], set[str]]:
        """Keys of the plan's trials, and hashes of their stages.

        Raises:
            RaylabError: if the plan is damaged or of another version of raylab.
        """
        plan = self.folder.read_table("plan.parquet")
        try:
            keys, stages = plan["trial"].to_pylist(), plan["stages"].to_pylist()
            return set(keys), {stage for trial_stages in stages for stage in trial_stages}
        except (KeyError, TypeError) as error:
            raise RaylabError(
                f"{self.uri}/plan.parquet is no plan that this raylab reads ({error}); start the run again: it writes it anew"
            ) from error

    @property
    def skipped(self) -> list[str]:
        """A sentence on each record of a trial or a training that the last reading left out."""
        return [*self._trials.skipped, *self.store.skipped]

    @contextlib.contextmanager
    def compaction(self, alone: bool) -> Iterator[AddRecords]:
        """Inside the block records of trials, and of the trainings that they completed, are merged into one file each as they come, so that the next
        reader needs few reads; those of failed trials are not, as they may change.

        Args:
            alone: whether nobody else writes these files meanwhile; if somebody may, nothing is merged.
        """
        with Compaction(self._trials, alone) as trials, self.store.compaction(alone) as trainings:

            def add(record: dict[str, Any], completed: Iterable[dict[str, Any]]) -> None:
                if record["status"] in FINAL:
                    trials.add(record)
                for row in completed:
                    trainings.add(row)

            yield add

    def finalize(self, keys: set[str]) -> None:
        """Write trials.parquet with one row per ended trial of the plan, whatever its status. Called at the end of a run."""
        self._trials.compact(lambda row: row["trial"] in keys)
        if len(self._trials.gathered()) < len(keys & self.finished().keys()):  # another driver has gathered fewer meanwhile
            self._trials.compact(lambda row: row["trial"] in keys)
        completed = {row["stage"] for row in self.store.trainings() if row["status"] == "completed"}
        self.store.compact(self._accounts_in_trials(completed, self._trials.records(("stages",)).values()))

    def delete_failed(self, keys: set[str]) -> None:
        """Remove the records of failed and blocked trials of the plan, so that this start tries them again."""
        self._delete(key for key, status in self.finished().items() if key in keys and status not in FINAL)

    def new_tune_name(self) -> str:
        """Name of a new start's Tune experiment under ``tune/``: its time in UTC."""
        return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
