"""The weights of trained stages by their hash, and a record of every training that was started.

docs/decisions/0002-stage-files.md; docs/architecture.md, Run folder.
"""

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from safetensors.torch import load, save
from torch import Tensor

from raylab.files import Folder
from raylab.hashing import hash_array, hash_record
from raylab.record_store import Compaction, RecordStore

# The columns of trainings.parquet. The curve of losses stays in the small object: nothing that counts trainings needs it.
TRAINING_COLUMNS = pa.schema(
    [
        ("attempt", pa.string()), ("stage", pa.string()), ("trial", pa.string()), ("name", pa.string()), ("model", pa.string()),
        ("dataset", pa.string()), ("status", pa.string()), ("started", pa.float64()), ("ended", pa.float64()),
        ("epochs", pa.int64()), ("steps", pa.int64()), ("windows", pa.int64()), ("repairs", pa.bool_()), ("cpu_s", pa.float64()),
    ]
)  # fmt: skip

REQUIRED = {"stage": (), "status": ("started", "completed")}


def _digest(state: dict[str, Tensor]) -> str:
    """Hash of the weights themselves: names, types, shapes and bytes. safetensors has no checksum of its own."""
    return hash_record({name: hash_array(value.numpy()) for name, value in state.items()})


def _stored_digest(data: bytes) -> str | None:
    """The digest in the header of a safetensors file; None in a file of a version that did not write one.

    The header is its length in 8 bytes, little-endian, and then JSON. The safetensors library gives metadata of files on disk only, and stages may
    lie in an object store.
    """
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    digest: str | None = header.get("__metadata__", {}).get("digest")
    return digest


def stage_file(state: dict[str, Tensor]) -> bytes:
    """The content of a stage's file: its weights with their digest. Its size depends on the names, types and shapes of the weights alone."""
    return save(state, {"digest": _digest(state)})


@dataclass(frozen=True)
class Saved:
    """What became of a stage's weights.

    Attributes:
        size: bytes of the file that they make; 0 if nobody had to know.
        stored: whether there is that file; else this process alone holds them, until its next trial.
    """

    size: int
    stored: bool

    @property
    def fields(self) -> dict[str, Any]:
        """As a report to the driver has it."""
        return {"stage_bytes": self.size, "stage_stored": self.stored}


