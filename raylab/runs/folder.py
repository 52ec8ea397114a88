"""A run folder: the only module that names the paths of a run (docs/architecture.md, Run folder)."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from raylab.files import Folder
from raylab.record_store import RecordStore
from raylab.training.stage_store import StageStore
from raylab.trials.run_trial import Outcome
from raylab.trials.trial import Trial

SEARCH = "search"  # the inner trials of a hyperparameter search: a run folder inside the run folder
FINAL = ("ok", "missing")  # later starts do not try these again
# The columns of trials.parquet, in this order, with types that do not depend on which trials there are.
TRIAL_COLUMNS = pa.schema(
    [
        ("trial", pa.string()), ("dataset", pa.string()), ("label", pa.string()), ("model", pa.string()),
        ("technique", pa.string()), ("variant", pa.string()), ("participant", pa.string()), ("seed", pa.int64()),
        ("status", pa.string()), ("error", pa.string()), ("seconds", pa.float64()), ("epochs", pa.int64()),
        ("windows_trained", pa.int64()), ("stages", pa.list_(pa.string())), ("stages_reused", pa.int64()), ("trained_on", pa.list_(pa.string())),
        ("device", pa.string()), ("node", pa.string()), ("ended", pa.float64()), ("n_test", pa.int64()),
        ("people", pa.int64()), ("auroc", pa.float64()), ("searched", pa.string()),
    ]
)  # fmt: skip


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

    def write_start(
        self,
        study_yaml: str,
        provenance: dict[str, Any],
        trials: list[Trial],
        participants: list[dict[str, Any]],
        transcripts: pa.Table | None = None,
        summaries: pa.Table | None = None,
    ) -> None:
        """Write the resolved study, its provenance, the plan, the participants, the numbers of their transcripts and the windows' summaries.

        Files that would not change stay untouched. A start by another version, on another machine or of another study keeps the
        provenance of earlier starts under ``earlier``.

        Args:
            participants: records of ``raylab.runs.participants.participants``.
            transcripts: table of ``raylab.runs.participants.transcripts_table``; None if no dataset has transcripts.
            summaries: table of ``raylab.runs.window_summaries.window_summaries``; None for none.
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
        self._keep_table("transcripts.parquet", transcripts)
        self._keep_table("window_summaries.parquet", summaries)
        last = self.folder.read_json("provenance.json") if self.folder.exists("provenance.json") else {}
        earlier = last.pop("earlier", [])
        if last != provenance:
            self.folder.write_json("provenance.json", {**provenance, "earlier": [*earlier, *([last] if last else [])]})

    def _keep_table(self, name: str, table: pa.Table | None) -> None:
        """Make the stored table this one, or remove it; one that would not change stays untouched."""
        stored = self.folder.read_table(name) if self.folder.exists(name) else None
        if table is None and stored is not None:
            self.folder.remove(name)
        elif table is not None and (stored is None or not stored.equals(table)):
            self.folder.write_table(name, table)

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
