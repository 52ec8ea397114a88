"""Windows in Ray's object store without a copy in the driver: a task on the driver's node reads them, and workers map what it returns."""

from collections.abc import Iterable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylab.errors import RaylabError
from raylab.runs.ray_errors import boundary
from raylab.windows.cross_corpus import read_source


def _read(root: str, source: str) -> tuple[Any, RaylabError | None]:
    """The windows, or the reason why they cannot be read."""
    try:
        return read_source(root, source), None
    except RaylabError as error:
        return None, error


def shared_windows(root: str, sources: Iterable[str]) -> dict[str, Any]:
    """References to the windows of these sources, read and checked. The driver gets the reference alone: its memory does not grow with the signals.

    Args:
        root: folder that the paths of the windows are in, as this node sees it.

    Raises:
        RaylabError: as ``raylab.windows.cross_corpus.read_source``, or if Ray cannot hold them.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    task = ray.remote(num_cpus=0, num_returns=2)(_read).options(scheduling_strategy=here)
    references = {source: task.remote(root, source) for source in sources}
    for source, (_, problem) in references.items():
        with boundary(f"reading the windows {source} into Ray's object store"):
            error = ray.get(problem)
        if error is not None:
            raise error
    return {source: windows for source, (windows, _) in references.items()}
