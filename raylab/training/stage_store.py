"""Weights by stage hash, and a record of every training that was started."""

import json
import time
import uuid
from typing import Any

import pyarrow as pa
from safetensors.torch import load, save
from torch import Tensor

from raylab.files import Folder
from raylab.hashing import hash_array, hash_record
from raylab.record_store import RecordStore

# The columns of trainings.parquet; an epoch's losses stay in the small object.
TRAINING_COLUMNS = pa.schema(
    [
        ("attempt", pa.string()), ("stage", pa.string()), ("trial", pa.string()), ("name", pa.string()), ("model", pa.string()),
        ("dataset", pa.string()), ("status", pa.string()), ("started", pa.float64()), ("ended", pa.float64()),
        ("epochs", pa.int64()), ("steps", pa.int64()), ("windows", pa.int64()), ("repairs", pa.bool_()),
    ]
)  # fmt: skip


def _digest(state: dict[str, Tensor]) -> str:
    return hash_record({name: hash_array(value.numpy()) for name, value in state.items()})


def _promised(data: bytes) -> str | None:
    """The digest in a safetensors file's header (its length in 8 bytes, then JSON); None in files written before there was one."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    digest: str | None = header.get("__metadata__", {}).get("digest")
    return digest


class StageStore:
    """``stages/<hash>.safetensors`` holds the parts that the stage freed: the rest of a network is its parents' and its
    initial weights, which the fold's draws repeat. ``trainings/<hash>.<attempt>.json`` is written when a training starts and
    again when it is completed, so that trainings can be counted whoever ran them; completed ones are gathered into ``trainings.parquet``."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._trainings = RecordStore(folder, "trainings", TRAINING_COLUMNS)

    def has(self, stage: str) -> bool:
        return self.folder.exists(f"stages/{stage}.safetensors")

    def hashes(self) -> set[str]:
        return {name.split(".")[0] for name in self.folder.names("stages", ".safetensors")}

    def load(self, stage: str) -> dict[str, Tensor] | None:
        """The stored parts, or None where there are none or the file is damaged (it is then trained again)."""
        if not self.has(stage):
            return None
        data = self.folder.read(f"stages/{stage}.safetensors")
        try:
            state, promised = dict(load(data)), _promised(data)
        except Exception:  # whatever a damaged file raises, training again repairs it
            return None
        return state if promised in (None, _digest(state)) else None

    def save(self, stage: str, state: dict[str, Tensor]) -> None:
        self.folder.write(f"stages/{stage}.safetensors", save(state, {"digest": _digest(state)}))

    def begin(self, stage: str, about: dict[str, Any]) -> str:
        """Note that a training starts, and whether it ``repairs`` a file that is there and damaged; returns the attempt's name."""
        attempt = f"{stage}.{uuid.uuid4().hex[:8]}"
        note = {"stage": stage, "status": "started", "started": time.time(), "repairs": self.has(stage)}
        self._trainings.write(attempt, {**about, **note})
        return attempt

    def complete(self, attempt: str, about: dict[str, Any]) -> None:
        started = self._trainings.read(attempt)
        self._trainings.write(attempt, {**started, **about, "status": "completed", "ended": time.time()})

    def trainings(self) -> list[dict[str, Any]]:
        """Every training that was started, in any order."""
        return list(self._trainings.records().values())

    def compact(self) -> None:
        """Gather the completed trainings, so that counting them needs few reads."""
        self._trainings.compact(lambda row: row["status"] == "completed")
