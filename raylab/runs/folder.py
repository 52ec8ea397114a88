"""A run folder: the only module that names the paths of a run (docs/architecture.md, Run folder)."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.record_store import RecordStore
from raylab.training.stage_store import StageStore
from raylab.trials.run_trial import Outcome
from raylab.trials.trial import Trial

SEARCH = "search"  # the inner trials of a hyperparameter search: a run folder inside the run folder
PROBE = ".writable"  # written and removed again on an object store, before any work
FINAL = ("ok", "missing")  # later starts do not try these again
# The columns of trials.parquet, in this order, with types that do not depend on which trials there are.
TRIAL_COLUMNS = pa.schema(
    [
        ("trial", pa.string()), ("dataset", pa.string()), ("label", pa.string()), ("model", pa.string()),
        ("technique", pa.string()), ("variant", pa.string()), ("participant", pa.string()), ("seed", pa.int64()),
        ("status", pa.string()), ("error", pa.string()), ("seconds", pa.float64()), ("epochs", pa.int64()),
        ("windows_trained", pa.int64()), ("stages", pa.list_(pa.string())), ("stages_reused", pa.int64()),
        ("device", pa.string()), ("node", pa.string()), ("ended", pa.float64()), ("n_test", pa.int64()),
        ("people", pa.int64()), ("auroc", pa.float64()), ("searched", pa.string()),
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


class RunFolder:
    """Reads and writes the files of one run, on a local path or a URI."""

    def __init__(self, uri: str) -> None:
        self.folder = Folder(uri)
        self.store = StageStore(self.folder)
        self._trials = RecordStore(self.folder, "trials", TRIAL_COLUMNS)

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
        transcripts: pa.Table | None = None,
    ) -> None:
        """Write the resolved study, its provenance, the plan, the participants and the numbers of their transcripts.

        Files that would not change stay untouched. A start by another version, on another machine or of another study keeps the
        provenance of earlier starts under ``earlier``.

        Args:
            participants: records of ``raylab.runs.participants.participants``.
            transcripts: table of ``raylab.runs.participants.transcripts_table``; None if no dataset has transcripts.
        """
        rows = [
            {"trial": trial.key, **trial.labels, "stages": list(trial.stages), "problem": trial.problem} for trial in trials
        ]
        if any(trial.best_params for trial in trials):
            rows = [{**row, "searched": trial.best_params_text} for row, trial in zip(rows, trials, strict=True)]
        table = pa.Table.from_pylist(rows)
        if not self.folder.exists("plan.parquet") or not self.folder.read_table("plan.parquet").equals(table):
            self.folder.write_table("plan.parquet", table)
        if not self.folder.exists("study.yaml") or self.folder.read("study.yaml") != study_yaml.encode():
            self.folder.write("study.yaml", study_yaml.encode())
        if not self.folder.exists("participants.json") or self.folder.read_json("participants.json") != participants:
            self.folder.write_json("participants.json", participants)
        stored = self.folder.read_table("transcripts.parquet") if self.folder.exists("transcripts.parquet") else None
        if transcripts is None and stored is not None:
            self.folder.remove("transcripts.parquet")
        elif transcripts is not None and (stored is None or not stored.equals(transcripts)):
            self.folder.write_table("transcripts.parquet", transcripts)
        last = self.folder.read_json("provenance.json") if self.folder.exists("provenance.json") else {}
        earlier = last.pop("earlier", [])
        if last != provenance:
            self.folder.write_json("provenance.json", {**provenance, "earlier": [*earlier, *([last] if last else [])]})

    def records(self) -> list[dict[str, Any]]:
        """The record of every trial that ended in this folder, whichever start ran it: the compacted records and the later ones."""
        return list(self._trials.records().values())

    def finished(self) -> dict[str, str]:
        """Status of every trial that ended in this folder, by its key."""
        return {row["trial"]: row["status"] for row in self.records()}

    def write_outcome(self, outcome: Outcome, node: str) -> None:
        """Write the predictions first, then the record that says that they exist."""
        key = outcome.record["trial"]
        if outcome.predictions is not None:
            self.folder.write_table(f"predictions/{key}.parquet", outcome.predictions)
        if outcome.attention is not None:
            self.folder.write_table(f"attention/{key}.parquet", outcome.attention)
        self._trials.write(key, {**outcome.record, "node": node})

    def compact(self) -> None:
        """Merge the records that will not change any more into one file each, so that the next reader needs few reads. Called during a run."""
        self._trials.compact(lambda row: row["status"] in FINAL)
        self.store.compact()

    def finalize(self, keys: set[str]) -> None:
        """Write trials.parquet with one row per ended trial of the plan, whatever its status. Called at the end of a run."""
        self._trials.compact(lambda row: row["trial"] in keys)
        self.store.compact()

    def delete_failed(self, keys: set[str]) -> None:
        """Remove the records of failed and blocked trials of the plan, so that this start tries them again."""
        self._trials.delete(key for key, status in self.finished().items() if key in keys and status not in FINAL)

    def new_tune_name(self) -> str:
        """Name of a new start's Tune experiment under ``tune/``: its time in UTC."""
        return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
