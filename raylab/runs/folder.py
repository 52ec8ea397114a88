"""A run folder: every path of a run stands here, and nowhere else (DESIGN, A run folder)."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from raylab.files import Folder
from raylab.training.store import StageStore
from raylab.trials.trial import Trial
from raylab.trials.work import Outcome

# The columns of trials.parquet, in this order, with types that do not depend on which trials there are.
TRIAL_COLUMNS = pa.schema(
    [
        ("trial", pa.string()), ("dataset", pa.string()), ("label", pa.string()), ("model", pa.string()),
        ("technique", pa.string()), ("variant", pa.string()), ("participant", pa.string()), ("seed", pa.int64()),
        ("status", pa.string()), ("error", pa.string()), ("seconds", pa.float64()), ("epochs", pa.int64()),
        ("windows_trained", pa.int64()), ("stages", pa.list_(pa.string())), ("stages_reused", pa.int64()),
        ("device", pa.string()), ("node", pa.string()), ("ended", pa.float64()), ("n_test", pa.int64()),
        ("people", pa.int64()), ("auroc", pa.float64()),
    ]
)  # fmt: skip


class RunFolder:
    """Reads and writes the files of one run, on a local path or a URI."""

    def __init__(self, where: str) -> None:
        self.folder = Folder(where)
        self.store = StageStore(self.folder)

    @property
    def uri(self) -> str:
        return self.folder.uri

    def write_start(
        self, study_yaml: str, provenance: dict[str, Any], trials: list[Trial], participants: list[dict[str, Any]]
    ) -> None:
        """The resolved study, where it comes from, the plan, and what is kept of the people: what this run is for."""
        self.folder.write("study.yaml", study_yaml.encode())
        rows = [{"trial": trial.key, **trial.row, "stages": list(trial.stages), "problem": trial.problem} for trial in trials]
        self.folder.write_table("plan.parquet", pa.Table.from_pylist(rows))
        self.folder.write_json("participants.json", participants)
        self.folder.write_json("provenance.json", provenance)

    def records(self) -> list[dict[str, Any]]:
        """The record of every trial that came to an end here, whoever ran it: the compacted ones and those since."""
        found = {row["trial"]: row for row in self._compacted()}
        for name in self.folder.names("trials", ".json"):
            if name.removesuffix(".json") not in found:
                found[name.removesuffix(".json")] = self.folder.read_json(f"trials/{name}")
        return list(found.values())

    def finished(self) -> dict[str, str]:
        """Trial key to status of every trial that came to an end here."""
        return {row["trial"]: row["status"] for row in self.records()}

    def _compacted(self) -> list[dict[str, Any]]:
        return list(self.folder.read_table("trials.parquet").to_pylist()) if self.folder.exists("trials.parquet") else []

    def write_outcome(self, outcome: Outcome, node: str) -> None:
        """Predictions first, then the record that says they are there."""
        key = outcome.record["trial"]
        if outcome.predictions is not None:
            self.folder.write_table(f"predictions/{key}.parquet", outcome.predictions)
        self.folder.write_json(f"trials/{key}.json", {**outcome.record, "node": node})

    def compact(self, keys: set[str]) -> None:
        """Gather the small objects of these trials into trials.parquet (they stay: an interrupted compaction loses nothing)."""
        rows = [json.loads(self.folder.read(f"trials/{name}")) for name in self.folder.names("trials", ".json")]
        rows = [row for row in rows if row["trial"] in keys]
        self.folder.write_table("trials.parquet", pa.Table.from_pylist(rows, schema=TRIAL_COLUMNS))

    def forget_failed(self) -> None:
        """Failed and blocked trials are tried again by the next start: their records go, and with them the compacted table."""
        for key, status in self.finished().items():
            if status in ("failed", "blocked"):
                self.folder.remove(f"trials/{key}.json")
        self.folder.remove("trials.parquet")

    def new_tune_name(self) -> str:
        """Name for the next start's Tune experiment under ``tune/``."""

        return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
