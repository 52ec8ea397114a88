"""Windows that Ray Data streams to the workers, person by person: ``resources: {windows: streamed}`` of a study (``raylab.windows.streamed``).

The tasks that read ask for no processor, since trials may hold all of them, and a stream has few of them at work and few parts that wait, so the
object store needs room for those of as many streams as there are trials. They run on any node; one that does not see the windows gets them from the
driver's node.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import ExecutionResources
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.runs.ray_data_settings import quiet_ray_data
from raylab.runs.ray_errors import cause_of, remote_result, sentence
from raylab.windows.cross_corpus import streamed_source
from raylab.windows.dataset import CARD, Windows, lists_of
from raylab.windows.streamed import Part, WindowSource, streamed, with_checks

AT_WORK = 2  # tasks of a stream that read at the same time
AHEAD = 1  # parts that a stream has fetched to its node beside the one that is taken
PART_BYTES = 16 * 2**20  # people with few windows are read together until they take so much
WAITING_BYTES = 4 * PART_BYTES  # of a stream in the object store; left to itself, Ray Data fills half of the store
RETRIES = "\nFailed to "  # what Ray Data adds to an error of a task begins so: how often it tried, and how it could be made to try again


@dataclass(frozen=True)
class StreamedSource:
    """What a worker needs to stream the windows of a source.

    Attributes:
        where: with the stamps of the files that were checked.
        lengths: valid steps of every window, by channel of variable length.
        node: of the driver.
    """

    where: WindowSource
    lengths: dict[str, Any]
    node: str


def checked_source(root: str, source: str, node: str) -> StreamedSource:
    """Where the windows of a source lie, all files read once and compared with their cards, by tasks on the whole cluster.

    Raises:
        RaylabError: naming the participant, if windows are others than those that were prepared.
    """
    where = streamed_source(root, source)
    people, reference = len(where.index.participants), ray.put(where)
    chunks = np.array_split(np.arange(people), min(people, max(1, int(ray.cluster_resources().get("CPU", 1)))))
    # for no processor, as the reading of mapped windows: a study that waits on a full cluster has said its first line by then
    task = ray.remote(num_cpus=0, scheduling_strategy="SPREAD")(_checked)
    tasks = [task.remote(reference, [reference], chunk.tolist(), node) for chunk in chunks]
    found = [one for chunk in remote_result(tasks, f"checking the windows {source}") for one in chunk]
    return StreamedSource(*with_checks(where, found), node)


def _checked(where: WindowSource, its: list[Any], positions: Sequence[int], node: str) -> list[Any]:
    """Stamps and steps of these participants; ``its``: the reference to ``where``, in a list so that it stays one."""
    return [_where_seen(where, its[0], WindowSource.checked, position, node) for position in positions]


def opened_stream(shared: StreamedSource, reference: Any) -> Windows:
    """The windows, streamed by Ray Data.

    Args:
        reference: to ``shared`` in the object store, for the tasks that read.
    """
    return streamed(shared.where, shared.lengths, partial(read_on_ray, reference))


def read_on_ray(reference: Any, source: WindowSource, positions: Sequence[int], channels: Sequence[str]) -> Iterator[Part]:
    """All windows of these participants in this order, read by tasks while the caller uses what came before.

    Raises:
        RaylabError: as ``WindowSource.read``, or if Ray fails.
    """
    parts = [{"positions": part} for part in in_parts(source, positions, channels)]
    settings: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "num_cpus": 0}
    settings["concurrency"] = min(AT_WORK, len(parts))
    settings["fn_kwargs"] = {"reference": reference, "channels": list(channels)}
    with quiet_ray_data() as context:
        context.execution_options.preserve_order = True  # who is read when is planned
        context.execution_options.resource_limits = ExecutionResources(object_store_memory=WAITING_BYTES)
        context.max_errored_blocks = 0  # a part that cannot be read ends the pass
        rows = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(_read_part, **settings)
    # one name for all passes of a process: those who keep Ray's metrics keep about a MiB for each name that they have ever seen
    rows._set_uuid(ray.get_runtime_context().get_worker_id())
    shapes = source.shapes
    try:
        for table in rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=AHEAD):
            signals = {name: _values(table, name).reshape(-1, *shapes[name]) for name in channels}
            yield Part(table["row"].to_numpy(), signals)
    except Exception as error:
        if message := _in_words(cause_of(error)):
            raise RaylabError(message) from error
        raise


def _in_words(error: BaseException) -> str:
    """What an error of a pass says to a user; empty if it is neither raylab's nor Ray's."""
    if isinstance(error, RaylabError):
        return str(error).partition(RETRIES)[0]
    return sentence(error, "reading windows ahead")


def in_parts(source: WindowSource, positions: Sequence[int], channels: Sequence[str]) -> list[list[int]]:
    """The participants in lists that are read by a task each: as many as stay within ``PART_BYTES``, at least one."""
    bytes_each = 4 * sum(int(np.prod(source.shapes[name])) for name in channels)
    counts, parts, room = np.diff(source.begins), list[list[int]](), 0
    for position in positions:
        size = int(counts[position]) * bytes_each
        if size > room or not parts:
            parts.append([])
            room = PART_BYTES
        parts[-1].append(position)
        room -= size
    return parts


@lru_cache(maxsize=2)
def _source_of(reference: Any) -> StreamedSource:
    shared: StreamedSource = ray.get(reference)
    return shared


def _read_part(part: pa.Table, reference: Any, channels: list[str]) -> Iterator[pa.Table]:
    """The windows of the participants of a part, a table for each."""
    os.environ["RAY_DATA_LOG_LEVEL"] = "CRITICAL"  # else the tasks of each pass write a log file of their own
    shared = _source_of(reference)
    begins = shared.where.begins
    for position in part["positions"][0].as_py():
        signals = _where_seen(shared.where, reference, WindowSource.read, position, shared.node, channels)
        rows = pa.array(np.arange(begins[position], begins[position + 1]))
        yield pa.table({"row": rows} | {name: lists_of(values) for name, values in signals.items()})


def _where_seen(where: WindowSource, its: Any, method: Any, position: int, node: str, *arguments: Any) -> Any:
    """A method of the source, here if this node sees the participant's files, else on the driver's node.

    Args:
        its: reference to the source, or to the ``StreamedSource`` that has it: the index is not sent again.
    """
    if Folder(where.corpus_of(position).uri).exists(CARD):
        return method(where, position, *arguments)
    there = ray.remote(num_cpus=0)(_there).options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
    return ray.get(there.remote(its, method, position, *arguments))


def _there(source: WindowSource | StreamedSource, method: Any, position: int, *arguments: Any) -> Any:
    return method(source.where if isinstance(source, StreamedSource) else source, position, *arguments)


def _values(table: pa.Table, name: str) -> Any:
    """All values of a column of ``lists_of``."""
    return table[name].combine_chunks().flatten().to_numpy()
