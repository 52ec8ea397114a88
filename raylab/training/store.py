"""Weights by stage hash, and a record of every training that was started."""

import time
import uuid
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from raylab.files import Folder


class StageStore:
    """``stages/<hash>.safetensors`` holds the parts that the stage freed: the rest of a network is its parents' and its
    initial weights, which the fold's draws repeat. ``trainings/<hash>.<attempt>.json`` is written when a training starts and
    again when it is completed, so that trainings can be counted whoever ran them."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

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
        self.folder.write_json(
            f"trainings/{attempt}.json", {**about, "stage": stage, "status": "started", "started": time.time()}
        )
        return attempt

    def complete(self, attempt: str, about: dict[str, Any]) -> None:
        started = self.folder.read_json(f"trainings/{attempt}.json")
        self.folder.write_json(f"trainings/{attempt}.json", {**started, **about, "status": "completed", "ended": time.time()})

    def trainings(self) -> list[dict[str, Any]]:
        """Every training that was started, in any order."""
        return [dict(self.folder.read_json(f"trainings/{name}")) for name in self.folder.names("trainings", ".json")]
