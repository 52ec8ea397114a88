"""The index of prepared windows in one file, ``index.parquet``: one open where the rows of each participant would be one each."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from raylab.errors import InvalidValueError, RaylabError
from raylab.files import Folder
from raylab.windows.stored_rows import refuse_other_types

INDEX = "index.parquet"
MADE_OF, DIGEST = b"raylab.windows", b"raylab.digest"  # in its metadata


def write_index_file(folder: Folder, fingerprint: str, digest: str, rows: pa.Table) -> None:
    """Write the rows of all participants, in the order of the card.

    Args:
        fingerprint: of the windows; digest: of the rows (``raylab.windows.dataset.fingerprint_of``).
    """
    folder.write_table(INDEX, rows.replace_schema_metadata({MADE_OF: fingerprint.encode(), DIGEST: digest.encode()}))


def read_index_file(
    folder: Folder, fingerprint: str, counts: Sequence[int], columns: Mapping[str, pa.DataType]
) -> tuple[pa.Table, str] | None:
    """The rows of all participants, and the digest that they were written with.

    None if there is no such file, as in windows that were prepared before there was one, or if it is of other windows.

    Args:
        counts: windows of each participant, as the card says.
        columns: that it has to have.

    Raises:
        RaylabError: if it is damaged, or holds other rows or columns than it was written with.
    """
    try:
        rows = folder.read_table(INDEX)
    except FileNotFoundError:
        return None
    except InvalidValueError as error:
        raise InvalidValueError(f"{str(error).split('. What to do')[0]}. {remedy(folder)}") from error
    made_of = rows.schema.metadata or {}
    if made_of.get(MADE_OF, b"") != fingerprint.encode():
        return None
    if rows.num_rows != sum(counts) or set(rows.column_names) != set(columns):
        raise RaylabError(f"{folder.uri}/{INDEX} holds {rows.num_rows} rows, its card counts {sum(counts)}. {remedy(folder)}")
    try:
        rows.validate(full=True)
        refuse_other_types(rows, columns)
    except (pa.ArrowException, TypeError) as error:
        raise RaylabError(f"{folder.uri}/{INDEX} cannot be read ({str(error).splitlines()[0]}). {remedy(folder)}") from error
    return rows, made_of.get(DIGEST, b"").decode(errors="replace")


def remedy(folder: Folder) -> str:
    """What to do about an index that is not that of the windows."""
    return f"What to do: remove {folder.uri}/{INDEX} (the index is then read from the windows themselves), or prepare the dataset again"