class StageStore:
    """The stages and the account of trainings in one run folder; many workers use it at once.

    ``stages/<hash>.safetensors`` holds the parts that the stage trained. The rest of a network is in its parents' files and in its initial
    weights, which the fold's draws repeat; so nothing is stored twice, and a stage that trains only the head is a few kilobytes.

    ``trainings/<hash>.<attempt>.json`` is written when a training starts and again when it is completed. So trainings can be counted,
    interrupted and repeated ones too, whichever process ran them. Completed ones are gathered into ``trainings.parquet``.

    On an object store each file is a request, so a worker that holds a trial (``hold``) writes less: no start (the driver's lease names the trials
    that run, and an error is recorded with the trial), and the account of a leaf in the record of its trial (``account``).

    If two workers ever train the same stage at once, both write equal weights, a file appears only when it is complete, and ``trainings``
    shows both.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.completed: list[dict[str, Any]] = []  # rows of trainings.parquet, since the last `hold`
        self._leaves: frozenset[str] = frozenset()
        self._passing: frozenset[str] = frozenset()  # stages that are not stored: leaves, and those for which there is no room
        self._limits: Mapping[str, int] = {}
        self._held: dict[str, dict[str, Tensor]] = {}
        self._sparing = False  # whether requests are saved
        self._absent: frozenset[str] = frozenset()
        self._failures: dict[str, str] = {}  # errors of stages that this trial, or stack of trials, has noted
        self._with_trials: list[dict[str, Any]] = []  # accounts of leaves, which the records of their trials will hold
        self._looked: dict[str, bool] = {}  # by stage, whether there was a file when this process last read it
        self._begun: dict[str, dict[str, Any]] = {}  # by attempt, the record of a training that this process began
        self._trainings = RecordStore(folder, "trainings", TRAINING_COLUMNS, REQUIRED)

    def has(self, stage: str) -> bool:
        """Whether there is a file of this stage (given by its hash), damaged or not."""
        return self.folder.exists(f"stages/{stage}.safetensors")

    def hashes(self) -> set[str]:
        """Hashes of all stages that have a file."""
        return {name.split(".")[0] for name in self.folder.names("stages", ".safetensors")}

    def sizes(self) -> dict[str, int]:
        """Bytes of every stage's file, by hash."""
        suffix = ".safetensors"
        return {name.removesuffix(suffix): size for name, size in self.folder.sizes("stages", suffix).items()}

    def forget(self, stages: Iterable[str]) -> None:
        """Remove the weights of these stages; the account of their trainings stays."""
        for stage in stages:
            self.folder.remove(f"stages/{stage}.safetensors")

    def load(self, stage: str) -> dict[str, Tensor] | None:
        """The stored weights of a stage by full name; None if there are none or the file is damaged (the stage is then trained again)."""
        if stage in self._passing or stage in self._absent or stage in self._held:
            self._looked[stage] = False
            return self._held.get(stage)
        try:
            data = self.folder.read(f"stages/{stage}.safetensors")
        except FileNotFoundError:
            self._looked[stage] = False
            return None
        self._looked[stage] = True
        try:
            state, expected = dict(load(data)), _stored_digest(data)
        except Exception:  # a damaged file can raise anything, and the remedy is always the same: to train again
            return None
        # A flipped bit leaves a readable file with other weights; only the digest tells.
        if expected not in (None, _digest(state)):
            return None
        if self._sparing:
            self._held[stage] = state
        return state

    def size(self, stage: str) -> int:
        """Bytes of a stage's file; 0 if there is none."""
        return self.folder.file_size(f"stages/{stage}.safetensors")

    def save(self, stage: str, state: dict[str, Tensor]) -> Saved:
        """Store the weights of a trained stage, with their digest, unless there is no room for them (``hold``).

        Raises:
            OSError: if the file cannot be written; it names the file.
        """
        content = b"" if stage in self._passing else stage_file(state)
        if len(content) > self._limits.get(stage, len(content)):
            self._passing |= {stage}
        if stage in self._passing or self._sparing:
            self._held[stage] = {name: value.detach().clone() for name, value in state.items()}
        if stage not in self._passing:
            self.folder.write(f"stages/{stage}.safetensors", content)
        return Saved(len(content), stage not in self._passing)

    def hold(
        self,
        leaves: Iterable[str] = (),
        absent: Iterable[str] = (),
        unstored: Iterable[str] = (),
        limits: Mapping[str, int] | None = None,
        sparing: bool = True,
    ) -> None:
        """Begin the next trial, or stack of trials. What was held so far, and the trainings completed so far, are let go.

        Args:
            leaves: stages that no other trial needs: their weights are kept in this object alone, and nobody looks for them.
            absent: stages that are known to have no file, and that nobody else trains meanwhile; on an object store nobody looks for them.
            unstored: stages for which there is no room: as leaves, but that each training of them has an account of its own.
            limits: bytes that a stage's file may have at most; a larger one is not written, and the stage is one of ``unstored``.
            sparing: whether requests to an object store are saved.
        """
        self._leaves, self._limits = frozenset(leaves), limits or {}
        self._passing, self._held, self.completed = self._leaves | frozenset(unstored), {}, []
        self._sparing, self._begun, self._with_trials, self._failures = sparing and not self.folder.is_local, {}, [], {}
        self._absent = frozenset(absent) if self._sparing else frozenset()

    def take_completed(self) -> list[dict[str, Any]]:
        """Rows of trainings.parquet of what was completed since the last call."""
        rows, self.completed = self.completed, []
        return rows

    def note_failure(self, stage: str, message: str) -> None:
        """Remember that a training in a stack ends in an error, which it does again: others of its stack need not be repeated to find out."""
        self._failures[stage] = message
        self.folder.write_json(f"stages/{stage}.failed.json", {"error": message})

    def failure(self, stage: str) -> str:
        """The error that a stage of a stack ended in; empty if none is known."""
        if stage in self._failures or stage in self._absent or stage in self._held:
            return self._failures.get(stage, "")
        name = f"stages/{stage}.failed.json"
        return str(self.folder.read_json(name)["error"]) if self.folder.exists(name) else ""

    def forget_failures(self, stages: set[str]) -> None:
        """Try these stages again."""
        for name in self.folder.names("stages", ".failed.json"):
            if name.split(".")[0] in stages:
                self.folder.remove(f"stages/{name}")

    def begin(self, stage: str, columns: dict[str, Any]) -> str:
        """Record that a training starts, before it does; returns the name of the attempt.

        Args:
            stage: its hash.
            columns: what the account should say of it (columns of ``TRAINING_COLUMNS``). ``repairs`` is added: whether there is a file of this
                stage already, which must then be damaged.
        """
        attempt = f"{stage}.{uuid.uuid4().hex[:8]}"
        exists = self._looked.pop(stage) if stage in self._looked else self.has(stage)
        status = {"stage": stage, "status": "started", "started": time.time(), "repairs": exists}
        self._begun[attempt] = {**columns, **status}
        if not self._sparing:
            self._trainings.write(attempt, self._begun[attempt])
        return attempt

    def complete(self, attempt: str, columns: dict[str, Any]) -> None:
        """Record that the training of this attempt has ended and that its weights are stored, with more columns."""
        started = self._begun.pop(attempt, None) or self._trainings.read(attempt)
        record = {**started, **columns, "status": "completed", "ended": time.time()}
        if self._sparing and record["stage"] in self._leaves:
            self._with_trials.append({**record, "attempt": attempt})
        else:
            self._trainings.write(attempt, record)
        self.completed.append({name: record.get(name) for name in TRAINING_COLUMNS.names} | {"attempt": attempt})

    def account(self, trial: str) -> list[dict[str, Any]]:
        """Take out the accounts that the record of this trial, which ends now, has to hold; trainings of it that ended in an error are written."""
        if not self._sparing:
            return []
        for attempt, record in list(self._begun.items()):
            if record.get("trial") == trial:
                self._trainings.write(attempt, self._begun.pop(attempt))
        mine = [record for record in self._with_trials if record.get("trial") == trial]
        self._with_trials = [record for record in self._with_trials if record.get("trial") != trial]
        return mine

    def accounts_in(self, values: Any) -> list[dict[str, Any]]:
        """The accounts among what the record of a trial holds as such."""
        return [value for value in values if self._trainings.is_record(value)] if isinstance(values, list) else []

    def write_account(self, record: dict[str, Any]) -> None:
        """Write an account that a trial's record has held, which goes."""
        self._trainings.write(record["attempt"], {name: value for name, value in record.items() if name != "attempt"})

    def note_interrupted(self, trials: Iterable[tuple[dict[str, Any], Sequence[str]]]) -> None:
        """Record the trainings of trials that a driver or a worker left behind when it was lost: of each the first stage without weights.

        Args:
            trials: columns of the account, and the trial's stages in order.
        """
        stored = self.hashes()
        lost = {next((stage for stage in stages if stage not in stored), ""): columns for columns, stages in trials}
        for stage, columns in lost.items():
            if stage:
                record = {**columns, "name": "", "stage": stage, "status": "started", "started": time.time(), "repairs": False}
                self._trainings.write(f"{stage}.{uuid.uuid4().hex[:8]}", record)

    def trainings(self) -> list[dict[str, Any]]:
        """One record for each training that was ever started, in any order, but for those in records of trials (``RunFolder.trainings``).

        What cannot be read is left out (``skipped``).
        """
        return list(self._trainings.records().values())

    def rest(self, resting: bool) -> None:
        """Say whether nobody trains meanwhile (``RecordStore.rest``)."""
        self._trainings.rest(resting)

    @property
    def skipped(self) -> list[str]:
        """A sentence on each training that the last reading left out."""
        return self._trainings.skipped

    def compaction(self, alone: bool) -> Compaction:
        """Gathers completed trainings while a run goes on, as ``RunFolder.compaction`` does its records."""
        return Compaction(self._trainings, alone)

    def compact(self, with_trials: Iterable[dict[str, Any]] = ()) -> None:
        """Gather the completed trainings into one table, so that counting them needs few reads of an object store.

        Args:
            with_trials: accounts that are in records of trials.
        """
        self._trainings.compact(lambda row: row["status"] == "completed", with_trials)
