"""The rows of one participant in a Parquet file of their own, ``participant=NAME/part-0.parquet``: written and read here alone."""

from collections.abc import Mapping
from urllib.parse import unquote

import pyarrow as pa

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.names import folder_part
from raylab.recordings.recording import OWN_COLUMNS

WINDOW = OWN_COLUMNS[0]
VALUES = pa.list_(pa.float32())  # stands for lists of a fixed size, which the card says


def participant_folder(participant: str) -> str:
    """Name of the folder that holds a participant's rows: ``participant=anna%20b`` for ``anna b``, as Hive and Arrow write it."""
    return f"participant={folder_part(participant)}"


def write_rows(folder: Folder, participant: str, table: pa.Table) -> None:
    """Write the rows of one participant (those of ``to_table``); the only place that does, so that they are read where they were written.

    The name of the folder says whose they are, so the column is left out. Written again, as after the loss of a node, they replace themselves.
    """
    folder.write_table(f"{participant_folder(participant)}/part-0.parquet", table.drop_columns(["participant"]))


def _stored_folder(folder: Folder, participant: str) -> str | None:
    """The folder that holds a participant's rows; None if there is none. Older windows that were prepared without Ray have the bare name."""
    candidates = [participant_folder(participant)]
    if "/" not in participant and unquote(participant) == participant:  # or it would be the folder of another name
        candidates.append(f"participant={participant}")
    return next((name for name in candidates if folder.exists(name)), None)


def participant_files(folder: Folder, participant: str) -> dict[str, tuple[int, int]]:
    """Bytes and modification time (ns) of the files that hold a participant's rows, by name; none if there are none."""
    part = _stored_folder(folder, participant)
    return {} if part is None else folder.sub(part).stamps()


def refuse_other_types(table: pa.Table, columns: Mapping[str, pa.DataType]) -> None:
    """Refuse a column that ``to_table`` cannot have written; numpy would make something of many of them.

    Raises:
        TypeError: naming the column, what it is and what it has to be.
    """
    for name, expected in columns.items():
        column = table[name]
        nulls = column.null_count
        if expected is VALUES:
            fits = pa.types.is_fixed_size_list(column.type) and column.type.value_type == VALUES.value_type
            nulls += sum(chunk.flatten().null_count for chunk in column.chunks) if fits else 0
        else:
            fits = column.type == expected
        if not fits or nulls:
            words = f"a list of {VALUES.value_type} of fixed size" if expected is VALUES else str(expected)
            raise TypeError(f"column {name} is {column.type}, {nulls} of them null; expected {words}, none of them null")


def _read_file(folder: Folder, name: str, columns: Mapping[str, pa.DataType]) -> pa.Table:
    """These columns of a file, read by the calling thread alone.

    Arrow's own threads, and its datasets even without them, free what they have read and decoded at some later time: who reads people one after the
    other would hold several of them, the more the busier the processor is.
    """
    import pyarrow.parquet as pq

    with folder.system.open_input_file(folder.at(name)) as file:
        # on a disk each column is read when it is decoded; of an object store all are asked for at once
        stored = pq.ParquetFile(file, pre_buffer=not folder.is_local)
        if missing := [column for column in columns if column not in stored.schema_arrow.names]:
            raise TypeError(f"it has no column {missing[0]}")
        return stored.read(columns=list(columns), use_threads=False).select(list(columns))


def read_rows(folder: Folder, participant: str, columns: Mapping[str, pa.DataType]) -> pa.Table:
    """One participant's rows in time order, these columns only.

    Args:
        columns: name to type, such as ``stored_columns`` gives.

    Raises:
        RaylabError: naming the participant, if its rows are missing, cannot be read, or are of types that raylab does not write.
    """
    part = _stored_folder(folder, participant)
    # names that begin with a dot or a line are other programs' (a Mac leaves `._part-0.parquet` beside a copied file)
    files = [] if part is None else [name for name in folder.names(part, ".parquet") if name[0] not in "._"]
    if not files:
        raise RaylabError(f"{folder.uri}: windows of participant {participant} are missing; prepare the dataset again")
    try:
        table = pa.concat_tables(_read_file(folder, f"{part}/{name}", columns) for name in files)
        table.validate(full=True)  # text that is no UTF-8, offsets beyond the values
        refuse_other_types(table, columns)
        window = table[WINDOW].to_numpy()
        return table if (window[1:] > window[:-1]).all() else table.sort_by(WINDOW)
    except pa.ArrowMemoryError as error:
        raise RaylabError(
            f"{folder.uri}: windows of participant {participant} do not fit into the memory that this process may use ({error}); give it more"
        ) from error
    except (pa.ArrowException, TypeError, OSError) as error:
        raise RaylabError(
            f"{folder.uri}: windows of participant {participant} cannot be read ({str(error).splitlines()[0]}); prepare the dataset again"
        ) from error
