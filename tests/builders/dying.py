"""A dataset whose reader kills its process for one participant; the workers import it from here."""

import os
import signal
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from raylab.recordings import DATASETS
from raylab.recordings.recording import Dataset, Recording
from raylab.runs.prepare import PrepareRequest


@dataclass(frozen=True)
class DeadlyRequest(PrepareRequest):
    """A request whose reader ends its process by a signal, as a crash inside a library does."""

    deadly: str = ""

    @cached_property
    def reader(self) -> Dataset:
        dataset = DATASETS[self.dataset]
        read = dataset.read

        def read_or_die(root: Path, participant: str, options: Any) -> Recording:
            if participant == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return read(root, participant, options)

        return replace(dataset, read=read_or_die)
