"""Weights by stage hash, and a record of every training that was started."""

import time
import uuid
from typing import Any

import pyarrow as pa
from safetensors.torch import load, save
from torch import Tensor

from raylab.files import Folder
from raylab.ledger import Ledger

# The columns of trainings.parquet; an epoch's losses stay in the small object.
TRAINING_COLUMNS = pa.schema(
    [
        ("attempt", pa.string()), ("stage", pa.string()), ("trial", pa.string()), ("name", pa.string()), ("model", pa.string()),
        ("dataset", pa.string()), ("status", pa.string()), ("started", pa.float64()), ("ended", pa.float64()),
        ("epochs", pa.int64()), ("steps", pa.int64()), ("windows", pa.int64()),
    ]
)  # fmt: skip


class StageStore:
    """``stages/<hash>.safetensors`` holds the parts that the stage freed: the rest of a network is its parents' and its
    initial weights, which the fold's draws repeat. ``trainings/<hash>.<attempt>.json`` is written when a training starts and
    again when it is completed, so that trainings can be counted whoever ran them; completed ones are gathered into ``trainings.parquet``."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._trainings = Ledger(folder, "trainings", TRAINING_COLUMNS)

    def has(self, stage: str) -> bool:
        return self.folder.exists(f"stages/{stage}.safetensors")

    def hashes(self) -> set[str]:
        return {name.split(".")[0] for name in self.folder.names("stages", ".safetensors")}

    def load(self, stage: str) -> dict[str, Tensor] | None:
        """The stored parts, or None where there are none or the file is damaged (it is then trained again)."""
        if not self.has(stage):
            return None
        try:
            return dict(load(self.folder.read(f"stages/{stage}.safetensors")))
        except Exception:  # whatever a damaged file raises, training again repairs it
            return None

    def save(self, stage: str, state: dict[str, Tensor]) -> None:
        self.folder.write(f"stages/{stage}.safetensors", save(state))

    def begin(self, stage: str, about: dict[str, Any]) -> str:
        """Note that a training starts; returns the attempt's name."""
        attempt = f"{stage}.{uuid.uuid4().hex[:8]}"
        self._trainings.put(attempt, {**about, "stage": stage, "status": "started", "started": time.time()})
        return attempt

    def complete(self, attempt: str, about: dict[str, Any]) -> None:
        started = self._trainings.get(attempt)
        self._trainings.put(attempt, {**started, **about, "status": "completed", "ended": time.time()})

    def trainings(self) -> list[dict[str, Any]]:
        """Every training that was started, in any order."""
        return list(self._trainings.rows().values())

    def gather(self) -> None:
        """Gather the completed trainings, so that counting them needs few reads."""
        self._trainings.gather(lambda row: row["status"] == "completed")
