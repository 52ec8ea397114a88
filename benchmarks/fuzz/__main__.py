"""``python -m benchmarks.fuzz READER``: read damaged inputs, count what came of them, keep what should not have come."""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Annotated

# Before any library is loaded: each input is measured, and its process shall have no memory in reserve.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
}
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"raylab-fuzz-numba-{os.getpid()}"))

import typer

from benchmarks.fuzz.damage import SeedInput, read_seed
from benchmarks.fuzz.findings import load, save, shrunk
from benchmarks.fuzz.pool import FuzzAccount, ReaderProcess, fuzz
from benchmarks.fuzz.reader import MODULES, SELF_TEST, reader_of

PROGRESS_EVERY = 5000
FINDINGS, STOPPED = 3, 130  # exit codes if there are any, and if somebody ended the command


def _seed_of(reader: str) -> SeedInput:
    """The small valid input of a reader, made now."""
    place = Path(tempfile.mkdtemp(prefix="raylab-fuzz-seed-"))
    try:
        fuzzed = reader_of(reader)
        folder = place / fuzzed.folder
        folder.mkdir()
        fuzzed.seed(folder)
        return read_seed(folder, fuzzed.targets, fuzzed.mutators)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _repeat(reader: str, folder: Path, timeout_s: float) -> None:
    """Read one finding again, and print what came of it."""
    worker = ReaderProcess(reader, _seed_of(reader), timeout_s)
    try:
        outcome = worker.read(load(folder))
    finally:
        worker.close()
    typer.echo(f"{outcome.verdict} {outcome.kind} {outcome.place} ({outcome.bytes / 1e6:.0f} MB)\n{outcome.message}")
    raise typer.Exit(FINDINGS if outcome.verdict == "finding" else 0)


def _fuzz(
    reader: str, count: int, seconds: float, key: int, processes: int, timeout_s: float, out: Path, tries: int
) -> FuzzAccount:
    """Fuzz one reader, keep its findings and print its account."""
    seed = _seed_of(reader)

    def on_progress(account: FuzzAccount) -> None:
        if sum(account.verdicts.values()) % PROGRESS_EVERY == 0:
            typer.echo(account.line(reader), err=True)

    account = fuzz(reader, seed, count, seconds, key, processes, timeout_s, on_progress)
    typer.echo(account.line(reader))
    worker = ReaderProcess(reader, seed, timeout_s)
    try:
        for finding in sorted(account.findings.values(), key=lambda finding: -finding.count):
            folder = save(shrunk(finding, worker, tries), reader, out)
            typer.echo(f"{'':>16}  {finding.count:>5} x {finding.outcome.kind}: {finding.outcome.place}  -> {folder}")
    finally:
        worker.close()
    return account


def main(
    reader: Annotated[str, typer.Argument(help=f"all, or of {', '.join(MODULES)} one or several, with commas")],
    count: Annotated[int, typer.Option(help="inputs a reader; 0: 100,000 of a text reader, 10,000 of a binary one", min=0)] = 0,
    seconds: Annotated[float, typer.Option(help="at most so long a reader", min=1)] = 3600.0,
    seed: Annotated[int, typer.Option(help="the same seed gives the same inputs")] = 0,
    processes: Annotated[int, typer.Option(help="that read at once; 0: as many as cores", min=0)] = 0,
    timeout: Annotated[float, typer.Option(help="seconds that an input may take")] = 20.0,
    out: Annotated[Path, typer.Option(help="where findings are kept")] = Path("build/fuzz"),
    tries: Annotated[int, typer.Option(help="to make the input of a finding smaller")] = 200,
    repeat: Annotated[Path | None, typer.Option(help="the folder of a finding to read again")] = None,
) -> None:
    """Read damaged inputs. Exit code 3: something was neither accepted nor refused by a sentence that names the file."""
    names = list(MODULES) if reader == "all" else reader.split(",")
    if unknown := [name for name in names if name not in MODULES | SELF_TEST]:
        raise typer.BadParameter(f"no reader {', '.join(unknown)}; there are {', '.join(MODULES)}")
    if repeat is not None:
        _repeat(names[0], repeat, timeout)
    n_processes = processes or os.cpu_count() or 1
    tallies = []
    for name in names:
        tallies.append(_fuzz(name, count or reader_of(name).count, seconds, seed, n_processes, timeout, out, tries))
        if tallies[-1].stopped:
            raise typer.Exit(STOPPED)
    if any(account.findings for account in tallies):
        raise typer.Exit(FINDINGS)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was found by then is kept, and the processes end
    typer.run(main)
