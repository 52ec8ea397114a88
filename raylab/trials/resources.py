"""The ``resources:`` of a study file: what one trial gets, and how much room all of them have for weights."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from raylab.errors import shown
from raylab.strict_part import StrictPart

MAX_WORKERS, MAX_CPUS, MAX_GPUS = 1024, 4096, 1024  # of a trial: no cluster has more, and Ray would wait for them without end
MAX_STACK = 1024
UNITS = {
    "B": 1,
    **{f"{prefix}{end}": base**power for power, prefix in enumerate("KMGT", 1) for end, base in (("B", 1000), ("iB", 1024))},
}
MIB = 2**20


def bytes_of(text: Any) -> int:
    """The number of bytes that a text such as ``200 GiB`` names.

    Raises:
        ValueError: if it names none, with what is allowed.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([KMGT]?i?B)", text) if isinstance(text, str) else None
    count = int(float(match[1]) * UNITS[match[2]]) if match and match[2] in UNITS else 0
    if count < 1:
        raise ValueError(f"it has to be a number and a unit ({', '.join(UNITS)}), such as 200 GiB, not {shown(text)}")
    return count


def mib(count: int) -> str:
    """A number of bytes in MiB, as lines of text have it."""
    return f"{count / MIB:,.1f} MiB"


def _checked_bytes(text: Any) -> Any:
    if text is not None:
        bytes_of(text)
    return text


class Resources(StrictPart):
    """Resources of one trial, and the room for the weights of all.

    Attributes:
        workers: number of processes that train each of its stages together; each gets ``cpu`` and ``gpu``.
        cpu: number of CPUs.
        stack: how many folds are trained side by side at most, with ``protocol: {numerics: stacked}``; ``auto``: by the model's width. It decides
            which stages share a stack, and so belongs to what is computed.
        gpu: number of GPUs or a fraction of one; ``auto`` is a measured fraction if the cluster has GPUs, and none if it has not.
        stage_store: bytes that the weights in the run folder may take, such as ``200 GiB``; None: as many as ``keep`` asks for. It decides which
            weights are stored, and nothing of what is computed (``raylab.runs.stage_room``).
        windows: ``mapped``: each node keeps a copy of the signals on its disk; ``streamed``: they are read from the prepared files whenever a
            training goes through them, for windows that are too large for that (``raylab.windows.streamed``). The numbers are the same.
    """

    workers: int = Field(1, ge=1, le=MAX_WORKERS)
    cpu: float = Field(1, gt=0, le=MAX_CPUS)
    stack: Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_STACK)] = "auto"
    gpu: Literal["auto"] | Annotated[float, Field(ge=0, le=MAX_GPUS)] = "auto"
    windows: Literal["mapped", "streamed"] = "mapped"
    stage_store: Annotated[str | None, BeforeValidator(_checked_bytes)] = None

    @property
    def quota(self) -> int | None:
        """``stage_store`` in bytes; None for no limit."""
        return None if self.stage_store is None else bytes_of(self.stage_store)
