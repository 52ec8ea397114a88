"""Windows on a cluster: Ray's object store has their index, and the workers of a node map the signals from one copy on its disk
(``raylab.windows.mapped``), or stream them. Tasks read and check them; the driver holds no signals."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylab.errors import RaylabError
from raylab.runs.ray_errors import boundary
from raylab.runs.streamed_windows import StreamedSource, checked_source, opened_stream
from raylab.windows.channel_card import ChannelCard
from raylab.windows.cross_corpus import MAPPED, Kept, map_source
from raylab.windows.dataset import NoWindowsError, WindowIndex, Windows
from raylab.windows.mapped import CopyName, CopyWriter, ensure_copy, is_checked, mapped, mapped_signals
from raylab.windows.streamed import streamed

SENT_AT_ONCE = 64 * 2**20  # bytes of signals that one request to the driver's node brings


@dataclass(frozen=True)
class SharedWindows:
    """What a worker needs to map the windows of a source.

    Attributes:
        root, source: where they are, as the driver's node sees it.
        index: of the windows.
        copy: of their signals.
        check: name of this start: each node checks its copy once for it.
        node: of the driver, which can send what another node cannot read.
    """

    root: str
    source: str
    index: WindowIndex
    copy: CopyName
    check: str
    node: str


def _read(root: str, source: str, check: str) -> tuple[SharedWindows | None, RaylabError | None]:
    """The windows, or the reason why they cannot be read."""
    try:
        windows, copy = map_source(root, source, check)
    except RaylabError as error:
        return None, error
    return SharedWindows(root, source, windows.index, copy, check, ray.get_runtime_context().get_node_id()), None


def shared_windows(root: str, sources: Iterable[str], kept: Kept = MAPPED) -> dict[str, Any]:
    """References to the windows of these sources, read and checked; ``windows_of`` opens them.

    Neither the driver's memory nor Ray's object store grows with the signals.

    Args:
        root: folder that the paths of the windows are in, as this node sees it.
        kept: whether nodes map a copy of the signals, or stream them.

    Raises:
        RaylabError: as ``raylab.windows.cross_corpus.read_source``, or if Ray cannot hold them.
    """
    node, check = ray.get_runtime_context().get_node_id(), uuid.uuid4().hex
    if kept == "streamed":
        return {source: ray.put(checked_source(root, source, node)) for source in sources}
    task = ray.remote(num_cpus=0, num_returns=2)(_read).options(scheduling_strategy=_on(node))
    references = {source: task.remote(root, source, check) for source in sources}
    for source, (_, problem) in references.items():
        with boundary(f"reading the windows {source}"):
            error = ray.get(problem)
        if error is not None:
            raise error
    return {source: windows for source, (windows, _) in references.items()}


@lru_cache(maxsize=2)
def windows_of(reference: Any) -> Windows:
    """The windows of a reference, in a worker: opened once for all its trials."""
    shared = ray.get(reference)
    return opened_stream(shared, reference) if isinstance(shared, StreamedSource) else opened(shared)


def opened(shared: SharedWindows | StreamedSource) -> Windows:
    """The windows, mapped from this node's copy; streamed ones are read in this process.

    A node that has none makes one, from the windows if it sees them (a path that all nodes have, a mount, an object store), else from what
    the driver's node sends.

    Raises:
        RaylabError: if this node sees other windows under their path, or cannot write a copy.
    """
    if isinstance(shared, StreamedSource):
        return streamed(shared.where, shared.lengths)
    if is_checked(shared.copy, shared.check):
        return mapped(shared.copy, shared.index)
    try:
        windows, _ = map_source(shared.root, shared.source, shared.check)
    except NoWindowsError:
        ensure_copy(shared.copy, shared.index, lambda writer: _receive(shared, writer), shared.check)
        return mapped(shared.copy, shared.index)
    if windows.index.fingerprint != shared.index.fingerprint:
        raise RaylabError(
            f"{shared.source} in {shared.root} are other windows on this node than on the driver's (or were prepared again during the run); "
            "bring the same folder to all nodes, or start the run again"
        )
    return Windows(shared.index, windows.signals, windows.lengths)


def _receive(shared: SharedWindows, writer: CopyWriter) -> None:
    """Take all signals from the driver's node."""
    channels, rows = shared.index.card.channels, len(shared.index.window)
    step = max(1, SENT_AT_ONCE // sum(4 * channel.length * channel.n_features for channel in channels))
    task = ray.remote(num_cpus=0)(_send).options(scheduling_strategy=_on(shared.node))
    for first in range(0, rows, step):
        writer.add(*ray.get(task.remote(shared.copy, channels, slice(first, first + step))))


def _send(copy: CopyName, channels: tuple[ChannelCard, ...], rows: slice) -> tuple[dict[str, Any], dict[str, Any]]:
    """Signals and lengths of these windows."""
    signals, lengths = mapped_signals(copy, channels)
    return {name: values[rows] for name, values in signals.items()}, {name: steps[rows] for name, steps in lengths.items()}


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)
