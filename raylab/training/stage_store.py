"""The weights of trained stages by their hash, and a record of every training that was started.

docs/decisions/0002-stage-files.md; docs/architecture.md, Run folder.
"""

import json
import time
import uuid
from collections.abc import Iterable
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


class StageStore:
    """The stages and the account of trainings in one run folder; many workers use it at once.

    ``stages/<hash>.safetensors`` holds the parts that the stage trained. The rest of a network is in its parents' files and in its initial
    weights, which the fold's draws repeat; so nothing is stored twice, and a stage that trains only the head is a few kilobytes.

    ``trainings/<hash>.<attempt>.json`` is written when a training starts and again when it is completed. So trainings can be counted,
    interrupted and repeated ones too, whichever process ran them. Completed ones are gathered into ``trainings.parquet``.

    If two workers ever train the same stage at once, both write equal weights, a file appears only when it is complete, and ``trainings``
    shows both.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.completed: list[dict[str, Any]] = []  # rows of trainings.parquet, since the last `hold`
        self._passing: frozenset[str] = frozenset()
        self._held: dict[str, dict[str, Tensor]] = {}
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
        if stage in self._passing:
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
        return state if expected in (None, _digest(state)) else None

    def save(self, stage: str, state: dict[str, Tensor]) -> None:
        """Store the weights of a trained stage, with their digest.

        Raises:
            OSError: if the file cannot be written; it names the file.
        """
        if stage in self._passing:
            self._held[stage] = {name: value.detach().clone() for name, value in state.items()}
            return
        self.folder.write(f"stages/{stage}.safetensors", save(state, {"digest": _digest(state)}))

    def hold(self, stages: Iterable[str]) -> None:
        """Keep the weights of these stages in this object alone, and look for none of them: no other trial needs them. What was held so far, and
        the trainings completed so far, are let go."""
        self._passing, self._held, self.completed = frozenset(stages), {}, []

    def take_completed(self) -> list[dict[str, Any]]:
        """Rows of trainings.parquet of what was completed since the last call."""
        rows, self.completed = self.completed, []
        return rows

    def note_failure(self, stage: str, message: str) -> None:
        """Remember that a training in a stack ends in an error, which it does again: others of its stack need not be repeated to find out."""
        self.folder.write_json(f"stages/{stage}.failed.json", {"error": message})

    def failure(self, stage: str) -> str:
        """The error that a stage of a stack ended in; empty if none is known."""
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
        self._trainings.write(attempt, self._begun[attempt])
        return attempt

    def complete(self, attempt: str, columns: dict[str, Any]) -> None:
        """Record that the training of this attempt has ended and that its weights are stored, with more columns."""
        started = self._begun.pop(attempt, None) or self._trainings.read(attempt)
        record = {**started, **columns, "status": "completed", "ended": time.time()}
        self._trainings.write(attempt, record)
        self.completed.append({name: record.get(name) for name in TRAINING_COLUMNS.names} | {"attempt": attempt})

    def trainings(self) -> list[dict[str, Any]]:
        """One record for each training that was ever started, in any order. What cannot be read is left out (``skipped``)."""
        return list(self._trainings.records().values())

    @property
    def skipped(self) -> list[str]:
        """A sentence on each training that the last reading left out."""
        return self._trainings.skipped

    def compaction(self, alone: bool) -> Compaction:
        """Gathers completed trainings while a run goes on, as ``RunFolder.compaction`` does its records."""
        return Compaction(self._trainings, alone)

    def compact(self) -> None:
        """Gather the completed trainings into one table, so that counting them needs few reads of an object store."""
        self._trainings.compact(lambda row: row["status"] == "completed")
