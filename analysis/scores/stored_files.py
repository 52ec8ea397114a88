"""Reading the files of a run so that damage is noticed: a digest over the bytes, checksums of Parquet pages, and errors that name the file.

A digest is kept in the record of the trial that a file belongs to. Files from before there were digests are read without one.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from analysis.constants import READERS
from analysis.errors import AnalysisError
from analysis.plain_text import printable_values

Item = TypeVar("Item")
Result = TypeVar("Result")

SHOWN_PROBLEMS = 10
NO_DIGESTS = (
    "{count} trials were stored before raylab kept digests of results: a damaged bit in their {files} would not be noticed."
)


def file_digest(content: bytes | pa.Buffer) -> str:
    """Hex digest of a file's bytes, 80 bits."""
    return hashlib.blake2b(content, digest_size=10).hexdigest()


def parquet_table(content: pa.Buffer, columns: Sequence[str] | None = None, compare: bool = False) -> pa.Table:
    """The table in the bytes of a Parquet file, its pages checked against their checksums if it has any.

    Args:
        columns: those to read; all if None.
        compare: whether the least and the largest value of each column are compared with those that the file was written with. It finds a
            part of the damage in files that have no digest.

    Raises:
        ValueError, OSError: if it is damaged or lacks a column.
    """
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
        if missing := [name for name in columns or () if name not in file.schema_arrow.names]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        table = file.read(columns=list(columns) if columns else None, use_threads=False)
        if compare and (name := _changed_column(file.metadata, table)):
            raise ValueError(f"its column {name} holds other values than were written")
        return table


def _changed_column(metadata: pq.FileMetaData, table: pa.Table) -> str:
    """The first column of numbers of which the range is not the one in the file's footer; empty if there is none."""
    for position in range(metadata.num_columns):
        name = metadata.schema.column(position).path.split(".")[0]
        groups = [metadata.row_group(group).column(position).statistics for group in range(metadata.num_row_groups)]
        if name not in table.column_names or not groups or not all(group and group.has_min_max for group in groups):
            continue
        values = table[name].combine_chunks()
        values = values.flatten() if pa.types.is_list(values.type) else values
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            stored = min(group.min for group in groups), max(group.max for group in groups)
            if stored != tuple(pc.min_max(values).as_py().values()):
                return str(name)
    return ""


def read_buffer(system: fs.FileSystem, path: str) -> pa.Buffer:
    """The bytes of a file."""
    with system.open_input_file(path) as file:
        return file.read_buffer()


def read_all(read: Callable[[Item], Result | str], items: Iterable[Item], what: str) -> list[Result]:
    """The result of reading each item, in their order, with several requests at once.

    Args:
        read: gives what it read, or the problem as a sentence.
        what: the files in words, for the message on several problems.

    Raises:
        AnalysisError: naming every problem.
    """
    with ThreadPoolExecutor(READERS) as pool:
        results = list(pool.map(read, items))
    problems = [result for result in results if isinstance(result, str)]
    if problems:
        raise AnalysisError(joined(problems, what))
    return [result for result in results if not isinstance(result, str)]


def joined(problems: Sequence[str], what: str) -> str:
    """Problems as one message; ``what``: the files in words."""
    if len(problems) == 1:
        return problems[0]
    more = [f"and {len(problems) - SHOWN_PROBLEMS} more"] if len(problems) > SHOWN_PROBLEMS else []
    return f"{len(problems)} {what} cannot be used:" + "".join(f"\n  - {line}" for line in [*problems[:SHOWN_PROBLEMS], *more])


def read_object(system: fs.FileSystem, path: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        AnalysisError: naming the file, if it is missing, no JSON or no object.
    """
    value = read_json(system, path)
    if not isinstance(value, dict):
        raise AnalysisError(f"{path} is damaged: it holds {type(value).__name__}, not an object")
    return value


def read_json(system: fs.FileSystem, path: str) -> Any:
    """The value in a JSON file, its texts printable.

    Raises:
        AnalysisError: naming the file, if it is missing or no JSON.
    """
    try:
        with system.open_input_stream(path) as stream:
            return printable_values(json.loads(stream.read()))
    except FileNotFoundError as error:
        raise AnalysisError(f"{path} is missing; start the run again: it writes it anew") from error
    except (ValueError, RecursionError) as error:  # also of bytes that are no text
        raise AnalysisError(f"{path} is damaged: {error}") from error


def read_parquet(system: fs.FileSystem, path: str, columns: Sequence[str], remedy: str) -> pa.Table:
    """The table in a Parquet file of the run folder, with all of its columns.

    Args:
        columns: those that it must have.
        remedy: what to do if it cannot be read.

    Raises:
        AnalysisError: naming the file and the remedy.
    """
    try:
        table = parquet_table(read_buffer(system, path))
        if missing := [name for name in columns if name not in table.column_names]:
            raise ValueError(f"it has no column {', '.join(missing)}, as if another version of raylab had written it")
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise AnalysisError(f"{path} cannot be read ({_first_line(error)}); {remedy}") from error
    return table


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def unusable(path: str, key: str, problem: str, participant: str = "") -> str:
    """The sentence on a file of a trial: what is wrong, and what to do."""
    of = f" of participant {participant}" if participant else ""
    return (
        f"{path}{of} {problem}; remove it, trials/{key}.json and trials.parquet from the run folder, and start "
        "the run again: it repeats this trial"
    )


def unreadable(path: str, key: str, error: Exception) -> str:
    """The sentence on a file of a trial that cannot be opened."""
    return unusable(path, key, f"cannot be read ({_first_line(error)})")


def digest_of(trial: Any, name: str) -> str:
    """The digest that a trial's record has of its file; empty if it has none."""
    value = getattr(trial, name, None)
    return value if isinstance(value, str) else ""
