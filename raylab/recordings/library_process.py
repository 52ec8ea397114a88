"""The program of the process that opens files of formats that only large libraries read (.mat, .xlsx): ``raylab.recordings.contained`` starts it.

A damaged .mat file ends the process in which scipy reads it, or makes it ask for gigabytes; 20 kB of .xlsx unfold to hundreds of megabytes.
Here that ends a copy of this process, which answers for it. It imports nothing of raylab, so it starts quickly.

A request is a line of JSON. The answer is the length of a header (8 bytes, little-endian), the header (JSON), and the bytes of its arrays.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import warnings
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

MOST_CELLS = 1_000_000
MOST_UNFOLDED = 32_000_000  # bytes of an .xlsx file's parts, and 10 times the file
_TEXTS = (date, time)


@contextlib.contextmanager
def _bounded(n_bytes: int, seconds: int) -> Any:
    """At most so much more memory than now, and so long; beyond the time the process ends. Nothing where the system has no such limits."""
    try:
        import resource

        with Path("/proc/self/statm").open(encoding="ascii") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (now + n_bytes, hard))
        signal.alarm(seconds)
    except (ImportError, OSError, ValueError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _read_mat(request: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The variables of a .mat file, and the names of all of them if a needed one is missing."""
    import scipy.io

    path, needed = request["path"], request["needed"]
    names = dict.fromkeys((*needed, *request["optional"]))  # a name may be asked for twice
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy warns of a duplicated variable and continues with one of the two
        content = scipy.io.loadmat(path, variable_names=list(names))
    buffers: list[Any] = []
    values = {name: _encoded(content[name], buffers) for name in names if name in content}
    in_file: list[str] = []
    if set(needed) - set(values):
        with contextlib.suppress(Exception):  # only for a message on what a damaged file holds
            in_file = [str(name) for name, *_ in scipy.io.whosmat(path)]
    return {"values": values, "names": in_file}, buffers


def _encoded(value: Any, buffers: list[Any]) -> dict[str, Any]:
    """A value as JSON; the bytes of arrays are appended to the buffers, in the order of their memory."""
    import numpy as np

    if type(value) is np.ndarray and value.dtype.kind in "biufcSU":
        columns = value.flags.f_contiguous and not value.flags.c_contiguous
        flat = np.ascontiguousarray(value.T if columns else value).reshape(-1)
        buffers.append(flat.view(np.uint8).data if flat.nbytes else b"")
        return {"array": value.dtype.str, "shape": value.shape, "order": "F" if columns else "C"}
    if type(value) is np.ndarray and value.dtype == object:
        return {"cell": [_encoded(item, buffers) for item in value.ravel()], "shape": value.shape}
    if isinstance(value, str):
        return {"text": value}
    return {"other": f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__}


def _read_xlsx(request: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The rows of a sheet (the first one if None), and the names of all sheets; no rows if the sheet does not exist."""
    import openpyxl

    path, sheet = request["path"], request["sheet"]
    with ZipFile(path) as parts:
        unfolded = sum(part.file_size for part in parts.infolist())
    if unfolded > MOST_UNFOLDED + 10 * Path(path).stat().st_size:
        raise ValueError(f"its parts unfold to {unfolded / 1e6:.0f} MB, no table of a dataset does")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and validations that it drops; they hold no data
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        names = [str(name) for name in book.sheetnames]
        rows: list[tuple[Any, ...]] = []
        if sheet is None or sheet in names:
            page = book[sheet or names[0]]
            page.reset_dimensions()  # some programs write a wrong size into the sheet: cells would be lost
            rows = _bounded_rows(page.iter_rows(values_only=True))
        book.close()
    return {"names": names, "rows": rows}, []


def _bounded_rows(cells: Any) -> list[tuple[Any, ...]]:
    """The rows without the empty ones at the end.

    Raises:
        ValueError: if there are more cells than a table has; a cell in the last row of a sheet makes a million rows.
    """
    rows: list[tuple[Any, ...]] = []
    count = 0
    for row in cells:
        rows.append(row)
        count += len(row)
        if count > MOST_CELLS:
            raise ValueError(f"it has more than {MOST_CELLS} cells")
    while rows and all(cell is None for cell in rows[-1]):
        rows.pop()
    width = max(map(len, rows), default=0)
    if width * len(rows) > MOST_CELLS:
        raise ValueError(f"it has {len(rows)} rows and {width} columns, which is more than {MOST_CELLS} cells")
    return rows


def _plain(value: Any) -> dict[str, Any]:
    """Cells that JSON has no type for."""
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, timedelta):
        return {"timedelta": value.total_seconds()}
    return {
        type(value).__name__ if isinstance(value, _TEXTS) else "text": value.isoformat()
        if isinstance(value, _TEXTS)
        else str(value)
    }


READERS = {"mat": (_read_mat, "scipy.io.matlab"), "xlsx": (_read_xlsx, "openpyxl")}


def _answer(request: dict[str, Any], output: BinaryIO) -> None:
    """Answer a request."""
    buffers: list[Any] = []
    try:
        with _bounded(request["bytes"], request["seconds"]):
            header, buffers = READERS[request["kind"]][0](request)
            data = json.dumps(header, default=_plain).encode()
    except BaseException as error:  # the other process makes a sentence of it
        data, buffers = json.dumps({"error": type(error).__name__, "message": str(error)[:500]}).encode(), []
    _send(output, data, buffers)


def _send(output: BinaryIO, header: bytes, buffers: list[Any]) -> None:
    output.write(len(header).to_bytes(8, "little") + header)
    for buffer in buffers:
        output.write(buffer)
    output.flush()


def _answer_in_a_copy(request: dict[str, Any], output: BinaryIO) -> None:
    """Answer a request in a copy of this process, so that the libraries are loaded once and no file meets what another one left."""
    copy = os.fork()
    if copy == 0:
        try:
            _answer(request, output)
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    if code:
        _send(output, json.dumps({"ended": code}).encode(), [])


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not disturb the answers
    for line in sys.stdin.buffer:
        request = json.loads(line)
        importlib.import_module(READERS[request["kind"]][1])  # what it takes is not within the bounds of the file
        (_answer_in_a_copy if hasattr(os, "fork") else _answer)(request, output)


if __name__ == "__main__":
    main()
